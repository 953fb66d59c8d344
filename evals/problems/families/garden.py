"""Families `garden` and `packing`."""

from evals.problems.builder import Builder, PlannedFact, goal
from evals.problems.families.recipes import LEFT
from evals.problems.nouns import CONTAINERS, CROPS, PLANTS, PRODUCTS, SHIPS, Noun, noun

PLACES = ("garden", "field", "lawn", "flower bed", "yard", "park", "meadow", "playground", "terrace", "farm")
ROWS = (Noun("row", "rows"), Noun("bed", "beds"), Noun("line", "lines"), Noun("patch", "patches"))
HOUR, DAY = Noun("hour", "hours"), Noun("day", "days")
WORK = ("work", "works", "working")
MAKE = (
    ("make", "makes", "making"), ("collect", "collects", "collecting"), ("pack", "packs", "packing"),
    ("produce", "produces", "producing"), ("check", "checks", "checking"), ("paint", "paints", "painting"),
)  # fmt: skip

ALL = """
How many {items} are there[| in all| in total| altogether]?
How many {items} does {who} have[| in all| in total| altogether]?
What number of {items} are there [in all|in total|altogether]?
[In all|In total|Altogether], how many {items} are there?
How many {items} is that [in all|in total|altogether]?
How many {items} are there altogether for {who}?
""".replace("are there altogether for {who}", "does {who} have altogether")


def _bed(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(PLANTS), group=b.pick(ROWS))


@goal("garden")
def plants(b: Builder) -> None:
    _bed(b)
    rows = b.fact("groups", b.big_factor())
    each = b.fact("per_group", b.factor())
    b.goal(rows, "*", each, "the number of all {items}", "", ALL)


@goal("garden")
def plants_left(b: Builder) -> None:
    _bed(b)
    count, value = b.between(3, 12), b.between(3, 12)
    rows = b.fact("groups", count)
    each = b.fact("per_group", value)
    bad = b.fact("spoiled", b.between(2, min(30, count * value - 2)))
    total = b.op(rows, "*", each, "the number of all {items}", "")
    b.goal(total, "-", bad, "the number of {items} left", "", LEFT)


@goal("garden")
def area(b: Builder) -> None:
    b.use(who=b.person(), place=b.pick(PLACES))
    length, width = _sides(b)
    b.goal(
        length,
        "*",
        width,
        "the area of the {place}",
        "square metres",
        """
        How big is the {place} in square metres?
        How many square metres does the {place} have?
        How many square metres is the {place}?
        What is {who's} {place} in square metres?
        How many square metres are there in the {place}?
        In square metres, how big is the {place}?
        """,
    )


def _sides(b: Builder) -> tuple[PlannedFact, PlannedFact]:
    width = b.factor()
    return b.fact("length", b.between(width + 1, 30)), b.fact("width", width)


@goal("garden")
def fence(b: Builder) -> None:
    b.use(who=b.person(), place=b.pick(PLACES))
    length, width = _sides(b)
    half = b.op(length, "+", width, "the sum of both sides", "metres")
    b.goal(
        half,
        "*",
        2,
        "the length of the fence",
        "metres",
        """
        How many metres of fence does {who} need to go all around the {place}?
        How long is a fence all around the {place}?
        How many metres long is a fence that goes all around the {place}?
        To go all around the {place}, how many metres of fence does {who} need?
        How many metres is it all around the {place}?
        How long is the way all around the {place} in metres?
        """,
    )


@goal("garden")
def harvest(b: Builder) -> None:
    plant = b.pick(tuple(plant for plant in PLANTS if plant.one in CROPS))
    b.use(who=b.person(), item=plant, crop=noun(CROPS[plant.one]))
    number = b.fact("has", b.big_factor())
    each = b.fact("yields", b.big_factor())
    b.goal(number, "*", each, "the number of all {crops}", "", _HARVEST)


_HARVEST = """
How many {crops} does {who} [pick|get|collect][| in all| in total| altogether]?
How many {crops} are there[| in all| in total| altogether]?
How many {crops} do all the {items} give?
[In all|In total|Altogether], how many {crops} does {who} [pick|get]?
How many {crops} grow on [all|] the {items}[| in all]?
How many {crops} does {who} have [in all|in total|altogether]?
"""


@goal("garden")
def harvest_of_rows(b: Builder) -> None:
    plant = b.pick(tuple(plant for plant in PLANTS if plant.one in CROPS))
    b.use(who=b.person(), item=plant, crop=noun(CROPS[plant.one]), group=b.pick(ROWS))
    rows = b.fact("groups", b.between(2, 9))
    each = b.fact("per_group", b.between(2, 9))
    crops = b.fact("yields", b.factor())
    total = b.op(rows, "*", each, "the number of all {items}", "")
    b.goal(total, "*", crops, "the number of all {crops}", "", _HARVEST)


def _boxes(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(PRODUCTS), group=b.pick(CONTAINERS))


def _works(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(PRODUCTS), act=b.pick(MAKE), period=b.pick((HOUR, DAY)), group=b.pick(CONTAINERS))


