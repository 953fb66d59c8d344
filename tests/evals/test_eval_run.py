"""`pir eval run`: scripted models come out as theory says, through a plain server and through our own gateway."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evals.data import load
from evals.graded import graded_run
from evals.metrics import figures
from evals.rows import Row
from tests.evals.data_files import write
from tests.evals.scripted_server import (
    PlainServer,
    Policy,
    Script,
    always_asks,
    asks_forever,
    gateway,
    lines,
    never_asks,
    oracle_asker,
    serving,
)

Eval = Callable[..., Result]
THEORY = [
    # policy, recovered gap, interactive accuracy on incomplete rows, over-ask, under-ask
    (oracle_asker, 1.0, 1.0, 0.0, 0.0),
    (never_asks, 0.0, 0.0, 0.0, 1.0),
    (always_asks, None, None, 1.0, 0.0),
]


@contextlib.contextmanager
def model(kind: str, rows: list[Row], policy: Policy, tokenizer: Path, folder: Path) -> Iterator[str]:
    script = Script(rows, policy)
    if kind == "pir":
        with gateway(script, tokenizer, folder) as url:
            yield url
    else:
        with serving(PlainServer(script)) as server:
            yield server.url


@pytest.mark.parametrize("kind", ["prompted", "pir"])
@pytest.mark.parametrize(("policy", "gap", "accuracy", "over_ask", "under_ask"), THEORY)
def test_scripted_policies_come_out_as_theory_says(
    kind: str,
    policy: Policy,
    gap: float | None,
    accuracy: float | None,
    over_ask: float,
    under_ask: float,
    builtin_rows: list[Row],
    small_tokenizer: Path,
    tmp_path: Path,
    pir_eval: Eval,
) -> None:
    run = tmp_path / "run"
    with model(kind, builtin_rows, policy, small_tokenizer, tmp_path) as url:
        result = pir_eval(
            "run", "--tasks", "pir_builtin", "--option", "pairs=9", "--base-url", url, "-o", run, "--no-uncertainty"
        )
    assert result.exit_code == 0, result.output
    left, scored = graded_run(run)
    assert left.manifest["identity"]["server"] == kind
    found = figures(scored)
    assert found["accuracy_incomplete/full"].value == 1
    assert found["accuracy_incomplete/no_ask"].value == 0
    assert found["over_ask"].value == over_ask
    assert found["under_ask"].value == under_ask
    if gap is not None and accuracy is not None:
        assert found["recovered_gap"].value == gap
        assert found["accuracy_incomplete/interactive"].value == accuracy
        assert f"recovered gap {100 * gap:.1f} %" in " ".join(result.output.split())


def test_the_folder_says_what_was_run_on_what(builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval) -> None:
    run = tmp_path / "run"
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        options = ["--option", "pairs=9", "--limit", 6, "--repeats", 2, "--persona", "terse=2"]
        result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", run, *options)
    assert result.exit_code == 0, result.output
    assert [line["row_id"] for line in lines(run / "rows.jsonl")] == [row.row_id for row in builtin_rows[:6]]
    # three incomplete rows under three conditions, three complete ones under one, twice each
    assert len(lines(run / "transcripts.jsonl")) == 2 * (3 * 3 + 3)
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["identity"]["model"] == "scripted"
    assert manifest["identity"]["user"]["name"] == "rule"
    assert "terse" in json.dumps(manifest["identity"]["user"])
    assert manifest["tasks"]["pir_builtin"] == manifest["tasks"]["pir_builtin"] | {"version": "1.0", "num_rows": 6}
    results = json.loads((run / "results.json").read_text())
    assert results["results"]["pir_builtin"]["acc,none"] == 1
    assert results["results"]["pir_builtin"]["acc_no_ask,none"] == 0
    assert results["versions"] == {"pir_builtin": 1.0}
    assert results["config"]["pir"] == manifest["identity"]


def test_the_model_never_reads_what_is_hidden_and_the_user_never_tells_the_gold(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, asks_forever))) as server:
        options = ["--option", "pairs=9", "--conditions", "interactive", "--max-turns", 3]
        result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", tmp_path / "run", *options)
        bodies = list(server.bodies)
    assert result.exit_code == 0, result.output
    facts = {row.shown: row for row in builtin_rows}
    for body in bodies:
        assert body["messages"][1]["content"] in facts
        row = facts[body["messages"][1]["content"]]
        first = body["messages"][:2]
        assert not any(fact.text in json.dumps(first) for fact in row.hidden if fact.visibility == "dropped")
    for transcript in lines(tmp_path / "run" / "transcripts.jsonl"):
        row = next(row for row in builtin_rows if row.row_id == transcript["row_id"])
        known = " ".join(f"{fact.text} {fact.value} {fact.unit}" for fact in row.facts)
        for turn in transcript["turns"]:
            assert row.gold not in turn["response"].replace(".", " ").split() or row.gold in known.split()
        assert transcript["stop"] == "turns"
        assert len(transcript["turns"]) == 3


def test_a_plain_server_is_told_of_asking_and_of_nothing_else_besides(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        options = ["--option", "pairs=2", "--temperature", 0.5, "--max-tokens", 77, "--seed", 5]
        pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", tmp_path / "run", *options)
        bodies = list(server.bodies)
    asking, silent = (
        {b["messages"][0]["content"] for b in bodies if bool(b.get("stop")) is may} for may in (True, False)
    )
    (asking_prompt,), (silent_prompt,) = asking, silent
    assert "<asking>" in asking_prompt
    assert "ask" not in silent_prompt
    assert set(silent_prompt.split(". ")) < set(asking_prompt.split(". "))
    assert not any("pir" in body for body in bodies)
    assert {(b["temperature"], b["max_tokens"], b["seed"]) for b in bodies} == {(0.5, 77, 5)}
    resumed = next(body["messages"] for body in bodies if len(body["messages"]) > 3)
    assert [message["role"] for message in resumed[:4]] == ["system", "user", "assistant", "user"]
    assert resumed[2]["content"].startswith("<asking>")
    assert resumed[2]["content"].endswith("</asking>")


def test_uncertainty_of_all_legs_is_kept(
    builtin_rows: list[Row], small_tokenizer: Path, tmp_path: Path, pir_eval: Eval
) -> None:
    with model("pir", builtin_rows, oracle_asker, small_tokenizer, tmp_path) as url:
        options = ["--option", "pairs=3", "--conditions", "interactive"]
        pir_eval("run", "--tasks", "pir_builtin", "--base-url", url, "-o", tmp_path / "run", *options)
    asked = [t for t in lines(tmp_path / "run" / "transcripts.jsonl") if t["turns"]]
    assert asked
    for transcript in asked:
        assert {step["leg"] for step in transcript["steps"]} == set(range(len(transcript["turns"]) + 1))
        assert transcript["reasoning"].count("<asking>") == len(transcript["turns"])
        assert all(turn["response"] in transcript["reasoning"] for turn in transcript["turns"])


@pytest.mark.parametrize("condition", ["no_ask", "full"])
def test_one_condition_alone_is_played_where_it_means_something(
    condition: str, builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    """Complete rows have nothing to show without asking."""
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        options = ["--option", "pairs=2", "--conditions", condition, "-o", tmp_path / "run"]
        result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, *options)
    assert result.exit_code == 0, result.output
    assert "recovered gap" not in result.output
    played = lines(tmp_path / "run" / "transcripts.jsonl")
    assert [line["condition"] for line in played] == [condition] * 2


def test_cost_is_counted_from_what_was_read_and_written(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        options = ["--option", "pairs=3", "--price-in", 100, "--price-out", 10_000]
        result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", tmp_path / "run", *options)
    played = lines(tmp_path / "run" / "transcripts.jsonl")
    read, written = (sum(line[name] for line in played) for name in ("prompt_tokens", "model_tokens"))
    assert read == 50 * sum(1 + len(line["turns"]) for line in played)
    assert f"cost {(100 * read + 10_000 * written) / 1e6:.4f}" in result.output


@pytest.mark.parametrize("bound", ["", "pir_mip_gsm8k="])
def test_public_data_comes_from_a_file_named_as_seen_from_here(
    bound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pir_eval: Eval
) -> None:
    file = write(tmp_path, "pir_mip_gsm8k")
    monkeypatch.chdir(tmp_path)
    with serving(PlainServer(Script(load("pir_mip_gsm8k", file), oracle_asker))) as server:
        options = ["--data", f"{bound}{file.name}", "-o", "run"]
        result = pir_eval("run", "--tasks", "pir_mip_gsm8k", "--base-url", server.url, *options)
    assert result.exit_code == 0, result.output
    assert "recovered gap 100.0 %" in " ".join(result.output.split())
    assert len(lines(tmp_path / "run" / "transcripts.jsonl")) == 4


def test_where_there_is_no_answer_what_was_found_out_is_scored(tmp_path: Path, pir_eval: Eval) -> None:
    file = write(tmp_path, "pir_in3")
    scores = {}
    for policy in (oracle_asker, never_asks):
        with serving(PlainServer(Script(load("pir_in3", file), policy))) as server:
            options = ["--data", file, "--conditions", "interactive", "-o", tmp_path / policy.__name__]
            pir_eval("run", "--tasks", "pir_in3", "--base-url", server.url, *options)
        results = json.loads((tmp_path / policy.__name__ / "results.json").read_text())["results"]["pir_in3"]
        scores[policy] = (results["acc,none"], results["fact_coverage,none"])
    assert scores == {oracle_asker: (1, 1), never_asks: (0, 0)}


WRONG_USES: list[tuple[list[Any], str]] = [
    (["--tasks", "pir_nope"], "no task pir_nope; there are pir_"),
    (["--tasks", "pir_builtin", "--option", "spilt=x"], "no option spilt; they have"),
    (["--tasks", "pir_builtin", "--option", "split=x"], "no split x; there are"),
    (["--tasks", "pir_builtin", "--option", "pairs"], "takes NAME=VALUE"),
    (["--tasks", "pir_builtin", "--conditions", "always"], "no condition always; there are interactive"),
    (["--tasks", "pir_builtin", "--user", "nobody"], "no user simulator 'nobody'; there are"),
    (["--tasks", "pir_builtin", "--persona", "odd"], "odd"),
    (["--tasks", "pir_builtin", "--user-option", "colour=red"], "colour"),
    (["--tasks", "pir_builtin", "--data", "no/such/file.jsonl"], "there is no file"),
    (["--tasks", "pir_builtin", "--data", __file__], "no option data"),
    (["--tasks", "pir_builtin", "--model", "other"], "has no model other; it has scripted"),
    (["--tasks", ""], "no task"),
    (["--tasks", "pir_smoke", "--option", "pairs=3"], "pir_smoke sets the option pairs itself"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG_USES)
def test_a_wrong_use_is_said_in_a_line(
    arguments: list[Any], said: str, builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, never_asks))) as server:
        result = pir_eval("run", "--base-url", server.url, "-o", tmp_path / "run", *arguments)
        assert not server.bodies
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_no_server_is_said_before_anything_is_written(tmp_path: Path, pir_eval: Eval) -> None:
    result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", "http://127.0.0.1:9/v1", "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert "no OpenAI-compatible server answers at http://127.0.0.1:9/v1" in result.output
    assert not (tmp_path / "run").exists()


def test_help_and_the_list_of_tasks_teach(pir_eval: Eval) -> None:
    assert "pir eval run --tasks pir_builtin" in pir_eval("run", "--help").output
    listed = pir_eval("tasks").output
    assert "pir_builtin" in listed
    assert "pir_smoke" in listed
    assert "Smoke line" in pir_eval("tasks", "pir_builtin").output
    assert "no task x" in pir_eval("tasks", "x").output
    assert {entry["name"] for entry in json.loads(pir_eval("tasks", "--json").output)} >= {"pir_builtin", "pir_smoke"}
