"""Numbers that can be read in two ways; which reading is meant is a fact of its own.

When it is hidden the number stays in view: "The 4 pens cost 12 dollars." Both readings share the vague
sentences, the question and the first words of the reasoning line, so that the line is where they part.
"""

from evals.problems.kinds import kind

_COST_VAGUE = """
The {n} {items} cost {v} dollars.
{who} pays {v} dollars for the {items}.
The price is {v} dollars.
The price for the {items} is {v} dollars.
The shop asks {v} dollars for the {items}.
"""
_COST_ASKS = """
Are the {v} dollars for [one|each] {item} or for all the {items}?
Is it {v} dollars for [each|one] {item} or for all of them?
Is {v} dollars the price of one {item} or of all the {items}?
Do the {items} cost {v} dollars each or in all?
Does {who} pay {v} dollars for each {item} or for all of them?
"""
kind(
    "cost_each",
    "what the {v} dollars are for",
    "each",
    reading=True,
    line="The {v} dollars are for one {item}.",
    says="""
    {who} pays {v} dollars for the {items}, and [that|this] is for [each one|each {item}|one {item}].
    The price for the {items} is {v} dollars, for [each one|one {item}|each {item}].
    {who} pays {v} dollars for the {items}, not for all of them but for each.
    The price for the {items} is {v} dollars, and [that|this] is for [each one|each {item}].
    The shop asks {v} dollars for the {items}, [for each one|for one {item}|for each {item}].
    For the {items}, {who} pays {v} dollars, and [that|this] is for [each one|one {item}].
    Taken one by one, the {items} cost {v} dollars.
    The {v} dollars for the {items} are the price of [one|each] {item}.
    The shop asks {v} dollars for the {items}, not for all of them but for each.
    """,
    vague=_COST_VAGUE,
    asks=_COST_ASKS,
    replies="""
    For [each|one] {item}.
    Each.
    It is {v} dollars for [each|one] {item}.
    That is for each one.
    The {v} dollars are for [each|one] {item}.
    For each one, not for all of them.
    """,
)
kind(
    "cost_all",
    "what the {v} dollars are for",
    "in all",
    reading=True,
    line="The {v} dollars are for all the {items}.",
    says="""
    {who} pays {v} dollars for the {items}, and [that|this] is for [all of them|all the {items}].
    The price for the {items} is {v} dollars, for [all of them|all the {items}].
    {who} pays {v} dollars for the {items}, not for each but for all of them.
    The price for the {items} is {v} dollars, and [that|this] is for [all of them|all the {items}].
    The shop asks {v} dollars for the {items}, [for all of them|for all the {items}|for all together].
    For the {items}, {who} pays {v} dollars, and [that|this] is for [all of them|all the {items}].
    Taken together, the {items} cost {v} dollars.
    The {v} dollars for the {items} are the price of [all of them|all the {items}].
    The shop asks {v} dollars for the {items}, not for each but for all of them.
    """,
    vague=_COST_VAGUE,
    asks=_COST_ASKS,
    replies="""
    For all the {items}.
    In all.
    It is {v} dollars for all [of them|the {items}].
    That is for all of them.
    The {v} dollars are for all the {items}.
    For all of them, not for each one.
    """,
)

_WORK_VAGUE = """
{who} works for {v}[| this time].
{who} [plans|decides] to work for {v}.
[Today|This week|This month], {who} works for {v}.
This time, {who} works for {v}.
"""
_WORK_ASKS = """
Does {who} work for {v} hours or {v} days?
Is it {v} hours or {v} days that {who} works?
Are the {v} hours or days?
Do you mean {v} hours or {v} days?
Does {who} work {v} hours or {v} days?
Is the time {who} works {v} hours or {v} days?
"""
for _unit, _other in (("hours", "days"), ("days", "hours")):
    kind(
        f"work_{_unit}",
        "the unit of the {v} that {who} works",
        _unit,
        reading=True,
        line="The time {who} works is {v} " + _unit + ".",
        says=f"""
        {{who}} works for {{v}} {_unit}.
        {{who}} [plans|decides] to work for {{v}} {_unit}.
        {{who}} works for {{v}} [full|whole] {_unit}[| this month| this time].
        This time, {{who}} works for {{v}} {_unit}.
        [This week|This month], {{who}} works for {{v}} {_unit}.
        The time {{who}} works is {{v}} {_unit}.
        {{who}} is at work for {{v}} {_unit}[| this month| this week].
        This time, {{who}} is at work for {{v}} [whole|full|] {_unit}.
        For {{v}} {_unit}, {{who}} works at [a shop|a farm|a cafe|an office].
        """.replace("whole|full|] ", "whole|full] "),
        vague=_WORK_VAGUE,
        asks=_WORK_ASKS,
        replies=f"""
        {_unit.capitalize()}.
        {{v}} {_unit}.
        It is {{v}} {_unit}.
        I mean {{v}} {_unit}.
        {{v}} {_unit}, not {_other}.
        {{who}} works for {{v}} {_unit}.
        """,
    )

