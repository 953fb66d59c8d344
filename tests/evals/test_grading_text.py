"""Multiple choice, short answers and texts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.grading import grade
from evals.grading.choice import grade_choice
from evals.grading.text import bleu_collab, corpus_scores, grade_short, grade_text
from tests.evals.hand_made import played, row

OPTIONS = ["Paris", "Rome", "Oslo", "Bonn"]


@pytest.mark.parametrize(
    "final",
    [
        "\\boxed{B}",
        "\\boxed{\\text{B}}",
        "\\boxed{(B) Rome}",
        "\\boxed{Rome}",
        "The answer is (B).",
        "The answer is B",
        "the answer is **B**.",
        "The answer is B: Rome",
        "Answer: B",
        "Answer: option B",
        "B",
        "(B)",
        "b.",
        "Is it A?</think>The answer is (B).",
        "The answer is (A). Wait. The answer is (B).",
    ],
)
def test_a_chosen_letter_is_read(final):
    assert grade_choice(final, "B", OPTIONS).verdict == "correct"


@pytest.mark.parametrize(
    "final",
    ["", "A good question.", "I cannot say.", "The answer is E.", "The answer is Berlin", "The answer is (B)</think>"],
)
def test_a_letter_in_a_sentence_is_no_choice(final):
    assert grade_choice(final, "B", OPTIONS).verdict == "unparsed"


def test_another_letter_is_wrong():
    assert grade_choice("The answer is (C).", "B", OPTIONS).verdict == "wrong"


def test_a_short_answer_may_be_any_alias_without_articles_and_points():
    accepted = ["The Beatles", "Beatles"]
    assert grade_short("the beatles.", accepted).verdict == "correct"
    assert grade_short("The answer is The Beatles.", accepted).verdict == "correct"
    near = grade_short("The answer is Beatles band", accepted)
    assert (near.verdict, near.score) == ("wrong", 0.0)
    assert near.detail["f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert grade_short("One thought.\nAnother thought.", accepted).verdict == "unparsed"
    assert grade_short("the", accepted).verdict == "unparsed"


def test_a_text_scores_by_its_likeness_and_is_right_only_when_equal():
    reference = "The cat sat on the mat."
    assert grade_text("reasoning</think>\nThe cat  sat on the mat.", reference).verdict == "correct"
    near, far = grade_text("The cat sat on a mat.", reference), grade_text("Stocks fell sharply today.", reference)
    assert near.verdict == far.verdict == "wrong"
    assert 1 > near.score > far.score >= 0
    assert grade_text("only reasoning</think>", reference).verdict == "unparsed"


def test_corpus_scores_carry_their_signatures():
    hypotheses, references = ["the cat sat on the mat", "a dog"], ["the cat sat on a mat", "the dog"]
    found = corpus_scores(hypotheses, references)
    assert "version:2" in found["bleu_signature"]
    assert "tok:13a" in found["bleu_signature"]
    assert 0 < found["bleu"] < 100
    assert 0 < found["chrf"] < 100
    assert found["length_ratio"] == 1
    assert corpus_scores(references, references)["bleu"] == pytest.approx(100)
    assert corpus_scores([], []) == {}


def test_the_papers_bleu_is_of_characters_and_flatters():
    mine, reference = "The report was written in May by two authors.", "Two writers finished this report last May."
    collab = 100 * bleu_collab(mine, reference)
    assert collab > 3 * corpus_scores([mine], [reference])["bleu"]
    # By hand, two texts of four characters that share three in a row: precisions 3/4, 2/3, 1/2, and none of four.
    assert bleu_collab("abcde", "abcdx") == pytest.approx(
        math.exp(sum(map(math.log, (4 / 5, 3 / 4, 2 / 3, 1 / 2))) / 4)
    )
    assert bleu_collab("", "abc") == 0


@given(st.text(max_size=60), st.text(min_size=1, max_size=60))
def test_any_text_is_graded_without_an_error(final, reference):
    for found in (grade_text(final, reference), grade_choice(final, "A", OPTIONS), grade_short(final, [reference])):
        assert 0 <= found.score <= 1


def test_the_row_says_how_it_is_graded():
    def of(grader, gold, **extra):
        return replace(row(0), grader=grader, gold=gold, extra=extra)

    def verdict(problem, final):
        return grade(problem, replace(played(problem).transcript, final=final)).verdict

    assert verdict(of("choice", "B", options=OPTIONS), "Answer: B") == "correct"
    assert verdict(of("text", "Paris", aliases=["City of Light"]), "city of light") == "correct"
    assert verdict(of("text", "Paris is big."), "Paris is big.") == "correct"
