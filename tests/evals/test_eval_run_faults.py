"""What a server can do wrong, each as an item of the run, and never the end of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import Result

from evals.rows import Row
from tests.evals.scripted_server import PlainServer, Script, completion, lines, oracle_asker, serving

Eval = Callable[..., Result]
Fault = Callable[[web.Request, dict[str, Any], int], Any]


def status(code: int, times: int = 1_000) -> Fault:
    def fault(_: web.Request, body: dict[str, Any], call: int) -> web.Response | None:
        error = {"error": {"message": "no luck", "type": "server_error", "code": None, "param": None}}
        return web.json_response(error, status=code) if call <= times else None

    return fault


async def stall(request: web.Request, body: dict[str, Any], call: int) -> None:
    await asyncio.sleep(3)


async def drop(request: web.Request, body: dict[str, Any], call: int) -> web.StreamResponse:
    """The connection breaks in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"mess')
    assert request.transport is not None
    request.transport.abort()
    return response


def says(text: str, *, reason: str = "stop") -> Fault:
    """Every reply is this text."""
    return lambda request, body, call: completion(text, body, reason=reason)


def raw(text: str, kind: str = "application/json") -> Fault:
    return lambda request, body, call: web.Response(text=text, content_type=kind)


SERVER_FAULTS: list[tuple[Fault, str]] = [
    (status(500), "HTTP 500: no luck"),
    (status(400), "HTTP 400: no luck"),
    (status(401), "HTTP 401: no luck"),
    (status(429), "HTTP 429: no luck"),
    (stall, "no reply within 0.3 s"),
    (drop, "Connection error"),
    (raw("<html>busy</html>", "text/html"), "no chat completion"),
    (raw("{"), "no chat completion"),
    (raw("[]"), "no chat completion"),
    (raw('{"choices": []}'), "no chat completion"),
    (raw('{"choices": null}'), "no chat completion"),
    (raw('{"choices": [{"message": null}]}'), "no chat completion"),
    (raw('{"choices": [{"message": {"content": {"a": 1}}}]}'), "no chat completion"),
    (raw('{"choices": [{"message": {"content": ""}}], "usage": {"completion_tokens": "x"}}'), "no chat completion"),
]


@contextlib.contextmanager
def breaking(rows: list[Row], faulty: Row, fault: Fault) -> Iterator[PlainServer]:
    """A server that breaks for one row and is an oracle for all others."""

    def for_one(request: web.Request, body: dict[str, Any], call: int) -> Any:
        return fault(request, body, call) if body["messages"][1]["content"] == faulty.shown else None

    with serving(PlainServer(Script(rows, oracle_asker), fault=for_one)) as server:
        yield server


def play(pir_eval: Eval, server: PlainServer, run: Path, *more: str) -> tuple[Result, dict[str, dict[str, Any]]]:
    options = ["--option", "pairs=3", "--conditions", "interactive", "--timeout", "0.3", "--retries", "0"]
    result = pir_eval("run", "--tasks", "pir_builtin", "--base-url", server.url, "-o", run, *options, *more)
    return result, {line["row_id"]: line for line in lines(run / "transcripts.jsonl")}


