"""Runs checks one after the other and says of each how it went."""

from __future__ import annotations

import enum
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from pir_serve.conformance.bench import Bench, NotTestable, Problem, Setup, Violation
from pir_serve.conformance.checks import CHECKS, Check
from pir_serve.conformance.surface import Surface
from pir_serve.conformance.wire import Http


class Outcome(enum.StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check on one surface, streamed or not."""

    check: Check
    surface: str
    stream: bool
    outcome: Outcome
    detail: str = ""
    """What broke the rule, or why nothing could be said."""
    requests: int = 0
    duration_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.check.number,
            "title": self.check.title,
            "surface": self.surface,
            "stream": self.stream,
            "outcome": self.outcome.value,
            "detail": self.detail,
            "requests": self.requests,
            "duration_s": round(self.duration_s, 3),
        }


async def run_suite(
    http: Http,
    setup: Setup,
    surfaces: Sequence[Surface],
    *,
    streams: Sequence[bool] = (False, True),
    only: Collection[int] | None = None,
    other_http: Http | None = None,
) -> AsyncIterator[Result]:
    """Results as they come. One check at a time: two conversations with the same words would find each other's
    questions. `only`: numbers of checks, all if None."""
    for check in CHECKS:
        if only is not None and check.number not in only:
            continue
        for surface in filter(check.applies, surfaces):
            for stream in (one for one in streams if one in surface.streams):
                if check.mode == "both" or (check.mode == "stream") == stream:
                    yield await _run(check, Bench(http, surface, stream, setup, other_http))


async def _run(check: Check, bench: Bench) -> Result:
    began = time.monotonic()
    outcome, detail = Outcome.PASSED, ""
    try:
        await check.run(bench)
    except Violation as violation:
        outcome, detail = Outcome.FAILED, str(violation)
    except NotTestable as reason:
        outcome, detail = Outcome.SKIPPED, str(reason)
    except TimeoutError:
        outcome, detail = Outcome.FAILED, "no reply in time"
    except aiohttp.ClientError as error:
        outcome, detail = Outcome.FAILED, f"the connection broke: {type(error).__name__}: {error}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # The gateway's reply has a shape that the check did not expect: its fault, unless the check is wrong.
        outcome, detail = Outcome.FAILED, f"the reply could not be read: {type(error).__name__}: {error}"
    return Result(check, bench.surface.name, bench.stream, outcome, detail, bench.requests, time.monotonic() - began)


class NoGateway(Exception):
    """Nothing at the base URL, or nothing to ask it; the message says what to do."""


async def find_model(http: Http) -> str:
    """The gateway's first model. Raises: NoGateway."""
    raw = await _get(http, "/v1/models")
    listed = raw.get("data") if isinstance(raw, dict) else None
    names = [m["id"] for m in listed or () if isinstance(m, dict) and isinstance(m.get("id"), str)]
    if not names:
        raise NoGateway("GET /v1/models lists no model; name one with --model")
    return str(names[0])


async def find_problems(http: Http) -> tuple[Problem, ...]:
    """What the gateway offers at /v1/pir/examples. Raises: NoGateway."""
    raw = await _get(http, "/v1/pir/examples")
    data = raw.get("data") if isinstance(raw, dict) else None
    problems = tuple(p for p in map(read_problem, data or ()) if p is not None)
    if not problems:
        raise NoGateway(
            "the gateway offers no example problems (GET /v1/pir/examples); give a problem that lacks a fact with "
            "--question and --answer, or a file of them with --problems"
        )
    return problems


def read_problem(row: Any) -> Problem | None:
    """From `{"problem" or "question": ..., "missing" or "answer": ...}`; None if it is neither."""
    if not isinstance(row, dict):
        return None
    text, answer = row.get("problem") or row.get("question"), row.get("missing") or row.get("answer")
    return Problem(text, answer) if isinstance(text, str) and isinstance(answer, str) else None


async def _get(http: Http, path: str) -> Any:
    try:
        return (await http.get(path)).json
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NoGateway(f"nothing answers: {error or 'no reply in time'}") from None
