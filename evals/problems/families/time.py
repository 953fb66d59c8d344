"""Families `schedule` and `reading`."""

from evals.problems.builder import Builder, goal
from evals.problems.nouns import BOOKS, TASKS, Noun

PAGE, MINUTE = Noun("page", "pages"), Noun("minute", "minutes")
DAY, WEEK = Noun("day", "days"), Noun("week", "weeks")
READ = ("read", "reads", "reading")
PRACTISE = (
    ("practise", "practises", "practising"), ("train", "trains", "training"), ("exercise", "exercises", "exercising"),
    ("study", "studies", "studying"), ("draw", "draws", "drawing"), ("dance", "dances", "dancing"),
    ("swim", "swims", "swimming"), ("sing", "sings", "singing"), ("paint", "paints", "painting"),
)  # fmt: skip
CHORES = (
    "homework", "music", "the garden", "the dishes", "a report", "a game", "a puzzle", "sport", "the laundry",
    "a letter", "a drawing", "the car", "a poem", "a model car", "a song", "the house", "a story", "a film",
)  # fmt: skip

_TOTAL = """
How many minutes does {who} need[| in all| in total| altogether]?
How many minutes does all this take[| {who}]?
How many minutes does {who} spend [in all|in total|altogether]?
[In all|In total|Altogether], how many minutes does {who} need?
How long does all this take in minutes?
How many minutes of {who's} time does all this take?
"""
_LEFT = """
How many minutes does {who} have left[| after that| at the end]?
How many minutes are left[| over| at the end]?
How many free minutes does {who} still have?
How many minutes of free time are left?
How many minutes are left for {who}[| after that]?
How many minutes does {who} still have [after that|at the end]?
"""


@goal("schedule")
def all_tasks(b: Builder) -> None:
    b.use(who=b.person(), task=b.pick(TASKS))
    number = b.fact("tasks", b.factor())
    each = b.fact("minutes_each", b.between(3, 45))
    b.goal(number, "*", each, "the time for the {tasks}", "minutes", _TOTAL)


@goal("schedule")
def tasks_and_break(b: Builder) -> None:
    b.use(who=b.person(), task=b.pick(TASKS))
    number = b.fact("tasks", b.factor())
    each = b.fact("minutes_each", b.between(3, 30))
    rest = b.fact("break_minutes", b.between(3, 40))
    time = b.op(number, "*", each, "the time for the {tasks}", "minutes")
    b.goal(time, "+", rest, "the time in all", "minutes", _TOTAL)


@goal("schedule")
def how_many_tasks(b: Builder) -> None:
    b.use(who=b.person(), task=b.pick(TASKS))
    count, minutes = b.factor(), b.between(3, 30)
    free = b.fact("free_minutes", count * minutes)
    each = b.fact("minutes_each", minutes)
    b.goal(
        free,
        "/",
        each,
        "the number of {tasks} that fit in",
        "",
        """
        How many {tasks} fit into this time?
        How many {tasks} can {who} [do|finish] in this time?
        For how many {tasks} does {who} have time?
        For how many {tasks} is there time?
        How many {tasks} is there time for?
        In this time, how many {tasks} can {who} finish?
        """,
    )


@goal("schedule")
def time_left(b: Builder) -> None:
    b.use(who=b.person(), task=b.pick(TASKS))
    count, minutes = b.factor(), b.between(3, 20)
    free = b.fact("free_minutes", count * minutes + b.between(3, 60))
    number = b.fact("tasks", count)
    each = b.fact("minutes_each", minutes)
    time = b.op(number, "*", each, "the time for the {tasks}", "minutes")
    b.goal(free, "-", time, "the time that is left", "minutes", _LEFT)


@goal("schedule")
def minutes_or_hours(b: Builder) -> None:
    b.use(who=b.person(), thing=b.pick(CHORES))
    reading = b.pick(("minutes", "hours"))
    time = b.fact(f"spends_{reading}", b.between(2, 12))
    rest = b.fact("break_minutes", b.between(3, 50))
    if reading == "hours":
        minutes = b.op(time, "*", 60, "the time for {thing}", "minutes")
        b.goal(minutes, "+", rest, "the time in all", "minutes", _TOTAL)
    else:
        b.goal(time, "+", rest, "the time in all", "minutes", _TOTAL)


@goal("schedule")
def practice(b: Builder) -> None:
    b.use(who=b.person(), act=b.pick(PRACTISE), item=MINUTE, period=b.pick((DAY, WEEK)))
    each = b.fact("per_period", b.between(5, 60))
    days = b.fact("periods", b.factor())
    b.goal(
        days,
        "*",
        each,
        "the number of minutes {who} {acts}",
        "",
        """
        How many minutes does {who} {act}[| in all| in total| altogether]?
        How long does {who} {act} in minutes[| in all| in total]?
        How many minutes does {who} spend {acting}[| in all| in total]?
        [In all|In total|Altogether], how many minutes does {who} {act}?
        How many minutes of {acting} is that [in all|in total|altogether]?
        For how many minutes does {who} {act} [in all|in total|altogether]?
        """,
    )


