"""What is measured: the gateway and the engine direct, called by the same client for the same tokens, turn by turn in
one run. Direct means: the very request that the gateway sends upstream, replayed without the gateway."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import orjson

from benchmarks.load import Call, Connection, Reply, closed_loop, percentile, post
from benchmarks.mock_script import MODEL, QUESTION, Plan
from benchmarks.processes import Started

Side = Literal["direct", "gateway"]
SIDES: tuple[Side, Side] = ("direct", "gateway")
PROBLEM = (
    "A school shop sells pens in boxes. Nora buys {number} boxes for her class, each holds 4 pens, and she pays for all "
    "of them with a note of 50 dollars. Two of the pens do not write, so the shop takes them back at half their price. "
    "How much does Nora pay in all, and how much money does she get back?"
)
DIRECT_TEXT = re.compile(rb'"text":"')
"""In every event of the engine's that has a token."""
GATEWAY_TEXT = re.compile(rb'"delta":\{"(?:reasoning_)?content":"')
"""In the gateway's chunks with reasoning or an answer, and not in the one before them that tells the role."""


@dataclass(frozen=True)
class Round:
    """One side's figures in one round; times in ms unless the name says otherwise."""

    first_p50: float
    """Time to the first text."""
    first_p99: float
    end_p50: float
    end_p99: float
    gap_p50: float
    """Between arrivals of one reply."""
    gap_p99: float
    arrivals: float
    """Of a reply, on average."""
    count: int
    wall_s: float
    gateway_cpu_s: float
    engine_cpu_s: float


@dataclass(frozen=True)
class Compared:
    """The same load on both sides, a `Round` each for every time that they took turns."""

    plan: Plan
    in_flight: int
    rounds: Mapping[Side, Sequence[Round]]

    def values(self, side: Side, name: str) -> list[float]:
        return [float(getattr(r, name)) for r in self.rounds[side]]

    def added(self, name: str) -> list[float]:
        """Gateway less direct, round by round."""
        return [g - d for g, d in zip(self.values("gateway", name), self.values("direct", name), strict=True)]

    def ratio(self, name: str) -> list[float]:
        """Gateway to direct, round by round."""
        return [g / d for g, d in zip(self.values("gateway", name), self.values("direct", name), strict=True)]


@dataclass(frozen=True)
class Resumed:
    """Pairs of a reply that asks and the one that answers."""

    ask: Compared
    answer: Compared


@dataclass(frozen=True)
class Memory:
    """Resident memory of the gateway behind so many suspended trajectories."""

    suspended: int
    rss_bytes: int


def chat(url: str, number: int, *, stream: bool, answers: bool = False, asks: bool = False) -> Call:
    """A request to the gateway about problem `number`; `answers`: with the question and a response behind it. `asks`
    says what must come: a question, else an answer."""
    messages = [{"role": "user", "content": PROBLEM.format(number=number)}]
    if answers:
        messages += [{"role": "assistant", "content": QUESTION}, {"role": "user", "content": "One costs 2 dollars."}]
    body = {"model": MODEL, "messages": messages, "stream": stream, "max_tokens": 8192}
    must_hold = b'"status":"awaiting_user"' if asks else b'"status":"completed"'
    return Call(post(url, "/v1/chat/completions", body), GATEWAY_TEXT if stream else None, must_hold)


