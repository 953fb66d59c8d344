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
    """,
    asks="How old is {who}?",
)
kind(
    "aside_friend_age",
    "the age of {who's} friend",
    "years",
    distractor=True,
    says="""
    {who's} friend is {v} years old.
    {who} has a friend who is {v} years old.
    {who's} cousin is {v} years old.
    {who} has a cousin who is {v} years old.
    {who} has a neighbour who is {v} years old.
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
    """,
    asks="How many {things} does {who's} cousin have?",
)
kind(
    "aside_shelf",
    "the number of {things} in the room",
    "{things}",
    distractor=True,
    says="""
    There are {v} {things} in the room.
    There are {v} {things} on the table.
    {who} sees {v} {things} on the table.
    {who} sees {v} {things} in the room.
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
    {who} lives at number {v}.
    {who} lives on floor {v}.
    {who} lives at number {v} of a long road.
    {who} lives on floor {v} of a tall house.
    {who's} home is on floor {v} of a tall house.
    """,
    asks="Where does {who} live?",
)
kind(
    "aside_day",
    "the day of the month",
    "",
    distractor=True,
    says="""
    It is day {v} of the month.
    Today is day {v} of the month.
    All this is on day {v} of the month.
    This is on day {v} of the month.
    """,
    asks="What day of the month is it?",
)
