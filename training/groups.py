"""Groups of rollouts of one problem, played side by side; one that teaches nothing is played again on another problem.

That is DAPO's dynamic sampling without waiting for the rest: while one group's user takes his time, others are at their
next problem.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evals.rows import Row
from training.rollout import Job, Rollout, Rollouts
from training.scoring import Score, Scorer
from training.users import Users

Example = dict[str, Any]
"""A row of the data set that TRL is given: see `columns`."""


def columns(row: Row) -> Example:
    """A row as columns of a data set that TRL takes: prompts are what people see in logs, the rest goes with them."""
    return {"prompt": row.shown, "row": json.dumps(row.to_json())}


@dataclass(frozen=True, slots=True)
class Played:
    """One rollout and its score; None: unscored."""

    rollout: Rollout
    score: Score | None


@dataclass(frozen=True, slots=True)
class Group:
    """What was played in one group's place."""

    example: Example
    """The problem of the last round."""
    rounds: list[list[Played]]
    """Equally many rollouts each; all rounds but the last had no signal."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What the draws of a batch follow from, beside each rollout's place in it."""

    seed: int
    step: int | str
    process: int
    greedy: bool = False


def has_signal(group: Sequence[Played]) -> bool:
    """Whether comparing these rollouts teaches anything.

    Groups in which nobody is right are out even if their rewards differ: by a penalty alone, a wrong rollout would be
    learnt as if it were good.
    """
    scores = [played.score for played in group if played.score is not None]
    return any(s.outcome > 0 for s in scores) and len({round(s.reward, 9) for s in scores}) > 1


@dataclass(frozen=True, slots=True)
class Groups:
    rollouts: Rollouts
    scorer: Scorer
    users: Users

    def play(
        self, examples: Sequence[Example], size: int, draw: Draw, *, others: Any = (), refills: int = 0
    ) -> list[Group]:
        """Groups of `size` rollouts of each example, in order. The same draw plays the same ones.

        Args:
            others: examples to draw from for groups without a signal, by number.
            refills: how often a group without a signal is replaced.
        """

        async def all_groups() -> list[Group]:
            groups = (self._group(e, k * size, size, draw, others, refills) for k, e in enumerate(examples))
            return list(await asyncio.gather(*groups))

        return self.rollouts.call(all_groups())

    async def _group(self, example: Example, start: int, size: int, draw: Draw, others: Any, refills: int) -> Group:
        rounds = [await self._round(example, start, size, draw, 0)]
        while len(rounds) <= refills and not has_signal(rounds[-1]):
            key = f"{draw.seed}/{draw.step}/{draw.process}/{start}/{len(rounds)}"
            example = others[random.Random(key).randrange(len(others))]
            rounds.append(await self._round(example, start, size, draw, len(rounds)))
        return Group(example, rounds)

    async def _round(self, example: Example, start: int, size: int, draw: Draw, number: int) -> list[Played]:
        row = Row.from_json(json.loads(example["row"]))
        user = self.users.draw(f"{draw.step}/{row.row_id}")

        async def one(place: int) -> Played:
            key = f"{draw.seed}/{draw.step}/{draw.process}/{number}/{place}"
            seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) & 0x7FFF_FFFF
            rollout = await self.rollouts.play(Job(row, user, seed, greedy=draw.greedy))
            return Played(rollout, await self.scorer.score(rollout))

        return list(await asyncio.gather(*(one(place) for place in range(start, start + size))))
