"""Rollouts: one coroutine a trajectory, over any engine that takes ids, with a user simulator in between.

It is the gateway's own loop (`pir_serve.loop`), so what is trained on is what is served: legs grow by ids, asks are found by
the parser, responses go in as the server puts them in. While one trajectory waits for its user the others go on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from statistics import fmean
from time import monotonic
from typing import Any, Literal, TypeVar

from evals.rows import Row
from evals.simulators import Exchange, Intent, Response, SimulatorError, User, UserSimulator
from pir_serve.engines.base import Engine, LegRequest, SamplingParams, TokenChunk
from pir_serve.errors import EngineError
from pir_serve.loop import Ended, RunParams, run
from pir_serve.policy import AskPolicy
from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Author, Segment, Status, Trajectory
from training.sessions import prompt_of

T = TypeVar("T")

log = logging.getLogger(__name__)

Failure = Literal["", "simulator", "engine"]


@dataclass(frozen=True, slots=True)
class Job:
    """One rollout to make."""

    row: Row
    simulator: UserSimulator | User
    seed: int
    """Of the sampling; equal jobs give equal rollouts on an engine that keeps to its seeds."""
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a trainer takes of a rollout; the last three are equally long."""

    prompt_ids: list[int]
    ids: list[int]
    env_mask: list[int]
    """1 where the model sampled the token, 0 where it was put in; only 1s carry loss."""
    logprobs: list[float]
    """Natural log-probability of each sampled token at temperature 1; 0.0 where the mask is 0."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A trajectory sampled from the policy, with what its user was asked and said."""

    job: Job
    trajectory: Trajectory
    exchanges: tuple[Exchange, ...]
    failure: Failure
    """Of the simulator or the engine: the rollout is unscored."""
    model_s: float
    simulator_s: float
    """Wall seconds in which the trajectory waited for the engine (queueing included) and for the simulator."""

    @property
    def row(self) -> Row:
        return self.job.row

    @property
    def num_asks(self) -> int:
        """Asks of the model, the one that went beyond the cap included."""
        return self.trajectory.num_asks + self.asked_beyond_cap

    @property
    def asked_beyond_cap(self) -> bool:
        return self.trajectory.detail == "max_asks"

    def tokens(self, end_id: int) -> Tokens:
        """Args:
        end_id: end of turn, put (masked) behind a trajectory that was ended on purpose, so that it does not count as
            cut off by its length.
        """
        prompt = self.trajectory.prompt_segments
        out = Tokens([i for segment in prompt for i in segment.token_ids], [], [], [])
        for segment in self.trajectory.segments[len(prompt) :]:
            own = _num_sampled(segment)
            rest = len(segment.token_ids) - own
            out.ids.extend(segment.token_ids)
            out.env_mask.extend([1] * own + [0] * rest)
            out.logprobs.extend([*segment.logprobs[:own], *[0.0] * rest])
        if not out.ids or self.failure or self.asked_beyond_cap:
            out.ids.append(end_id)
            out.env_mask.append(0)
            out.logprobs.append(0.0)
        assert len(out.ids) == len(out.env_mask) == len(out.logprobs), "every sampled token has its log-probability"
        return out


def _num_sampled(segment: Segment) -> int:
    """How many of a segment's leading ids are those the model sampled (the junction may have replaced the last)."""
    if segment.author is not Author.MODEL:
        return 0
    if segment.sampled_ids is None:
        return len(segment.token_ids)
    pairs = zip(segment.token_ids, segment.sampled_ids, strict=False)
    return next((k for k, (kept, drawn) in enumerate(pairs) if kept != drawn), len(segment.token_ids))


