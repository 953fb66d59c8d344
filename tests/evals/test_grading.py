"""Grading: a table of pairs, with the ones that once went wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.grading import extract_answer, is_correct, last_boxed, number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a</think>\nThe answer is \\boxed{28}.", "28"),
        ("</think>\\boxed{1} or rather \\boxed{2}", "2"),
        ("</think>\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("</think>\\boxed {28}", "28"),
        ("</think>\\boxed{ 28 }", "28"),
        ("</think>\\boxed{}", ""),
        ("</think>\\boxed{\\{1\\}}", "\\{1\\}"),
        ("</think>\\boxed{3} and \\boxed{4", "3"),
        ("</think>\\boxed{3} and \\boxed 4", "3"),
        ("I think \\boxed{5}</think>The answer is 5.", None),
        ("I think \\boxed{5}", None),
        ("\\boxed{5}", None),
        ("</think>28", None),
        ("</think>", None),
        ("", None),
        ("<think>a</think>\\boxed{1}</think>\\boxed{2}", "2"),
        ("<think>a</think>\\boxed{1}</think>none", None),
    ],
)
def test_extract_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("28", "28"),
        ("28.", "28"),
        ("28.0", "28"),
        (" 28 ", "28"),
        ("+28", "28"),
        ("-3", "-3"),
        ("−3", "-3"),
        ("28 dollars", "28"),
        ("28dollars", "28"),
        ("$28", "28"),
        ("\\$28", "28"),
        ("28\\text{ dollars}", "28"),
        ("28\\,\\mathrm{km}", "28"),
        ("192 square metres", "192"),
        ("60 km/h", "60"),
        ("5 m^2", "5"),
        ("90°", "90"),
        ("1,000", "1000"),
        ("1{,}000", "1000"),
        ("12,345,678", "12345678"),
        ("0.25", "1/4"),
        (".5", "1/2"),
        ("2/4", "1/2"),
        ("\\frac{2}{4}", "1/2"),
        ("\\dfrac{1}{2}", "0.5"),
        ("-\\frac{1}{2}", "-0.5"),
        ("50%", "0.5"),
        ("50\\%", "1/2"),
        ("x", "X"),
        ("Monday", "monday"),
        ("007", "7"),
    ],
)
def test_equal_answers(answer, gold):
    assert is_correct(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (None, "28"),
        ("", "28"),
        ("  ", ""),
        ("dollars", "28"),
        ("29", "28"),
        ("-28", "28"),
        ("280", "28"),
        ("2 8", "28"),
        ("28 or 29", "28"),
        ("28 dollars and 4 pens", "28"),
        ("4 * 7", "28"),
        ("4+24", "28"),
        ("28x", "29"),
        ("1/0", "1"),
        ("1,00", "100"),
        ("1.000.000", "1000000"),
        ("28", "twenty-eight"),
        ("__import__('os')", "28"),
        ("9" * 5000, "28"),
        ("0.3333", "1/3"),
    ],
)
def test_different_answers(answer, gold):
    assert not is_correct(answer, gold)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["", " dollars", ".", ".0", " km per hour"]))
def test_an_integer_equals_itself_however_written(value, tail):
    assert is_correct(f"{value}{tail}", str(value))
    assert is_correct(f"{value:,}", str(value))
    assert not is_correct(f"{value + 1}{tail}", str(value))


@given(st.text(max_size=200))
def test_any_text_is_graded_without_an_error(text):
    number(text)
    last_boxed(text)
    extract_answer("</think>" + text)
    assert is_correct(text, "28") in (True, False)


@given(st.text(alphabet="\\boxed{}1 2/", max_size=60))
def test_boxes_of_any_shape_are_read(text):
    last_boxed(text)
