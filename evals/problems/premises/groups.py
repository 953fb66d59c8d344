"""Boxes, rows, classes: how many groups there are and how many things are in each."""

from evals.problems.kinds import kind

kind(
    "groups",
    "the number of {groups}",
    "{groups}",
    says="""
    There are {v} {groups}[| of {stuff}| with {stuff}].
    {who} has {v} {groups} [of|with] {stuff}.
    {who} [counts|sees|finds] {v} {groups} [of|with] {stuff}.
    [In all|In total|Altogether], there are {v} {groups} [of|with] {stuff}.
    The number of {groups} is {v}.
    The {items} are in {v} {groups}.
    [Altogether|In all|In total], {who} [sees|counts|has] {v} {groups} of {stuff}.
    All the {items} are in {v} {groups}.
    There is a [total|set] of {v} {groups} with {stuff}.
    """,
    vague="""
    There are [some|several|a few] {groups} [of|with] {stuff}.
    {who} has [some|several|a few] {groups} [of|with] {stuff}.
    The {items} are in [several|some|a number of] {groups}.
    {who} [sees|counts|finds] [some|several|a few] {groups} with {stuff}.
    """,
    asks="""
    How many {groups} are there?
    How many {groups} [of|with] {stuff} are there?
    How many {groups} does {who} have?
    """,
)

kind(
    "per_group",
    "the number of {items} in each {group}",
    "{items}",
    says="""
    There are {v} {items} in [each|every] {group}.
    [Each|Every] {group} has {v} {items}[| in it].
    [Each|Every] {group} [contains|comes with] {v} {items}.
    In [each|every] {group} there are {v} {items}.
    The {groups} have {v} {items} each.
    The number of {items} in [each|every] {group} is {v}.
    The {groups} [come with|contain] {v} {items} each.
    All [of the|the] {groups} have {v} {items} each.
    {who} [finds|counts|sees] {v} {items} in [each|every] {group}.
    All {groups} [contain|have] the same number of {items}, which is {v}.
    """,
    vague="""
    There are [some|several|a few] {items} in each {group}.
    [Each|Every] {group} has [some|several|a few|a number of] {items}.
    The {groups} all have the same number of {items}.
    [Each|Every] {group} [contains|has] the same number of {items}.
    In each {group} there are [some|several] {items}.
    """,
    asks="""
    How many {items} are in [each|one|every] {group}?
    How many {items} are there in [each|one] {group}?
    How many {items} does [each|one] {group} [have|contain]?
    """,
)

kind(
    "loose",
    "the number of loose {items}",
    "{items}",
    implied=False,
    says="""
    There are [also|] {v} loose {items}.
    {v} [more|other] {items} are [loose|left over].
    {who} [also|] has {v} loose {items}.
    {who} [finds|counts|sees] {v} loose {items}.
    Another {v} {items} are [loose|left over].
    The number of [other|] loose {items} is {v}.
    {v} {items} are [left over|loose] and not in a {group}.
    There are [also|] {v} {items} [left over|that are not in a {group}].
    {who} [finds|counts|sees] {v} more {items} that are not in a {group}.
    """,
    vague="""
    There are [also|] [some|a few|several] loose {items}.
    [Some|A few|Several] [more|other] {items} are loose.
    {who} [also|] has [some|a few|several] loose {items}.
    {who} [finds|sees] [some|a few|several] loose {items}.
    """,
    asks="""
    How many loose {items} are there?
    How many {items} are [loose|left over]?
    How many extra {items} are loose?
    """,
)

