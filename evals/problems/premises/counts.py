"""How many things somebody buys, has, gets, gives away, makes."""

from evals.problems.kinds import kind

kind(
    "buys",
    "the number of {items} {who} buys",
    "{items}",
    says="""
    {who} [buys|picks up|gets] {v} {items}[| at the shop| at the market| in town].
    {who} goes [to the shop|to the market|into town] and [buys|picks up|gets] {v} {items}.
    [At the shop|At the market|In town], {who} [buys|gets|picks up] {v} {items}.
    {who} [needs|wants] {v} {items} and buys them[| at the shop| at the market].
    {who} [decides|plans|goes out] to buy {v} {items}.
    {who} [wants|would like] to buy {v} {items}[| today].
    The number of {items} {who} buys is {v}.
    {who} gets {v} {items} [at the shop|at the market|in town][| today].
    [Today|This week|On Monday], {who} [buys|gets|picks up] {v} {items}.
    {who} [asks for|takes] {v} {items} and buys them.
    """,
    vague="""
    {who} [buys|picks up|gets] [some|a few|several] {items}[| at the shop].
    {who} [wants|plans|goes out] to buy [some|a few|several|a number of] {items}.
    [Today|At the shop|At the market], {who} [buys|gets] [some|several|a few] {items}.
    {who} [needs|wants] [some|a few|several] {items} and buys them.
    {who} [picks up|buys] [a number of|many] {items}.
    """,
    asks="""
    How many {items} does {who} buy?
    How many {items} does {who} [get|pick up]?
    How many {items} are bought by {who}?
    """,
)

kind(
    "has",
    "the number of {items} {who} has",
    "{items}",
    says="""
    {who} [has|owns] {v} {items}.
    [At first|To begin with|At the start|In the beginning], {who} has {v} {items}.
    {who} [has|owns] {v} {items} [at first|to begin with|at the start].
    {who} [begins|starts] with {v} {items}.
    There are {v} {items} [at {who's} home|in {who's} house].
    The number of {items} {who} has [at first|at the start|to begin with] is {v}.
    {who} [starts|begins] [the day|the week] with {v} {items}.
    [At home|In the house], {who} has {v} {items}[| at first| to begin with].
    {who} counts {v} {items} at [home|the start].
    {who} has [a set|a pile|a stock] of {v} {items}.
    """,
    vague="""
    {who} has [some|a few|several|a number of] {items}.
    {who} [begins|starts] with [some|a few|several] {items}.
    [At first|At the start], {who} [has|owns] [some|several|a few] {items}.
    {who} has [some|several] {items} [at first|at the start|to begin with].
    There are [some|several] {items} [at {who's} home|in {who's} house].
    """,
    asks="""
    How many {items} does {who} have[| at first| at the start| to begin with]?
    How many {items} does {who} [own|start with|begin with]?
    How many {items} belong to {who}?
    """,
)

kind(
    "gets",
    "the number of {items} {who} gets",
    "{items}",
    implied=False,
    says="""
    {who} [gets|receives|is given] {v} more {items}[| later| from a friend| as a gift].
    [Later|Then|After that], {who} [gets|receives|finds] {v} more {items}.
    A [friend|neighbour|cousin] gives {who} {v} more {items}.
    {who} is given {v} more {items}[| by a friend| by a cousin| by a neighbour].
    {who} [receives|gets] another {v} {items}[| later].
    The number of {items} {who} gets [later|as a gift|from a friend] is {v}.
    [A friend|A cousin|A neighbour] [brings|hands] {who} another {v} {items}.
    [Later|After that|Then], a [friend|cousin] gives {who} {v} more {items}.
    There are {v} more {items} that {who} [gets|receives] [later|as a gift].
    """,
    vague="""
    {who} [gets|receives|is given] [some|a few|several] more {items}[| later].
    [Later|Then], {who} [gets|receives|finds] [some|several|a few] more {items}.
    A [friend|cousin|neighbour] gives {who} [some|a few|several] more {items}.
    {who} [finds|gets] [some|a few] more {items} [later|as a gift].
    {who} [gets|is given] a number of {items} from a friend.
    """,
    asks="""
    How many [more|] {items} does {who} get[| later]?
    How many {items} does {who} receive?
    How many more {items} is {who} given?
    """,
)

kind(
    "gives_away",
    "the number of {items} {who} gives away",
    "{items}",
    implied=False,
    says="""
    {who} [gives away|hands out] {v} [of the|] {items}[| later].
    {who} gives {v} {items} to [a friend|a neighbour|a cousin|the school].
    [Later|Then|After that], {who} gives away {v} {items}.
    [Then|Later], {who} gives {v} of the {items} away.
    {who} [hands|gives] {v} of the {items} to [a friend|a cousin|a neighbour].
    The number of {items} {who} gives away is {v}.
    [A friend|A cousin|A neighbour] [gets|receives] {v} {items} from {who}.
    {who} [decides|wants] to give away {v} {items}.
    {v} of the {items} are given away by {who}.
    """,
    vague="""
    {who} [gives away|hands out] [some|a few|several] of the {items}.
    {who} gives [some|a few|several] {items} to [a friend|a neighbour|a cousin].
    [Later|Then|After that], {who} gives away [some|several|a few] {items}.
    {who} [decides|wants] to give away [some|a few|several] {items}.
    A friend [gets|receives] [some|a number of] {items} from {who}.
    """,
    asks="""
    How many {items} does {who} give away?
    How many {items} does {who} [hand out|give to others]?
    How many of the {items} are given away?
    """,
)

