"""Families that training never sees: `collecting`, `school`, `fuel`. Their premises and words are known from others."""

from evals.problems.builder import Builder, goal
from evals.problems.families.garden import ALL
from evals.problems.families.people import TOGETHER
from evals.problems.families.recipes import LEFT
from evals.problems.nouns import ALBUMS, COLLECTABLES, LITRE_OF_FUEL, PARTS_OF_SCHOOL, PUPILS, Noun

HOUR, DAY = Noun("hour", "hours"), Noun("day", "days")
COLLECT = ("collect", "collects", "collecting")


_HAS_THEN = """
How many {items} does {who} have [at the end|after that|then]?
How many {items} does {who} have [in all|in total] at the end?
What number of {items} does {who} have [at the end|after that]?
At the end, how many {items} does {who} have?
How many {items} are there [at the end|after that]?
"""


@goal("collecting")
def after_trading(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(COLLECTABLES))
    start = b.between(10, 90)
    has = b.fact("has", start)
    gives = b.fact("gives_away", b.between(2, start - 4))
    gets = b.fact("gets", b.between(2, 40))
    rest = b.op(has, "-", gives, "the number of {items} left", "")
    b.goal(rest, "+", gets, "the number of {items} {who} has in the end", "", _HAS_THEN)


@goal("collecting")
def from_albums(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(COLLECTABLES), group=b.pick(ALBUMS))
    albums = b.fact("groups", b.factor())
    each = b.fact("per_group", b.factor())
    gets = b.fact("gets", b.between(2, 40))
    total = b.op(albums, "*", each, "the number of {items} in the {groups}", "")
    b.goal(total, "+", gets, "the number of all {items}", "", ALL)


@goal("collecting")
def over_days(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(COLLECTABLES), act=COLLECT, period=DAY)
    has = b.fact("has", b.between(5, 90), implied=False)
    each = b.fact("per_period", b.factor())
    days = b.fact("periods", b.factor())
    found = b.op(days, "*", each, "the number of {items} {who} {acts}", "")
    b.goal(has, "+", found, "the number of all {items}", "", ALL)


@goal("collecting")
def times_and_gives(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(COLLECTABLES))
    count, times_value = b.between(3, 12), b.between(2, 8)
    has = b.fact("has", count, who=other)
    times = b.fact("times_as_many", times_value)
    gives = b.fact("gives_away", b.between(2, count * times_value - 2))
    own = b.op(has, "*", times, "the number of {items} {who} has", "")
    b.goal(own, "-", gives, "the number of {items} {who} has left", "", LEFT)


@goal("collecting")
def more_and_gets(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(COLLECTABLES))
    has = b.fact("has", b.between(3, 60), who=other)
    more = b.fact("more_than", b.between(2, 40))
    own = b.op(has, "+", more, "the number of {items} {who} has", "")
    b.goal(has, "+", own, "the number of {items} of {who} and {other}", "", TOGETHER)


def _class(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(PUPILS), group=b.pick(PARTS_OF_SCHOOL))


@goal("school")
def pupils(b: Builder) -> None:
    _class(b)
    groups = b.fact("groups", b.factor())
    each = b.fact("per_group", b.between(4, 30))
    b.goal(groups, "*", each, "the number of all {items}", "", ALL)


@goal("school")
def books_for_all(b: Builder) -> None:
    _class(b)
    groups = b.fact("groups", b.between(2, 9))
    each = b.fact("per_group", b.between(4, 12))
    price = b.fact("price_each", b.between(2, 9), item=Noun("book", "books"))
    total = b.op(groups, "*", each, "the number of all {items}", "")
    b.goal(
        total,
        "*",
        price,
        "the cost of one book for each of the {items}",
        "dollars",
        """
        How [much|many dollars] does it cost to buy one book for each of the {items}?
        How [much|many dollars] does one book for each of the {items} cost [in all|in total]?
        How many dollars are needed to buy each of the {items} one book?
        To buy one book for each of the {items}, how [much|many dollars] does {who} need?
        Each of the {items} gets one book. How [much|many dollars] does that cost?
        How [much|many dollars] does {who} pay to give each of the {items} one book?
        """,
    )


