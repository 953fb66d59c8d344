"""Family `travel`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import PARTS_OF_SCHOOL, VEHICLES, Noun, noun

KM = Noun("km", "km")
DAY = Noun("day", "days")
ROUTES = ("trip", "route", "journey", "tour", "trail", "track")
MOVES = (
    ("cycle", "cycles", "cycling"), ("walk", "walks", "walking"), ("run", "runs", "running"),
    ("travel", "travels", "travelling"), ("ride", "rides", "riding"), ("drive", "drives", "driving"),
)  # fmt: skip

_FAR = """
How far does {who} travel[| in all| in total| altogether]?
How many km does {who} travel[| in all| in total| altogether]?
How [far|many km] does {who} go [in all|in total|altogether]?
[In all|In total|Altogether], how [far|many km] does {who} travel?
How many km long is the trip of {who}?
How many km does {who} cover [in all|in total|on the way]?
"""
_REST = """
How [far|many km] does {who} still have to go?
How many km are left[| for {who}| at the end]?
How many km of the {route} are left?
How many km does {who} still have to go on the {route}?
How [far|many km] is it still to the end[| of the {route}]?
How much of the {route} is left?
""".replace("How much of", "How many km of")


@goal("travel")
def distance(b: Builder) -> None:
    b.use(who=b.person(), vehicle=b.pick(VEHICLES))
    speed = b.fact("speed", b.pick((10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90)))
    hours = b.fact("ride_hours", b.between(2, 9))
    b.goal(speed, "*", hours, "the distance {who} travels", "km", _FAR)


@goal("travel")
def way_left(b: Builder) -> None:
    b.use(who=b.person(), vehicle=b.pick(VEHICLES), route=b.pick(ROUTES))
    kmh, time = b.between(4, 30), b.between(2, 9)
    total = b.fact("distance", kmh * time + b.between(2, 90))
    speed = b.fact("speed", kmh)
    hours = b.fact("ride_hours", time)
    done = b.op(speed, "*", hours, "the distance {who} travels", "km")
    b.goal(total, "-", done, "the distance that is left", "km", _REST)


@goal("travel")
def time_needed(b: Builder) -> None:
    b.use(who=b.person(), vehicle=b.pick(VEHICLES), route=b.pick(ROUTES))
    kmh, time = b.between(4, 60), b.factor()
    total = b.fact("distance", kmh * time)
    speed = b.fact("speed", kmh)
    b.goal(
        total,
        "/",
        speed,
        "the time for the {route}",
        "hours",
        """
        How long does {who} need for the {route}?
        How many hours does the {route} take[| {who}| by {vehicle}]?
        How long does the {route} take[| {who}| by {vehicle}]?
        How many hours does {who} need for the {route}[| by {vehicle}]?
        How many hours is {who} on the [way|road]?
        For how many hours does {who} travel[| by {vehicle}]?
        """,
    )


@goal("travel")
def two_rides(b: Builder) -> None:
    b.twins = True
    vehicle, second = b.rng.sample(VEHICLES, 2)
    b.use(who=b.person(), vehicle=vehicle)
    speed = b.fact("speed", b.between(5, 40))
    hours = b.fact("ride_hours", b.between(2, 8))
    speed2 = b.fact("speed", b.between(5, 40), vehicle=second)
    hours2 = b.fact("ride_hours", b.between(2, 8), vehicle=second)
    one = b.op(speed, "*", hours, "the distance by {vehicle}", "km")
    two = b.op(speed2, "*", hours2, "the distance by {vehicle}", "km", vehicle=second)
    b.goal(one, "+", two, "the distance {who} travels", "km", _FAR)


@goal("travel")
def each_day_or_in_all(b: Builder) -> None:
    b.use(who=b.person(), act=b.pick(MOVES), item=KM, period=DAY, route=b.pick(ROUTES))
    reading = b.pick(("span_each", "span_all"))
    count, km = b.between(2, 10), b.between(4, 30)
    total = b.fact("distance", count * km + b.between(5, 90))
    days = b.fact("periods", count)
    done = b.fact(reading, km)
    if reading == "span_each":
        km_done = b.op(days, "*", done, "the distance {who} travels", "km")
        b.goal(total, "-", km_done, "the distance that is left", "km", _REST)
    else:
        b.goal(total, "-", done, "the distance that is left", "km", _REST)


@goal("travel")
def days_on_the_way(b: Builder) -> None:
    b.use(who=b.person(), act=b.pick(MOVES), item=KM, period=DAY, route=b.pick(ROUTES))
    count, km = b.factor(), b.between(4, 40)
    total = b.fact("distance", count * km)
    each = b.fact("per_period", km)
    b.goal(
        total,
        "/",
        each,
        "the number of days {who} needs",
        "",
        """
        How many days does {who} need for the {route}?
        How many days does the {route} take[| {who}]?
        For how many days is {who} on the [way|road]?
        How many days is {who} on the [way|road|{route}]?
        After how many days is {who} at the end of the {route}?
        How long does the {route} take {who} in days?
        """,
    )


@goal("travel")
def two_travellers(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, act=b.pick(MOVES), item=KM, period=DAY)
    less = b.between(3, 20)
    km = b.fact("per_period", b.between(less + 2, less + 20))
    km2 = b.fact("per_period", less, who=other)
    days = b.fact("periods", b.factor())
    one = b.op(days, "*", km, "the distance of {who}", "km")
    two = b.op(days, "*", km2, "the distance of {other}", "km")
    b.goal(
        one,
        "-",
        two,
        "the extra distance of {who}",
        "km",
        """
        How many km more does {who} {act} than {other} in this time?
        How many more km than {other} does {who} {act} in [all|this time]?
        How [far|many km] does {who} {act} more than {other} in this time?
        By how many km does {who} {act} more than {other} in this time?
        In this time, how many km more does {who} {act} than {other}?
        Compared [with|to] {other}, how many more km does {who} {act} in this time?
        """.replace("How [far|many km]", "How many km"),
    )


_TRAVELLERS = tuple(noun(word) for word in ("traveller", "player", "student", "pupil", "child", "guest", "passenger"))


@goal("travel")
def tickets(b: Builder) -> None:
    b.use(who=b.person(), item=b.pick(_TRAVELLERS), group=b.pick(PARTS_OF_SCHOOL[1:]), ticket=noun("ticket"))
    groups = b.fact("groups", b.between(2, 9))
    each = b.fact("per_group", b.between(2, 12))
    price = b.fact("price_each", b.between(2, 9), item=noun("ticket"))
    total = b.op(groups, "*", each, "the number of all {items}", "")
    b.goal(
        total,
        "*",
        price,
        "the cost of the tickets for all {items}",
        "dollars",
        """
        How [much|many dollars] do the tickets for all the {items} cost?
        How [much|many dollars] does it cost to buy each of the {items} a ticket?
        What do the tickets for all the {items} cost[| in all| in total]?
        For all the {items}, how [much|many dollars] do the tickets cost?
        How [much|many dollars] does {who} pay for tickets for all the {items}?
        To buy a ticket for each of the {items}, how [much|many dollars] does {who} need?
        """,
    )


@goal("travel")
def two_rides_left(b: Builder) -> None:
    b.twins = True
    vehicle, second = b.rng.sample(VEHICLES, 2)
    b.use(who=b.person(), vehicle=vehicle, route=b.pick(ROUTES))
    speeds, times = (b.between(5, 40), b.between(5, 40)), (b.between(2, 8), b.between(2, 8))
    speed = b.fact("speed", speeds[0])
    hours = b.fact("ride_hours", times[0])
    speed2 = b.fact("speed", speeds[1], vehicle=second)
    hours2 = b.fact("ride_hours", times[1], vehicle=second)
    route = b.fact("distance", speeds[0] * times[0] + speeds[1] * times[1] + b.between(2, 90))
    one = b.op(speed, "*", hours, "the distance by {vehicle}", "km")
    two = b.op(speed2, "*", hours2, "the distance by {vehicle}", "km", vehicle=second)
    done = b.op(one, "+", two, "the distance {who} travels", "km")
    b.goal(route, "-", done, "the distance that is left", "km", _REST)
