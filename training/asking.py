"""Put asks where a model was unsure: `pir train augment --rows scored.jsonl --output asking.jsonl ...`.

The paper's phase I, on traces that `pir train entropy` has scored. `writer: llm` has an instruction model write question and
reply for the top share of each trace's steps, and inserts what the validators let through behind its step; `writer: rules`
is for generated problems, whose facts are known (`training/augment.py`). Rows come out as messages, for `pir train sft`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.problems import Problem
from pir_serve.commands.tables import progress_bar
from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from training import augment, stage
from training.chat import END
from training.entropy import Trace, stated_fact, threshold
from training.traces import ScoredTrace, most_uncertain, read_scored
from training.validators import rejection
from training.writer import Exchange, LlmWriter, Place, WriterError

log = logging.getLogger(__name__)


@dataclass
class AugmentArguments:
    """Settings of `pir train augment`."""

    rows: str = field(metadata={"help": "Traces that `pir train entropy` has scored."})
    output: str = field(metadata={"help": "JSON lines of rows for SFT; beside it <name>.report.json."})
    writer: str = field(default="llm", metadata={"help": "Who writes questions and replies: llm or rules."})
    base_url: str | None = field(default=None, metadata={"help": "OpenAI-compatible endpoint of the writer."})
    writer_model: str = field(default="", metadata={"help": "Its model name."})
    cache: str = field(default="out/writer.jsonl", metadata={"help": "What it wrote before, so as not to pay twice."})
    top_share: float = field(default=0.4, metadata={"help": "Share of a trace's steps, by entropy, that get an ask."})
    placement: str = field(
        default="entropy", metadata={"help": "What chooses them: entropy, or for comparison random (as many steps)."}
    )
    max_asks: int = field(default=5, metadata={"help": "Most asks in one trace."})
    concurrency: int = field(default=16, metadata={"help": "Traces at once."})
    attempts: int = field(default=3, metadata={"help": "Times a reply that breaks the schema is asked for."})
    price_in: float = field(default=0.0, metadata={"help": "Per million tokens read by the writer."})
    price_out: float = field(default=0.0, metadata={"help": "Per million tokens that it writes."})
    copies: int = field(default=3, metadata={"help": "rules: rows of each trace."})
    seed: int = field(default=1, metadata={"help": "Of random placement; rules: of phrasing and personas."})


@dataclass
class Yield:
    """What became of the chosen steps."""

    traces: int = 0
    rows: int = 0
    chosen: int = 0
    asks: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Steps, by reason."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Traces, by reason."""

    def to_json(self) -> dict[str, Any]:
        share = round(self.asks / self.chosen, 4) if self.chosen else None
        return {**vars(self), "rejected": dict(self.rejected), "left_out": dict(self.left_out), "yield": share}


def augmented(trace: ScoredTrace, exchanges: Sequence[tuple[int, Exchange]]) -> str:
    """The assistant's turn with an exchange behind each of these steps (by place, in order)."""
    text, at = f"{TAGS.think_open}\n", 0
    for place, exchange in exchanges:
        end = trace.steps[place].end
        asked = f"{TAGS.ask_open}{exchange.question.strip()}{TAGS.ask_close}"
        said = f"{TAGS.response_open}{exchange.reply.strip()}{TAGS.response_close}"
        text += f"{_bare(trace.trace[at:end])}\n{asked}\n{said}\n"
        at = end
    return f"{text}{_bare(trace.trace[at:])}\n{TAGS.think_close}\n{trace.answer}"


def _chosen(trace: ScoredTrace, a: AugmentArguments) -> list[int]:
    """Places of the steps that get an ask, in their order."""
    chosen = most_uncertain(trace.steps, a.top_share, a.max_asks)
    if a.placement == "random":
        return sorted(random.Random(f"{a.seed} {trace.item.id}").sample(range(len(trace.steps)), len(chosen)))
    return chosen


def _bare(text: str) -> str:
    return text.strip().removeprefix(TAGS.think_open).strip()


async def write_asks(
    trace: ScoredTrace, writer: LlmWriter, a: AugmentArguments, found: Yield
) -> list[tuple[int, Exchange]]:
    """The exchanges that passed, with the places of their steps."""
    task = "\n\n".join(m["content"] for m in trace.item.messages if m["role"] != "system")
    kept: list[tuple[int, Exchange]] = []
    for number in _chosen(trace, a):
        step = trace.steps[number]
        before, rest = trace.trace[: step.start], trace.trace[step.end :]
        told = "".join(f"\n{e.question} {e.reply}" for _, e in kept)
        place = Place(task, _bare(before) + told, step.text, rest, trace.answer)
        found.chosen += 1
        try:
            written = await writer.write(place)
        except WriterError as error:
            log.warning("%s, step %d: %s", trace.item.id, number, error)
            found.rejected["the writer failed"] += 1
            continue
        reason = rejection(written, place, [e for _, e in kept])
        if reason is not None:
            found.rejected[reason] += 1
            continue
        kept.append((number, written))
    found.asks += len(kept)
    return kept