_READ_ALL = """
How many pages does {who} read[| in all| in total| altogether]?
How many pages has {who} read at the end?
How many pages does {who} get through[| in all| in total]?
[In all|In total|Altogether], how many pages does {who} read?
How many pages is that [in all|in total|altogether]?
At the end, how many pages has {who} read?
"""
_READ_LEFT = """
How many pages are left[| to read| at the end]?
How many pages does {who} still have to read?
How many pages of the {book} are left?
How many pages of the {book} does {who} still have to read?
How many pages are not read [at the end|after that]?
How many pages does {who} have left[| at the end| after that]?
"""
_DAYS = """
How many days does {who} need for [the {book}|this]?
How many days does it take {who} to finish the {book}?
For how many days does {who} have to read?
For how many days does {who} have to read to finish the {book}?
After how many days is {who} at the end of the {book}?
How many days of reading is that?
"""


@goal("reading")
def pages(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=b.pick((DAY, WEEK)), book=b.pick(BOOKS))
    each = b.fact("per_period", b.between(3, 40))
    days = b.fact("periods", b.factor())
    b.goal(days, "*", each, "the number of pages {who} reads", "", _READ_ALL)


@goal("reading")
def pages_left(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=DAY, book=b.pick(BOOKS))
    count, value = b.factor(), b.between(3, 30)
    book = b.fact("book_pages", count * value + b.between(2, 99))
    each = b.fact("per_period", value)
    days = b.fact("periods", count)
    done = b.op(days, "*", each, "the number of pages {who} reads", "")
    b.goal(book, "-", done, "the number of pages left", "", _READ_LEFT)


@goal("reading")
def days_needed(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=DAY, book=b.pick(BOOKS))
    count, value = b.factor(), b.between(4, 40)
    book = b.fact("book_pages", count * value)
    each = b.fact("per_period", value)
    b.goal(book, "/", each, "the number of days {who} needs", "", _DAYS)


@goal("reading")
def days_still_needed(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=DAY, book=b.pick(BOOKS))
    count, value, before = b.factor(), b.between(4, 20), b.between(5, 120)
    book = b.fact("book_pages", count * value + before)
    done = b.fact("pages_read", before)
    each = b.fact("per_period", value)
    rest = b.op(book, "-", done, "the number of pages left", "")
    b.goal(rest, "/", each, "the number of days {who} needs", "", _DAYS)


@goal("reading")
def two_readers(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, act=READ, item=PAGE, period=b.pick((DAY, WEEK)), book=b.pick(BOOKS))
    less = b.between(3, 20)
    each = b.fact("per_period", b.between(less + 2, less + 20))
    each2 = b.fact("per_period", less, who=other)
    days = b.fact("periods", b.factor())
    gap = b.op(each, "-", each2, "the number of extra pages each {period}", "")
    b.goal(
        gap,
        "*",
        days,
        "the number of extra pages {who} reads",
        "",
        """
        How many more pages does {who} read than {other} in this time?
        How many pages more than {other} does {who} read in [all|this time]?
        In this time, how many more pages does {who} read than {other}?
        By how many pages does {who} read more than {other} in this time?
        How many pages does {who} read more than {other} in [all|this time]?
        Compared [with|to] {other}, how many more pages does {who} read in this time?
        """,
    )


@goal("reading")
def each_day_or_in_all(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=DAY, book=b.pick(BOOKS))
    reading = b.pick(("span_each", "span_all"))
    count, value = b.between(2, 10), b.between(4, 30)
    book = b.fact("book_pages", count * value + b.between(5, 90))
    days = b.fact("periods", count)
    done = b.fact(reading, value)
    if reading == "span_each":
        total = b.op(days, "*", done, "the number of pages {who} reads", "")
        b.goal(book, "-", total, "the number of pages left", "", _READ_LEFT)
    else:
        b.goal(book, "-", done, "the number of pages left", "", _READ_LEFT)


@goal("reading")
def day_or_week(b: Builder) -> None:
    b.use(who=b.person(), act=READ, item=PAGE, period=WEEK, book=b.pick(BOOKS))
    reading = b.pick(("day", "week"))
    each = b.fact(f"each_{reading}", b.between(3, 15))
    weeks = b.fact("periods", b.between(2, 9))
    if reading == "day":
        days = b.op(weeks, "*", 7, "the number of days", "")
        b.goal(days, "*", each, "the number of pages {who} reads", "", _READ_ALL)
    else:
        b.goal(weeks, "*", each, "the number of pages {who} reads", "", _READ_ALL)
