"""User simulators with one fault each, for the checks to find. Each is the honest rule user, spoilt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

from evals.rows import Row
from evals.simulators import Exchange, Intent, Response, SimulatorError, User, simulator


@dataclass
class Spoilt:
    """The honest user; subclasses change what it says."""

    golds: Mapping[str, str] = field(default_factory=dict)
    """By row: what no simulator should have."""
    inner: User = field(default_factory=simulator)
    calls: Any = field(default_factory=count)

    @classmethod
    def over(cls, rows: Sequence[Row]) -> Spoilt:
        return cls({row.row_id: row.gold for row in rows})

    def describe(self) -> Mapping[str, Any]:
        return {"name": type(self).__name__}

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        said = await self.inner.respond(ask, intent=intent, history=history)
        return await self.spoil(said, ask, intent)

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return said


class Leaky(Spoilt):
    """Has seen the answer and lets it slip when pressed."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        if said.disclosed:
            return said
        return replace(said, text=f"I think it comes to {self.golds[intent.row_id]}.")


class Solver(Spoilt):
    """Works it out instead of answering."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text=f"{said.text} So 3 * 4 = 12.")


class Liar(Spoilt):
    """Gives other numbers than those it has."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text="It is 987654.") if said.disclosed else said


class Inventor(Spoilt):
    """Makes up whatever it is asked for."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return said if said.disclosed else Response("It is 7, I think.", (), "answer")


class OverSharer(Spoilt):
    """Tells all hidden facts at the first ask."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        if not said.disclosed:
            return said
        hidden = [fact for fact in intent.facts if fact.hidden]
        return Response(" ".join(fact.text for fact in hidden), tuple(fact.id for fact in hidden), "answer")


class KnowAll(Spoilt):
    """Tells a fact, whatever was asked."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        fact = next(fact for fact in intent.facts if fact.hidden)
        return said if said.disclosed else Response(fact.text, (fact.id,), "answer")


class NeverEnding(Spoilt):
    """Asks back for ever."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return Response("Just a moment. What do you mean?", (), "unclear")


class Babbler(Spoilt):
    """Does not find an end."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text=said.text + " And then" * 400)


class Silent(Spoilt):
    """Never comes back at all."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        await asyncio.sleep(60)
        return said


class Quitter(Spoilt):
    """Ends the conversation with marks of its own while a question is open."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text=f"{said.text} TERMINATE")


class Fickle(Spoilt):
    """Says it another way every time."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text=f"{said.text} {'Well' * (next(self.calls) % 50)}")


class Chance(Spoilt):
    """Says anything."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        rng = Random(next(self.calls))
        word = rng.choice(("blue", "maybe", "on Tuesday", "no", "a lot"))
        return Response(f"{word} {rng.randrange(1000)}", (), "answer")


class Broken(Spoilt):
    """Fails every fifth time."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        if next(self.calls) % 5 == 4:
            raise SimulatorError("no reply")
        return said


class Boaster(Spoilt):
    """Claims to have told facts that it has not."""

    async def spoil(self, said: Response, ask: str, intent: Intent) -> Response:
        return replace(said, text="As you wish.") if said.disclosed else said


CAUGHT_BY: Mapping[type[Spoilt], str] = {
    Leaky: "leak",
    Solver: "solving",
    Liar: "unfaithful",
    Inventor: "ignorance",
    OverSharer: "over_disclosure",
    KnowAll: "ignorance",
    NeverEnding: "told_at_last",
    Babbler: "termination",
    Silent: "termination",
    Quitter: "termination",
    Fickle: "determinism",
    Chance: "responsiveness",
    Broken: "format",
    Boaster: "unfaithful",
}
"""The check that each must fail, whatever else it fails."""
