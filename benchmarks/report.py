"""The page that a run writes: bars first, then the tables, each figure a median over rounds with its lowest and
highest. Text only; nothing is measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.load import percentile
from benchmarks.local_user import LocalUser
from benchmarks.measures import Compared, Memory, Resumed

_MB = 1 << 20
_TOKENS_FOR_P99 = 128
"""Of a reply: the end of the reasoning is a tag and a line break, which are not shown, so one gap of each reply is three
tokens long. In shorter replies that one is the p99."""


@dataclass
class Results:
    """Of one run; None or empty where it was not measured."""

    facts: dict[str, str]
    """The machine and the run, in words."""
    is_busy: bool = False
    """Others used so much of the machine that times are not to be trusted."""
    latency: list[Compared] = field(default_factory=list)
    whole: list[Compared] = field(default_factory=list)
    streams: list[Compared] = field(default_factory=list)
    resumed: Resumed | None = None
    memory: list[Memory] = field(default_factory=list)
    local: LocalUser | None = None


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (lowest to highest)."""
    if not values or any(math.isnan(v) for v in values):
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def pace(compared: Compared) -> str:
    return f"{compared.plan.rate:,.0f} tok/s" if compared.plan.rate else "at once"


def latency_table(rows: Sequence[Compared]) -> Table:
    head = ["in flight", "engine's pace", "figure", "direct ms", "gateway ms", "added ms", "added %"]
    lines = []
    for row in rows:
        for name, words in (
            ("first_p50", "first text p50"),
            ("first_p99", "first text p99"),
            ("end_p50", "whole reply p50"),
            ("end_p99", "whole reply p99"),
            ("gap_p50", "between arrivals p50"),
            ("gap_p99", "between arrivals p99"),
        ):
            if name.startswith("gap") and not row.plan.rate:
                continue  # at once, what arrives together is a matter of luck
            if name == "gap_p99" and row.plan.tokens < _TOKENS_FOR_P99:
                continue
            share = [100 * (r - 1) for r in row.ratio(name)] if name.startswith("end") else []
            sides = [spread(row.values("direct", name)), spread(row.values("gateway", name))]
            lines.append([str(row.in_flight), pace(row), words, *sides, spread(row.added(name)), spread(share, 1)])
    return Table(head, lines)


def whole_table(rows: Sequence[Compared]) -> Table:
    head = ["in flight", "direct requests/s", "gateway requests/s", "gateway p50 ms", "gateway CPU ms a request"]
    lines = []
    for row in rows:
        rates = {side: [r.count / r.wall_s for r in row.rounds[side]] for side in row.rounds}
        cpu = [1e3 * r.gateway_cpu_s / r.count for r in row.rounds["gateway"]]
        end = row.values("gateway", "end_p50")
        lines.append(
            [str(row.in_flight), spread(rates["direct"], 0), spread(rates["gateway"], 0), spread(end), spread(cpu)]
        )
    return Table(head, lines)


def per_core_second(row: Compared) -> list[float]:
    """Streamed tokens for each second of the gateway's CPU time, round by round."""
    return [_tokens(row, r.count) / max(r.gateway_cpu_s, 0.01) for r in row.rounds["gateway"]]


def _tokens(row: Compared, count: int) -> int:
    return count * row.plan.tokens


def streams_table(rows: Sequence[Compared]) -> Table:
    head = ["streams", "engine's pace", "tokens each", "tokens a core-second", "gateway's core in use"]
    head += ["tokens/s, gateway", "tokens/s, direct", "tokens an arrival, gateway", "direct"]
    lines = []
    for row in rows:
        rates = {side: [_tokens(row, r.count) / r.wall_s for r in row.rounds[side]] for side in row.rounds}
        used = [100 * r.gateway_cpu_s / r.wall_s for r in row.rounds["gateway"]]
        burst = {side: [row.plan.tokens / r.arrivals for r in row.rounds[side]] for side in row.rounds}
        lines.append(
            [str(row.in_flight), pace(row), str(row.plan.tokens), spread(per_core_second(row), 0)]
            + [f"{statistics.median(used):.0f} %", spread(rates["gateway"], 0), spread(rates["direct"], 0)]
            + [f"{statistics.median(burst[side]):.1f}" for side in ("gateway", "direct")]
        )
    return Table(head, lines)


