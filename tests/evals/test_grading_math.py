"""Mathematics as evaluation grades it: math-verify in processes that can be killed, and the official grader beside it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from evals.grading import GradingOptions, grade, stated_answer
from evals.grading.math import grade_math
from evals.grading.pool import WorkerPool
from tests.evals.hand_made import failed, played, row, turn


@pytest.mark.parametrize(
    ("final", "answer"),
    [
        ("The answer is \\boxed{28}.", "28"),
        ("Let me think</think>\nSo \\boxed{28}", "28"),
        ("\\boxed{1}</think>The answer is 2.", "2"),
        ("The answer is 42.", "42"),
        ("The answer is 4.2. It was hard.", "4.2"),
        ("The answer is: **$42$**", "42"),
        ("Answer: 42\nThe answer is 43", "43"),
        ("work\n#### 42", "42"),
        ("<think>I was cut off in \\boxed{3}", None),
        ("It cannot be told: nobody says what the 5 pens cost.", None),
        ("We need the answer to that. 5 pens.", None),
        ("42", None),
        ("", None),
    ],
)
def test_the_answer_that_a_reply_gives(final, answer):
    assert stated_answer(final) == answer


RIGHT = [
    ("2/4", "1/2"),
    ("\\frac{2}{4}", "\\frac{1}{2}"),
    ("2^{10}", "1024"),
    ("\\{2, 1\\}", "\\{1, 2\\}"),
    ("2, 1", "1, 2"),
    ("1.5 \\times 10^3", "1500"),
    ("1.5e3", "1500"),
    ("\\sqrt{8}", "2\\sqrt{2}"),
    ("x + 1", "1 + x"),
    ("x = 5", "5"),
    ("3\\frac{1}{2}", "3.5"),
    ("50\\%", "0.5"),
    ("50\\%", "50"),
    ("90^\\circ", "90"),
    ("10^{-3}", "0.001"),
]
WRONG = [
    ("70 \\text{ or } 71", "70"),
    ("28 or 29", "28"),
    ("4210_5", "4210"),
    ("1.5e3", "1.5"),
    ("1e9999", "1"),
    ("(1, 2)", "(2, 1)"),
    ("\\pm 5", "5"),
    ("28 pens and 3 caps", "28"),
    ("I do not know", "28"),
    ("\\pi", "3.14"),
    ("0.3333", "1/3"),
    ("[0, 1)", "[0, 1]"),
    ("__import__('os').system('true')", "0"),
    ("a" * 100_000, "28"),
]


@pytest.mark.parametrize(("answer", "gold"), RIGHT)
def test_equal_values_are_right(answer, gold):
    assert grade_math(f"\\boxed{{{answer}}}", gold).verdict == "correct"


@pytest.mark.parametrize(("answer", "gold"), WRONG)
def test_other_values_are_wrong(answer, gold):
    found = grade_math(f"\\boxed{{{answer}}}", gold)
    assert (found.verdict, found.score) == ("wrong", 0.0)


def test_of_several_boxes_the_last_counts():
    assert grade_math("\\boxed{28} no, \\boxed{2^3}", "8").verdict == "correct"
    assert grade_math("\\boxed{2^3} no, \\boxed{28}", "8").verdict == "wrong"


def test_no_answer_is_unparsed_and_scores_nothing():
    for final in ("No idea.", "", "\\boxed{}", "<think>\\boxed{28}"):
        found = grade_math(final, "28")
        assert (found.verdict, found.score) == ("unparsed", 0.0)


@pytest.mark.parametrize("answer", ["9^{9^{9^{9}}}", "100000000!"])
def test_an_endless_comparison_is_killed_and_the_next_one_works(answer):
    begun = time.monotonic()
    found = grade_math(f"\\boxed{{{answer}}}", "28", timeout_s=0.5)
    assert (found.verdict, found.score) == ("timeout", 0.0)
    assert time.monotonic() - begun < 30  # a worker may have had to start
    assert grade_math("\\boxed{2^{10}}", "1024", timeout_s=30).verdict == "correct"


def test_threads_may_grade_at_once():
    found: dict[int, str] = {}

    def one(number: int) -> None:
        found[number] = grade_math(f"\\boxed{{{number} + x}}", f"x + {number - number % 2}", timeout_s=60).verdict

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: "wrong" if number % 2 else "correct" for number in range(8)}


def test_a_closed_pool_leaves_no_process_and_starts_again():
    before = {child.pid for child in psutil.Process().children()}
    pool = WorkerPool(3)
    question = {"by": "value", "gold": "1"}
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(pool.ask, question | {"answer": f"x + {number}"}, 30.0) for number in range(3)]
        assert [future.result()["equal"] for future in asked] == [False] * 3
    started = {child.pid for child in psutil.Process().children()} - before
    assert len(started) >= 2
    pool.close()
    assert not started & {child.pid for child in psutil.Process().children()}
    assert pool.ask(question | {"answer": "1"}, 30.0)["equal"]
    pool.close()


OFFICIAL = [
    # What it accepts
    ("0.25", "1/4", True),
    ("90^\\circ", "90", True),
    ("5 \\text{ meters}", "5", True),
    ("1,000", "1000", True),
    ("x + 1", "1 + x", True),
    ("(1,2)", "(1, 2)", True),
    # What it gets wrong
    ("2/4", "1/2", False),
    ("2^{10}", "1024", False),
    ("25\\%", "0.25", False),
    ("\\{2, 1\\}", "\\{1, 2\\}", False),
    ("70 \\text{ or } 71", "70", True),
]


@pytest.mark.parametrize(("answer", "gold", "right"), OFFICIAL)
def test_the_official_grader_with_its_mistakes(answer, gold, right):
    found = grade_math(f"\\boxed{{{answer}}}", gold, by="official")
    assert (found.verdict == "correct", found.grader) == (right, "math-official/1")


def test_the_official_grader_never_reads_an_answer_without_a_box():
    assert grade_math("The answer is 28.", "28", by="official").verdict == "unparsed"
    assert grade_math("\\fbox{28}", "28", by="official").verdict == "correct"


def test_both_graders_disagree_in_the_open():
    found = grade_math("\\boxed{2^{10}}", "1024", by="both")
    assert (found.verdict, found.detail["official"]) == ("correct", "wrong")


def test_what_did_not_end_with_an_answer_is_wrong_whatever_it_says():
    of = row(28)
    whole = played(of).transcript
    assert grade(of, whole).is_correct
    for stop in ("length", "turns", "error"):
        assert grade(of, replace(whole, stop=stop)).verdict == "wrong"
    assert grade(of, failed(played(of)).transcript).score == 0


def test_options_choose_the_grader():
    of = replace(row(0), gold="1024")
    transcript = replace(played(of).transcript, final="\\boxed{2^{10}}")
    assert grade(of, transcript).is_correct
    assert not grade(of, transcript, GradingOptions(math="official")).is_correct


def test_coverage_is_the_share_of_hidden_facts_told_even_of_a_conversation_cut_off():
    of = replace(row(0, num_facts=4), grader="coverage", gold="")
    transcript = replace(played(of, "interactive", turn("f1"), turn("f1", "f3"), turn("f9")).transcript, stop="turns")
    found = grade(of, transcript)
    assert (found.score, found.verdict) == (0.5, "wrong")
    clear = replace(row(0, complete=True), grader="coverage", gold="")
    assert grade(clear, played(clear).transcript).score == 1
