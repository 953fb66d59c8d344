"""Minutes, lengths, pages: measures of one thing."""

from evals.problems.kinds import kind

kind(
    "minutes_each",
    "the time for one {task}",
    "minutes",
    says="""
    [Each|Every|One] {task} [takes|lasts|is] {v} minutes.
    {who} [needs|takes] {v} minutes for [each|every|one] {task}.
    The time for [one|each] {task} is {v} minutes.
    For [each|every|one] {task}, {who} needs {v} minutes.
    The {tasks} [take|last] {v} minutes each.
    It takes {who} {v} minutes [for|to finish] [each|every|one] {task}.
    {who} [plans|sets aside] {v} minutes for [each|every|one] {task}.
    To finish [one|each] {task}, it takes {who} {v} minutes.
    {who} spends {v} minutes on [each|every|one] {task}.
    """,
    vague="""
    [Each|Every] {task} takes [some time|a while|a few minutes].
    The {tasks} all take the same time.
    {who} spends the same time on [each|every] {task}.
    {who} [needs|takes] the same time for [each|every] {task}.
    {who} [needs|takes] [some time|a while|a few minutes] for [each|one] {task}.
    """,
    asks="""
    How long does [one|each] {task} take?
    How many minutes does [one|each] {task} take?
    How many minutes does {who} need for [one|each] {task}?
    """,
)

kind(
    "tasks",
    "the number of {tasks}",
    "{tasks}",
    says="""
    {who} has {v} {tasks}[| today| on Monday].
    There are {v} {tasks}[| on {who's} list| in {who's} plan| today].
    {who} [plans|has planned|wants] {v} {tasks}[| today| on Monday].
    On {who's} list there are {v} {tasks}.
    {who's} list has {v} {tasks}[| on it].
    The number of {tasks} is {v}.
    [Today|On Monday], {who} [has|plans|wants] {v} {tasks}.
    [On Monday|Today], there are {v} {tasks} [in {who's} plan|on {who's} list].
    {who} [wants|has] to get through {v} {tasks}[| today].
    """,
    vague="""
    {who} has [some|several|a few] {tasks}[| today| on Monday].
    There are [some|several|a few] {tasks} [on {who's} list|in {who's} plan].
    [Today|On Monday], {who} [has|plans] [some|several|a few] {tasks}.
    {who} [plans|wants] [some|several|a number of] {tasks}[| today].
    """,
    asks="""
    How many {tasks} are there?
    How many {tasks} does {who} have?
    How many {tasks} are [planned|on {who's} list]?
    """,
)

kind(
    "break_minutes",
    "the time of the break",
    "minutes",
    implied=False,
    says="""
    There is [also|] a break of {v} minutes.
    {who} [also|] [takes|has] a break of {v} minutes.
    The break [takes|lasts|is] {v} minutes.
    {who's} break [lasts|takes] {v} minutes.
    {who} [takes|has] {v} minutes of break.
    The time of the break is {v} minutes.
    {who} [rests|stops] for {v} minutes [in between|during a break].
    During a break, {who} rests for {v} minutes.
    A break of {v} minutes [is|comes] in between.
    """,
    vague="""
    There is [also|] a [short|long|] break.
    {who} [also|] [takes|has] a [short|long|] break.
    {who} [rests|stops] for a while[ in between|].
    {who} takes a break for [a while|some time|a few minutes].
    """,
    asks="""
    How long is the break?
    How many minutes does the break take?
    How long does {who} [rest|stop] during the break?
    """,
)

kind(
    "free_minutes",
    "the time {who} has",
    "minutes",
    says="""
    {who} has {v} minutes[| of free time| in all].
    {who} has {v} [free minutes|minutes of time][| today].
    The time {who} has is {v} minutes.
    There are {v} minutes for {who} [to use|in all].
    [Today|In all], {who} has {v} minutes[| of free time].
    {who} [sets aside|plans] {v} minutes[| of free time| in all].
    There are {v} minutes [of free time for {who}|that {who} can use].
    [In all|Today], {who} [sets aside|can use] {v} minutes.
    """,
    vague="""
    {who} has some [free time|time][| today].
    {who} [sets aside|plans] some [free time|time].
    There is some [free time|time] that {who} can use.
    [Today|In all], {who} has some free time.
    """,
    asks="""
    How much time does {who} have?
    How many minutes does {who} have[| in all]?
    How much free time does {who} have?
    """,
)