_TASK_VAGUE = """
{who} spends {v} on {thing}.
{who} [needs|plans|takes] {v} for {thing}.
[Today|On Monday], {who} spends {v} on {thing}.
On {thing}, {who} spends {v}.
"""
_TASK_ASKS = """
Does {who} spend {v} minutes or {v} hours on {thing}?
Is it {v} minutes or {v} hours for {thing}?
Are the {v} for {thing} minutes or hours?
Do you mean {v} minutes or {v} hours[| for {thing}]?
Is the time for {thing} {v} minutes or {v} hours?
"""
for _unit, _other in (("minutes", "hours"), ("hours", "minutes")):
    kind(
        f"spends_{_unit}",
        "the unit of the {v} for {thing}",
        _unit,
        reading=True,
        line="The time for {thing} is {v} " + _unit + ".",
        says=f"""
        {{who}} [also|] spends {{v}} {_unit} on {{thing}}[| today].
        {{who}} [needs|plans|takes] {{v}} {_unit} for {{thing}}[| today].
        [Today|On Monday], {{who}} spends {{v}} {_unit} on {{thing}}.
        On {{thing}}, {{who}} spends {{v}} {_unit}.
        The time [needed|] for {{thing}} is {{v}} {_unit}.
        {{who}} plans {{v}} {_unit} for {{thing}}.
        For {{thing}}, {{who}} [needs|plans|takes] {{v}} {_unit}[| today].
        {{v}} {_unit} are needed for {{thing}}.
        """,
        vague=_TASK_VAGUE,
        asks=_TASK_ASKS,
        replies=f"""
        {_unit.capitalize()}.
        {{v}} {_unit}.
        It is {{v}} {_unit}.
        I mean {{v}} {_unit}.
        {{v}} {_unit}, not {_other}.
        {{who}} spends {{v}} {_unit} on {{thing}}.
        """,
    )

_RATE_VAGUE = """
{who} {acts} {v} {items} [again and again|regularly].
{who's} plan is to {act} {v} {items} [again and again|regularly].
[Again and again|Regularly], {who} {acts} {v} {items}.
[Regularly|Again and again], {who's} plan is to {act} {v} {items}.
"""
_RATE_ASKS = """
Does {who} {act} {v} {items} a day or a week?
Is it {v} {items} a day or a week?
Are the {v} {items} for one day or for one week?
Do you mean {v} {items} each day or each week?
Is it each day or each week that {who} {acts} {v} {items}?
Does {who} {act} {v} {items} each day or each week?
"""
for _unit, _other in (("day", "week"), ("week", "day")):
    kind(
        f"each_{_unit}",
        "the period in which {who} {acts} {v} {items}",
        f"each {_unit}",
        reading=True,
        line="The {v} {items} are for one " + _unit + ".",
        says=f"""
        {{who}} regularly {{acts}} {{v}} {{items}} [each|every|a] {_unit}.
        {{who's}} plan is to {{act}} {{v}} {{items}} [each|every|a] {_unit}, again and again.
        Regularly, {{who}} {{acts}} {{v}} {{items}} [each|every|a] {_unit}.
        {{who's}} plan is to {{act}} {{v}} {{items}} regularly [each|every] {_unit}.
        [Each|Every] {_unit}, {{who}} {{acts}} {{v}} {{items}} again[| and again].
        [Each|Every] {_unit}, {{who}} regularly {{acts}} {{v}} {{items}}.
        {{who}} {{acts}} {{v}} {{items}} regularly, and that is [each|every] {_unit}.
        Again and again, {{who}} {{acts}} {{v}} {{items}}, and that is [each|every] {_unit}.
        """,
        vague=_RATE_VAGUE,
        asks=_RATE_ASKS,
        replies=f"""
        [Each|Every] {_unit}.
        A {_unit}.
        It is {{v}} {{items}} [a|each|every] {_unit}.
        I mean {{v}} {{items}} [a|each|every] {_unit}.
        The {{v}} {{items}} are for one {_unit}.
        [A|Each] {_unit}, not [a|each] {_other}.
        """,
    )

