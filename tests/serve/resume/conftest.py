"""A store with a gateway's habits, and a short conversation; the tests beside are about which suspension a request
continues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pir_serve.resume import Keys, Lookup, Resumption, find, was_asked
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory
from pir_serve.transcript import Turn

T0 = 1_800_000_000.0
SECRET = b"s" * 32
P: Turn = ("user", "A tank of 20 litres leaks. How much is left?")
Q: Turn = ("assistant", "How many litres were spilled?")
R: Turn = ("user", "About 3.")
A: Turn = ("assistant", "There are 17 litres left.")
S: Turn = ("system", "Be brief.")
"""A problem, the question about it, the response, the answer, and a system text."""
RAG = "### Task:\nAnswer from the context.\n<context>\n<source id=1>Tanks leak.</source>\n</context>\n\n{}"
"""How Open WebUI wraps the last user message."""


def user(text: str) -> Turn:
    return "user", text


def asked(text: str) -> Turn:
    return "assistant", text


class World:
    """A store, and what a gateway does with it: suspend when a question is asked, find when a request comes."""

    def __init__(self) -> None:
        self.now = T0
        self.store = SqliteStore(":memory:", now=lambda: self.now)
        self.keys = Keys(SECRET)
        self.sealer = Sealer([SECRET], now=lambda: self.now)
        self._count = 0

    async def ask(self, request: Sequence[Turn], question: Turn = Q, **fields: Any) -> Suspension:
        """The model asks `question` in reply to `request`."""
        self._count += 1
        self.now += 1
        system = fields.pop("system", "")
        keys = self.keys.for_suspension(request, question[1], system)
        thought = Segment(Author.MODEL, f"<asking>{question[1]}</asking>", (self._count,))
        suspension = Suspension(
            sid=f"pir_{self._count:022d}",
            tenant=fields.pop("tenant", "t"),
            scope=fields.pop("scope", ""),
            model="pir-tiny",
            digest=fields.pop("digest", "d"),
            trajectory=Trajectory("s", "pir-tiny").append(thought).suspend(question[1]),
            request={},
            parent=None,
            created=self.now,
            expires=self.now + 3600,
            **keys._asdict(),
        )
        assert not fields
        await self.store.put(suspension)
        return suspension

    def handle(self, s: Suspension) -> str:
        return self.sealer.seal(
            s.sid, tenant=s.tenant, digest=s.digest, transcript_key=s.transcript_key, expires=s.expires
        )

    def lookup(self, messages: Sequence[Turn], **fields: Any) -> Lookup:
        return replace(Lookup(tenant="t", digest="d", messages=messages), **fields)

    async def find(self, *messages: Turn, **fields: Any) -> Resumption | None:
        return await find(self.lookup(messages, **fields), self.store, self.keys, self.sealer)

    def was_asked(self, *messages: Turn, **fields: Any) -> bool:
        return was_asked(self.lookup(messages, **fields), self.keys, self.sealer)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.store.start()
    yield made
    await made.store.aclose()


def hit(found: Resumption | None) -> tuple[str, str, str] | None:
    return (found.suspension.sid, found.how, found.response_text) if found else None