@goal("school")
def pupils_in_teams(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(PUPILS))
    groups, second = b.rng.sample(PARTS_OF_SCHOOL, 2)
    b.use(group=second)
    count, value = b.between(2, 9), b.between(4, 30)
    divisors = tuple(d for d in range(2, 13) if count * value % d == 0 and count * value > d)
    number = b.fact("groups", count, group=groups)
    each = b.fact("per_group", value, group=groups)
    per_team = b.fact("per_group", b.pick(divisors))
    total = b.op(number, "*", each, "the number of all {items}", "")
    b.goal(
        total,
        "/",
        per_team,
        "the number of {groups} for the {items}",
        "",
        """
        How many {groups} are needed for [all|] the {items}?
        How many {groups} do all the {items} fill?
        How many {groups} can be filled with [all|] the {items}?
        For all the {items}, how many {groups} are needed?
        How many {groups} does {who} need for all the {items}?
        How many {groups} can {who} fill with all the {items}?
        """,
    )


@goal("school")
def homework(b: Builder) -> None:
    b.use(who=b.person(), act=("study", "studies", "studying"), item=Noun("minute", "minutes"), period=DAY)
    count, value = b.between(2, 9), b.between(5, 40)
    total = b.fact("free_minutes", count * value + b.between(5, 90))
    each = b.fact("per_period", value)
    days = b.fact("periods", count)
    used = b.op(days, "*", each, "the number of minutes {who} {acts}", "")
    b.goal(total, "-", used, "the time that is left", "minutes", LEFT)


@goal("school")
def pens_shared(b: Builder) -> None:
    pupil = b.pick(PUPILS)
    b.use(who=b.person(), item=b.goods()[0], people=pupil.many)
    count, each = b.factor(), b.factor()
    extra = b.between(2, 30)
    has = b.fact("has", count * each + extra)
    people = b.fact("people", count)
    given = b.fact("give_each", each)
    total = b.op(people, "*", given, "the number of {items} {who} gives", "")
    b.goal(has, "-", total, "the number of {items} {who} has left", "", LEFT)


def _car(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(LITRE_OF_FUEL), group=b.pick((Noun("can", "cans"), Noun("barrel", "barrels"))))


_FUEL_COST = """
How [much|many dollars] does {who} pay[| in all| in total| altogether]?
How [much|many dollars] does all this cost {who}?
How [much|many dollars] does {who} spend[| in all| in total| altogether]?
[In all|In total|Altogether], how [much|many dollars] does {who} pay?
What does {who} pay [in all|in total|altogether]?
How many dollars does {who} need[| in all| in total]?
"""


@goal("fuel")
def fuel_cost(b: Builder) -> None:
    _car(b)
    litres = b.fact("buys", b.big_factor())
    price = b.fact("price_each", b.factor())
    b.goal(litres, "*", price, "the cost of the {items}", "dollars", _FUEL_COST)


@goal("fuel")
def cans_cost(b: Builder) -> None:
    _car(b)
    cans = b.fact("groups", b.between(2, 9))
    each = b.fact("per_group", b.factor())
    price = b.fact("price_each", b.between(2, 8))
    total = b.op(cans, "*", each, "the number of all {items}", "")
    b.goal(total, "*", price, "the cost of the {items}", "dollars", _FUEL_COST)


@goal("fuel")
def fuel_left(b: Builder) -> None:
    _car(b)
    b.use(act=("use", "uses", "using"), period=HOUR)
    count, value = b.between(2, 9), b.between(2, 12)
    has = b.fact("has", count * value + b.between(2, 60))
    each = b.fact("per_period", value)
    time = b.fact("periods", count, act=("drive", "drives", "driving"))
    used = b.op(time, "*", each, "the number of {items} {who} {acts}", "")
    b.goal(has, "-", used, "the number of {items} left", "", LEFT)


@goal("fuel")
def fuel_and_toll(b: Builder) -> None:
    _car(b)
    b.use(thing=b.pick(("food", "lunch", "the ferry", "a ticket", "music", "a gift")))
    litres = b.fact("buys", b.big_factor())
    price = b.fact("price_each", b.factor())
    extra = b.fact("spends", b.between(2, 40))
    total = b.op(litres, "*", price, "the cost of the {items}", "dollars")
    b.goal(total, "+", extra, "the money {who} pays", "dollars", _FUEL_COST)


@goal("fuel")
def fuel_change(b: Builder) -> None:
    _car(b)
    count, each = b.factor(), b.factor()
    money = b.fact("money", count * each + b.between(2, 60))
    litres = b.fact("buys", count)
    price = b.fact("price_each", each)
    total = b.op(litres, "*", price, "the cost of the {items}", "dollars")
    b.goal(
        money,
        "-",
        total,
        "the money {who} has left",
        "dollars",
        """
        How much money does {who} have left?
        How many dollars does {who} have left[| after that| at the end]?
        How much money is left over?
        How [much|many dollars] does {who} have [after that|at the end]?
        How much money is left [for {who}|at the end]?
        How much change does {who} get?
        """,
    )