_SPAN_VAGUE = """
{who} {acts} {v} {items} on these days.
On these days, {who} {acts} {v} {items}.
In this time, {who} {acts} {v} {items}.
{who} {acts} {v} {items} in this time.
"""
_SPAN_ASKS = """
Does {who} {act} {v} {items} each day or in all?
Is it {v} {items} each day or in all?
Are the {v} {items} for each day or for all the days?
Do you mean {v} {items} a day or in all?
Does {who} {act} {v} {items} a day or on all the days?
Is it {v} {items} for one day or for all the days?
"""
for _name, _unit, _end, _line in (
    ("span_each", "each", "[on each day|each day|every day]", "one day"),
    ("span_all", "in all", "[in all|in total]", "all the days"),
):
    kind(
        _name,
        "the days in which {who} {acts} {v} {items}",
        _unit,
        reading=True,
        line="The {v} {items} are for " + _line + ".",
        says=f"""
        On these days, {{who}} {{acts}} {{v}} {{items}} {_end}.
        In this time, {{who}} {{acts}} {{v}} {{items}} {_end}.
        {{who}} {{acts}} {{v}} {{items}} {_end} [in this time|in these days].
        {{who}} {{acts}} {{v}} {{items}} {_end} on these days.
        On these days, {{who}} {{acts}} {{v}} {{items}}, and [that|this] is {_end}.
        The {{items}} {{who}} {{acts}} on these days are {{v}} {_end}.
        In this time, {{who}} {{acts}} {{v}} {{items}}, and [that|this] is {_end}.
        The {{items}} {{who}} {{acts}} in this time are {{v}} {_end}.
        """,
        vague=_SPAN_VAGUE,
        asks=_SPAN_ASKS,
        replies=f"""
        {_end.replace("[on each day|", "[For each day|").replace("[in all|", "[In all|")}.
        For {_line}.
        It is {{v}} {{items}} {_end}.
        That is for {_line}.
        The {{v}} {{items}} are for {_line}.
        {{who}} {{acts}} {{v}} {{items}} {_end}.
        """,
    )

_GIVE_VAGUE = """
{who} gives {v} {items} to the {people}.
The {people} [get|receive] {v} {items} from {who}.
{who} [hands|gives] the {people} {v} {items}.
The {people} are given {v} {items} by {who}.
"""
_GIVE_ASKS = """
Are the {v} {items} for each of the {people} or for all of them?
Is it {v} {items} for each or for all the {people}?
Do the {people} get {v} {items} each or in all?
Does {who} give {v} {items} to each of the {people} or in all?
Do you mean {v} {items} for each of the {people} or for all?
Does each of the {people} get {v} {items}, or all of them together?
"""
for _name, _unit, _end, _line in (
    ("give_each", "each", "[each|apiece]", "each of the {people}"),
    ("give_all", "in all", "[in all|in total|altogether]", "all the {people}"),
):
    kind(
        _name,
        "who the {v} {items} are for",
        _unit,
        reading=True,
        line="The {v} {items} are for " + _line + ".",
        says=f"""
        The {{people}} [get|receive] {{v}} {{items}} {_end} from {{who}}.
        {{who}} gives the {{people}} {{v}} {{items}} {_end}.
        {{who}} [gives|hands out] {{v}} {{items}} to the {{people}}, and that is for {_line}.
        The {{people}} are given {{v}} {{items}} {_end} by {{who}}.
        The {{people}} [get|receive] {{v}} {{items}} from {{who}}, and [that|this] is {_end}.
        {{who}} hands the {{people}} {{v}} {{items}} {_end}.
        {{who}} [gives|hands out] {{v}} {{items}}, and that is for {_line}.
        The {{people}} are given {{v}} {{items}} by {{who}}, and that is for {_line}.
        """,
        vague=_GIVE_VAGUE,
        asks=_GIVE_ASKS,
        replies=f"""
        For {_line}.
        {"Each." if _unit == "each" else "In all."}
        It is {{v}} {{items}} for {_line}.
        That is for {_line}.
        The {{v}} {{items}} are for {_line}.
        The {{people}} get {{v}} {{items}} {_end}.
        """,
    )
