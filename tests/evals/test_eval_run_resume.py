"""A run that was stopped goes on where it was, and repeats nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from evals.rows import Row
from tests.evals.scripted_server import PlainServer, Script, lines, oracle_asker, serving

Eval = Callable[..., Result]
ALL = 9 * 3 + 9
"""Conversations of nine pairs."""


def arguments(url: str, run: Path) -> list[str]:
    options = ["--option", "pairs=9", "--concurrency", "3"]
    return ["run", "--tasks", "pir_builtin", "--base-url", url, "-o", str(run), *options]


@pytest.fixture
def server(builtin_rows: list[Row]) -> Iterator[PlainServer]:
    with serving(PlainServer(Script(builtin_rows, oracle_asker), delay_s=0.1)) as server:
        yield server


@contextlib.contextmanager
def under_way(url: str, run: Path) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, once some conversations have ended."""
    command = [sys.executable, "-m", "pir_serve.cli", "eval", *arguments(url, run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    file = run / "transcripts.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if file.is_file() and file.read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.02)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def calls_of_a_whole_run(rows: list[Row]) -> int:
    """One for each conversation, and one for each fact that the oracle asks for."""
    return ALL + sum(len(row.hidden) for row in rows)


def test_after_ctrl_c_the_same_command_goes_on_and_no_call_is_made_twice(
    server: PlainServer, builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    run = tmp_path / "run"
    with under_way(server.url, run) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "goes on from there" in said
    assert "Traceback" not in said
    played = lines(run / "transcripts.jsonl")
    assert 4 <= len(played) < ALL
    assert not any(line["stop"] == "error" for line in played)
    server.delay_s = 0
    result = pir_eval(*arguments(server.url, run))
    assert result.exit_code == 0, result.output
    assert f"{len(played)} conversations are there already; {ALL - len(played)} to play" in result.output
    assert len(server.bodies) == calls_of_a_whole_run(builtin_rows)
    keys = Counter(line["key"] for line in lines(run / "transcripts.jsonl"))
    assert len(keys) == ALL
    assert set(keys.values()) == {1}


def test_after_a_kill_what_was_written_counts_and_a_line_cut_short_does_not(
    server: PlainServer, tmp_path: Path, pir_eval: Eval
) -> None:
    run = tmp_path / "run"
    with under_way(server.url, run) as process:
        process.kill()
        process.wait(30)
    file = run / "transcripts.jsonl"
    os.truncate(file, file.read_bytes().rfind(b"\n") - 20)
    kept = {json.loads(line)["key"] for line in file.read_bytes().splitlines()[:-1]}
    assert len(kept) >= 3
    server.delay_s = 0
    server.bodies.clear()
    result = pir_eval(*arguments(server.url, run))
    assert result.exit_code == 0, result.output
    after = lines(file)
    assert len({line["key"] for line in after}) == len(after) == ALL
    new = [line for line in after if line["key"] not in kept]
    assert len(server.bodies) == sum(1 + len(line["turns"]) for line in new)


def test_a_run_that_is_done_makes_no_call_and_prints_the_same(
    server: PlainServer, tmp_path: Path, pir_eval: Eval
) -> None:
    server.delay_s = 0
    first = pir_eval(*arguments(server.url, tmp_path / "run"))
    server.bodies.clear()
    again = pir_eval(*arguments(server.url, tmp_path / "run"))
    assert not server.bodies
    assert first.stdout == again.stdout
    assert "recovered gap" in again.stdout


def test_more_repeats_and_more_rows_are_added_to_what_is_there(
    server: PlainServer, tmp_path: Path, pir_eval: Eval
) -> None:
    server.delay_s = 0
    run = tmp_path / "run"
    pir_eval(*arguments(server.url, run), "--limit", "4", "--conditions", "interactive")
    assert len(lines(run / "transcripts.jsonl")) == 4
    pir_eval(*arguments(server.url, run), "--limit", "6", "--conditions", "interactive", "--repeats", "2")
    assert Counter(line["repeat"] for line in lines(run / "transcripts.jsonl")) == {0: 6, 1: 6}
    assert len(lines(run / "rows.jsonl")) == 6
    assert json.loads((run / "run.json").read_text())["tasks"]["pir_builtin"]["num_rows"] == 6


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--temperature", "1"], "sampling was"),
        (["--persona", "terse=2"], "user was"),
        (["--max-turns", "2"], "max_turns was 8 and is 2"),
    ],
)
def test_another_run_is_not_mixed_into_a_folder(
    changed: list[str], said: str, server: PlainServer, tmp_path: Path, pir_eval: Eval
) -> None:
    server.delay_s = 0
    run = tmp_path / "run"
    pir_eval(*arguments(server.url, run), "--limit", "2")
    before = (run / "transcripts.jsonl").read_bytes()
    server.bodies.clear()
    result = pir_eval(*arguments(server.url, run), "--limit", "2", *changed)
    assert result.exit_code == 1
    assert said in result.output
    assert "choose another folder with -o" in result.output
    assert not server.bodies
    assert (run / "transcripts.jsonl").read_bytes() == before


def test_two_processes_do_not_write_to_one_folder(server: PlainServer, tmp_path: Path, pir_eval: Eval) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with (run / "transcripts.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = pir_eval(*arguments(server.url, run))
    assert result.exit_code == 1
    assert "another process is writing" in result.output
    assert not server.bodies


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", "{", "cannot be read"),
        ("run.json", '{"schema": 99}', "another schema"),
        ("transcripts.jsonl", "not json\n{}\n", "damaged"),
        ("transcripts.jsonl", '{"a": 1}\n', "written by another version"),
        ("rows.jsonl", '{"a": 1}\n', "another version"),
    ],
)
def test_a_damaged_folder_is_said_in_a_line(
    name: str, text: str, said: str, server: PlainServer, tmp_path: Path, pir_eval: Eval
) -> None:
    server.delay_s = 0
    run = tmp_path / "run"
    pir_eval(*arguments(server.url, run), "--limit", "2")
    (run / name).write_text(text)
    result = pir_eval(*arguments(server.url, run), "--limit", "2")
    assert result.exit_code == 1
    assert said in result.output


def test_a_person_who_leaves_at_a_question_leaves_at_once(server: PlainServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pir_serve.cli", "eval", *arguments(server.url, run), "--user", "human"]
    process = subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "The model asks:" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130  # its standard input is open still
        said = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert "goes on from there" in said and "Traceback" not in said and "Fatal" not in said