class Desk:
    """Gateway and engine, started, and how to load either."""

    def __init__(self, gateway: Started, engine: Started, rounds: int) -> None:
        self.gateway = gateway
        self.engine = engine
        self.rounds = rounds

    async def bench(self, plan: Plan | None = None) -> dict[str, Any]:
        """What the engine has served; sets its plan first."""
        body = dataclasses.asdict(plan) if plan else {}
        connection = await Connection.open(self.engine.url)
        raw = post(self.engine.url, "/bench", body) if plan else b"GET /bench HTTP/1.1\r\nHost: bench\r\n\r\n"
        reply = await connection.exchange(Call(raw, None, b""))
        connection.close()
        return dict(orjson.loads(reply.body))

    async def upstream_of(self, call: Call, *, stream: bool) -> Call:
        """What the gateway sends upstream for `call`, as a call of its own."""
        await closed_loop(self.gateway.url, lambda _: call, count=1, in_flight=1)
        body = (await self.bench())["last_request"] | {"stream": stream}
        if not stream:
            del body["stream_options"]
        raw = post(self.engine.url, "/v1/completions", body)
        return Call(raw, DIRECT_TEXT if stream else None, b'"finish_reason":"stop"')

    async def compare(
        self, plan: Plan, *, count: int, in_flight: int, stream: bool = True, spread_s: float = 0.0
    ) -> Compared:
        """Both sides under one load, in turns."""
        await self.bench(plan)
        direct = await self.upstream_of(chat(self.gateway.url, 6, stream=stream), stream=stream)
        calls: dict[Side, Callable[[int], Call]] = {
            "direct": lambda _: direct,
            "gateway": lambda k: chat(self.gateway.url, k, stream=stream),
        }

        async def load(side: Side, number: int) -> list[Round]:
            replies, spent = await self._loaded(side, calls[side], number, in_flight, spread_s)
            return [summary(replies, *spent)]

        rounds = await self._in_turns(load, count=count, warm_up=min(count, max(8, in_flight)))
        return Compared(plan, in_flight, {side: [r for some in rounds[side] for r in some] for side in SIDES})

    async def resume(self, plan: Plan, *, count: int) -> Resumed:
        """`count` conversations a round, one after the other: a question, then the answer."""
        plan = dataclasses.replace(plan, asks=True)
        await self.bench(plan)
        conversation = iter(range(10**9))
        first = await self.upstream_of(chat(self.gateway.url, 6, stream=True, asks=True), stream=True)
        second = await self.upstream_of(chat(self.gateway.url, 6, stream=True, answers=True), stream=True)

        def asked(k: int) -> Call:
            number = next(conversation) // 2
            return chat(self.gateway.url, number, stream=True, answers=k % 2 == 1, asks=k % 2 == 0)

        calls: dict[Side, Callable[[int], Call]] = {"direct": lambda k: (first, second)[k % 2], "gateway": asked}

        async def load(side: Side, number: int) -> list[Round]:
            replies, spent = await self._loaded(side, calls[side], 2 * number, 1, 0.0)
            return [summary(replies[0::2], *spent), summary(replies[1::2], *spent)]

        rounds = await self._in_turns(load, count=count, warm_up=10)
        ask, answer = ({side: [pair[k] for pair in rounds[side]] for side in SIDES} for k in (0, 1))
        return Resumed(Compared(plan, 1, ask), Compared(plan, 1, answer))

    async def memory(self, plan: Plan, counts: Sequence[int]) -> list[Memory]:
        """RSS of the gateway, which should be a fresh one, when that many trajectories are suspended."""
        await self.bench(dataclasses.replace(plan, asks=False))
        url = self.gateway.url
        await closed_loop(url, lambda k: chat(url, k, stream=True), count=256, in_flight=32)
        await self.bench(dataclasses.replace(plan, asks=True))
        out: list[Memory] = []
        suspended = 0
        for wanted in counts:
            numbers = range(suspended, wanted)
            await closed_loop(url, partial(_asking, url, numbers), count=len(numbers), in_flight=32)
            suspended = wanted
            out.append(Memory(suspended, self.gateway.rss_bytes()))
        return out

    async def _loaded(
        self, side: Side, call: Callable[[int], Call], count: int, in_flight: int, spread_s: float
    ) -> tuple[list[Reply], tuple[float, float, float]]:
        """The replies, and what they took: seconds on the clock, of the gateway's CPU time, and of the engine's."""
        target = self.gateway if side == "gateway" else self.engine
        gateway_s, engine_s, began = self.gateway.cpu_s(), self.engine.cpu_s(), time.perf_counter()
        replies = await closed_loop(target.url, call, count=count, in_flight=in_flight, spread_s=spread_s)
        wall_s = time.perf_counter() - began
        return replies, (wall_s, self.gateway.cpu_s() - gateway_s, self.engine.cpu_s() - engine_s)

    async def _in_turns(
        self, load: Callable[[Side, int], Any], *, count: int, warm_up: int
    ) -> dict[Side, list[list[Round]]]:
        rounds: dict[Side, list[list[Round]]] = {side: [] for side in SIDES}
        for side in SIDES:
            await load(side, warm_up)
        for turn in range(self.rounds):
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                rounds[side].append(await load(side, count))
        return rounds


def _asking(url: str, numbers: Sequence[int], k: int) -> Call:
    return chat(url, numbers[k], stream=False, asks=True)


def summary(replies: Sequence[Reply], wall_s: float, gateway_cpu_s: float, engine_cpu_s: float) -> Round:
    first = [r.first_ms for r in replies]
    end = [r.end_ms for r in replies]
    gaps = [gap for r in replies for gap in r.gaps_ms]
    return Round(
        first_p50=percentile(first, 50),
        first_p99=percentile(first, 99),
        end_p50=percentile(end, 50),
        end_p99=percentile(end, 99),
        gap_p50=percentile(gaps, 50),
        gap_p99=percentile(gaps, 99),
        arrivals=sum(len(r.arrivals) for r in replies) / len(replies),
        count=len(replies),
        wall_s=wall_s,
        gateway_cpu_s=gateway_cpu_s,
        engine_cpu_s=engine_cpu_s,
    )
