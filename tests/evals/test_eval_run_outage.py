"""A server that is gone for good stops the run, which then goes on where it was; one that is away for a moment does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import Result

from evals.rows import Row
from tests.evals.scripted_server import PlainServer, Script, lines, oracle_asker, serving

Eval = Callable[..., Result]
ALL = 9 * 3 + 9


def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def no_engine(_: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "the engine is gone"}}, status=503)


class Outage:
    """Some calls, counted from the first of all, find nobody."""

    def __init__(self, calls: range, silence: Callable[[web.Request], web.Response] = hang_up) -> None:
        self.calls, self.silence, self.seen = calls, silence, 0

    def __call__(self, request: web.Request, body: dict[str, Any], call: int) -> web.Response | None:
        self.seen += 1
        return self.silence(request) if self.seen in self.calls else None


def play(pir_eval: Eval, server: PlainServer, run: Path, *more: object) -> tuple[Result, list[dict[str, Any]]]:
    options = ["--option", "pairs=9", "--concurrency", "3", "--retries", "0", "--max-error-rate", "1"]
    result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", run, *options, *more)
    return result, lines(run / "transcripts.jsonl")


@pytest.mark.parametrize("silence", [hang_up, no_engine])
def test_a_server_that_is_gone_stops_the_run_and_the_same_command_plays_the_rest(
    silence: Callable[[web.Request], web.Response], builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    outage = Outage(range(15, 10_000), silence)
    with serving(PlainServer(Script(builtin_rows, oracle_asker), fault=outage)) as server:
        result, played = play(pir_eval, server, tmp_path / "run", "--give-up-after", 5)
        assert result.exit_code == 1
        assert not any(line["stop"] == "error" for line in played), "nobody's silence is kept as a model's result"
        assert 0 < len(played) < 15
        assert f"nobody answers at {server.url} any more (5 conversations in a row: " in result.output
        assert f"run the same command: {ALL - len(played)} of {ALL} conversations are left" in result.output
        assert outage.seen <= 14 + 5 + 2, "but for those in flight, no more is tried"
        outage.calls = range(0)
        result, after = play(pir_eval, server, tmp_path / "run", "--give-up-after", 5)
    assert result.exit_code == 0, result.output
    assert after[: len(played)] == played
    assert len({line["key"] for line in after}) == len(after) == ALL
    assert {line["stop"] for line in after} == {"answer"}


def test_a_moment_of_silence_is_error_rows_which_can_be_played_again(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    def broken_row(request: web.Request, body: dict[str, Any], call: int) -> web.Response | None:
        if body["messages"][1]["content"] == builtin_rows[1].full:
            return web.json_response({"error": {"message": "no luck"}}, status=500)
        return outage(request, body, call)

    outage = Outage(range(10, 13))
    with serving(PlainServer(Script(builtin_rows, oracle_asker), fault=broken_row)) as server:
        result, played = play(pir_eval, server, tmp_path / "run", "--give-up-after", 5)
        assert result.exit_code == 0, result.output
        assert len(played) == ALL
        silent = [line for line in played if line["was_unreachable"]]
        failed = [line for line in played if line["stop"] == "error"]
        assert (len(silent), len(failed) - len(silent)) == (3, 2)
        assert {line["culprit"] for line in failed} == {"server"}
        result, after = play(pir_eval, server, tmp_path / "run", "--retry-errors", "connection")
        assert f"{ALL - 3} conversations are there already; 3 to play" in result.output
        assert {line["key"] for line in after[ALL:]} == {line["key"] for line in silent}
        result, _ = play(pir_eval, server, tmp_path / "run", "--retry-errors")
        assert f"{ALL - 2} conversations are there already; 2 to play" in result.output


def test_without_a_limit_every_row_is_tried(builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval) -> None:
    with serving(PlainServer(Script(builtin_rows, oracle_asker), fault=Outage(range(4, 10_000)))) as server:
        result, played = play(pir_eval, server, tmp_path / "run", "--give-up-after", 0)
    assert result.exit_code == 0, result.output
    assert sum(line["was_unreachable"] for line in played) >= ALL - 3
    assert len(played) == ALL


def test_a_user_that_is_gone_stops_the_run_although_the_model_answers(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    user = ["--user", "llm", "--user-option", "model=m", "--user-option", "base_url=http://127.0.0.1:9/v1"]
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        more = (*user, "--user-option", "retries=0", "--give-up-after", 4)
        result, played = play(pir_eval, server, tmp_path / "run", *more)
    assert result.exit_code == 1
    assert "nobody answers at the address of the user simulator any more" in result.output
    assert played
    assert not any(line["stop"] == "error" or line["turns"] for line in played)
