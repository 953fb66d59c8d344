"""Families `wages` and `savings`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import WISHES, Noun

DOLLAR = Noun("dollar", "dollars")
DAY, WEEK, MONTH = Noun("day", "days"), Noun("week", "weeks"), Noun("month", "months")
SAVE = ("save", "saves", "saving")

THINGS = ("lunch", "food", "a gift", "a book", "a ticket", "bus rides", "a toy", "a new coat", "a haircut", "flowers",
          "a film", "music", "shoes", "a phone card", "tea and cake", "paint")  # fmt: skip

_EARN = """
How [much|many dollars] does {who} earn[| in all| in total| altogether]?
How much money does {who} [earn|get|make] [in all|in total|altogether]?
What does {who} earn [in all|in total|altogether]?
[In all|In total|Altogether], how [much|many dollars] does {who} earn?
How [much|many dollars] [is|will] {who} paid?
How much money does {who} get for [the work|this work]?
""".replace("[is|will] {who} paid?", "is {who} paid [in all|in total|for the work]?")
_LEFT = """
How much money does {who} have left?
How many dollars does {who} have left[| after that| at the end]?
How much money is left over?
How [much|many dollars] does {who} have [after that|at the end]?
How much money is left [for {who}|at the end]?
How [much|many dollars] can {who} still [use|spend]?
"""
_SAVED = """
How much money does {who} have [after that|at the end|then]?
How [much|many dollars] does {who} have [in all|in total|altogether]?
How [much|many dollars] does {who} save [in all|in total|altogether]?
[In all|In total|Altogether], how [much|many dollars] does {who} have?
How many dollars does {who} have [at the end|after that|then]?
What does {who} have [at the end|after that]?
"""


@goal("wages")
def pay(b: Builder) -> None:
    b.use(who=b.person())
    hours = b.fact("hours", b.factor())
    rate = b.fact("hourly_pay", b.big_factor())
    b.goal(hours, "*", rate, "the pay of {who}", "dollars", _EARN)


@goal("wages")
def pay_and_tip(b: Builder) -> None:
    b.use(who=b.person())
    hours = b.fact("hours", b.factor())
    rate = b.fact("hourly_pay", b.big_factor())
    tip = b.fact("tip", b.between(2, 60))
    pay = b.op(hours, "*", rate, "the pay of {who}", "dollars")
    b.goal(pay, "+", tip, "the money {who} earns", "dollars", _EARN)


@goal("wages")
def pay_of_days(b: Builder) -> None:
    b.use(who=b.person(), act=("work", "works", "working"), period=DAY)
    days = b.fact("periods", b.between(2, 8))
    hours = b.fact("hours_a_day", b.between(2, 9))
    rate = b.fact("hourly_pay", b.factor())
    total = b.op(days, "*", hours, "the number of hours {who} works", "")
    b.goal(total, "*", rate, "the pay of {who}", "dollars", _EARN)


@goal("wages")
def pay_gap(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    less = b.factor()
    hours = b.fact("hours", b.factor())
    rate = b.fact("hourly_pay", b.between(less + 1, less + 8))
    hours2 = b.fact("hours", b.factor(), who=other)
    rate2 = b.fact("hourly_pay", less, who=other)
    one = b.op(hours, "*", rate, "the pay of {who}", "dollars")
    two = b.op(hours2, "*", rate2, "the pay of {other}", "dollars")
    b.goal(
        one,
        "-",
        two,
        "the extra money {who} earns",
        "dollars",
        """
        How [much|many dollars] more does {who} earn than {other}?
        How many more dollars does {who} [earn|get] than {other}?
        How [much|many dollars] does {who} earn more than {other}?
        By how [much|many dollars] does {who} earn more than {other}?
        Compared [with|to] {other}, how [much|many dollars] more does {who} earn?
        By how many dollars is the pay of {who} more than that of {other}?
        """,
    )


@goal("wages")
def pay_together(b: Builder) -> None:
    b.twins = True
    who, other = b.person(), b.person()
    b.use(who=who, other=other)
    hours = b.fact("hours", b.factor())
    rate = b.fact("hourly_pay", b.factor())
    hours2 = b.fact("hours", b.factor(), who=other)
    rate2 = b.fact("hourly_pay", b.factor(), who=other)
    one = b.op(hours, "*", rate, "the pay of {who}", "dollars")
    two = b.op(hours2, "*", rate2, "the pay of {other}", "dollars")
    b.goal(
        one,
        "+",
        two,
        "the money {who} and {other} earn",
        "dollars",
        """
        How [much|many dollars] do {who} and {other} earn [together|in all|in total]?
        How much money do {who} and {other} [earn|get|make] together?
        What do {who} and {other} earn [together|in all|in total]?
        Together, how [much|many dollars] do {who} and {other} earn?
        How [much|many dollars] do the two [of them|] earn [together|in all]?
        How much money do they earn together?
        """,
    )


@goal("wages")
def hours_or_days(b: Builder) -> None:
    b.use(who=b.person())
    value = b.between(2, 9)
    reading = b.pick(("hours", "days"))
    time = b.fact(f"work_{reading}", value)
    a_day = b.fact("hours_a_day", b.between(2, 9))
    rate = b.fact("hourly_pay", b.factor())
    if reading == "days":
        total = b.op(time, "*", a_day, "the number of hours {who} works", "")
        b.goal(total, "*", rate, "the pay of {who}", "dollars", _EARN)
    else:
        b.goal(time, "*", rate, "the pay of {who}", "dollars", _EARN)


@goal("wages")
def pay_left(b: Builder) -> None:
    b.use(who=b.person(), thing=b.pick(THINGS))
    worked, each = b.between(3, 12), b.between(4, 20)
    hours = b.fact("hours", worked)
    rate = b.fact("hourly_pay", each)
    spent = b.fact("spends", b.between(2, worked * each - 2))
    pay = b.op(hours, "*", rate, "the pay of {who}", "dollars")
    b.goal(pay, "-", spent, "the money {who} has left", "dollars", _LEFT)


@goal("savings")
def start_and_save(b: Builder) -> None:
    b.use(who=b.person(), act=SAVE, item=DOLLAR, period=b.pick((WEEK, MONTH, DAY)))
    start = b.fact("money", b.between(5, 150), implied=False)
    each = b.fact("per_period", b.big_factor())
    weeks = b.fact("periods", b.factor())
    saved = b.op(weeks, "*", each, "the money {who} saves", "dollars")
    b.goal(start, "+", saved, "the money {who} has in the end", "dollars", _SAVED)


_HOW_LONG = """
How many {periods} does {who} have to save?
For how many {periods} does {who} have to save?
How many {periods} does it take {who} to save for the {thing}?
How many {periods} does {who} need to save for the {thing}?
After how many {periods} does {who} have the money for the {thing}?
How many {periods} of saving does the {thing} take?
"""


@goal("savings")
def weeks_needed(b: Builder) -> None:
    b.use(who=b.person(), act=SAVE, item=DOLLAR, period=b.pick((WEEK, MONTH)))
    wish = b.pick(WISHES)
    weeks, each = b.factor(), b.big_factor()
    b.use(thing=wish.one)
    price = b.fact("goal_price", weeks * each, item=wish)
    saved = b.fact("per_period", each)
    b.goal(price, "/", saved, "the number of {periods} {who} needs", "", _HOW_LONG)


@goal("savings")
def weeks_still_needed(b: Builder) -> None:
    b.use(who=b.person(), act=SAVE, item=DOLLAR, period=b.pick((WEEK, MONTH)))
    wish = b.pick(WISHES)
    weeks, each, start = b.factor(), b.factor(), b.between(5, 80)
    b.use(thing=wish.one)
    price = b.fact("goal_price", weeks * each + start, item=wish)
    has = b.fact("money", start, implied=False)
    saved = b.fact("per_period", each)
    missing = b.op(price, "-", has, "the money {who} still needs", "dollars")
    b.goal(missing, "/", saved, "the number of {periods} {who} needs", "", _HOW_LONG)


@goal("savings")
def day_or_week(b: Builder) -> None:
    b.use(who=b.person(), act=SAVE, item=DOLLAR, period=WEEK)
    reading = b.pick(("day", "week"))
    each = b.fact(f"each_{reading}", b.factor())
    weeks = b.fact("periods", b.between(2, 10))
    if reading == "day":
        days = b.op(weeks, "*", 7, "the number of days", "")
        b.goal(days, "*", each, "the money {who} saves", "dollars", _SAVED_IN_ALL)
    else:
        b.goal(weeks, "*", each, "the money {who} saves", "dollars", _SAVED_IN_ALL)


_SAVED_IN_ALL = """
How much money does {who} save[| in all| in total| altogether]?
How [much|many dollars] does {who} save in [all|this time]?
How many dollars does {who} save [in all|in total|altogether]?
[In all|In total|Altogether], how [much|many dollars] does {who} save?
What does {who} save [in all|in total|altogether]?
How much money has {who} saved at the end?
"""


@goal("savings")
def save_and_spend(b: Builder) -> None:
    b.use(who=b.person(), act=SAVE, item=DOLLAR, period=b.pick((WEEK, MONTH, DAY)), thing=b.pick(THINGS))
    count, value = b.between(3, 12), b.between(3, 20)
    each = b.fact("per_period", value)
    weeks = b.fact("periods", count)
    spent = b.fact("spends", b.between(2, count * value - 2))
    saved = b.op(weeks, "*", each, "the money {who} saves", "dollars")
    b.goal(saved, "-", spent, "the money {who} has left", "dollars", _LEFT)


@goal("savings")
def two_savers(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, act=SAVE, item=DOLLAR, period=b.pick((WEEK, MONTH)))
    less = b.factor()
    each = b.fact("per_period", b.between(less + 2, less + 12))
    each2 = b.fact("per_period", less, who=other)
    weeks = b.fact("periods", b.factor())
    gap = b.op(each, "-", each2, "the extra money {who} saves each {period}", "dollars")
    b.goal(
        gap,
        "*",
        weeks,
        "the extra money {who} saves",
        "dollars",
        """
        How [much|many dollars] more does {who} save than {other} in this time?
        How many more dollars than {other} does {who} save in [all|this time]?
        How [much|many dollars] does {who} save more than {other} in this time?
        By how [much|many dollars] does {who} save more than {other} in this time?
        In this time, how [much|many dollars] more does {who} save than {other}?
        Compared [with|to] {other}, how [much|many dollars] more does {who} save in this time?
        """,
    )
