"""Family `juice`: litres in jugs, mixed, shared and used up."""

from evals.problems.builder import Builder, goal
from evals.problems.families.recipes import LEFT
from evals.problems.nouns import DRINKS, FUELS, JUICES, VESSELS, Noun

_PEOPLE = ("friends", "children", "guests", "neighbours", "players", "cousins")

_LITRES = """
How many litres are there[| in all| in total| altogether]?
How many litres of {drink} does {who} have[| in all| in total| altogether]?
How many litres of {drink} are there [in all|in total|altogether]?
[In all|In total|Altogether], how many litres of {drink} are there?
How many litres does {who} have [in all|in total|altogether]?
How many litres is that [in all|in total|altogether]?
"""


def _litre(drink: str) -> Noun:
    return Noun(f"litre of {drink}", f"litres of {drink}")


def _jugs(b: Builder, drinks: tuple[str, ...] = DRINKS) -> None:
    drink = b.pick(drinks)
    b.use(who=b.person(), item=_litre(drink), group=b.pick(VESSELS), drink=drink)


@goal("juice")
def litres(b: Builder) -> None:
    _jugs(b, DRINKS + FUELS)
    number = b.fact("groups", b.big_factor())
    each = b.fact("per_group", b.factor())
    b.goal(number, "*", each, "the number of all {items}", "", _LITRES)


@goal("juice")
def litres_left(b: Builder) -> None:
    _jugs(b, DRINKS + FUELS)
    count, value = b.between(3, 12), b.between(2, 12)
    number = b.fact("groups", count)
    each = b.fact("per_group", value)
    used = b.fact("uses", b.between(2, count * value - 2))
    total = b.op(number, "*", each, "the number of all {items}", "")
    b.goal(total, "-", used, "the number of {items} left", "", LEFT)


@goal("juice")
def mixture(b: Builder) -> None:
    drink = b.pick(JUICES)
    count, per = b.factor(), b.between(2, 9)
    total = count * per
    water = b.between(2, max(2, total - 2))
    b.use(who=b.person(), drink=drink, item=_litre("drink"), group=b.pick(VESSELS))
    one = b.fact("pours", total - water, item=_litre(drink))
    two = b.fact("pours", water, item=_litre("water"))
    each = b.fact("per_group", per)
    mixed = b.op(one, "+", two, "the number of all {items}", "")
    b.goal(
        mixed,
        "/",
        each,
        "the number of {groups} {who} can fill",
        "",
        """
        How many {groups} can {who} fill?
        How many {groups} does {who} need for the drink?
        How many {groups} [are filled|can be filled]?
        How many {groups} can be filled [in all|with the drink]?
        How many {groups} does the drink fill?
        For how many {groups} is the drink enough?
        """,
    )


@goal("juice")
def mixture_by_times(b: Builder) -> None:
    drink = b.pick(JUICES)
    b.use(who=b.person(), drink=drink, item=_litre("drink"))
    one = b.fact("pours", b.big_factor(), item=_litre(drink))
    times = b.fact("times_water", b.between(2, 9))
    water = b.op(one, "*", times, "the number of litres of water", "")
    b.goal(
        one,
        "+",
        water,
        "the number of all litres",
        "",
        """
        How many litres of the drink are there[| in all| in total| altogether]?
        How many litres are there [in all|in total|altogether]?
        How many litres of the drink does {who} have[| in all| in total]?
        [In all|In total|Altogether], how many litres of the drink are there?
        How many litres does {who} have [in all|in total|altogether]?
        How many litres of the drink does {who} mix?
        """,
    )


@goal("juice")
def two_vessels(b: Builder) -> None:
    b.twins = True
    drink = b.pick(DRINKS)
    group, second = b.rng.sample(VESSELS, 2)
    b.use(who=b.person(), item=_litre(drink), group=group, drink=drink)
    number = b.fact("groups", b.factor())
    each = b.fact("per_group", b.factor())
    number2 = b.fact("groups", b.factor(), group=second)
    each2 = b.fact("per_group", b.factor(), group=second)
    one = b.op(number, "*", each, "the number of litres in the {groups}", "")
    two = b.op(number2, "*", each2, "the number of litres in the {groups}", "", group=second)
    b.goal(one, "+", two, "the number of all {items}", "", _LITRES)


@goal("juice")
def shared_drink(b: Builder) -> None:
    _jugs(b)
    b.use(people=b.pick(_PEOPLE))
    count, value = b.factor(), b.factor()
    number = b.fact("groups", count)
    each = b.fact("per_group", value)
    divisors = tuple(d for d in range(2, 13) if count * value % d == 0 and count * value > d)
    people = b.fact("sharers", b.pick(divisors))
    total = b.op(number, "*", each, "the number of all {items}", "")
    b.goal(
        total,
        "/",
        people,
        "the number of {items} for each of the {people}",
        "",
        """
        How many litres does [each|each of the {people}|every one of the {people}] get?
        How many litres does each of the {people} receive?
        How many litres are there for [each|each of the {people}|every one of the {people}]?
        For each of the {people}, how many litres are there?
        How many litres do the {people} get each?
        How many litres does one of the {people} get?
        """,
    )


@goal("juice")
def used_each_day(b: Builder) -> None:
    drink = b.pick(DRINKS + FUELS)
    period = b.pick((Noun("day", "days"), Noun("week", "weeks")))
    b.use(who=b.person(), item=_litre(drink), act=("use", "uses", "using"), period=period)
    count, value = b.factor(), b.between(2, 9)
    has = b.fact("has", count * value)
    each = b.fact("per_period", value)
    b.goal(
        has,
        "/",
        each,
        "the number of {periods} this lasts",
        "",
        """
        How many {periods} does this last?
        How many {periods} do the {items} last?
        For how many {periods} does {who} have enough?
        For how many {periods} are the {items} enough?
        How many {periods} are the {items} enough for?
        After how many {periods} are the {items} used up?
        """,
    )
