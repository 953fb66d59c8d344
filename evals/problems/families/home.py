"""Families `recipes` and `juice`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import DISHES, DRINKS, FUELS, INGREDIENTS, JUICES, VESSELS, Noun

_PEOPLE = ("friends", "children", "guests", "neighbours", "players", "cousins")

_NEED = """
How many {items} does {who} need[| in all| in total| altogether]?
How many {items} are needed[| in all| in total| for the {dishes}]?
How many {items} does {who} use [in all|in total|altogether]?
[In all|In total|Altogether], how many {items} does {who} need?
How many {items} do the {dishes} take[| in all| in total]?
How many {items} are used for [all|] the {dishes}?
"""
LEFT = """
How many {items} does {who} have left[| after that| at the end]?
How many {items} are left[| over| at the end]?
How many of the {items} does {who} still have?
How many {items} does {who} still have [after that|at the end]?
How many {items} are there [at the end|after that]?
How many of the {items} are left [over|at the end]?
"""


def _kitchen(b: Builder) -> tuple[Noun, Noun]:
    dish, item = b.pick(DISHES), b.pick(INGREDIENTS)
    b.use(who=b.person(), dish=dish, item=item)
    return dish, item


@goal("recipes")
def needed(b: Builder) -> None:
    dish, _ = _kitchen(b)
    number = b.fact("makes", b.big_factor(), item=dish)
    each = b.fact("needs_each", b.factor())
    b.goal(number, "*", each, "the number of all {items}", "", _NEED)


@goal("recipes")
def left_over(b: Builder) -> None:
    dish, _ = _kitchen(b)
    count, value = b.factor(), b.between(2, 9)
    has = b.fact("has", count * value + b.between(2, 40))
    number = b.fact("makes", count, item=dish)
    each = b.fact("needs_each", value)
    used = b.op(number, "*", each, "the number of {items} {who} needs", "")
    b.goal(has, "-", used, "the number of {items} left", "", LEFT)


@goal("recipes")
def still_missing(b: Builder) -> None:
    dish, _ = _kitchen(b)
    count, value = b.factor(), b.between(2, 12)
    has = b.fact("has", b.between(2, max(2, count * value - 2)), implied=False)
    number = b.fact("makes", count, item=dish)
    each = b.fact("needs_each", value)
    used = b.op(number, "*", each, "the number of {items} {who} needs", "")
    b.goal(
        used,
        "-",
        has,
        "the number of missing {items}",
        "",
        """
        How many more {items} does {who} need?
        How many {items} are [still|] missing?
        How many {items} does {who} still need?
        How many more {items} are [still|] needed?
        How many more {items} does {who} have to get?
        How many {items} does {who} still have to get?
        """,
    )


@goal("recipes")
def how_many_dishes(b: Builder) -> None:
    _kitchen(b)
    count, value = b.factor(), b.factor()
    has = b.fact("has", count * value)
    each = b.fact("needs_each", value)
    b.goal(
        has,
        "/",
        each,
        "the number of {dishes} {who} can make",
        "",
        """
        How many {dishes} can {who} [make|prepare]?
        For how many {dishes} are the {items} enough?
        How many {dishes} can be made[| with the {items}]?
        With the {items}, how many {dishes} can {who} [make|prepare]?
        How many {dishes} can {who} make with [the|all the] {items}?
        How many {dishes} are the {items} enough for?
        """,
    )


@goal("recipes")
def cost_of_needed(b: Builder) -> None:
    dish, _ = _kitchen(b)
    number = b.fact("makes", b.factor(), item=dish)
    each = b.fact("needs_each", b.between(2, 8))
    price = b.fact("price_each", b.between(2, 8))
    used = b.op(number, "*", each, "the number of {items} {who} needs", "")
    b.goal(
        used,
        "*",
        price,
        "the cost of the {items}",
        "dollars",
        """
        How [much|many dollars] do the {items} cost [in all|in total|altogether]?
        How [much|many dollars] does {who} pay for the {items}?
        How [much|many dollars] does {who} spend on the {items}?
        [In all|In total|Altogether], how [much|many dollars] do the {items} cost?
        What do the {items} cost [in all|in total|altogether]?
        How many dollars does {who} need for the {items}?
        """,
    )


@goal("recipes")
def two_ingredients(b: Builder) -> None:
    dish = b.pick(DISHES)
    item, second = b.rng.sample(INGREDIENTS, 2)
    b.use(who=b.person(), dish=dish, item=item, second=second)
    less = b.between(2, 8)
    number = b.fact("makes", b.factor(), item=dish)
    each = b.fact("needs_each", b.between(less + 2, less + 8))
    each2 = b.fact("needs_each", less, item=second)
    gap = b.op(each, "-", each2, "the number of extra {items} for one {dish}", "")
    b.goal(
        gap,
        "*",
        number,
        "the number of extra {items}",
        "",
        """
        How many more {items} than {seconds} does {who} need[| in all| in total]?
        How many more {items} than {seconds} are needed[| in all| in total]?
        How many {items} more than {seconds} does {who} use[| in all| in total]?
        [In all|In total|Altogether], how many more {items} than {seconds} does {who} need?
        By how many are the {items} {who} needs more than the {seconds}?
        Compared [with|to] {seconds}, how many more {items} does {who} need[| in all]?
        """,
    )


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
