"""The gateway beside what a team would put in its place, in one run: `python -m benchmarks.peers --venvs FOLDER`.

smg, vllm-router and LiteLLM's proxy (`benchmarks/install_peers.sh FOLDER` installs them) and the gateway stand in front of
one mock engine, one process each, on one core; the mock engine and the client have another. All get the same Chat
Completions requests, round by round in another order, and so does the mock engine itself: *direct*. The others pass on
what they get; the gateway renders the prompt, speaks token ids to the engine and reads what it writes. What is not
installed, or does not start, is left out and named. Takes about ten minutes; `--quick` shows in one that it all runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from benchmarks.load import BadReply, Call, closed_loop, post
from benchmarks.measures import PROBLEM, Desk, Round, summary
from benchmarks.mock_script import MODEL, Plan
from benchmarks.processes import (
    START_TIMEOUT_S,
    Busyness,
    Cores,
    Started,
    StartFailed,
    gateway,
    mock_engine,
    page_head,
    pinned,
)
from benchmarks.report import Table, spread
from pir_serve.settings import BUILTIN_MODEL

OURS, DIRECT = "pir serve", "direct"
PEERS = ("smg", "vllm-router", "litellm")
WORDS = """All send the same request to the same mock engine and get the same tokens. The others pass bytes on; the gateway
reads each token, holds back what may be a tag (once in a reply three tokens: that is its p99 between arrivals), and keeps a
trajectory. *Added* is beyond *direct* in the same round. LiteLLM's proxy sits out what it cannot carry."""
_TEXT = re.compile(rb'"(?:reasoning_)?content": ?"[^"]')
_LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "{engine}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
"""
_LITELLM_MOST = 32
"""Streams at a time: of more it writes so few tokens a second that the run would take an hour."""
_KEY = "sk-benchmark-4f1a09b3c2d74f1a09b3c2d7"


@dataclass(frozen=True)
class Load:
    name: str
    in_flight: int
    rate: float
    """Tokens a second of each stream; 0: at once."""
    tokens: int
    count: int
    stream: bool = True


LOADS = (
    Load("1 stream, 100 tok/s", 1, 100, 60, 12),
    Load("32 streams, 20 tok/s", 32, 20, 40, 64),
    Load("32 streams, 100 tok/s", 32, 100, 128, 64),
    Load("32 streams, 1,000 tok/s", 32, 1000, 256, 64),
    Load("256 streams, 20 tok/s", 256, 20, 40, 256),
    Load("256 streams, at once", 256, 0, 100, 256),
    Load("whole replies, 1 in flight", 1, 0, 64, 100, stream=False),
    Load("whole replies, 32 in flight", 32, 0, 64, 320, stream=False),
)


class Target(Started):
    """A gateway with all its processes; the engine itself counts as one that costs nothing."""

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._all())

    def rss_bytes(self) -> int:
        return sum(one.memory_info().rss for one in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@dataclass
class Results:
    facts: dict[str, str]
    left_out: dict[str, str]
    """Why, by name."""
    rss_mb: dict[str, float]
    """After the first load."""
    rounds: dict[str, dict[str, list[Round]]] = field(default_factory=dict)
    """By load and target."""


def command_of(name: str, venvs: Path, engine: str, port: int, folder: Path) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if name == "smg":
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
        return [str(venvs / "smg/bin/smg"), "launch", *where, "--worker-urls", engine, "--backend", "openai", *metrics]
    if name == "vllm-router":
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
        program = str(venvs / "vllm-router/bin/vllm-router")
        return [program, *where, "--worker-urls", engine, "--policy", "round_robin", *metrics]
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM.format(model=MODEL, engine=engine, key=_KEY))
    program = str(venvs / "litellm/bin/litellm")
    return [program, "--config", str(config), *where, "--num_workers", "1", "--telemetry", "False"]


@contextlib.contextmanager
def peer(name: str, venvs: Path, engine: str, cores: tuple[int, ...]) -> Iterator[Target]:
    """Raises: StartFailed."""
    port = free_port()
    env = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
    env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "RUST_LOG": "error"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        command = command_of(name, venvs, engine, port, Path(folder))
        if not Path(command[0]).exists():
            raise StartFailed("not installed")
        with pinned(cores):
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=folder)
        target = Target(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        try:
            _wait(target, process)
            yield target
        except StartFailed as error:
            log.seek(0)
            raise StartFailed(f"{error}: {log.read()[-300:].decode(errors='replace')}") from None
        finally:
            for one in [*target.process.children(recursive=True), target.process] if process.poll() is None else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(target: Target, process: subprocess.Popen[bytes]) -> None:
    """Until it answers a request. Raises: StartFailed."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(BadReply, OSError):
            uvloop.run(
                closed_loop(target.url, lambda _: call_of(target.url, Load("", 1, 0, 8, 1)), count=1, in_flight=1)
            )
            return
        if process.poll() is not None:
            raise StartFailed(f"it ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise StartFailed(f"it does not answer within {START_TIMEOUT_S:.0f} s")
        time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call_of(url: str, load: Load) -> Call:
    messages = [{"role": "user", "content": PROBLEM.format(number=6)}]
    body = {"model": MODEL, "messages": messages, "stream": load.stream}
    raw = post(url, "/v1/chat/completions", body)
    raw = raw.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + _KEY.encode() + b"\r\n\r\n", 1)
    return Call(raw, _TEXT if load.stream else None, b"[DONE]" if load.stream else b'"finish_reason":')


