"""Family `recipes`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import DISHES, INGREDIENTS, Noun

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
