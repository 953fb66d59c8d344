"""Through our own gateway: what a trained model's faulty markup, the gateway's limits and its policies leave in a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evals.rows import Row
from tests.evals.scripted_server import (
    PlainServer,
    Script,
    Situation,
    always_asks,
    asks_forever,
    gateway,
    lines,
    oracle_asker,
    serving,
)

Eval = Callable[..., Result]


class Faulty(Script):
    """For one row writes legs of a faulty kind, as the engine brings them; for the others it is an oracle."""

    def __init__(self, rows: list[Row], faulty: Row, leg: str) -> None:
        super().__init__(rows, oracle_asker)
        self._faulty, self._leg = faulty, leg

    def play_prompt(self, prompt: str) -> str:
        return self._leg if f"user\n{self._faulty.shown}<|im_end|>" in prompt else super().play_prompt(prompt)


def play(
    script: Script, tokenizer: Path, folder: Path, pir_eval: Eval, *options: object, **settings: Any
) -> tuple[Result, dict[str, dict[str, Any]]]:
    with gateway(script, tokenizer, folder, mode="trained", **settings) as url:
        arguments = ["--option", "pairs=3", "--base-url", url, "-o", folder / "run", *options]
        result = pir_eval("run", "--tasks", "pir_builtin", *arguments)
    return result, {
        f"{line['row_id']}/{line['condition']}": line for line in lines(folder / "run" / "transcripts.jsonl")
    }


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("So it is \\boxed{1}.", {"stop": "error", "culprit": "model", "error": "missing_think_close", "final": ""}),
    ("Hm. <asking>How many", {"stop": "error", "culprit": "model", "error": "unclosed_ask", "final": ""}),
    ("Hm.</think><asking>How many?</asking>", {"stop": "answer", "format_errors": ["ask_after_think"]}),
    ("<response>5</response> So.</think>\\boxed{1}", {"stop": "answer", "final": "\\boxed{1}"}),
    ("Hm. <think> So.</think>\\boxed{1}", {"stop": "answer", "format_errors": ["reopened_think"]}),
    ("Hm. " * 300, {"stop": "length", "final": ""}),
]


@pytest.mark.parametrize(("leg", "expected"), FAULTS)
def test_faulty_markup_is_itemised(
    leg: str, expected: dict[str, Any], builtin_rows: list[Row], small_tokenizer: Path, tmp_path: Path, pir_eval: Eval
) -> None:
    faulty = builtin_rows[1]
    script = Faulty(builtin_rows, faulty, leg)
    options = ("--conditions", "interactive", "--max-tokens", 200)
    result, played = play(script, small_tokenizer, tmp_path, pir_eval, *options)
    line = played[f"{faulty.row_id}/interactive"]
    assert {name: line[name] for name in expected} == expected
    assert not line["turns"]
    if "<response>" in leg:
        assert set(line["format_errors"]) == {"response_by_model"}
    assert result.exit_code == 0, result.output
    assert "66.7 %" in result.output, "it counts as wrong, the other two are right"


def test_asking_without_end_is_ended_by_the_cap_of_either_side(
    builtin_rows: list[Row], small_tokenizer: Path, tmp_path: Path, pir_eval: Eval
) -> None:
    script = Script(builtin_rows, asks_forever)
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    options = ("--conditions", "interactive", "--max-turns")
    _, ours = play(script, small_tokenizer, tmp_path / "ours", pir_eval, *options, 2)
    _, theirs = play(script, small_tokenizer, tmp_path / "theirs", pir_eval, *options, 8, max_asks=3)
    assert {(line["stop"], len(line["turns"])) for line in ours.values()} == {("turns", 2)}
    assert {(line["stop"], len(line["turns"])) for line in theirs.values()} == {("turns", 3)}


def test_where_asking_is_off_nobody_is_asked_and_the_policys_answers_are_counted(
    builtin_rows: list[Row], small_tokenizer: Path, tmp_path: Path, pir_eval: Eval
) -> None:
    _, played = play(Script(builtin_rows, always_asks), small_tokenizer, tmp_path, pir_eval)
    for name, line in played.items():
        if name.endswith("interactive"):
            assert (len(line["turns"]), line["auto_answers"]) == (1, 0)
        else:
            assert (line["turns"], line["auto_answers"]) == ([], 1)


def test_only_what_the_model_wrote_counts_as_its_tokens(
    builtin_rows: list[Row], small_tokenizer: Path, tmp_path: Path, pir_eval: Eval
) -> None:
    """The same legs with a user of few words and with one of many."""
    counts = []
    for persona in ("terse", "verbose"):
        (tmp_path / persona).mkdir()
        options = ("--conditions", "interactive", "--persona", persona)
        _, played = play(Script(builtin_rows, always_asks), small_tokenizer, tmp_path / persona, pir_eval, *options)
        counts.append({name: (line["model_tokens"], line["prompt_tokens"]) for name, line in played.items()})
    terse, verbose = counts
    asked_right = [name for name in terse if terse[name][1] != verbose[name][1]]
    assert asked_right
    assert all(terse[name][0] == verbose[name][0] for name in asked_right if wrong(name, builtin_rows))


def wrong(name: str, rows: list[Row]) -> bool:
    """Whether one question is not enough for the row, so that both users leave the model with the same wrong answer."""
    return any(name.startswith(row.row_id) and len(row.hidden) > 1 for row in rows)


def test_a_server_that_is_no_gateway_is_named_in_each_row(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        arguments = ["--base-url", server.url, "--server", "pir", "-o", tmp_path / "run", "--limit", 2]
        result = pir_eval("run", "--tasks", "pir_builtin", *arguments)
    assert result.exit_code == 1
    assert "this is no PIR gateway; choose the server kind `prompted`" in " ".join(result.output.split())
    assert "failed in 100.0% of the conversations" in result.output


def test_the_policy_in_the_tests_sees_no_more_than_a_model(builtin_rows: list[Row]) -> None:
    """The oracle knows the rows, but not what the user has not told it."""
    row = next(row for row in builtin_rows if row.hidden)
    script = Script(builtin_rows, oracle_asker)
    at: Situation = script.situation(row.shown, ["I don't know."], may_ask=True)
    assert at.missing == row.hidden
    assert script.play(row.shown, ["I don't know."], may_ask=False) == "The answer is \\boxed{-1}."