async def measure(targets: Mapping[str, Target], engine: Started, rounds: int, results: Results, share: float) -> None:
    desk = Desk(engine, engine, rounds)
    for load in (dataclasses.replace(one, count=max(one.in_flight, round(one.count * share))) for one in LOADS):
        await desk.bench(Plan(load.tokens, rate=load.rate))
        some = [name for name in targets if name != "litellm" or load.in_flight <= _LITELLM_MOST]
        into = results.rounds[load.name] = {name: [] for name in some}
        for turn in range(-1, rounds):  # the first is to warm up
            print(f"measuring: {load.name}, round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
            for name in some if turn % 2 else some[::-1]:
                found = await _round(targets[name], engine, load, share=0.25 if turn < 0 else 1.0)
                if turn >= 0:
                    into[name].append(found)
        if not results.rss_mb:
            results.rss_mb |= {name: one.rss_bytes() / 2**20 for name, one in targets.items() if name != DIRECT}


async def _round(target: Target, engine: Started, load: Load, *, share: float) -> Round:
    before, engine_s, began = target.cpu_s(), engine.cpu_s(), time.perf_counter()
    spread_s = min(0.5, load.tokens / load.rate) if load.rate else 0.0
    call = call_of(target.url, load)
    count = max(load.in_flight, round(load.count * share))
    replies = await closed_loop(target.url, lambda _: call, count=count, in_flight=load.in_flight, spread_s=spread_s)
    wall_s = time.perf_counter() - began
    return summary(replies, wall_s, target.cpu_s() - before, engine.cpu_s() - engine_s)


def _added(rounds: Mapping[str, Sequence[Round]], name: str, figure: str) -> str:
    pairs = zip(rounds[name], rounds[DIRECT], strict=True)
    return spread([float(getattr(a, figure)) - float(getattr(b, figure)) for a, b in pairs])


def page(results: Results) -> str:
    parts = [str(Table(["this run", ""], [[k, v] for k, v in results.facts.items()]))]
    head = ["load", "gateway", "first text, added p50 ms", "p99", "between arrivals, added p50 ms", "p99"]
    lines, work = [], []
    for load in LOADS:
        rounds = results.rounds[load.name]
        for name in (name for name in rounds if name != DIRECT):
            if load.stream and load.rate:
                added = [_added(rounds, name, figure) for figure in ("first_p50", "first_p99", "gap_p50", "gap_p99")]
                lines.append([load.name, name, *added])
            cpu = [max(r.gateway_cpu_s, 0.01) for r in rounds[name]]
            per_core = [r.count * load.tokens / s for r, s in zip(rounds[name], cpu, strict=True)]
            requests = [r.count / r.wall_s for r in rounds[name]]
            spent = spread([1e3 * s / r.count for r, s in zip(rounds[name], cpu, strict=True)])
            tokens = spread(per_core, 0) if load.stream else "-"
            work.append([load.name, name, tokens, spread(requests, 0), spent])
        direct = [r.count / r.wall_s for r in rounds[DIRECT]]
        work.append([load.name, DIRECT, "-", spread(direct, 0), "-"])
    parts += [WORDS, str(Table(head, lines))]
    parts += [str(Table(["load", "gateway", "streamed tokens a core-second", "requests/s", "CPU ms a request"], work))]
    parts += [str(Table(["streamed tokens a core-second, ours to theirs", *PEERS], _ratios(results)))]
    parts.append(str(Table(["gateway", "memory MB"], [[n, f"{mb:.0f}"] for n, mb in results.rss_mb.items()])))
    parts += [f"{name} was left out: {why}." for name, why in results.left_out.items()]
    return "\n\n".join(parts) + "\n"


def _ratios(results: Results) -> list[list[str]]:
    """Of medians, by load."""
    lines = []
    for load in (one for one in LOADS if one.stream):
        rounds = results.rounds[load.name]
        cpu = {name: statistics.median(r.gateway_cpu_s / r.count for r in rounds[name]) for name in rounds}
        lines.append([load.name, *(f"{cpu[name] / cpu[OURS]:.2f}" if name in cpu else "-" for name in PEERS)])
    return lines


def run(venvs: Path, tokenizer: Path, rounds: int, share: float) -> Results:
    cores, busyness = Cores.of_this_machine(), Busyness()
    results = Results({}, {}, {})
    with contextlib.ExitStack() as stack:
        stack.enter_context(pinned(cores.client))
        engine = stack.enter_context(mock_engine(tokenizer, cores.engine))
        ours = stack.enter_context(gateway(engine.url, tokenizer, cores.gateway))
        targets = {DIRECT: Target(engine.url, engine.process), OURS: Target(ours.url, ours.process)}
        for name in PEERS:
            print(f"starting {name}", file=sys.stderr, flush=True)
            try:
                targets[name] = stack.enter_context(peer(name, venvs, engine.url, cores.gateway))
            except StartFailed as error:
                results.left_out[name] = str(error).strip()
        uvloop.run(measure(targets, engine, rounds, results, share))
        for target in targets.values():
            busyness.add(target)
    results.facts = {
        "machine": f"{os.cpu_count()} cores; {cores}",
        "rounds": f"{rounds}, in turns; median (lowest to highest)",
        "other programs": f"used {100 * busyness.others_share():.0f} % of the machine",
    }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, required=True, help="folder that install_peers.sh was given")
    parser.add_argument("--tokenizer", type=Path, default=BUILTIN_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a minute, and no figures to use")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there as well")
    args = parser.parse_args()
    head = page_head("Beside other gateways", "peers")
    text = (
        head
        + "\n"
        + page(run(args.venvs.resolve(), args.tokenizer, 1 if args.quick else args.rounds, 0.1 if args.quick else 1.0))
    )
    print(text)
    if args.write is not None:
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
