"""The gateway against the engine direct: `python -m benchmarks.gateway [--write docs/benchmarks.md]`.

Starts a mock engine and `pir serve` over it, measures both in turns, and prints a page of tables. The built-in model is
measured as well where it is present. Takes about three minutes; `--quick` shows in seconds that it all runs.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.local_user import converse
from benchmarks.measures import Compared, Desk
from benchmarks.mock_script import Plan
from benchmarks.processes import Busyness, Cores, StartFailed, cpu_name, gateway, local_gateway, mock_engine, pinned
from benchmarks.report import Results, page
from pir_serve import __version__
from pir_serve.settings import BUILTIN_MODEL

_BUSY_SHARE = 0.15
"""Of the machine, used by others: beyond this the page warns."""


@dataclass(frozen=True)
class Load:
    """One line of a table."""

    in_flight: int
    rate: float
    """Tokens a second of each stream; 0: at once."""
    tokens: int
    count: int
    """Requests a round and side."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    latency: tuple[Load, ...]
    streams: tuple[Load, ...]
    whole: tuple[Load, ...]
    resumes: int
    suspended: tuple[int, ...]
    problems: int


DEFAULT = Size(
    rounds=5,
    latency=(Load(1, 0, 64, 150), Load(1, 1000, 128, 30), Load(32, 100, 128, 64)),
    streams=(Load(256, 20, 40, 256), Load(256, 100, 200, 256), Load(256, 0, 400, 256)),
    whole=(Load(1, 0, 64, 200), Load(32, 0, 64, 400)),
    resumes=100,
    suspended=(0, 1000),
    problems=10,
)
FULL = Size(
    rounds=9,
    latency=DEFAULT.latency,
    streams=DEFAULT.streams,
    whole=DEFAULT.whole,
    resumes=300,
    suspended=(0, 1000, 10_000),
    problems=40,
)
QUICK = Size(
    rounds=2,
    latency=(Load(1, 0, 24, 3), Load(4, 1000, 24, 4)),
    streams=(Load(4, 0, 40, 4),),
    whole=(Load(2, 0, 24, 4),),
    resumes=2,
    suspended=(0, 8),
    problems=1,
)
REPLY_TOKENS = 64
"""Of the legs of which only time to store and to find is of interest."""


def measure(size: Size, tokenizer: Path, local_model: Path | None) -> Results:
    """One run. Raises: StartFailed, and BadReply if anything but what was asked for came back."""
    cores, busyness = Cores.of_this_machine(), Busyness()
    results = Results(facts={})
    with pinned(cores.client), mock_engine(tokenizer, cores.engine) as engine:
        with gateway(engine.url, tokenizer, cores.gateway) as served:
            uvloop.run(_measure_all(size, Desk(served, engine, size.rounds), results))
            busyness.add(served)
        _tell("memory")
        with gateway(engine.url, tokenizer, cores.gateway) as served:
            desk = Desk(served, engine, size.rounds)
            results.memory = uvloop.run(desk.memory(Plan(REPLY_TOKENS), size.suspended))
            busyness.add(served)
        busyness.add(engine)
    if local_model is not None:
        _tell("the built-in model")
        began = time.monotonic()
        with local_gateway(local_model) as served:
            start_s = time.monotonic() - began
            results.local = uvloop.run(converse(served, local_model.name, size.problems, start_s))
            busyness.add(served)
    others = busyness.others_share()
    results.is_busy = others > _BUSY_SHARE
    results.facts = {
        "when": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, pir-serve {__version__}",
        "machine": f"{os.cpu_count()} cores, {cpu_name()}, {platform.system()}",
        "Python": f"{platform.python_version()}, uvloop {importlib.metadata.version('uvloop')}",
        "placement": str(cores),
        "rounds": f"{size.rounds}, direct and gateway in turns",
        "other programs": f"used {100 * others:.0f} % of the machine; load average {busyness.load_before:.1f} at start",
    }
    return results


async def _measure_all(size: Size, desk: Desk, results: Results) -> None:
    for load in size.latency:
        _tell(f"latency, {load.in_flight} in flight, {load.rate:.0f} tok/s")
        results.latency.append(await _compare(desk, load))
    for load in size.streams:
        _tell(f"{load.in_flight} streams, {load.rate:.0f} tok/s")
        results.streams.append(await _compare(desk, load))
    for load in size.whole:
        _tell(f"whole replies, {load.in_flight} in flight")
        results.whole.append(await _compare(desk, load, stream=False))
    _tell("ask and resume")
    results.resumed = await desk.resume(Plan(REPLY_TOKENS), count=size.resumes)


async def _compare(desk: Desk, load: Load, *, stream: bool = True) -> Compared:
    spread_s = load.tokens / load.rate if load.rate else 0.0  # as if the streams had begun at any time
    return await desk.compare(
        Plan(load.tokens, rate=load.rate),
        count=load.count,
        in_flight=load.in_flight,
        stream=stream,
        spread_s=min(spread_s, 0.5),
    )


def _tell(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there as well")
    parser.add_argument(
        "--tokenizer", type=Path, default=BUILTIN_MODEL, help="folder of it; default: the built-in model's"
    )
    parser.add_argument("--local-model", type=Path, help="folder of the model for the local engine; default: built in")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const=QUICK, dest="size", help="seconds, and no figures to use")
    size.add_argument("--full", action="store_const", const=FULL, dest="size", help="more rounds; 10,000 suspensions")
    parser.set_defaults(size=DEFAULT)
    args = parser.parse_args()
    if not (args.tokenizer / "tokenizer.json").is_file():
        parser.error(f"{args.tokenizer} holds no tokenizer.json; pass --tokenizer FOLDER")
    local = args.local_model or (BUILTIN_MODEL if (BUILTIN_MODEL / "config.json").is_file() else None)
    try:
        text = page(measure(args.size, args.tokenizer, local))
    except StartFailed as error:
        sys.exit(str(error))
    print(text)
    if args.write is not None:
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
