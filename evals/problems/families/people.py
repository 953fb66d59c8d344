"""Families `sharing` and `ages`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import ALBUMS, COLLECTABLES, CONTAINERS, FOOD, FRUIT, STATIONERY

_PEOPLE = ("friends", "children", "pupils", "cousins", "neighbours", "girls", "boys", "students", "players", "guests")
_SHARED = (COLLECTABLES, FRUIT, FOOD, STATIONERY)

_SHARE = """
How many {items} does [each|each of the {people}|every one of the {people}] get?
How many {items} does each of the {people} receive?
How many {items} are there for [each|each of the {people}|every one of the {people}]?
For each of the {people}, how many {items} are there?
How many {items} do the {people} get each?
How many {items} does one of the {people} get?
"""
_LEFT = """
How many {items} does {who} have left[| after that| at the end]?
How many {items} are left[| over| at the end]?
How many of the {items} does {who} still have?
How many {items} does {who} still have [after that|at the end]?
How many {items} does {who} keep?
How many of the {items} are left for {who}?
"""
TOGETHER = """
How many {items} do {who} and {other} have [together|in all|in total]?
How many {items} do the two [of them|] have together?
What number of {items} do {who} and {other} have [together|in all]?
Together, how many {items} do {who} and {other} have?
How many {items} do they have [together|in all|in total]?
How many {items} are there if {who} and {other} put them together?
"""


@goal("sharing")
def share(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(b.pick(_SHARED)), people=b.pick(_PEOPLE))
    count, each = b.factor(), b.big_factor()
    total = b.fact("has", count * each)
    people = b.fact("sharers", count)
    b.goal(total, "/", people, "the number of {items} for each of the {people}", "", _SHARE)


@goal("sharing")
def share_packs(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(b.pick(_SHARED)), people=b.pick(_PEOPLE), group=b.pick(CONTAINERS + ALBUMS))
    count, each = b.factor(), b.factor()
    packs = b.fact("groups", count)
    per_pack = b.fact("per_group", each)
    divisors = tuple(d for d in range(2, 13) if count * each % d == 0 and count * each > d)
    people = b.fact("sharers", b.pick(divisors))
    total = b.op(packs, "*", per_pack, "the number of all {items}", "")
    b.goal(total, "/", people, "the number of {items} for each of the {people}", "", _SHARE)


@goal("sharing")
def share_rest(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(b.pick(_SHARED)), people=b.pick(_PEOPLE))
    count, each, used = b.factor(), b.factor(), b.between(2, 30)
    total = b.fact("has", count * each + used)
    gone = b.fact("uses", used)
    people = b.fact("sharers", count)
    rest = b.op(total, "-", gone, "the number of {items} left", "")
    b.goal(rest, "/", people, "the number of {items} for each of the {people}", "", _SHARE)


@goal("sharing")
def share_pooled(b: Builder) -> None:
    b.twins = True
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(b.pick(_SHARED)), people=b.pick(_PEOPLE))
    count, each = b.factor(), b.between(3, 12)
    first = b.between(2, count * each - 2)
    one = b.fact("has", first)
    two = b.fact("has", count * each - first, who=other)
    people = b.fact("sharers", count)
    total = b.op(one, "+", two, "the number of all {items}", "")
    b.goal(total, "/", people, "the number of {items} for each of the {people}", "", _SHARE)


@goal("sharing")
def gains_and_gives(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(b.pick(_SHARED)))
    start, more = b.between(10, 90), b.between(2, 40)
    has = b.fact("has", start)
    gets = b.fact("gets", more)
    gives = b.fact("gives_away", b.between(2, start + more - 2))
    total = b.op(has, "+", gets, "the number of all {items}", "")
    b.goal(total, "-", gives, "the number of {items} {who} has left", "", _LEFT)


@goal("sharing")
def each_or_all(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(b.pick(_SHARED)), people=b.pick(_PEOPLE))
    reading = b.pick(("give_each", "give_all"))
    count, gift = b.between(2, 9), b.between(2, 9)
    has = b.fact("has", count * gift + b.between(2, 50))
    people = b.fact("people", count)
    given = b.fact(reading, gift)
    if reading == "give_each":
        total = b.op(people, "*", given, "the number of {items} {who} gives", "")
        b.goal(has, "-", total, "the number of {items} {who} has left", "", _LEFT)
    else:
        b.goal(has, "-", given, "the number of {items} {who} has left", "", _LEFT)


@goal("sharing")
def more_together(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(b.pick(_SHARED)))
    has = b.fact("has", b.between(3, 90), who=other)
    more = b.fact("more_than", b.between(2, 40))
    own = b.op(has, "+", more, "the number of {items} {who} has", "")
    b.goal(has, "+", own, "the number of {items} of {who} and {other}", "", TOGETHER)


@goal("sharing")
def times_together(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(b.pick(_SHARED)))
    has = b.fact("has", b.big_factor(), who=other)
    times = b.fact("times_as_many", b.between(2, 9))
    own = b.op(has, "*", times, "the number of {items} {who} has", "")
    b.goal(has, "+", own, "the number of {items} of {who} and {other}", "", TOGETHER)


_AGES = """
How old are {who} and {other} together?
How many years old are {who} and {other} together?
What do the ages of {who} and {other} add up to?
Together, how [old|many years old] are {who} and {other}?
What do you get if you add the ages of {who} and {other}?
If you add the ages of {who} and {other}, how many years is that?
"""


@goal("ages")
def ages_together(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    age = b.fact("age", b.between(3, 60), who=other)
    older = b.fact("older_by", b.between(2, 30))
    own = b.op(age, "+", older, "the age of {who}", "years")
    b.goal(age, "+", own, "the sum of the ages", "years", _AGES)


@goal("ages")
def times_together_old(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    age = b.fact("age", b.between(2, 15), who=other)
    times = b.fact("times_as_old", b.between(2, 6))
    own = b.op(age, "*", times, "the age of {who}", "years")
    b.goal(age, "+", own, "the sum of the ages", "years", _AGES)


_LATER = """
How old is {who} then?
How many years old is {who} then?
How old is {who} [by then|at that time]?
What is {who's} age then?
How many years old is {who} [by then|at that time]?
At that time, how old is {who}?
"""


@goal("ages")
def older_later(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    age = b.fact("age", b.between(3, 50), who=other)
    older = b.fact("older_by", b.between(2, 25))
    years = b.fact("years_on", b.between(2, 20))
    own = b.op(age, "+", older, "the age of {who} now", "years")
    b.goal(own, "+", years, "the age of {who} then", "years", _LATER)


@goal("ages")
def younger_later(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    less = b.between(2, 25)
    age = b.fact("age", less + b.between(2, 40), who=other)
    older = b.fact("older_by", less, who=other, other=who)
    years = b.fact("years_on", b.between(2, 20))
    own = b.op(age, "-", older, "the age of {who} now", "years")
    b.goal(own, "+", years, "the age of {who} then", "years", _LATER)


@goal("ages")
def age_gap(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    age = b.fact("age", b.between(2, 14), who=other)
    times = b.fact("times_as_old", b.between(2, 6))
    own = b.op(age, "*", times, "the age of {who}", "years")
    b.goal(
        own,
        "-",
        age,
        "the number of years between them",
        "",
        """
        How many years older is {who} than {other}?
        How much older is {who} than {other}?
        By how many years is {who} older than {other}?
        How many years younger is {other} than {who}?
        How many years are there between {who} and {other}?
        Compared [with|to] {other}, how many years older is {who}?
        """,
    )


@goal("ages")
def three_ages(b: Builder) -> None:
    who, other, third = b.person(), b.person(), b.person()
    b.use(who=who, other=other, third=third)
    age = b.fact("age", b.between(3, 40), who=third)
    older = b.fact("older_by", b.between(2, 20), who=other, other=third)
    older2 = b.fact("older_by", b.between(2, 20))
    middle = b.op(age, "+", older, "the age of {other}", "years")
    b.goal(
        middle,
        "+",
        older2,
        "the age of {who}",
        "years",
        """
        How old is {who}?
        How many years old is {who}?
        What is {who's} age?
        How many years is {who's} age?
        How old is {who} now?
        How many years old is {who} now?
        """,
    )
