"""Distractors: numbers that nobody needs."""

from evals.problems.kinds import kind

kind(
    "aside_age",
    "the age of {who}",
    "years",
    distractor=True,
    says="""
    {who} is {v} years old.
    {who} is {v} years of age.
    {who's} age is {v} years.
    {who} is now {v} years old.
    The age of {who} is {v}.
    [Now|Today], {who} is {v} years old.
    {who} [turned|turns] {v} this [week|month|year].
    [This week|This month|This year], {who} [turned|turns] {v}.
    """,
    asks="How old is {who}?",
)
kind(
    "aside_friend_age",
    "the age of {who's} friend",
    "years",
    distractor=True,
    says="""
    {who's} [friend|cousin|neighbour] is {v} years old[| now].
    {who} has a [friend|cousin|neighbour] who is {v} years old.
    A [friend|cousin|neighbour] of {who's} is {v} years old.
    {who} has a [friend|cousin|neighbour] of {v} years.
    The age of {who's} [friend|cousin|neighbour] is {v} years.
    {who} meets a friend who is {v} years old.
    {who's} [friend|cousin|neighbour] [turned|turns] {v} this [week|month|year].
    [This week|This month|This year], {who's} [friend|cousin] [turned|turns] {v}.
    """,
    asks="How old is {who's} friend?",
)
kind(
    "aside_thing",
    "the number of {things} of {who's} cousin",
    "{things}",
    distractor=True,
    says="""
    {who's} [cousin|friend|neighbour] has {v} {things}.
    {who} has a [cousin|friend|neighbour] who has {v} {things}.
    A [friend|neighbour|cousin] of {who's} has {v} {things} at home.
    {who's} [cousin|friend|neighbour] has {v} {things} at home.
    A [friend|neighbour|cousin] of {who's} counts {v} {things}.
    {who's} [cousin|friend|neighbour] [buys|finds] {v} {things}.
    The [cousin|friend|neighbour] of {who} has {v} {things}.
    At home, {who's} [cousin|friend|neighbour] has {v} {things}.
    """,
    asks="How many {things} does {who's} cousin have?",
)
kind(
    "aside_shelf",
    "the number of {things} in the room",
    "{things}",
    distractor=True,
    says="""
    There are {v} {things} [in the room|in the house].
    {who} sees {v} {things} [in the room|in the house].
    [In the room|In the house] there are {v} {things}.
    [In the room|In the house], {who} sees {v} {things}.
    Somebody has {v} {things} [in the room|in the house].
    {who} [finds|counts] {v} {things} [in the room|in the house].
    {v} {things} are [in the room|in the house].
    [In the room|In the house], somebody sees {v} {things}.
    """,
    asks="How many {things} are in the room?",
)
kind(
    "aside_home",
    "the number of the house of {who}",
    "",
    distractor=True,
    line="The number of the house of {who} is {v}.",
    says="""
    {who} lives at number {v}[| of a long road].
    {who} lives on floor {v}[| of a tall house].
    {who's} home is [at number {v}|on floor {v}].
    {who's} home is on floor {v} of a tall house.
    {who's} house is number {v}[| of a long road].
    The number of {who's} house is {v}.
    {who} has a friend on floor {v}[| of a tall house].
    The home of {who} is number {v} of a long road.
    """,
    asks="Where does {who} live?",
)
kind(
    "aside_day",
    "the day of the month",
    "",
    distractor=True,
    says="""
    It is day {v} of the [month|year].
    Today is day {v} of the [month|year].
    All this is on day {v} of the [month|year].
    This is on day {v} of the [month|year].
    The day is number {v} of the [month|year].
    It is week {v} of the year[| now].
    Today it is day {v} of the [month|year].
    Now it is [week|day] {v} of the year.
    """,
    asks="What day of the month is it?",
)