kind(
    "length",
    "the length of the {place}",
    "metres",
    says="""
    The {place} is {v} metres long.
    The length of [the|{who's}] {place} is {v} metres.
    {who's} {place} is {v} metres long.
    The {place} has a length of {v} metres[| in all].
    The long side of [the|{who's}] {place} is {v} metres.
    {who} has a {place} that is {v} metres long.
    The long side of [the|{who's}] {place} [measures|has] {v} metres.
    The {place} measures {v} metres on the long side.
    The {place} [reaches|goes] {v} metres from [end to end|one end to the other].
    From [end to end|one end to the other], the {place} [is|measures] {v} metres.
    There are {v} metres from one end of the {place} to the other.
    {who's} {place} has a length of {v} metres[| in all].
    """,
    vague="""
    The {place} is [quite|rather|very] long.
    {who's} {place} is [quite|rather|very] long.
    The {place} has a [quite|rather|very] long side.
    {who's} {place} has a [quite|rather|very] long side.
    The {place} is [many|several] metres long.
    """,
    asks="""
    How long is the {place}?
    How many metres long is the {place}?
    What is the long side of the {place}?
    """,
)

kind(
    "width",
    "the width of the {place}",
    "metres",
    says="""
    The {place} is {v} metres wide.
    The width of [the|{who's}] {place} is {v} metres.
    {who's} {place} is {v} metres wide.
    The {place} has a width of {v} metres[| in all].
    The short side of [the|{who's}] {place} is {v} metres.
    {who} has a {place} that is {v} metres wide.
    The short side of [the|{who's}] {place} [measures|has] {v} metres.
    The {place} measures {v} metres on the short side.
    From [left to right|side to side], the {place} [is|measures] {v} metres.
    The {place} [reaches|goes] {v} metres from [side to side|left to right].
    There are {v} metres from one side of the {place} to the other.
    {who's} {place} has a width of {v} metres[| in all].
    """,
    vague="""
    The {place} is [quite|rather|not very] wide.
    {who's} {place} is [quite|rather|not very] wide.
    The {place} has a [quite|rather|very] short side.
    {who's} {place} has a [quite|rather|very] short side.
    The {place} is [many|several] metres wide.
    """,
    asks="""
    How wide is the {place}?
    How many metres wide is the {place}?
    What is the short side of the {place}?
    """,
)

kind(
    "book_pages",
    "the number of pages in the {book}",
    "pages",
    says="""
    The {book} has {v} pages.
    {who's} {book} [has|is] {v} pages[| long| in all].
    There are {v} pages in [the|{who's}] {book}.
    [In all|In total], the {book} has {v} pages.
    {who} [reads|has|is reading] a {book} [of|with] {v} pages.
    The number of pages in the {book} is {v}.
    The {book} {who} [reads|is reading] has {v} pages[| in all| in total].
    The {book} is {v} pages long[| in all| in total].
    """,
    vague="""
    {who} [reads|is reading] a [long|short|] {book}.
    {who's} {book} has [a number of|many|several] pages.
    The {book} [is quite long|has many pages].
    The {book} {who} is reading has [many|several] pages.
    """,
    asks="""
    How many pages does the {book} have?
    How many pages are in the {book}?
    How long is the {book} in pages?
    """,
)

kind(
    "pages_read",
    "the number of pages {who} has read",
    "pages",
    implied=False,
    says="""
    {who} has [already|] read {v} pages[| so far].
    {who} has read {v} pages of the {book}[| so far].
    So far, {who} has [already|] read {v} pages.
    So far, {v} pages are read[| already].
    {who} is [already|] through with {v} pages[| so far].
    The number of pages {who} has read is {v}.
    {v} pages [are|have been] read [already|so far][| by {who}].
    {who} has already finished {v} pages[| so far].
    {who} finished {v} pages [already|last week].
    """,
    vague="""
    {who} has [already|] read [some|several|a few] pages.
    So far, {who} has read [some|several|a few] pages.
    [Some|Several|A few] pages are read already.
    {who} has already finished [some|several|a few] pages.
    """,
    asks="""
    How many pages has {who} [already|] read[| so far]?
    How many pages are read [already|so far]?
    How many pages has {who} finished?
    """,
)
