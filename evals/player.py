"""Many conversations at once: rows x conditions x repeats, bounded, taken up where an earlier run stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from openai import AsyncOpenAI

from evals.dialogue import Play, play
from evals.endpoint import Endpoint, Sampling
from evals.legs import system_prompt, talk
from evals.rows import CONDITIONS, Condition, Row, Transcript
from evals.runs import digest
from evals.simulators import User

PLAY_VERSION = 1
"""Raise it when the same settings would play differently."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How rows are played."""

    endpoint: Endpoint
    sampling: Sampling = field(default_factory=Sampling)
    conditions: tuple[Condition, ...] = CONDITIONS
    repeats: int = 1
    max_turns: int = 8
    """Asks that get a response; asking once more ends the conversation as `turns`."""
    concurrency: int = 8
    """Conversations in flight."""
    give_up_after: int | None = None
    """Conversations in a row in which nobody answered at an address, after which no more are begun; None: never."""
    uncertainty: bool = True
    """Have our gateway report the predictive entropy of each step."""

    def identity(self, user: Mapping[str, Any]) -> dict[str, Any]:
        """All that may change an outcome, but for the row, the condition and the repeat; `user` describes the simulator.

        The address is not part of it: the same model may be served elsewhere tomorrow.
        """
        prompts = {}
        if self.endpoint.server == "prompted":
            prompts = {
                name: digest(system_prompt("math", may_ask=may)) for name, may in (("ask", True), ("no_ask", False))
            }
        return {
            "play_version": PLAY_VERSION,
            "model": self.endpoint.model,
            "revision": self.endpoint.revision,
            "server": self.endpoint.server,
            "sampling": self.sampling.to_json(),
            "prompts": prompts,
            "max_turns": self.max_turns,
            "user": dict(user),
        }


@dataclass(frozen=True, slots=True)
class Request:
    """One row to be played, as often as the settings say."""

    row: Row
    task_version: str
    conditions: tuple[Condition, ...]
    sampling: Sampling
    copy: int = 0
    """Which of several equal requests it is: each has repeats of its own."""


def conditions_of(row: Row, wanted: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """A complete row is played interactively only: its floor and its ceiling would both be the ceiling of its incomplete
    version once more."""
    return tuple(c for c in wanted if c == "interactive" or not row.is_complete)


def plays_of(request: Request, settings: Settings, identity: Mapping[str, Any]) -> list[Play]:
    """A request's conversations."""
    plays, row_sha = [], digest(request.row.to_json())
    for repeat in range(request.copy * settings.repeats, (request.copy + 1) * settings.repeats):
        sampling = request.sampling
        if sampling.seed is not None:
            sampling = replace(sampling, seed=sampling.seed + repeat)
        for condition in request.conditions:
            key = digest([identity, request.task_version, row_sha, condition, repeat, sampling.to_json()])
            plays.append(Play(key, request.row, condition, repeat, sampling))
    return plays


class Player:
    """Plays conversations; keeps what has been played."""

    def __init__(
        self,
        settings: Settings,
        user: Callable[[int], User],
        *,
        kept: Mapping[str, Transcript],
        keep: Callable[[Transcript], None],
    ) -> None:
        """`user` makes the simulator of a repeat; `kept` is known already; `keep` is called with each new transcript."""
        self._settings, self._keep = settings, keep
        self._user = functools.cache(user)
        self.transcripts = dict(kept)
        self.was_stopped = False
        """Whether Ctrl-C, or `outage`, kept conversations from being begun."""
        self.outage: Transcript | None = None
        """The last of a row of conversations in which nobody answered; it and they count as not played."""
        self._unanswered: dict[str, list[Transcript]] = defaultdict(list)
        """By culprit, those since somebody answered there: if the run stops now, they were not played."""

    def run(self, plays: Sequence[Play]) -> None:
        """Plays those that are not known yet. At the first Ctrl-C no more are begun, and those in flight end well;
        with a person as the user it stops at once."""
        todo = list({play.key: play for play in plays if play.key not in self.transcripts}.values())
        if not todo:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._run(todo))
            return
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own, which cannot be entered twice
            thread.submit(asyncio.run, self._run(todo)).result()

    async def _run(self, todo: Iterable[Play]) -> None:
        plays = iter(todo)
        with self._stopping_at_interrupt(asyncio.get_running_loop()):
            async with self._settings.endpoint.client() as client, asyncio.TaskGroup() as group:
                for _ in range(self._settings.concurrency):
                    group.create_task(self._work(plays, client))
        for party in tuple(self._unanswered):
            self._keep_all(party)

    async def _work(self, plays: Iterator[Play], client: AsyncOpenAI) -> None:
        for task in plays:
            conversation = talk(
                client,
                self._settings.endpoint,
                task.sampling,
                may_ask=task.condition == "interactive",
                grader=task.row.grader,
                uncertainty=self._settings.uncertainty,
            )
            transcript = await play(task, conversation, self._user(task.repeat), max_turns=self._settings.max_turns)
            self._take(transcript)
            if self.was_stopped:
                return

    def _take(self, transcript: Transcript) -> None:
        """Keeps it; but while nobody answers at an address, only once somebody has answered there again."""
        silent = transcript.culprit if transcript.was_unreachable else ""
        if silent != "server":  # it answered before the simulator did not
            self._keep_all("server")
        if transcript.turns and silent != "simulator":
            self._keep_all("simulator")
        if not silent:
            self._keep_one(transcript)
            return
        waiting = self._unanswered[silent]
        waiting.append(transcript)
        if self._settings.give_up_after and len(waiting) >= self._settings.give_up_after:
            self.was_stopped, self.outage = True, transcript

    def _keep_all(self, party: str) -> None:
        if self.was_stopped:
            return
        for transcript in self._unanswered.pop(party, ()):
            self._keep_one(transcript)

    def _keep_one(self, transcript: Transcript) -> None:
        self.transcripts[transcript.key] = transcript
        self._keep(transcript)

    @contextlib.contextmanager
    def _stopping_at_interrupt(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        if self._user(0).describe()["name"] == "human":  # who leaves does not answer first
            yield
            return

        def stop() -> None:
            self.was_stopped = True
            loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C stops at once

        try:
            loop.add_signal_handler(signal.SIGINT, stop)
        except (RuntimeError, ValueError, NotImplementedError):  # not the main thread, or no such signals here
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
