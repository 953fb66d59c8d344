"""One user of the embedded engine: how long until the first text, and until the whole reply.

A question is shown whole, because it is screened before anybody sees it. Where the model asks before it has reasoned,
the first text is that whole question: such replies are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.load import Call, Connection, Reply, post
from benchmarks.measures import GATEWAY_TEXT
from benchmarks.processes import Started
from evals.problems import generate
from evals.simulators import Intent, RuleSimulator

_MAX_REPLIES = 6
_PIR = b'"pir":{"status":'


@dataclass(frozen=True)
class LocalUser:
    """Replies of all conversations, questions and answers alike; times in ms."""

    reasoning_ms: list[float]
    """Until the first text, of the replies that begin with reasoning."""
    question_ms: list[float]
    """Until the first text, of those that begin with a whole question or an answer."""
    end_ms: list[float]
    questions: int
    """How many of the replies were questions."""
    rss_bytes: int
    start_s: float
    """From the command to the address on the screen."""

    @property
    def first_ms(self) -> list[float]:
        return self.reasoning_ms + self.question_ms


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
    first: dict[bool, list[float]] = {True: [], False: []}
    for reply in replies:
        first[_reasons_first(reply.body)].append(reply.first_ms)
    return LocalUser(first[True], first[False], [r.end_ms for r in replies], questions, gateway.rss_bytes(), start_s)


def _reasons_first(stream: bytes) -> bool:
    text = GATEWAY_TEXT.search(stream)
    return text is not None and b"reasoning" in text[0]


def _question(stream: bytes) -> str | None:
    """What a streamed reply asks, if it does."""
    for line in stream.split(b"\n\n"):
        if _PIR in line:
            pir: dict[str, Any] = orjson.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["pir"]
            return str(pir["question"]) if pir["status"] == "awaiting_user" else None
    return None