@pytest.mark.parametrize(("fault", "said"), SERVER_FAULTS)
def test_a_server_fault_is_an_error_row_and_the_others_go_on(
    fault: Fault, said: str, builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    faulty = builtin_rows[1]
    with breaking(builtin_rows, faulty, fault) as server:
        result, played = play(pir_eval, server, tmp_path / "run")
    assert len(played) == 6
    error = played.pop(faulty.row_id)
    assert (error["stop"], error["culprit"]) == ("error", "server")
    assert said in error["error"]
    assert {line["stop"] for line in played.values()} == {"answer"}
    assert result.exit_code == 1, result.output
    assert "failed in 16.7% of the conversations" in result.output
    assert "1 x server: " in result.output
    assert "66.7 %" in result.output, "the error stays in the denominator: two of three incomplete rows are right"


MODEL_FAULTS: list[tuple[Fault, dict[str, Any]]] = [
    # a truncated tag: the limit of tokens fell into the ask
    (says("Hm. <asking>How many pe", reason="length"), {"stop": "error", "culprit": "model", "error": "unclosed_ask"}),
    (says("<asking>  </asking>"), {"stop": "error", "culprit": "model", "error": "unclosed_ask"}),
    (says("<think>I wonder."), {"stop": "error", "culprit": "model", "error": "missing_think_close"}),
    (says("<think>I wond", reason="length"), {"stop": "length", "final": ""}),
    (says("The answer is \\boxed{1", reason="length"), {"stop": "length"}),
    (says("</asking> \\boxed{1}"), {"stop": "answer", "format_errors": []}),
    (says("\\boxed{1} <response>5</response>"), {"stop": "answer", "format_errors": ["response_by_model"]}),
    (says("<think>x</think>  "), {"stop": "answer", "final": ""}),
    (says(""), {"stop": "answer", "final": ""}),
]


@pytest.mark.parametrize(("fault", "expected"), MODEL_FAULTS)
def test_a_fault_of_the_model_counts_as_wrong_and_not_as_a_failed_run(
    fault: Fault, expected: dict[str, Any], builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    faulty = builtin_rows[1]
    with breaking(builtin_rows, faulty, fault) as server:
        result, played = play(pir_eval, server, tmp_path / "run")
    line = played[faulty.row_id]
    assert {name: line[name] for name in expected} == expected
    assert not line["turns"]
    assert result.exit_code == 0, result.output
    assert "66.7 %" in result.output


ODD_ASKS: list[tuple[str, str, list[str]]] = [
    # what the model writes, the question that reaches the user, what is noted
    ("<asking>One?</asking> or <asking>two?</asking>", "One?", ["two_asks"]),
    ("<think>Hm.</think> Well. <asking>One?</asking>", "One?", ["ask_after_think"]),
    ("<asking>One?</asking>\n<response>5</response> So \\boxed{5}", "One?", ["response_by_model"]),
    ("<asking>One <asking>more?</asking>", "One more?", ["nested_ask"]),
    ("<think>Hm. <asking>One?</asking> ... </think> \\boxed{5}", "One?", []),
]


@pytest.mark.parametrize(("text", "ask", "noted"), ODD_ASKS)
def test_odd_asks_reach_the_user_once_and_what_is_odd_is_noted(
    text: str, ask: str, noted: list[str], builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    """By a server that ignores `stop`, so that all the model wrote comes back."""
    faulty = builtin_rows[1]

    def once(request: web.Request, body: dict[str, Any], call: int) -> web.Response | None:
        return completion(text) if call == 1 else completion("\\boxed{1}")

    with breaking(builtin_rows, faulty, once) as server:
        server.honours_stop = False
        _, played = play(pir_eval, server, tmp_path / "run")
        sent = [b["messages"] for b in server.bodies if b["messages"][1]["content"] == faulty.shown][-1]
    line = played[faulty.row_id]
    assert [turn["ask"] for turn in line["turns"]] == [ask]
    assert line["format_errors"] == noted
    assert line["final"] == "\\boxed{1}"
    assert sent[2]["content"].endswith(f"<asking>{ask}</asking>"), "what it made up after its ask is not sent back"


def test_a_fault_that_passes_is_tried_again_and_counted(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    faulty = builtin_rows[1]
    with breaking(builtin_rows, faulty, status(503, times=1)) as server:
        result, played = play(pir_eval, server, tmp_path / "run", "--retries", "2", "--timeout", "5")
    assert result.exit_code == 0, result.output
    assert played[faulty.row_id]["stop"] == "answer"
    assert {row_id: line["retries"] for row_id, line in played.items() if line["retries"]} == {faulty.row_id: 1}


def test_errors_are_played_again_on_request_only(builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval) -> None:
    faulty, run = builtin_rows[1], tmp_path / "run"
    with breaking(builtin_rows, faulty, status(500)) as server:
        play(pir_eval, server, run)
        server.bodies.clear()
        result, _ = play(pir_eval, server, run)
        assert not server.bodies
        assert result.exit_code == 1
        server.fault = None
        result, played = play(pir_eval, server, run, "--retry-errors")
    assert result.exit_code == 0, result.output
    assert played[faulty.row_id]["stop"] == "answer"
    assert len(lines(run / "transcripts.jsonl")) == 7, "appended, not rewritten"
    assert {body["messages"][1]["content"] for body in server.bodies} == {faulty.shown}


def test_the_limit_for_errors_is_the_users(builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval) -> None:
    with breaking(builtin_rows, builtin_rows[1], status(500)) as server:
        result, _ = play(pir_eval, server, tmp_path / "run", "--max-error-rate", "0.2")
    assert result.exit_code == 0, result.output


def test_a_simulator_that_fails_is_an_error_row_and_said_nothing(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    user = ["--user", "llm", "--user-option", "model=u", "--user-option", "base_url=http://127.0.0.1:9/v1"]
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        result, played = play(pir_eval, server, tmp_path / "run", *user, "--user-option", "retries=0")
    incomplete = [row for row in builtin_rows[:6] if not row.is_complete]
    assert result.exit_code == 1
    for row in incomplete:
        line = played[row.row_id]
        assert (line["stop"], line["culprit"], line["turns"]) == ("error", "simulator", [])
    assert all(played[row.row_id]["stop"] == "answer" for row in builtin_rows[:6] if row.is_complete)


def test_no_more_conversations_are_in_flight_than_was_said(
    builtin_rows: list[Row], tmp_path: Path, pir_eval: Eval
) -> None:
    with serving(PlainServer(Script(builtin_rows, oracle_asker), delay_s=0.03)) as server:
        play(pir_eval, server, tmp_path / "run", "--option", "pairs=9", "--concurrency", "4", "--timeout", "9")
    assert server.most_at_once == 4