kind(
    "sharers",
    "the number of {people} who share",
    "{people}",
    says="""
    {v} {people} share [the {items}|all the {items}|them] equally.
    The {items} are shared equally [among|by|between] {v} {people}.
    There are {v} {people} who share the {items} equally.
    There are {v} {people} who [get|receive] the same number of {items}.
    The number of {people} who share [the {items}|] is {v}.
    All the {items} go to {v} {people}, who share them equally.
    {v} {people} [each|all] [get|receive] the same number of {items}.
    Equally shared, the {items} go to {v} {people}.
    The {items} are [divided|split] equally [among|between] {v} {people}.
    """,
    vague="""
    [Some|Several|A few] {people} share [the {items}|them] equally.
    The {items} are shared equally [among|by] [some|several|a few] {people}.
    A [group|number] of {people} share the {items} equally.
    There are [some|several] {people} who share the {items} equally.
    """,
    asks="""
    How many {people} share[| the {items}]?
    How many {people} are there?
    [Among|By] how many {people} are the {items} shared?
    """,
)

kind(
    "needs_each",
    "the number of {items} for one {dish}",
    "{items}",
    says="""
    [Each|Every|One] {dish} [needs|takes|uses] {v} {items}.
    The recipe [needs|takes|asks for] {v} {items} for [each|every|one] {dish}.
    {who} [uses|needs|takes] {v} {items} for [each|every|one] {dish}.
    For [each|every|one] {dish}, {who} [needs|takes|uses] {v} {items}.
    {v} {items} go into [each|every|one] {dish}.
    The number of {items} for [one|each] {dish} is {v}.
    To make one {dish}, {who} [needs|takes|uses] {v} {items}.
    It takes {v} {items} to make [one|each|every] {dish}.
    The recipe for [one|each] {dish} [needs|takes|uses] {v} {items}.
    """,
    vague="""
    [Each|Every|One] {dish} [needs|takes|uses] [some|several|a few] {items}.
    The recipe [needs|asks for|takes] [some|several|a few] {items} for each {dish}.
    {who} uses the same number of {items} for [each|every] {dish}.
    It takes [some|several|a few] {items} to make one {dish}.
    """,
    asks="""
    How many {items} does [one|each] {dish} need?
    How many {items} go into [one|each] {dish}?
    How many {items} are needed for [one|each] {dish}?
    """,
)

kind(
    "yields",
    "the number of {crops} from each {item}",
    "{crops}",
    says="""
    [Each|Every|One] {item} [gives|bears] {v} {crops}.
    There are {v} {crops} on [each|every] {item}.
    {who} [picks|gets|collects] {v} {crops} from [each|every] {item}.
    From [each|every] {item}, {who} [picks|gets|collects] {v} {crops}.
    The {items} [give|bear] {v} {crops} each.
    The number of {crops} from [each|every] {item} is {v}.
    On [each|every] {item}, {v} {crops} grow.
    {v} {crops} grow on [each|every] {item}.
    """,
    vague="""
    [Each|Every] {item} [gives|bears] [some|several|a few] {crops}.
    There are [some|several|a few] {crops} on [each|every] {item}.
    The {items} all [give|bear] the same number of {crops}.
    {who} picks [some|several|a few] {crops} from [each|every] {item}.
    """,
    asks="""
    How many {crops} does [each|one] {item} give?
    How many {crops} [are|grow] on [each|one] {item}?
    How many {crops} does {who} [pick|get] from [each|one] {item}?
    """,
)

kind(
    "people",
    "the number of {people}",
    "{people}",
    says="""
    There are {v} {people}[| in the room| in all].
    {who} [sees|meets|finds] {v} {people}[| in the room].
    {v} {people} are [there|in the room].
    In the room there are {v} {people}.
    The number of {people} is {v}.
    {who} [counts|sees] {v} {people}[| in all| in the room].
    {v} {people} [come|come along|are with {who}].
    {v} {people} [come along|are there] with {who}.
    """,
    vague="""
    There are [some|several|a few] {people}[| in the room].
    {who} [sees|meets|finds] [some|several|a few] {people}.
    [Some|Several|A few] {people} are [there|in the room|with {who}].
    In the room there are [some|several|a few] {people}.
    """,
    asks="""
    How many {people} are there?
    How many {people} are [in the room|with {who}]?
    How many {people} does {who} [see|meet]?
    """,
)
