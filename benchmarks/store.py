"""How fast suspensions are put and found again, and how large they are: `python benchmarks/store.py [--rows 10000]`.

Builds a store of `--rows` suspensions in a temporary file, each of `--tokens` tokens with log-probabilities behind a
conversation of `--messages` messages, and prints times (ms) and sizes (KB). Bars: resume by hash p99 <= 10 ms at 10,000
rows; <= 20 KB of disk a suspension; RAM that does not grow with the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

from pir_serve.resume import Keys, Lookup, find
from pir_serve.store import codec
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory
from pir_serve.transcript import Turn

_SECRET = b"s" * 32


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


def _size(path: Path) -> int:
    return path.stat().st_size


async def timed(what: str, calls: list[Callable[[], Awaitable[object]]]) -> None:
    times = []
    for call in calls:
        start = time.perf_counter()
        await call()
        times.append((time.perf_counter() - start) * 1000)
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"{what:<44} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   max {max(times):7.2f} ms")


async def run(rows: int, tokens: int, messages: int, path: Path) -> None:
    rng = random.Random(7)
    keys, sealer, now = Keys(_SECRET), Sealer([_SECRET]), time.time()
    shapes = [make_trajectory(rng, tokens, "How many litres were spilled?") for _ in range(16)]
    print(f"one trajectory of {tokens} tokens: {statistics.mean(len(codec.dump(t)) for t in shapes) / 1024:.1f} KB")

    def make(k: int, sid: str) -> Suspension:
        made = keys.for_suspension(conversation(k, messages), f"Question {k}?")
        return Suspension(
            sid=sid,
            tenant="t",
            scope="",
            model="model",
            digest="d",
            trajectory=shapes[k % len(shapes)],
            request={"temperature": 0.6},
            parent=None,
            created=now,
            expires=now + 86_400,
            **made._asdict(),
        )

    store = SqliteStore(path, max_per_tenant=rows + 1000)
    await store.start()
    await store.put(make(0, "pir_0"))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    for k in range(1, rows):
        await store.put(make(k, f"pir_{k}"))
    took = time.perf_counter() - start
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"filled {rows} rows in {took:.1f} s ({rows / took:.0f}/s, each on the disk before the next)")
    print(f"disk {_size(path) / rows / 1024:.1f} KB a row; RAM {(after_kb - before_kb) / rows:.2f} KB a row")

    def lookup(k: int, **fields: str) -> Lookup:
        seen: list[Turn] = [*conversation(k, messages), ("assistant", f"Question {k}?"), ("user", "3")]
        return Lookup(tenant="t", digest="d", messages=seen, **fields)

    async def must_find(request: Lookup, how: str) -> None:
        found = await find(request, store, keys, sealer)
        assert found is not None and found.how == how, (found and found.how, how)

    async def must_miss(request: Lookup) -> None:
        assert await find(request, store, keys, sealer) is None

    some = [rng.randrange(rows) for _ in range(1000)]
    await timed("find by id", [lambda k=k: must_find(lookup(k, explicit_sid=f"pir_{k}"), "exact") for k in some])  # type: ignore[misc]
    await timed("find by hash", [lambda k=k: must_find(lookup(k), "hash") for k in some])  # type: ignore[misc]
    cut = [(k, Lookup(tenant="t", digest="d", messages=list(lookup(k).messages)[-3:])) for k in some]
    await timed("find by question, history cut", [lambda r=r: must_find(r, "heuristic") for _, r in cut])  # type: ignore[misc]
    await timed("miss (a conversation never seen)", [lambda k=k: must_miss(lookup(rows + k)) for k in some])  # type: ignore[misc]
    await timed("put", [lambda k=k: store.put(make(k, f"pir_b{k}")) for k in range(500)])  # type: ignore[misc]

    start = time.perf_counter()
    print(f"expire: {await store.expire(now + 86_400)} rows in {time.perf_counter() - start:.1f} s")
    await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--messages", type=int, default=9)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args.rows, args.tokens, args.messages, Path(folder) / "pir.db"))


if __name__ == "__main__":
    main()