_MADE = """
How many {items} does {who} {act}[| in all| in total| altogether]?
How many {items} does {who} {act} in [all|this time]?
What number of {items} does {who} {act} [in all|in total|altogether]?
[In all|In total|Altogether], how many {items} does {who} {act}?
How many {items} is that [in all|in total|altogether]?
In this time, how many {items} does {who} {act}?
"""


@goal("packing")
def made(b: Builder) -> None:
    _works(b)
    each = b.fact("per_period", b.between(3, 40))
    time = b.fact("periods", b.factor(), act=WORK)
    b.goal(each, "*", time, "the number of {items} {who} {acts}", "", _MADE)


@goal("packing")
def boxes_needed(b: Builder) -> None:
    _works(b)
    rate, time = b.between(4, 30), b.factor()
    divisors = tuple(d for d in range(2, 13) if rate * time % d == 0 and rate * time > d)
    each = b.fact("per_period", rate)
    hours = b.fact("periods", time, act=WORK)
    per_box = b.fact("per_group", b.pick(divisors))
    total = b.op(each, "*", hours, "the number of {items} {who} {acts}", "")
    b.goal(
        total,
        "/",
        per_box,
        "the number of {groups}",
        "",
        """
        How many {groups} does {who} need?
        How many {groups} does {who} need for [all|] the {items}?
        How many {groups} do the {items} fill?
        How many {groups} can {who} fill?
        How many {groups} can {who} fill with the {items}?
        How many {groups} are needed for [all|] the {items}?
        """,
    )


@goal("packing")
def good_ones(b: Builder) -> None:
    _works(b)
    rate, time = b.between(3, 30), b.between(2, 12)
    each = b.fact("per_period", rate)
    hours = b.fact("periods", time, act=WORK)
    bad = b.fact("spoiled", b.between(2, min(30, rate * time - 2)))
    total = b.op(each, "*", hours, "the number of {items} {who} {acts}", "")
    b.goal(total, "-", bad, "the number of good {items}", "", _GOOD)


_GOOD = """
How many good {items} are there[| in all| at the end]?
How many {items} are [good|not thrown away]?
How many good {items} are left[| over| at the end]?
How many of the {items} are good?
How many of the {items} can be used?
How many of all the {items} are not bad?
"""


@goal("packing")
def boxes_and_loose(b: Builder) -> None:
    _boxes(b)
    boxes = b.fact("groups", b.factor())
    each = b.fact("per_group", b.big_factor())
    loose = b.fact("loose", b.between(2, 30))
    total = b.op(boxes, "*", each, "the number of {items} in the {groups}", "")
    b.goal(total, "+", loose, "the number of all {items}", "", ALL)


@goal("packing")
def shipped(b: Builder) -> None:
    box = b.pick(CONTAINERS)
    item = b.pick(PRODUCTS)
    b.use(who=b.person(), item=item, group=box)
    ship = b.pick(SHIPS)
    trucks = b.fact("groups", b.between(2, 9), group=ship, item=box)
    boxes = b.fact("per_group", b.between(2, 12), group=ship, item=box)
    each = b.fact("per_group", b.between(2, 9))
    total = b.op(trucks, "*", boxes, "the number of all {groups}", "")
    b.goal(total, "*", each, "the number of all {items}", "", ALL)


@goal("packing")
def two_workers(b: Builder) -> None:
    b.twins = True
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(PRODUCTS), act=b.pick(MAKE), period=HOUR)
    each = b.fact("per_period", b.factor())
    hours = b.fact("periods", b.factor(), act=WORK)
    each2 = b.fact("per_period", b.factor(), who=other)
    hours2 = b.fact("periods", b.factor(), who=other, act=WORK)
    one = b.op(each, "*", hours, "the number of {items} {who} {acts}", "")
    two = b.op(each2, "*", hours2, "the number of {items} {other} {acts}", "")
    b.goal(
        one,
        "+",
        two,
        "the number of all {items}",
        "",
        """
        How many {items} do {who} and {other} {act} [together|in all|in total]?
        How many {items} do the two [of them|] {act} together?
        What number of {items} do {who} and {other} {act} [together|in all]?
        Together, how many {items} do {who} and {other} {act}?
        How many {items} do they {act} [together|in all|in total]?
        How many {items} do both [of them|] {act} [in all|in total]?
        """,
    )


@goal("packing")
def two_workers_good(b: Builder) -> None:
    b.twins = True
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.pick(PRODUCTS), act=b.pick(MAKE), period=HOUR)
    each = b.fact("per_period", b.between(3, 12))
    hours = b.fact("periods", b.factor(), act=WORK)
    each2 = b.fact("per_period", b.between(3, 12), who=other)
    hours2 = b.fact("periods", b.factor(), who=other, act=WORK)
    bad = b.fact("spoiled", b.between(2, 10))
    one = b.op(each, "*", hours, "the number of {items} {who} {acts}", "")
    two = b.op(each2, "*", hours2, "the number of {items} {other} {acts}", "")
    total = b.op(one, "+", two, "the number of all {items}", "")
    b.goal(total, "-", bad, "the number of good {items}", "", _GOOD)
