"""Asks a model in so many words whether a problem lacks something. Many models cannot say; that is counted, not guessed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from evals.endpoint import Endpoint, LegError, Sampling
from evals.legs import talk
from evals.metrics import Scored
from evals.uncertainty import Version, text_of, versions

QUESTION = (
    "\n\nDo not solve this problem. How likely is it that the text above lacks a fact that is needed to solve it? Reply with "
    "one number from 0 (nothing is missing) to 100 (something is surely missing), and with nothing else."
)
_NUMBER = re.compile(r"[\s*_`]*(\d+(?:\.\d+)?)[\s*_`]*%?[\s*_`.]*")


@dataclass(frozen=True, slots=True)
class Verbalised:
    """What a model said of each version: 0 to 1; None for a reply that is no number from 0 to 100."""

    said: Mapping[Version, float | None]
    failed: int
    """Requests without a reply; they are in no score."""

    @property
    def scores(self) -> dict[Version, float]:
        return {version: value for version, value in self.said.items() if value is not None}


def read_number(reply: str) -> float | None:
    """The chance that a reply names, 0 to 1; None unless it is a number up to 100 and nothing else.

    A model that solves the problem in spite of all says a number, too: in a sentence or in a box.
    """
    found = _NUMBER.fullmatch(reply)
    return float(found[1]) / 100 if found and float(found[1]) <= 100 else None


async def verbalise(
    scored: Iterable[Scored], endpoint: Endpoint, sampling: Sampling, *, concurrency: int
) -> Verbalised:
    """One request for each version of each problem of a run, with asking off."""
    said: dict[Version, float | None] = {}
    failed = 0
    todo: Iterator[tuple[Version, list[Scored]]] = iter(versions(scored).items())

    async def work() -> None:
        nonlocal failed
        for version, of in todo:
            one = talk(client, endpoint, sampling, may_ask=False, grader="text")
            try:
                said[version] = read_number((await one.say(text_of(of[0]) + QUESTION)).final)
            except LegError:
                failed += 1

    async with endpoint.client() as client, asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return Verbalised(said, failed)
