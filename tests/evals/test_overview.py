"""`pir eval table`: a line each run or part; and what of a run's folder is none of our tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from click.testing import Result

from evals.rows import STOCK
from tests.evals.hand_made import failed, played, policy, row, turn, write_run

Eval = Callable[..., Result]


def table(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.output.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_a_line_for_each_run(tmp_path: Path, pir_eval: Eval) -> None:
    runs = [write_run(tmp_path / name, policy(name)) for name in ("oracle", "never", "always")]
    oracle, never, always = table(pir_eval("table", *runs))
    assert [line["run"] for line in (oracle, never, always)] == ["oracle", "never", "always"]
    assert oracle["recovered gap"] == "100.0 % [100.0, 100.0]"
    assert never["recovered gap"] == "0.0 % [0.0, 0.0]"
    assert never["asking off"].startswith("30.0 % [")
    assert (never["asked where something was missing"][:5], always["asked where nothing was"][:5]) == ("0.0 %", "100.0")
    assert {line["problems"] for line in (oracle, never, always)} == {"40"}


def test_a_line_for_each_family(tmp_path: Path, pir_eval: Eval) -> None:
    lines = table(pir_eval("table", write_run(tmp_path / "run", policy("oracle")), "--by", "family"))
    assert [(line["family"], line["problems"]) for line in lines] == [("pens", "20"), ("trips", "20")]


def test_columns_that_no_run_has_are_left_out_and_errors_are_not(tmp_path: Path, pir_eval: Eval) -> None:
    run = [played(row(pair), "interactive", turn("f1")) for pair in range(3)]
    (line,) = table(pir_eval("table", write_run(tmp_path / "run", run)))
    assert line.keys().isdisjoint({"recovered gap", "asking off", "errors"})
    (line,) = table(pir_eval("table", write_run(tmp_path / "broken", [*run[:2], failed(run[2])])))
    assert line["errors"].startswith("33.3 %")
    assert line["asking"].startswith("66.7 %")


def test_stock_tasks_in_a_run_are_left_to_lm_eval(tmp_path: Path, pir_eval: Eval) -> None:
    stock = replace(row(77, task="gsm8k"), source=STOCK, gold="")
    ours = write_run(tmp_path / "mixed", [*policy("oracle", 4), played(stock, "no_ask")])
    assert "gsm8k" not in "".join(table(pir_eval("table", ours, "--by", "task"))[0].values())
    report = pir_eval("report", ours)
    assert report.exit_code == 0, report.output
    assert "## gsm8k" not in (ours / "report" / "report.md").read_text()
    alone = pir_eval("report", write_run(tmp_path / "stock", [played(stock, "no_ask")]))
    assert alone.exit_code == 1
    assert "lm-eval grades them" in alone.output
