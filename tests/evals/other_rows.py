"""Rows in the manner of external data sets, written for these tests: a full text and one that lacks a premise."""

from __future__ import annotations

from evals.rows import Row
from evals.simulators.spans import facts_of

_PAIRS = (
    # row_id, full, shown, gold
    (
        "bakery",
        "Nora runs a bakery. She bakes 4 trays of rolls each morning. Each tray holds 18 rolls. "
        "How many rolls does she bake in 5 mornings?",
        "Nora runs a bakery. She bakes 4 trays of rolls each morning. How many rolls does she bake in 5 mornings?",
        "360",
    ),
    (
        "ferry",
        "A ferry makes 6 trips a day, and forty passengers ride on each trip. A ticket costs $3.50. "
        "How much money does the ferry take in a day?",
        "A ferry makes 6 trips a day, and many passengers ride on each trip. A ticket costs $3.50. "
        "How much money does the ferry take in a day?",
        "840",
    ),
    (
        "fence",
        "Omar paints a fence that is 48 metres long. He paints 1.5 metres in a minute. He rests for 12 minutes in between. "
        "How many minutes does it take until he is done?",
        "Omar paints a fence that is 48 metres long. He rests for 12 minutes in between. "
        "How many minutes does it take until he is done?",
        "44",
    ),
    (
        "library",
        "The library lends 75% of its 1,200 books to schools. The other books stay on the shelves. How many books stay?",
        "The library lends some of its 1,200 books to schools. The other books stay on the shelves. How many books stay?",
        "300",
    ),
)


def row(row_id: str, full: str, shown: str, gold: str) -> Row:
    return Row(f"made/{row_id}", f"made/{row_id}", "made", shown, full, facts_of(full, shown), gold)


ROWS = tuple(row(*pair) for pair in _PAIRS)
BY_ID = {row.row_id.removeprefix("made/"): row for row in ROWS}
