"""Each benchmark explains itself, and those that need nothing but this machine print their tables at their smallest."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mock_script import MODEL
from benchmarks.processes import mock_engine
from tests.serve.conftest import write_tokenizer

pytestmark = pytest.mark.timeout(300)  # a busy machine makes minutes of seconds
ROOT = Path(__file__).parents[1]
MODULES = sorted(
    file.stem for file in (ROOT / "benchmarks").glob("*.py") if "def main(" in file.read_text(encoding="utf-8")
)
SMALLEST = {
    "hot_path": ["--rounds", "1"],
    "memory": ["--warm-up", "20", "--requests", "40", "--steps", "2"],
    "store": ["--rows", "10", "--tokens", "20", "--messages", "3"],
    "rollout": ["--trajectories", "2", "--slots", "2", "--latencies", "0", "--rounds", "1"],
    "local_decoder": ["--users", "1", "--turns", "2", "--pause", "0"],
}

NEED_TORCH = ("rollout", "local_decoder")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env, timeout=280)


def has_table(text: str) -> bool:
    """Of numbers, none of which is missing."""
    if "resume ms p50: " in text:  # of local_decoder, a line each
        return True
    rows = re.findall(r"^\|(?! ?-)(.*)\|$", text, re.MULTILINE)
    return len(rows) >= 2 and not re.search(r"\bnan\b|\binf\b", text) and any(re.search(r"\d", row) for row in rows[1:])


def ended(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of one that does not get as far as measuring."""
    benchmark = importlib.import_module(f"benchmarks.{module}")
    monkeypatch.setattr(sys, "argv", [f"benchmarks.{module}", *arguments])
    with pytest.raises(SystemExit) as exit_:
        benchmark.main()
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("module", MODULES)
def test_each_says_what_it_measures_and_how_to_run_it(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(module, ["--help"], monkeypatch) == 0
    said = capsys.readouterr().out
    assert "usage:" in said.lower() and len(said.split()) > 30, "what it is for, not only its flags"


@pytest.mark.parametrize(
    "module", [pytest.param(m, marks=pytest.mark.slow if m in NEED_TORCH else ()) for m in SMALLEST]
)
def test_the_smallest_run_prints_its_table(module: str) -> None:
    done = run(module, *SMALLEST[module])
    assert done.returncode == 0, done.stderr
    assert has_table(done.stdout), done.stdout


def test_the_comparison_with_a_real_engine_runs_against_any_that_speaks_its_language(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "tokenizer")
    with mock_engine(folder, ()) as engine:
        where = ["--engine-url", engine.url, "--model", MODEL, "--tokenizer", str(folder)]
        size = ["--count", "4", "--in-flight", "2", "--rounds", "1", "--max-tokens", "40"]
        done = run("real_engine", *where, *size)
    assert done.returncode == 0, done.stderr
    assert has_table(done.stdout), done.stdout


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("store", ["--rows", "many"]),
        ("local_decoder", ["--turns", "1"]),
        ("peers", []),
        ("rollout", ["--latencies", "soon"]),
        ("gateway", ["--quick", "--full"]),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_timed(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(module, arguments, monkeypatch) == 2
