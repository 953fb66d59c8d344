"""Choices that a question spells out itself; wrong ones are worse than none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pir_serve.ask_tools.choices import offered


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which unit do you want: metric or imperial?", "metric|imperial"),
        ("The price is missing. Which one applies: list, net or gross?", "list|net|gross"),
        ("Metric or imperial?", "Metric|imperial"),
        ("Monday, Tuesday, or Wednesday?", "Monday|Tuesday|Wednesday"),
        ("Which do you prefer, tea or coffee?", "tea|coffee"),
        ("Which is it — weekly or monthly?", "weekly|monthly"),
        ("Is the price per kilogram or per pound?", "per kilogram|per pound"),
        ("When you leave, do you take the bus or the train?", "the bus|the train"),
        ("Which one: (a) the red pen, (b) the blue pen or (c) something else?", "the red pen|the blue pen"),
        ("Pick one: 1) metric 2) imperial 3) other", "metric|imperial"),
        ("Which one?\n1. Weekly\n2. Monthly", "Weekly|Monthly"),
        ("Which one?\n\n  - Weekly,\n  - Monthly;\n  - Yearly.\nPlease say.", "Weekly|Monthly|Yearly"),
        ("哪一个？\n1. 周一\n2. 周二", "周一|周二"),
    ],
)
def test_choices_that_are_spelt_out_are_found(question: str, choices: str) -> None:
    assert offered(question) == tuple(choices.split("|"))


@pytest.mark.parametrize(
    "question",
    [
        "",
        "How many litres were spilled?",
        "Is the tank full?",
        "Is the tank full or not?",
        "Did Tom or Ann buy it?",
        "What did Tom, Ann or Bob buy?",
        "Do you want metric or imperial units?",
        "Did she buy 3 or 4 pens?",
        "How many are there, more or less?",
        "Should we go by bus, by car or by train?",
        "Are the two sides equal, or is one longer?",
        "Which is heavier: Tom, Ann, or did you mean something else?",
        "What is the radius (in cm or m)?",
        "You may take tea or coffee. How many cups?",
        "Tea or tea?",
        "Tea or something else?",
        "Please clarify:\n1. How many pens?\n2. What price?",
        "1. How many?\n2. Which colour?",
        "Which?\n1. a\n2. b\n3. c\n4. d\n5. e",
        "Which?\n1. a\n3. b",
        "Which?\n1. a\nand\n2. b",
        "Which?\n1. " + "a" * 61 + "\n2. b",
    ],
)
def test_where_they_are_not_there_are_none(question: str) -> None:
    assert offered(question) == ()


@given(st.one_of(st.text(), st.text("ab or,:?()1.2\n-")))
def test_any_text_gives_no_choices_or_two_to_four_distinct_ones(question: str) -> None:
    choices = offered(question)
    assert len(choices) in (0, 2, 3, 4)
    assert len(set(choices)) == len(choices)
    assert all(choice == choice.strip() and choice for choice in choices)
    assert all(choice in question for choice in choices)


@pytest.mark.parametrize("part", ["a or ", ", ", "(a) ", " ", " ,;", "1. x\n", "per x or ", ": ", "? "])
def test_a_hostile_question_costs_little(part: str) -> None:
    start = time.process_time()
    offered("Which: " + part * (2_000 // len(part)) + "?")
    offered(part * 100_000)
    offered("Which: (a) x" + part * 30_000 + "y")
    assert time.process_time() - start < 0.5
