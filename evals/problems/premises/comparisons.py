"""How much more or how many times as much one has than the other."""

from evals.problems.kinds import kind

kind(
    "more_than",
    "the number of extra {items} {who} has",
    "{items}",
    implied=False,
    line="{who} has {v} more {items} than {other}.",
    says="""
    {who} has {v} more {items} than {other}[| has| does].
    {who} [owns|has] {v} {items} more than {other}[| does].
    Compared [with|to] {other}, {who} has {v} more {items}.
    {other} would need {v} more {items} to have as many as {who}[| has].
    {who} [has|owns] as many {items} as {other} and {v} more.
    If {other} got {v} more {items}, {other} would have as many as {who}.
    The number of {items} {who} has is {v} more than {other} has.
    {who} [has|owns] as many {items} as {other} and another {v} {items}.
    {other} has {v} fewer {items} than {who}[| has| does].
    """,
    vague="""
    {who} has [more|some more|a few more] {items} than {other}[| has| does].
    {who} [owns|has] [several|a few|some] {items} more than {other}.
    Compared [with|to] {other}, {who} has [some|a few|several] more {items}.
    {who} has as many {items} as {other} and [some|a few|several] more.
    """,
    asks="""
    How many more {items} does {who} have than {other}?
    How many extra {items} does {who} have compared with {other}?
    By how many {items} does {who} have more than {other}?
    """,
)

kind(
    "times_as_many",
    "how many times as many {items} {who} has as {other}",
    "times",
    implied=False,
    line="{who} has {v} times as many {items} as {other}.",
    says="""
    {who} has {v} times as many {items} as {other}[| has| does].
    {who} [owns|has] {v} times the number of {items} that {other} [has|owns].
    Compared [with|to] {other}, {who} has {v} times as many {items}.
    For [each|every] {item} {other} has, {who} has {v} {items}.
    The number of {items} {who} has is {v} times the number {other} has.
    {who} has {v} {items} for [each|every] {item} that {other} has.
    {who} [owns|has] {v} times the {items} that {other} [has|owns].
    The number of {items} {who} [has|owns] is {v} times as many as {other} has.
    """,
    vague="""
    {who} has [a few|several] times as many {items} as {other}.
    For [each|every] {item} {other} has, {who} has [several|a few] {items}.
    {who} [owns|has] [several|a few] times the number of {items} that {other} has.
    Compared [with|to] {other}, {who} has [several|a few] times as many {items}.
    """,
    asks="""
    How many times as many {items} does {who} have as {other}?
    How many {items} does {who} have for each {item} of {other}?
    By what number are {other's} {items} multiplied to get {who's} {items}?
    """,
)

kind(
    "times_water",
    "how many times as much water as {drink} there is",
    "times",
    implied=False,
    line="There is {v} times as much water as {drink}.",
    says="""
    There is {v} times as much water as {drink}.
    {who} [takes|uses|adds] {v} times as much water as {drink}.
    For [each|every] litre of {drink}, {who} [takes|uses|adds] {v} litres of water.
    {who} adds {v} litres of water for [each|every] litre of {drink}.
    [Each|Every] litre of {drink} needs {v} litres of water.
    {who} [mixes|uses] [each|every] litre of {drink} with {v} litres of water.
    The drink needs {v} times as much water as {drink}.
    With each litre of {drink}, {who} [mixes|uses] {v} litres of water.
    """,
    vague="""
    There is [a few|several] times as much water as {drink}.
    For each litre of {drink}, {who} [takes|uses|adds] [some|a few|several] litres of water.
    {who} [takes|uses|adds] [a few|several|some] times as much water as {drink}.
    {who} adds [some|a few|several] litres of water for each litre of {drink}.
    """,
    asks="""
    How many times as much water as {drink} is there?
    How many litres of water are there for each litre of {drink}?
    How many times as much water as {drink} does {who} use?
    """,
)