async def by_model(
    traces: Sequence[ScoredTrace], writer: LlmWriter, a: AugmentArguments, ledger: stage.Ledger
) -> Yield:
    """Rows of every usable trace, added to `ledger` in the order in which they are done."""
    found, gate = Yield(traces=len(traces)), asyncio.Semaphore(a.concurrency)
    with progress_bar() as progress:
        task = progress.add_task("augment", total=len(traces))

        async def one(trace: ScoredTrace) -> None:
            async with gate:
                fault = _unusable(trace)
                kept = [] if fault else await write_asks(trace, writer, a, found)
                progress.advance(task)
            if not kept:
                found.left_out[fault or "no ask passed"] += 1
                return
            content = augmented(trace, kept)
            messages = [*(dict(m) for m in trace.item.messages), {"role": "assistant", "content": content}]
            inserted = [
                {"step": n, "entropy": round(trace.steps[n].entropy, 5), "evidence": e.evidence} for n, e in kept
            ]
            provenance = {"scored_by": dict(trace.scored_by), "writer": writer.model, "asks": inserted}
            ledger.add([{"id": trace.item.id, "messages": messages, "provenance": provenance}])
            found.rows += 1

        await asyncio.gather(*(one(trace) for trace in traces))
    return found


def _unusable(trace: ScoredTrace) -> str:
    if any(tag in trace.trace for tag in (TAGS.ask_open, TAGS.response_open)):
        return "asks already"
    if not trace.answer.strip():
        return "no answer"
    return "" if trace.steps else "no steps"


def by_rules(traces: Sequence[ScoredTrace], a: AugmentArguments) -> tuple[list[dict[str, Any]], Yield]:
    """Rows of generated problems. Raises: ConfigError: a trace of something else."""
    known = []
    for trace in traces:
        try:
            problem = Problem.from_json(trace.item.row)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{trace.item.id} is no generated problem ({error!r}); use writer: llm") from error
        facts = tuple(stated_fact(problem, step.text) for step in trace.steps)
        known.append(Trace(problem, trace.trace, trace.steps, facts))
    report = augment.Report()
    recipe = augment.Recipe(top_share=a.top_share, placement=a.placement, copies=a.copies, seed=a.seed)
    rows = []
    at_least = threshold(known, a.top_share) if any(t.steps for t in known) else 0.0
    for number, row in enumerate(augment.asking_rows(known, at_least, recipe, report)):
        turns = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(row["turns"])]
        text = "".join(part["text"] for part in row["parts"][1:]).removesuffix(END)
        turns.append({"role": "assistant", "content": f"{TAGS.think_open}\n{text}"})
        provenance = {"row_id": row["row_id"], "writer": "rules", "asked": row["asked"]}
        rows.append({"id": f"{row['row_id']}-{number}", "messages": turns, "provenance": provenance})
    chosen = report.asks + report.rejected["operation or unknown step"]
    return rows, Yield(len(traces), len(rows), chosen, report.asks, report.rejected)


def augment_stage(a: AugmentArguments) -> dict[str, Any]:
    """Write rows and report; returns the report. Raises: ConfigError."""
    if a.writer not in ("llm", "rules"):
        raise ConfigError(f"writer is {a.writer!r}; it must be llm or rules")
    if a.placement not in ("entropy", "random"):
        raise ConfigError(f"placement is {a.placement!r}; it must be entropy or random")
    if not 0 < a.top_share <= 1 or a.max_asks < 1:
        raise ConfigError("top_share must lie in 0..1, and max_asks must be at least 1")
    traces, output = read_scored(Path(a.rows)), Path(a.output)
    report: dict[str, Any]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)  # what a writer wrote is in its cache: making the rows anew costs nothing
    if a.writer == "rules":
        rows, found = by_rules(traces, a)
        stage.Ledger(output).add(rows)
        report = found.to_json()
    else:
        if a.base_url is None:
            raise ConfigError("writer: llm needs base_url, an OpenAI-compatible endpoint")
        key = os.environ.get("OPENAI_API_KEY", "none")
        writer = LlmWriter(a.base_url, a.writer_model, key, Path(a.cache), a.attempts)
        found = asyncio.run(by_model(traces, writer, a, stage.Ledger(output)))
        report = found.to_json() | {"writer": a.writer_model, **writer.costs(a.price_in, a.price_out)}
    output.with_suffix(".report.json").write_text(json.dumps(report, indent=1) + "\n")
    log.info("%s", json.dumps(report, indent=1))
    if not found.rows:
        raise ConfigError(f"no row of {len(traces)} traces: see {output.with_suffix('.report.json')}")
    return report


def main(args: list[str] | None = None) -> None:
    def work() -> None:
        augment_stage(*stage.parse((AugmentArguments,), "augment", args))

    stage.run(work)


if __name__ == "__main__":
    main()
