"""How fast suspensions are put and found again, by every rung of the ladder: `python -m benchmarks.store`.

Builds a store of so many suspensions (`--rows`, several sizes one after the other), each of `--tokens` tokens with
log-probabilities behind a conversation of `--messages` messages, in SQLite and in the PostgreSQL at `--database`
(`python -m tests.serve.postgres` runs one and prints its address), and prints times and sizes. Bars: resume by hash p99
<= 10 ms at 10,000 rows; RAM that does not grow with the rows. 10,000 and 100,000 rows take about ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import percentile
from benchmarks.processes import page_head
from benchmarks.report import Table
from pir_serve.resume import CALL_PREFIX, Keys, Lookup, find
from pir_serve.store import codec
from pir_serve.store.base import Store, Suspension
from pir_serve.store.postgres import PostgresStore
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory
from pir_serve.transcript import Turn

_SECRET = b"s" * 32
_LOOKUPS = 1000
_PUTS = 300
_FILLERS = 8
_AUTOVACUUM = """PostgreSQL plans for an empty table until its autovacuum, once a minute, has seen the rows. Where filling takes
less than that, lookups take longer than among more rows."""


def make_trajectory(rng: random.Random, tokens: int, question: str) -> Trajectory:
    """19 KB for 4,000 tokens: a little more than worked solutions of problems unlike each other take (18.4 KB)."""
    letters = "etaoinshrdlu"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(850)]
    vocabulary = [(rng.randrange(150_000), f" {word}") for word in words]
    weights = [1 / (k + 3) for k in range(len(vocabulary))]
    drawn: list[tuple[int, str]] = []
    while len(drawn) < tokens:
        if drawn and rng.random() < 0.2:  # a turn of phrase used before
            start = rng.randrange(len(drawn))
            drawn += drawn[start : start + rng.randint(2, 9)]
        else:
            drawn += rng.choices(vocabulary, weights)
    ids, text = tuple(i for i, _ in drawn[:tokens]), "".join(word for _, word in drawn[:tokens])
    # A third of the tokens is all but certain, some are open: differences of logits rounded to 2**-19.
    raw = (-rng.expovariate(1 if rng.random() < 0.3 else 200) for _ in ids)
    logprobs = tuple(array("f", (round(x * 2**19) / 2**19 for x in raw)))
    segment = Segment(Author.MODEL, f"{text}<asking>{question}</asking>", ids, logprobs)
    return Trajectory("s", "model").append(segment).suspend(question)


def conversation(k: int, messages: int) -> list[Turn]:
    roles = ("user", "assistant")
    return [(roles[j % 2], f"Message {j} of conversation {k}: " + "some words " * 30) for j in range(messages)]


@dataclass(frozen=True)
class Measured:
    """One kind of store with so many rows."""

    store: str
    rows: int
    times_ms: Mapping[str, list[float]]
    put_per_s: float
    """While filling, by several clients at once; each row is durable before its client goes on."""
    ram_kb_a_row: float


class Filled:
    """A store with `rows` suspensions of one tenant, and requests that continue them."""

    def __init__(self, store: Store, rows: int, tokens: int, messages: int) -> None:
        self.store = store
        self.rows = rows
        self.rng = random.Random(7)
        self.keys, self.sealer = Keys(_SECRET), Sealer([_SECRET])
        self._messages = messages
        self._now = time.time()
        self.shapes = [make_trajectory(self.rng, tokens, "How many litres were spilled?") for _ in range(16)]

    def suspension(self, k: int, sid: str) -> Suspension:
        made = self.keys.for_suspension(conversation(k, self._messages), f"Question {k}?")
        return Suspension(
            sid=sid,
            tenant="t",
            scope="",
            model="model",
            digest="d",
            trajectory=self.shapes[k % len(self.shapes)],
            request={"temperature": 0.6},
            parent=None,
            created=self._now,
            expires=self._now + 86_400,
            **made._asdict(),
        )

    async def fill(self) -> float:
        """Rows a second."""
        numbers = iter(range(self.rows))

        async def work() -> None:
            for k in numbers:
                await self.store.put(self.suspension(k, f"pir_{k}"))

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(_FILLERS)))
        return self.rows / (time.perf_counter() - began)

    async def must_find(self, how: str | None, request: Lookup) -> None:
        found = await find(request, self.store, self.keys, self.sealer)
        assert (found and found.how) == how, (found, how)

    def rungs(self, k: int) -> dict[str, Callable[[], Awaitable[object]]]:
        """A request about conversation `k`, in every way in which one can be found; and a miss."""

        def lookup(number: int = k, last: int = 0, **fields: object) -> Lookup:
            seen = [*conversation(number, self._messages), ("assistant", f"Question {number}?"), ("user", "3")]
            return Lookup(tenant="t", digest="d", messages=seen[-last:], **fields)  # type: ignore[arg-type]

        key = self.keys.for_suspension(conversation(k, self._messages), f"Question {k}?").transcript_key
        handle = self.sealer.seal(f"pir_{k}", tenant="t", digest="d", transcript_key=key, expires=self._now + 86_400)
        call = f"{CALL_PREFIX}{k}"
        return {
            "its id": lambda: self.must_find("exact", lookup(explicit_sid=f"pir_{k}")),
            "tool call id": lambda: self.must_find("exact", lookup(tool_call_id=call)),
            "sealed handle": lambda: self.must_find("sealed", lookup(sealed=(handle,))),
            "hash of the transcript": lambda: self.must_find("hash", lookup()),
            "question, history cut": lambda: self.must_find("heuristic", lookup(last=3)),
            "nothing: never seen": lambda: self.must_find(None, lookup(self.rows + k)),
        }


async def measure(name: str, store: Store, rows: int, tokens: int, messages: int) -> Measured:
    await store.start()
    try:
        filled = Filled(store, rows, tokens, messages)
        await store.put(filled.suspension(0, "pir_first"))
        await store.delete("t", "pir_first")
        process = psutil.Process()
        before = process.memory_info().rss
        put_per_s = await filled.fill()
        grown = process.memory_info().rss - before
        times: dict[str, list[float]] = {}
        for k in (filled.rng.randrange(rows) for _ in range(_LOOKUPS)):
            for what, call in filled.rungs(k).items():
                times.setdefault(what, []).append(await _ms(call))
        new = [filled.suspension(rows + k, f"pir_{rows + k}") for k in range(_PUTS)]
        times["put"] = [await _ms(lambda one=one: store.put(one)) for one in new]  # type: ignore[misc]
    finally:
        await store.aclose()
    return Measured(name, rows, times, put_per_s, grown / 1024 / rows)


async def _ms(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1e3


def table(measured: list[Measured]) -> Table:
    head = ["found by"]
    for one in measured:
        head += [f"{one.store}, {one.rows:,} rows: p50 ms", "p99 ms"]
    lines = []
    for what in measured[0].times_ms:
        figures = [f"{percentile(one.times_ms[what], p):.2f}" for one in measured for p in (50, 99)]
        lines.append([what, *figures])
    return Table(head, lines)


def stores(folder: Path, rows: int, database: str | None) -> Iterator[tuple[str, Store]]:
    """Empty ones."""
    most = rows + 2 * _PUTS
    yield "SQLite", SqliteStore(folder / "pir.db", max_per_tenant=most)
    if database is not None:
        schema = f"pir_bench_{secrets.token_hex(4)}"
        yield "PostgreSQL", PostgresStore(database, schema=schema, max_per_tenant=most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=9)
    parser.add_argument("--database", help="postgresql://...; each run makes itself a schema there, and leaves it")
    args = parser.parse_args()
    print(page_head("Storing and finding suspensions", "store"), flush=True)
    measured = []
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            for name, store in stores(Path(folder), rows, args.database):
                measured.append(asyncio.run(measure(name, store, rows, args.tokens, args.messages)))
    size_kb = len(codec.dump(make_trajectory(random.Random(7), args.tokens, "How many?"))) / 1024
    print(f"Trajectories of {args.tokens:,} tokens, {size_kb:.1f} KB each, behind {args.messages} messages.\n")
    print(table(measured))
    if args.database:
        print(f"\n{_AUTOVACUUM}")
    for one in measured:
        print(
            f"\n{one.store}, {one.rows:,} rows: filled at {one.put_per_s:,.0f} a second by {_FILLERS} clients, each row "
            f"durable before the next; {one.ram_kb_a_row:.2f} KB of this process's memory a row."
        )


if __name__ == "__main__":
    main()