def resume_table(resumed: Resumed) -> Table:
    head = ["reply", "figure", "direct ms", "gateway ms", "added ms"]
    lines = []
    for words, row in (("question (stored before it ends)", resumed.ask), ("answer (found by hash)", resumed.answer)):
        for name, figure in (
            ("first_p50", "first text p50"),
            ("first_p99", "first text p99"),
            ("end_p50", "whole reply p50"),
            ("end_p99", "whole reply p99"),
        ):
            sides = [spread(row.values("direct", name)), spread(row.values("gateway", name))]
            lines.append([words, figure, *sides, spread(row.added(name))])
    return Table(head, lines)


def per_suspension_kb(rows: Sequence[Memory]) -> float:
    """Growth of resident memory for each suspension beyond the first row's, in KB; nan if there are no more."""
    more = rows[-1].suspended - rows[0].suspended
    return (rows[-1].rss_bytes - rows[0].rss_bytes) / 1024 / more if more else math.nan


def memory_table(rows: Sequence[Memory]) -> Table:
    lines = [
        [f"{row.suspended:,}", f"{row.rss_bytes / _MB:.1f}", "-" if row is rows[0] else f"{grown:.1f}"]
        for row in rows
        for grown in [per_suspension_kb([rows[0], row])]
    ]
    return Table(["suspended", "gateway's memory MB", "KB a suspension"], lines)


def local_table(local: LocalUser) -> Table:
    def line(words: str, values: Sequence[float]) -> list[str]:
        return [words, *(f"{percentile(values, p):,.0f}" for p in (50, 95, 100))]

    rows = [line("first text, all replies", local.first_ms)]
    if local.reasoning_ms:
        rows.append(
            line(f"first text, {len(local.reasoning_ms)} replies that begin with reasoning", local.reasoning_ms)
        )
    if local.question_ms:
        rows.append(line(f"first text, {len(local.question_ms)} that begin with a whole question", local.question_ms))
    rows.append(line("whole reply", local.end_ms))
    return Table(["one user, built-in model", "p50 ms", "p95 ms", "max ms"], rows)


def bars_table(results: Results) -> Table:
    """The figures that we hold ourselves to, as far as this run can tell."""
    lines: list[list[str]] = []

    def bar(what: str, limit: str, found: str, held: bool) -> None:
        lines.append([what, limit, found, "yes" if held else "**no**"])

    for row in (r for r in results.latency if r.plan.rate):
        added = statistics.median(row.added("end_p50"))
        share = 100 * (statistics.median(row.ratio("end_p50")) - 1)
        first = statistics.median(row.added("first_p50"))
        where = f"{row.in_flight} in flight, {pace(row)}"
        bar(f"first text, added p50, {where}", "<= 2 ms", f"{first:.2f} ms", first <= 2)
        held = added <= 2 and share <= 5
        bar(f"whole reply, added p50, {where}", "<= 2 ms and <= 5 %", f"{added:.2f} ms, {share:.1f} %", held)
    if results.resumed is not None:
        resumed = statistics.median(results.resumed.answer.added("first_p50"))
        bar("resume, first text, added p50", "<= 2 ms", f"{resumed:.2f} ms", resumed <= 2)
    if len(results.memory) > 1:
        grown = per_suspension_kb(results.memory)
        bar("memory a suspension", "<= 20 KB", f"{grown:.1f} KB", grown <= 20)
    if results.local is not None:
        local = results.local
        first, end = percentile(local.first_ms, 95), percentile(local.end_ms, 95)
        bar("built-in model, first text p95, all replies", "< 150 ms", f"{first:.0f} ms", first < 150)
        if local.reasoning_ms:
            first = percentile(local.reasoning_ms, 95)
            bar(
                "built-in model, first text p95, replies that begin with reasoning",
                "< 150 ms",
                f"{first:.0f} ms",
                first < 150,
            )
        bar("built-in model, whole reply p95", "< 2,000 ms", f"{end:,.0f} ms", end < 2000)
    return Table(["what", "bar", "here", "held"], lines)


HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks.gateway --write docs/benchmarks.md`); edits are overwritten.

A mock engine that speaks vLLM's completions dialect stands behind the real `pir serve` process, over loopback, one
gateway worker. *Direct* is the same client that sends the mock engine the very request that the gateway sends it
(same token ids): no chat template, no parsing of tags, no store. The two take turns within one run. Each figure is
the median over the rounds (lowest to highest); differences and ratios are taken within a round. Compare ratios and
differences, not absolute times, with those of other machines. A real engine adds its own time on both sides.
"""
BUSY = """
**Other programs used much of this machine during the run: times below are too long, and p99 most of all.** CPU-second
figures suffer less."""


def page(results: Results) -> str:
    """The whole document, in Markdown."""
    parts = [HEAD + (BUSY if results.is_busy else "")]
    facts = Table(["this run", ""], [[name, value] for name, value in results.facts.items()])
    parts.append(str(facts))
    if (bars := bars_table(results)).rows:
        parts += ["## Bars", str(bars)]
    if results.latency:
        parts += ["## Added latency, streamed", LATENCY, str(latency_table(results.latency))]
    if results.streams:
        paced = [row for row in results.latency if row.plan.rate and row.in_flight > 1]
        parts += ["## Streams", STREAMS, str(streams_table([*paced, *results.streams]))]
    if results.whole:
        parts += ["## Whole replies (not streamed)", WHOLE, str(whole_table(results.whole))]
    if results.resumed is not None:
        parts += ["## Ask and resume", RESUME, str(resume_table(results.resumed))]
    if results.memory:
        parts += ["## Memory", MEMORY, str(memory_table(results.memory))]
    if results.local is not None:
        parts += ["## Built-in model", _local_words(results.local), str(local_table(results.local))]
    parts += ["## More", MORE]
    return "\n\n".join(parts) + "\n"


LATENCY = """Replies of reasoning and an answer. *Between arrivals* is the time between two reads of one reply at the
client: added p50 near 0 means that text flows at the engine's pace. (Once in a reply the gateway has nothing to show for
three tokens: `</think>` and the line break behind it.) 32 in flight begin spread over half a second."""
STREAMS = """How much one gateway process can carry: CPU time of that process (all its threads, setting up the streams
included) for the tokens that went through it. *At once*: the engine writes a token of each stream on every turn of its
loop, as long as they are read. Several tokens of a stream that arrive together leave together, so the cost of a token
falls as load rises; *tokens an arrival* tells how many came together at the client. Direct is limited by engine and
client, which share a core where there are only two; the gateway spares them small reads, and can come out ahead."""
WHOLE = """The engine answers at once, so this is the cost of a request itself: parsing, template, tokenizing, the leg
upstream (always streamed), tags, the reply. Direct is one prepared write of the mock engine and no aim for anyone."""
RESUME = """One conversation at a time: the model asks, the client sends history and answer with no session id, the gateway
finds the suspension by the transcript's hash and sends the engine the exact ids. Direct: the same two legs. A question
is on the disk (fsync) before its last chunk leaves: that is most of what its end costs."""
MEMORY = """A gateway of its own, warmed up with 256 replies; then so many conversations stop at a question. Suspended
trajectories live on the disk, not in memory; what grows is caches and the allocator."""
MORE = """Pages of other runs, printed by:

- `make bench-peers` (`python -m benchmarks.peers`): [beside smg, vllm-router and LiteLLM's
  proxy](benchmarks/peers.md).
- `python -m benchmarks.resume`: [a resume over a real vLLM and SGLang](benchmarks/resume.md), beside the exact ids
  sent directly, the trajectory as text, a cold cache and starting over.
- `python -m benchmarks.real_engine`: [throughput over a real vLLM](benchmarks/real-engine.md), through the gateway
  and direct.
- `python -m benchmarks.store`: [how fast suspensions are stored](benchmarks/store.md), and found by every rung of
  the ladder among ten and a hundred thousand, in SQLite and in PostgreSQL.
- `python -m benchmarks.memory`: [whether memory grows](benchmarks/memory.md) over 65,000 requests.
- `python -m benchmarks.rollout`: [rollouts for training](benchmarks/rollout.md), interleaved against turn by turn.

Run them yourself:

- `python -m benchmarks.hot_path`: CPU time of a request and of a token in the gateway's own code, without sockets.
- `python -m benchmarks.local_decoder`: our own decoder beside transformers' continuous batching.
- `python -m benchmarks.logprob_gap`: how far the sampler in process and the trainer are apart."""


def _local_words(local: LocalUser) -> str:
    return (
        f"`pir serve` with the model in its own process, one CPU thread, one user, incomplete problems: "
        f"{len(local.first_ms)} replies, {local.questions} of them questions. From the command to the address on the "
        f"screen {local.start_s:.1f} s; {local.rss_bytes / _MB:.0f} MB of memory. Text is shown as it is generated, but "
        "a question comes whole: it is screened before anybody sees it. So where the model asks without having reasoned, "
        "the first text takes as long as the whole question."
    )
