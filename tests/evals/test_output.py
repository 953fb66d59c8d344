"""What commands print where nobody looks on: cut short by a pager, or kept in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.evals.hand_made import policy, write_run

Eval = Callable[..., Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "oracle", policy("oracle", 3))


@pytest.mark.parametrize("words", [["report"], ["table"], ["tasks"]])
def test_a_reader_that_stops_reading_is_no_failure_to_write(words: list[str], run: Path) -> None:
    given = [*words, str(run)] if words != ["tasks"] else words
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "-m", "pir_serve.cli", "eval", *given]
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=100, check=False)
    finally:
        os.close(write_end)
    assert done.stderr == ""


def test_a_report_is_complete_although_nobody_reads_the_names_of_its_files(run: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m pir_serve.cli eval report {run} -o {tmp_path / 'report'} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'report' / 'report.md'}\n", "")
    assert (tmp_path / "report" / "results.json").is_file()


def test_lines_end_where_their_text_ends(run: Path, tmp_path: Path, pir_eval: Eval) -> None:
    other = write_run(tmp_path / "never", policy("never", 3))
    for words in (["tasks"], ["data", "list"], ["compare", run, other, "--all"], ["simcheck", "--rows", 2]):
        shown = pir_eval(*words).output.splitlines()
        assert len(shown) > 3
        assert [line for line in shown if line != line.rstrip()] == []
