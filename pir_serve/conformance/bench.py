"""Where a check plays: conversations with the gateway over one surface, streamed or not, and what must hold of replies."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pir_serve.conformance.surface import Call, Carrier, Reply, Surface, Turn
from pir_serve.conformance.wire import Http, Raw

_ID_SLACK = 8
"""Tokens by which a resumed prompt may be shorter than what was read and written before: an engine may have sampled a
few beyond the question, which are cut."""


class Violation(Exception):
    """The contract is broken; the message says how."""


class NotTestable(Exception):
    """Nothing can be said here: the model never asked, an option is missing, the surface has no such thing."""


def require(holds: object, otherwise: str) -> None:
    """Raises: Violation."""
    if not holds:
        raise Violation(otherwise)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that lacks a fact, and the fact."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is about."""

    model: str
    problems: tuple[Problem, ...]
    no_ask_suffix: str = ":no-ask"
    tries: int = 5
    """Problems given to the model before it counts as one that does not ask."""
    max_wait_s: float = 5.0
    """How long a check may wait for a question to expire."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation that has come to a question."""

    problem: Problem
    turns: tuple[Turn, ...]
    """The question the last."""
    reply: Reply

    @property
    def question(self) -> str:
        return self.turns[-1].text

    @property
    def session(self) -> str:
        return str(self.reply.pir.get("session") or "")

    def and_then(self, text: str) -> tuple[Turn, ...]:
        return (*self.turns, Turn("user", text))


@dataclass
class Bench:
    """One check's view of the gateway. What it sends is streamed or not throughout."""

    http: Http
    surface: Surface
    stream: bool
    setup: Setup
    other_http: Http | None = None
    """The same gateway with another API key."""
    requests: int = field(default=0, init=False)

    # -- sending

    def call(self, turns: Sequence[Turn], **options: Any) -> Call:
        """`options`: the fields of `Call`."""
        own = {"model": self.setup.model, "stream": self.stream, "carry": self.surface.usual}
        return Call(**{**own, **options, "turns": tuple(turns)})

    async def send(self, turns: Sequence[Turn], *, http: Http | None = None, **options: Any) -> Reply:
        """A reply, whatever its status; 5xx is a violation wherever it comes from."""
        self.requests += 1
        raw = Raw(0, {}, "")
        async with aclosing(self.surface.play(http or self.http, self.call(turns, **options))) as pieces:
            async for raw in pieces:
                require(raw.status < 500, f"HTTP {raw.status}: {raw.text[:200]}")
        return self.surface.read(raw)

    async def send_raw(self, body: Any) -> Raw:
        """Over HTTP, whatever the surface."""
        self.requests += 1
        return await self.http.post(self.surface.path, body)

    async def send_and_leave(self, turns: Sequence[Turn], **options: Any) -> None:
        """Send, and close the connection: streamed after the first bytes, else after a moment of waiting."""
        self.requests += 1
        pieces = self.surface.play(self.http, self.call(turns, **options))

        async def begin() -> None:
            async with aclosing(pieces):
                await anext(pieces)

        try:
            await asyncio.wait_for(begin(), None if self.stream else 0.03)
        except TimeoutError:
            return

    @asynccontextmanager
    async def still_streaming(self, turns: Sequence[Turn]) -> AsyncGenerator[Reply, None]:
        """What is known of a streamed reply as soon as it says that it asks (else at its end), its connection open."""
        self.requests += 1
        reply = Reply(Raw(0, {}, ""))
        async with aclosing(self.surface.play(self.http, self.call(turns))) as pieces:
            async for raw in pieces:
                reply = self.surface.read(raw)
                if reply.asks:
                    break
            yield reply

    # -- conversations

    def problem(self, *, own: bool = False) -> tuple[Turn, ...]:
        """The first of them, as a conversation; `own`: that no other has."""
        return (*(own_words() if own else ()), Turn("user", self.setup.problems[0].text))

    async def ask(self, *, opening: Sequence[Turn] = (), wrap: str = "{}", **options: Any) -> Asked:
        """Problems, until the model asks about one. `opening` comes before it; `wrap` is put around its text.

        Raises:
            NotTestable: it never did.
        """
        for k in range(self.setup.tries):
            problem = self.setup.problems[k % len(self.setup.problems)]
            turns = (*opening, Turn("user", wrap.replace("{}", problem.text)))
            reply = await self.send(turns, **options)
            require(reply.ok, f"a plain problem got HTTP {reply.raw.status}: {reply.raw.text[:200]}")
            require(reply.pir.get("status"), "the reply has no pir object with a status")
            if reply.asks:
                return Asked(problem, (*turns, Turn("assistant", reply.text, reply)), reply)
        raise NotTestable(f"the model asked about none of {self.setup.tries} problems; give it others, or more --tries")

    async def answer(
        self, asked: Asked, text: str | None = None, *, carry: Carrier | None = None, **options: Any
    ) -> Reply:
        """The reply to an answer, the problem's own unless `text` is given, sent in the surface's usual way unless
        `carry` is."""
        turns = asked.and_then(text or asked.problem.answer)
        reply = await self.send(turns, carry=carry or self.surface.usual, **options)
        require(reply.ok, f"the answer got HTTP {reply.raw.status}: {reply.raw.text[:200]}")
        return reply

    def require_resumed(self, asked: Asked, reply: Reply, carry: Carrier | None = None) -> None:
        """That `reply`, to an answer that was carried so, goes on with the reasoning that asked: it says so, counts its
        questions on, and has read what had been thought. The last two cannot be had from the visible text."""
        rung = self.surface.carriers[carry or self.surface.usual]
        require(
            reply.resume == rung,
            f"X-PIR-Resume is {reply.resume or 'missing'}; it must be {rung}: the reasoning was not resumed",
        )
        self.require_continues(asked.reply, reply)

    def require_continues(self, asked: Reply, reply: Reply) -> None:
        """The signs of it that are no claim of the gateway's."""
        before, now = asked.pir.get("num_asks"), reply.pir.get("num_asks")
        if isinstance(before, int) and isinstance(now, int):
            least = before + reply.asks
            require(now >= least, f"num_asks is {now} after {before}: this is not the reasoning that asked")
        had, has = asked.usage, reply.usage
        if had and has:
            known = int(had["prompt_tokens"]) + int(had["completion_tokens"])
            require(
                int(has["prompt_tokens"]) >= known - _ID_SLACK,
                f"the resumed prompt has {has['prompt_tokens']} tokens, fewer than the {known} read and written before "
                "the question: the reasoning was lost",
            )


def nonce() -> str:
    """A word that no other conversation has."""
    return secrets.token_hex(4)


def own_words() -> tuple[Turn, ...]:
    """An opening that no other conversation has, so that nothing of theirs can be found by its text."""
    return (Turn("user", f"Hello, I am {nonce()}."), Turn("assistant", "Hello!"))


def edited(turns: Sequence[Turn], at: int, text: str) -> tuple[Turn, ...]:
    return tuple(replace(t, text=text) if k == at else t for k, t in enumerate(turns))


def has_tags(text: str) -> str | None:
    """A control tag in what a user is shown, if there is one."""
    tags = ("<think>", "</think>", "<asking>", "</asking>", "<response>", "</response>")
    return next((tag for tag in tags if tag in text), None)


def names(mapping: Mapping[str, Any], *keys: str) -> list[str]:
    """Those of `keys` that are missing."""
    return [key for key in keys if key not in mapping]
