"""Ages and how they compare."""

from evals.problems.kinds import kind

kind(
    "age",
    "the age of {who}",
    "years",
    says="""
    {who} is {v} years old[| now| today].
    {who} is {v} years of age.
    The age of {who} is {v}[| years].
    {who's} age is {v} years[| now| today].
    {who} is [now|] {v}[| years old].
    [Now|Today], {who} is {v} years old.
    {who} [turned|turns] {v} this [week|month|year].
    [This year|This month|This week], {who} [turned|turns] {v}.
    {who} was born {v} years ago.
    """,
    vague="""
    {who} is [still|] [young|quite young].
    {who} is [a few|some|several] years old.
    {who} had a birthday this [week|month|year].
    {who} is not [very|so|that] old.
    """,
    asks="""
    How old is {who}[| now]?
    How many years old is {who}?
    What is {who's} age?
    """,
)

kind(
    "older_by",
    "how many years {who} is older than {other}",
    "years",
    implied=False,
    line="{who} is {v} years older than {other}.",
    says="""
    {who} is {v} years older than {other}[| is].
    {other} is {v} years younger than {who}[| is| is now].
    {who} was born {v} years before {other}[| was].
    {other} was born {v} years after {who}[| was].
    Compared [with|to] {other}, {who} is {v} years older.
    Compared [with|to] {who}, {other} is {v} years younger.
    {who's} age is {v} years more than {other's}[| age].
    {other's} age is {v} years less than {who's}[| age].
    When {other} was born, {who} was {v} years old.
    {who} was [already|] {v} years old when {other} was born.
    """,
    vague="""
    {who} is [a few years|some years|several years] older than {other}.
    {other} is [a few years|some years|several years] younger than {who}.
    {who} is [older|a bit older|quite a bit older] than {other}[| is].
    {who} was born [some|a few|several] years before {other}.
    """,
    asks="""
    How many years older is {who} than {other}?
    How much older is {who} than {other}?
    How many years younger is {other} than {who}?
    """,
)

kind(
    "times_as_old",
    "how many times as old {who} is as {other}",
    "times",
    implied=False,
    line="{who} is {v} times as old as {other}.",
    says="""
    {who} is {v} times as old as {other}[| is| is now].
    {who's} age is {v} times {other's} age[| now| today].
    {who} is {v} times {other's} age[| now].
    Compared [with|to] {other}, {who} is {v} times as old[| now].
    The age of {who} is {v} times the age of {other}.
    For [each|every] year of {other's} age, {who} has {v} years.
    {who} has {v} times the age of {other}[| now| today].
    For [each|every] year of {other's} age, {who} is {v} years old.
    [Now|Today], {who} is {v} times as old as {other}.
    If you take {other's} age {v} times, you get {who's} age.
    """,
    vague="""
    {who} is [several|a few] times as old as {other}[| is].
    {who's} age is [several|a few] times {other's} age.
    {who} is [several|a few] times {other's} age[| now].
    The age of {who} is [several|a few] times the age of {other}.
    [Now|Today], {who} is [several|a few] times as old as {other}.
    """,
    asks="""
    How many times as old as {other} is {who}?
    How many times {other's} age is {who's} age?
    By what is {other's} age multiplied to get {who's} age?
    """,
)

kind(
    "years_on",
    "the number of years that pass",
    "years",
    implied=False,
    says="""
    {v} years [pass|go by].
    [Now|Then] {v} years [pass|go by].
    Think of the time when {v} years have [passed|gone by].
    Think of the time {v} years [from now|later].
    A time of {v} years [passes|goes by].
    [Now|Then] a time of {v} years [passes|goes by].
    The number of years that [pass|go by] is {v}.
    Then {v} more years [pass|go by].
    Think of a day {v} years [from now|later].
    """,
    vague="""
    [Some|Several|A few] years [pass|go by].
    [Now|Then] [some|several|a few] years [pass|go by].
    Think of the time [some|several|a few] years from now.
    Then [some|a few|several] more years [pass|go by].
    """,
    asks="""
    How many years [pass|go by]?
    How many years from now is it?
    After how many years is it?
    """,
)
