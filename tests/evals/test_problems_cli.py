"""`pir problems`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from evals.cli import problems
from evals.problems import SPLITS, Problem

KEYS = {"row_id", "pair_id", "family", "shown", "facts", "steps", "gold"}


def _run(*args: str):
    return CliRunner().invoke(problems, list(args), catch_exceptions=False)


def _rows(*args: str) -> list[dict]:
    result = _run(*args, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_json_lines_have_the_documented_keys():
    rows = _rows("--n", "20", "--incomplete", "--split", "train", "--seed", "7")
    assert len(rows) == 20
    for row in rows:
        assert set(row) >= KEYS
        assert all(set(fact) >= {"id", "text", "value", "hidden"} for fact in row["facts"])
        assert any(fact["hidden"] for fact in row["facts"])
        Problem.from_json(row)


def test_complete_and_paired():
    assert not any(fact["hidden"] for row in _rows("--n", "5", "--complete") for fact in row["facts"])
    rows = _rows("--n", "5", "--paired", "--split", "heldout_numbers")
    assert len(rows) == 10
    assert [row["pair_id"] for row in rows[::2]] == [row["pair_id"] for row in rows[1::2]]


def test_the_same_seed_prints_the_same_problems():
    assert _run("--n", "5", "--seed", "7").output == _run("--n", "5", "--seed", "7").output
    assert _run("--n", "5", "--seed", "7").output != _run("--n", "5", "--seed", "8").output


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_a_readable_listing(split):
    output = _run("--n", "2", "--split", split).output
    assert output.count("hidden (") >= 2
    assert output.count("answer: ") == 2


def test_output_is_written_to_a_file(tmp_path):
    path = tmp_path / "problems.jsonl"
    assert _run("--n", "3", "--json", "--output", str(path)).output == ""
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_help_shows_an_example():
    output = _run("--help").output
    assert "pir problems --n 3" in output
    assert "load_dataset" in output


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--n", "-1"), "-1"),
        (("--n", "many"), "many"),
        (("--split", "test"), "test"),
        (("--family", "cooking"), "cooking"),
        (("--family", "fuel"), "split train has no family fuel"),
        (("--output", "/no/such/folder/x.jsonl"), "x.jsonl"),
        (("--seed", "x"), "x"),
    ],
)
def test_bad_input_is_explained(args, complaint):
    result = CliRunner().invoke(problems, args)
    assert result.exit_code in (1, 2)
    assert complaint in result.output
    assert "Traceback" not in result.output


def test_datasets_reads_the_file(tmp_path):
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "problems.jsonl"
    _run("--n", "40", "--paired", "--json", "--output", str(path))
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 80
    assert [Problem.from_json(row) for row in loaded] == [
        Problem.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()
    ]
