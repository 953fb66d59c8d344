"""Hours, days, pay."""

from evals.problems.kinds import kind

kind(
    "hours",
    "the time {who} works",
    "hours",
    says="""
    {who} works for {v} hours[| on Monday| this week| today].
    [Today|This week|On Monday], {who} works [for|] {v} hours.
    {who} [spends|is] {v} hours at work[| today| this week].
    {who} is at work for {v} hours[| today| this week].
    The time {who} works is {v} hours.
    {who} [has|does] {v} hours of work[| today| on Monday].
    For {v} hours, {who} works at [a shop|a farm|a cafe|an office].
    {who's} shift [takes|is] {v} hours[| today| on Monday].
    {who} works a shift of {v} hours[| today| on Monday].
    {who's} shift at [the shop|the farm|the cafe] lasts {v} hours.
    """,
    vague="""
    {who} works for [some|several|a few] hours[| today| this week].
    [Today|This week|On Monday], {who} works [for a while|for some time|for a few hours].
    {who} [has|does] a [long|short] shift[| today| on Monday].
    {who} is at work for [some time|a while|several hours].
    {who} works at [a shop|a farm|a cafe|an office].
    """,
    asks="""
    How many hours does {who} work?
    How long does {who} work?
    How long is {who's} shift?
    """,
)

kind(
    "hourly_pay",
    "the pay of {who} for one hour",
    "dollars",
    says="""
    {who} [earns|gets|is paid] {v} dollars [an|per|each|every|for each] hour.
    [Each|Every] hour, {who} [earns|gets|is paid] {v} dollars.
    For [each|every|one] hour of work, {who} [gets|earns|is paid] {v} dollars.
    {who's} pay is {v} dollars [an|per|for each] hour.
    {who} [earns|makes] {v} dollars in [one|each|an] hour.
    The pay of {who} for one hour is {v} dollars.
    An hour of work [brings|gives] {who} {v} dollars.
    One hour of {who's} work [is paid|brings] {v} dollars.
    The boss pays {who} {v} dollars [an|per|for each|for every] hour.
    {who} has a job that pays {v} dollars [an|per|for each] hour.
    """,
    vague="""
    {who} is paid by the hour.
    {who} [earns|gets|is paid] the same [each|every] hour.
    The boss pays {who} [by the hour|the same for each hour].
    {who's} pay is the same [for each|each|every] hour.
    {who} [earns|gets] [some money|a few dollars] for each hour.
    """,
    asks="""
    How much does {who} [earn|get] [an|per|each|for one] hour?
    How many dollars [an|per|each] hour does {who} [earn|get|make]?
    How much is {who} paid [an|per|for one] hour?
    """,
)

kind(
    "hours_a_day",
    "the time {who} works in one day",
    "hours",
    says="""
    {who} works {v} hours [a|each|every|per] day.
    [Each|Every] day, {who} works [for|] {v} hours.
    {who's} [working|work] day has {v} hours.
    {who's} shift is {v} hours [each|every|a|per] day.
    A [working|work] day has {v} hours in {who's} [job|office].
    On [each|every] day of work, {who} works {v} hours.
    The time {who} works in one day is {v} hours.
    In one day of work, {who} works {v} hours.
    {who} [spends|is] {v} hours [a|each|every] day at work.
    """,
    vague="""
    {who} works the same hours [each|every] day.
    [Each|Every] day, {who} works for [some|several|a few] hours.
    {who's} shift is the same [each|every] day.
    {who} works for [some|several|a few] hours [each|every|a] day.
    """,
    asks="""
    How many hours does {who} work [a|each|every|per|in one] day?
    How long does {who} work [each|every|in one] day?
    How many hours has {who's} working day?
    """,
)

kind(
    "tip",
    "the extra money {who} gets",
    "dollars",
    implied=False,
    says="""
    {who} [also|] [gets|earns|receives] [a tip|tips|a bonus] of {v} dollars.
    The boss [also|] gives {who} a [tip|bonus] of {v} dollars.
    {who} [gets|receives] {v} dollars extra[| as a tip| as a bonus].
    {who} gets an extra {v} dollars[| as a tip| as a bonus].
    There is [also|] a [tip|bonus] of {v} dollars for {who}.
    The extra money {who} gets is {v} dollars.
    A bonus [adds|gives] {v} dollars [to {who's} pay|for {who}].
    A [tip|bonus] [gives|brings] {who} {v} dollars extra.
    On top of the pay, {who} gets {v} dollars[| as a tip| as a bonus].
    """,
    vague="""
    {who} [also|] [gets|receives|earns] [a tip|some tips|a bonus].
    The boss [also|] gives {who} a [small|] bonus.
    There is [also|] a [tip|bonus] for {who}.
    {who} [gets|receives] something extra [as a tip|as a bonus].
    """,
    asks="""
    How [much|big] is {who's} [tip|bonus]?
    How much extra money does {who} get?
    How many dollars does {who} get as [a tip|a bonus|extra money]?
    """,
)
