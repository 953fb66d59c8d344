"""The checks of user simulators: honest ones pass, and each bad one is caught by the check made for it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from evals.commands.simcheck import simcheck
from evals.problems import generate
from evals.rows import Row, Transcript, Turn
from evals.simulators import PERSONAS, TRAITS, simulator
from evals.simulators.check import check, check_run
from tests.evals.bad_simulators import CAUGHT_BY, Spoilt
from tests.evals.data_files import write
from tests.evals.other_rows import ROWS as OTHER

GENERATED = [Row.of(problem, "pir_builtin") for problem in generate("heldout_families", 12, 3, mode="incomplete")]
MIXED = [*GENERATED, *OTHER]


def _failed(fidelity):
    return {check.name for check in fidelity.checks if not check.passed}


@pytest.mark.parametrize("rows", [GENERATED, OTHER], ids=["generated", "other"])
async def test_the_rule_user_is_reliable_and_every_check_tells(rows):
    fidelity = await check(simulator(), rows)
    assert fidelity.is_reliable
    assert fidelity.stamp == ""
    told = {check.name for check in fidelity.checks if check.value is not None}
    assert told >= {check.name for check in fidelity.checks} - {"over_disclosure"}
    assert ("over_disclosure" in told) == (rows is GENERATED)


@pytest.mark.parametrize("persona", [*PERSONAS, *(f"{trait}=3" for trait in TRAITS)])
async def test_no_persona_of_ours_makes_a_user_unreliable(persona):
    fidelity = await check(simulator(persona=persona), GENERATED)
    assert fidelity.is_reliable, fidelity.stamp


async def test_what_a_persona_does_on_purpose_is_shown_as_such():
    fidelity = await check(simulator(persona="contradict=3"), GENERATED)
    [unfaithful] = [check for check in fidelity.checks if check.name == "unfaithful"]
    assert unfaithful.by_design
    assert unfaithful.value > 0.5


@pytest.mark.parametrize("bad", CAUGHT_BY, ids=lambda bad: bad.__name__)
async def test_a_bad_simulator_is_caught_by_its_check(bad):
    fidelity = await check(bad.over(MIXED), MIXED, timeout_s=0.2, concurrency=100)
    [caught] = [check for check in fidelity.checks if check.name == CAUGHT_BY[bad]]
    assert not caught.passed
    assert caught.examples
    assert not fidelity.is_reliable
    assert fidelity.stamp.startswith("SIMULATOR UNRELIABLE: ")


async def test_the_unspoilt_one_is_caught_by_none():
    assert (await check(Spoilt.over(MIXED), MIXED)).is_reliable


async def test_an_honest_reply_that_holds_the_answer_is_no_leak():
    row = next(row for row in OTHER if row.row_id == "made/bakery")
    same = Row(row.row_id, row.pair_id, "made", row.shown, row.full, row.facts, "18")
    fidelity = await check(simulator(), [same])
    assert next(check for check in fidelity.checks if check.name == "leak").value is None


def _played(row: Row, *turns: Turn, culprit="") -> Transcript:
    stop = "error" if culprit else "answer"
    return Transcript(
        "k", row.row_id, row.pair_id, row.task, "interactive", 0, turns, row.gold, "", stop, culprit=culprit
    )


def _turn(response: str, *disclosed: str) -> Turn:
    return Turn("What is it?", response, "answer" if disclosed else "dont_know", disclosed, 5, 0.1, 0.1)


def test_the_user_of_a_finished_run_is_judged_without_a_call():
    told = [_played(row, _turn(row.hidden[0].text, row.hidden[0].id), _turn("I don't know.")) for row in OTHER]
    assert check_run(OTHER, told, {"name": "rule"}).is_reliable
    leaked = [_played(row, _turn(f"It must be {row.gold}.")) for row in OTHER]
    assert _failed(check_run(OTHER, leaked, {"name": "rule"})) == {"leak", "unfaithful"}
    broken = [_played(row, culprit="simulator") for row in OTHER]
    assert _failed(check_run(OTHER, broken, {"name": "rule"})) == {"format"}
    assert check_run(OTHER, [], {"name": "rule"}).stamp == ""


def _run(*arguments: str):
    return CliRunner().invoke(simcheck, list(arguments))


def test_the_command_checks_and_writes_what_it_found(tmp_path):
    file = tmp_path / "checks" / "simcheck.json"
    result = _run("--rows", "12", "--persona", "typos=1", "-o", str(file))
    assert result.exit_code == 0, result.output
    assert "reliable" in result.stdout
    found = json.loads(file.read_text())
    assert found["user"]["traits"] == "typos=1"
    assert found["is_reliable"] is True
    assert {check["name"] for check in found["checks"]} >= {"leak", "solving", "determinism", "persona_effect"}


def test_the_command_checks_over_other_data(tmp_path):
    result = _run("--tasks", "pir_in3", "--data", str(write(tmp_path, "pir_in3")))
    assert result.exit_code == 0, result.output
    assert "pir_in3" in result.stdout


def test_the_command_fails_for_a_simulator_that_does(tmp_path):
    empty = tmp_path / "transcripts.jsonl"
    empty.write_text("")
    result = _run("--rows", "6", "--user", "replay", "--user-option", f"path={empty}")
    assert result.exit_code == 1
    assert "SIMULATOR UNRELIABLE: format 100.0% (at most 2%)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "robot"), "no user simulator 'robot'"),
        (("--persona", "rude=1"), "no trait 'rude'"),
        (("--user-option", "x"), "takes NAME=VALUE"),
        (("--tasks", "nope"), "no task nope"),
        (("--rows", "0"), "not in the range"),
        (("--tasks", "pir_mip_math"), "pir eval data fetch mip_math"),
    ],
)
def test_wrong_arguments_are_refused_in_words(tmp_path, monkeypatch, arguments, said):
    monkeypatch.setenv("PIR_DATA", str(tmp_path))
    result = _run(*arguments)
    assert result.exit_code != 0
    assert said in result.stderr
    assert "Traceback" not in result.output