kind(
    "uses",
    "the number of {items} {who} uses",
    "{items}",
    implied=False,
    says="""
    {who} uses [up|] {v} [of the|] {items}[| today| this week].
    [Today|This week|Later], {who} uses {v} {items}.
    {v} of the {items} are used by {who}.
    {who} [needs|wants] {v} {items} and uses them.
    {who} takes {v} {items} and uses them[| up].
    The number of {items} {who} uses [today|this week|] is {v}.
    {who} [goes on|starts] to use {v} of the {items}.
    [Later|Today|This week], {v} of the {items} are used[| up] by {who}.
    """,
    vague="""
    {who} uses [some|a few|several] of the {items}.
    [Today|This week|Later], {who} uses [some|several|a few] {items}.
    [Some|Several|A few] of the {items} are used by {who}.
    {who} takes [some|a few|several] {items} and uses them.
    """,
    asks="""
    How many {items} does {who} use?
    How many of the {items} are used?
    How many {items} does {who} use up?
    """,
)

kind(
    "makes",
    "the number of {items} {who} makes",
    "{items}",
    says="""
    {who} [makes|prepares] {v} {items}[| today| for a party| for a school fair].
    [Today|This week|On Monday], {v} {items} are [made|prepared] by {who}.
    {who} [wants|plans|decides] to make {v} {items}[| for a party| today].
    {who} [plans|would like] to prepare {v} {items} for [a party|a school fair].
    The number of {items} {who} makes is {v}.
    For [a party|a school fair|a friend], {who} [makes|prepares] {v} {items}.
    {who} [is making|is preparing] {v} {items}[| today| for a party].
    [Today|This week|On Monday], {who} [makes|prepares] {v} {items}.
    There are {v} {items} that {who} [makes|has to make|wants to make].
    """,
    vague="""
    {who} [makes|prepares] [some|a few|several] {items}[| for a party].
    [Today|This week], {who} [makes|prepares] [some|several|a few] {items}.
    {who} [wants|plans|decides] to make [some|a few|several|a number of] {items}.
    {who} is [making|preparing] [some|several] {items} for a party.
    """,
    asks="""
    How many {items} does {who} make?
    How many {items} does {who} [want to make|prepare]?
    How many {items} are made by {who}?
    """,
)

kind(
    "spoiled",
    "the number of bad {items}",
    "{items}",
    implied=False,
    says="""
    {v} of the {items} are [bad|damaged] and [have to be|must be] thrown away.
    [Sadly|Later], {v} {items} turn out to be [bad|damaged].
    {v} of the {items} [are damaged and cannot be used|are bad|are thrown away].
    [Later|Sadly], {v} of the {items} have to be thrown away.
    The number of [bad|damaged] {items} is {v}.
    There are {v} [bad|damaged] {items} [among them|to throw away].
    [Somebody|A worker] [finds|counts] {v} [bad|damaged] {items} among them.
    [Somebody|A worker] has to throw away {v} [bad|damaged] {items}.
    [Sadly|It turns out that] {v} of the {items} cannot be used.
    """,
    vague="""
    [Some|A few|Several] of the {items} are [bad|damaged].
    [Sadly|Later], [some|several|a few] {items} turn out to be [bad|damaged].
    [Somebody|A worker] has to throw [some|several|a few] {items} away.
    [Somebody|A worker] has to throw away [some|a few|several] {items}.
    """,
    asks="""
    How many {items} are [bad|damaged]?
    How many [bad|damaged] {items} are there?
    How many of the {items} [cannot be used|are thrown away]?
    """,
)

kind(
    "pours",
    "the number of {items}",
    "{items}",
    implied=False,
    says="""
    {who} [pours|puts] {v} {items} into a [big|large] [bowl|pot].
    {who} [takes|uses] {v} {items} for the drink.
    The drink [needs|takes|gets] {v} {items}.
    {v} {items} [go|are put] into the [bowl|pot].
    The number of {items} is {v}.
    There are {v} {items} in the [drink|bowl|pot].
    For the drink, {who} [takes|uses] {v} {items}.
    Into the [bowl|pot], {who} [pours|puts] {v} {items}.
    """,
    vague="""
    {who} [pours|puts] some {items} into a [big|large] [bowl|pot].
    {who} [takes|uses] [some|a few|several] {items} for the drink.
    For the drink, {who} [takes|uses] [some|several] {items}.
    There are [some|a few|several] {items} in the [drink|bowl|pot].
    """,
    asks="""
    How many {items} does {who} [pour|use|take]?
    How many {items} are there?
    How many {items} are in the [drink|bowl|pot]?
    """,
)