class _Bulk:
    """An engine whose legs nobody reads as they come, and whose log-probabilities are kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.max_model_len = engine.max_model_len

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        request = replace(request, logprobs=True, interactive=False, stream_interval=64)
        async with aclosing(self._engine.generate(request)) as chunks:  # type: ignore[type-var]  # as pir_serve.leg says
            async for chunk in chunks:
                yield chunk

    async def start(self) -> None: ...

    async def healthy(self) -> bool:
        return await self._engine.healthy()

    async def aclose(self) -> None: ...


@dataclass
class Rollouts:
    """Makes rollouts; one instance lives as long as its engine, whose connections belong to its event loop."""

    engine: Engine
    codec: PromptCodec
    max_tokens: int = 256
    """Of the model, over all legs of a rollout."""
    max_asks: int = 5
    """One ask more ends the rollout."""
    simulator_timeout_s: float = 60.0
    in_flight: int = 1024
    """Trajectories at once; an engine with fewer slots queues their legs."""
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner, repr=False)
    _gate: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._gate = asyncio.Semaphore(self.in_flight)

    def start(self) -> None:
        """Connect to the engine. Raises: EngineUnavailable, ConfigError."""
        self.call(self.engine.start())

    def run(self, jobs: Sequence[Job]) -> list[Rollout]:
        """The rollouts of `jobs`, in their order. Blocks; not to be called inside an event loop."""
        return self.call(self.play_all(jobs))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done in the event loop of the rollouts."""
        return self._runner.run(work)

    async def play_all(self, jobs: Sequence[Job]) -> list[Rollout]:
        return list(await asyncio.gather(*map(self.play, jobs)))

    async def play(self, job: Job) -> Rollout:
        """One trajectory from its prompt to its end. Failures of the engine or the simulator are recorded, not raised."""
        async with self._gate:
            return await self._play(job)

    async def _play(self, job: Job) -> Rollout:
        prompt = prompt_of(job.row, self.codec)
        trajectory = Trajectory(f"{job.row.row_id}-{job.seed}", "policy", prompt)
        intent = Intent.of(job.row)
        history: list[Exchange] = []
        model_s = simulator_s = 0.0
        failure: Failure = ""
        while True:
            started = monotonic()
            try:
                grown = await self._leg(trajectory, job)
            except EngineError as error:
                log.warning("rollout %s: the engine failed: %s", trajectory.session, error)
                failure = "engine"
                break
            model_s += monotonic() - started
            _assert_extends(grown, trajectory)
            trajectory = grown
            if trajectory.status is not Status.AWAITING_USER or trajectory.pending is None:
                break
            started = monotonic()
            ask = trajectory.pending.text
            try:
                said = await self._respond(job.simulator, ask, intent, tuple(history))
            except (SimulatorError, TimeoutError) as error:
                log.warning("rollout %s: no response to ask %d: %r", trajectory.session, len(history) + 1, error)
                failure = "simulator"
                break
            finally:
                simulator_s += monotonic() - started
            history.append(Exchange(ask, said))
            trajectory = trajectory.respond(said.text, self.codec.encode_response(said.text), by=Author.USER)
        return Rollout(job, trajectory, tuple(history), failure, model_s, simulator_s)

    async def _leg(self, trajectory: Trajectory, job: Job) -> Trajectory:
        params = RunParams(
            policy=AskPolicy(),
            sampling=SamplingParams(temperature=0.0 if job.greedy else 1.0, seed=job.seed),
            max_tokens=max(1, self.max_tokens - trajectory.num_model_tokens),
            max_asks=self.max_asks,
        )
        async for event in run(trajectory, engine=_Bulk(self.engine), codec=self.codec, params=params):
            if isinstance(event, Ended):
                return event.trajectory
        raise AssertionError("the loop ended without saying how")

    async def _respond(
        self, simulator: UserSimulator | User, ask: str, intent: Intent, history: Sequence[Exchange]
    ) -> Response:
        said = simulator.respond(ask, intent=intent, history=history)
        if not inspect.isawaitable(said):
            return said
        async with asyncio.timeout(self.simulator_timeout_s):
            return await said

    def close(self) -> None:
        """Let go of the engine and the event loop."""
        self._runner.run(self.engine.aclose())
        self._runner.close()


def _assert_extends(grown: Trajectory, before: Trajectory) -> None:
    assert grown.segments[: len(before.segments)] == before.segments, "legs and responses only ever append"


def timing(rollouts: Iterable[Rollout], wall_s: float, decode_s: float | None) -> dict[str, float]:
    """Where the time of a batch went, as metric paths.

    `wait_share` is the part of all trajectories' time that they spent waiting for their user.
    """
    done = list(rollouts)
    simulator_s = sum(r.simulator_s for r in done)
    spent = simulator_s + sum(r.model_s for r in done)
    figures = {
        "time/rollout_s": wall_s,
        "simulator/wait_share": simulator_s / spent if spent else 0.0,
        "simulator/failed": fmean(r.failure == "simulator" for r in done),
        "rollout/tokens_per_s": sum(r.trajectory.num_model_tokens for r in done) / wall_s,
    }
    return figures if decode_s is None else figures | {"time/decode_s": decode_s}
