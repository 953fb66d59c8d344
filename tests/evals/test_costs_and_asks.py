"""What reports say when prices and a judge are named: the cost of each party, and how helpful the asks were."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evals.metrics import Scored
from evals.rows import Row
from tests.evals.hand_made import failed, played, row, turn, write_run
from tests.evals.scripted_server import PlainServer, Script, lines, oracle_asker, serving
from tests.evals.test_grading_judge import Server, verdict

Eval = Callable[..., Result]


@pytest.fixture
def judge() -> Iterator[Server]:
    server = Server()
    server.reply = lambda material, body: verdict(needed=True, answerable=True, specific=True, new=False)
    yield server
    server.close()


def asked(pair: int, *asks: str) -> Scored:
    turns = [replace(turn("f1", ask=ask), simulator_tokens=1_000, simulator_prompt_tokens=900) for ask in asks]
    one = played(row(pair), "interactive", *turns)
    return replace(one, transcript=replace(one.transcript, prompt_tokens=2_000))


def written(run: Path) -> tuple[str, dict[tuple[str, str], dict[str, str]], dict[str, Any]]:
    text = (run / "report" / "report.csv").read_text()
    table = {(line["part"], line["figure"]): line for line in csv.DictReader(io.StringIO(text))}
    results = json.loads((run / "report" / "results.json").read_text())
    return (run / "report" / "report.md").read_text(), table, results


def test_every_party_has_its_tokens_and_with_prices_its_cost(tmp_path: Path, pir_eval: Eval, judge: Server) -> None:
    run = write_run(tmp_path / "run", [asked(n, "How much is a pen?") for n in range(3)])
    assert pir_eval("report", run).exit_code == 0
    markdown, table, results = written(run)
    assert "| the model | 6000 | 300 |" in markdown
    assert "cost" not in markdown
    assert results["costs"]["hand"]["user"] == {"tokens_in": 2_700, "tokens_out": 300, "cost": None}
    prices = ["--price-in", 1, "--price-out", 10, "--user-price-out", 100, "--judge-price-in", 1000]
    done = pir_eval("report", run, "--judge", judge.url, "--judge-model", "wise", *prices)
    assert done.exit_code == 0, done.output
    markdown, table, results = written(run)
    assert "| the model | 6000 | 300 | 0.0090 |" in markdown
    assert "| the user simulator | 2700 | 300 | 0.0300 |" in markdown
    assert "| the judge | 270 | 30 | 0.2700 |" in markdown
    assert "| all |  |  | 0.3090 |" in markdown
    assert float(table["all", "cost/user"]["value"]) == results["costs"]["hand"]["user"]["cost"] == 0.03


def test_a_simulator_that_failed_was_paid_too(tmp_path: Path, pir_eval: Eval) -> None:
    one = failed(asked(0))
    lost = replace(one.transcript, culprit="simulator", lost_simulator_tokens=500, lost_simulator_prompt_tokens=400)
    run = write_run(tmp_path / "run", [replace(one, transcript=lost)])
    assert pir_eval("report", run, "--user-price-in", 1000, "--user-price-out", 1000).exit_code == 0
    assert "| the user simulator | 400 | 100 | 0.5000 |" in written(run)[0]


def test_asks_are_judged_when_a_judge_is_named_and_unjudged_ones_are_counted(
    tmp_path: Path, pir_eval: Eval, judge: Server
) -> None:
    judge.reply = lambda material, body: (
        "hm" if material["question"] == "?" else verdict(needed=True, answerable=True, specific=True, new=False)
    )
    run = write_run(tmp_path / "run", [*(asked(n, "How much is a pen?") for n in range(3)), asked(3, "Why?", "?")])
    assert pir_eval("report", run).exit_code == 0
    assert "helpful" not in written(run)[0]
    assert not judge.bodies, "without a judge nobody is asked"
    named = ("--judge-url", judge.url, "--judge-model", "wise")
    assert pir_eval("report", run, *named).exit_code == 0
    markdown, table, results = written(run)
    assert "| helpfulness of asks, by the judge | 75.0 % [" in markdown
    assert "| asks: new, by the judge | 0.0 % [" in markdown
    assert (table["all", "helpfulness"]["n"], table["all", "helpfulness"]["clusters"]) == ("4", "4")
    assert float(table["all", "asks_unjudged"]["value"]) == pytest.approx(0.2)
    assert "hand: 1 of 5 asks are unjudged and in no helpfulness" in results["warnings"]
    once = len(judge.bodies)
    assert pir_eval("report", run, *named).exit_code == 0
    again = judge.bodies[once:]
    assert len(again) == 3, "votes are kept beside the run; only the one that failed is asked for anew"
    assert {json.loads(body["messages"][1]["content"])["question"] for body in again} == {"?"}


def test_a_report_says_when_the_judge_of_asks_may_be_partial(tmp_path: Path, pir_eval: Eval, judge: Server) -> None:
    run = write_run(tmp_path / "run", [asked(0, "How much is a pen?")], model="wise")
    assert pir_eval("report", run, "--judge-url", judge.url, "--judge-model", "wise").exit_code == 0
    assert "The judge wise is the model too" in written(run)[0]


def test_a_run_tells_costs_and_helpfulness_at_its_end_and_its_report_knows_the_prices(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval, judge: Server
) -> None:
    run = tmp_path / "run"
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        told = ["--judge-url", judge.url, "--judge-model", "wise", "--judge-price-out", 1000, "--price-in", 100]
        done = pir_eval(
            "run", "--tasks", "pir_builtin", "--option", "pairs=3", "--base-url", server.url, "-o", run, *told
        )
    assert done.exit_code == 0, done.output
    read = sum(line["prompt_tokens"] for line in lines(run / "transcripts.jsonl"))
    asks = sum(len(line["turns"]) for line in lines(run / "transcripts.jsonl"))
    assert asks == len(judge.bodies)
    assert "helpfulness of asks, by the judge" in done.output
    assert f"the model: {read} tokens in" in done.output
    assert f"out, cost {read / 1e4:.4f}" in done.output
    assert f"the judge: {90 * asks} tokens in, {10 * asks} out, cost {asks / 100:.4f}" in done.output
    assert f"in all: cost {read / 1e4 + asks / 100:.4f}" in done.output
    assert pir_eval("report", run).exit_code == 0
    assert f" | {read / 1e4:.4f} |" in written(run)[0], "the run's own prices"


@pytest.mark.parametrize("price", ["-1", "free"])
def test_a_price_that_is_none_is_refused(price: str, tmp_path: Path, pir_eval: Eval) -> None:
    done = pir_eval("report", tmp_path, "--price-in", price)
    assert done.exit_code == 2
    assert "--price-in" in done.output
