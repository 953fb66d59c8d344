"""One user of the embedded engine: how long until the first text, and until the whole reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.load import Call, Connection, Reply, post
from benchmarks.measures import GATEWAY_TEXT
from benchmarks.processes import Started
from evals.problems import generate
from evals.simulator import Intent, RuleSimulator

_MAX_REPLIES = 6
_PIR = b'"pir":{"status":'


@dataclass(frozen=True)
class LocalUser:
    """Replies of all conversations, questions and answers alike; times in ms."""

    first_ms: list[float]
    end_ms: list[float]
    questions: int
    """How many of the replies were questions."""
    rss_bytes: int
    start_s: float
    """From the command to the address on the screen."""


async def converse(gateway: Started, model: str, problems: int, start_s: float) -> LocalUser:
    """Puts incomplete problems to the gateway, one after the other, and lets the rule user respond to what it asks."""
    connection = await Connection.open(gateway.url)
    replies: list[Reply] = []
    questions = 0
    for problem in generate("heldout_numbers", problems, seed=1, mode="incomplete"):
        messages = [{"role": "user", "content": problem.shown}]
        for _ in range(_MAX_REPLIES):
            body = {"model": model, "messages": messages, "stream": True}
            reply = await connection.exchange(Call(post(gateway.url, "/v1/chat/completions", body), GATEWAY_TEXT, _PIR))
            replies.append(reply)
            question = _question(reply.body)
            if question is None:
                break
            questions += 1
            response = RuleSimulator().respond(question, intent=Intent.of(problem)).text
            messages += [{"role": "assistant", "content": question}, {"role": "user", "content": response}]
    connection.close()
    first, end = [r.first_ms for r in replies], [r.end_ms for r in replies]
    return LocalUser(first, end, questions, gateway.rss_bytes(), start_s)


def _question(stream: bytes) -> str | None:
    """What a streamed reply asks, if it does."""
    for line in stream.split(b"\n\n"):
        if _PIR in line:
            pir: dict[str, Any] = orjson.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["pir"]
            return str(pir["question"]) if pir["status"] == "awaiting_user" else None
    return None
