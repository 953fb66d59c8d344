"""Score the steps of a model's own traces: `pir train entropy --rows traces.jsonl --model FOLDER --output scored.jsonl`.

Questions with or without a reasoning go in, traces with the predictive entropy of each step come out, line by line: a run
that was interrupted goes on. `training/entropy.py` does the same for generated problems and says how well it finds gaps.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

from pir_serve.commands.tables import progress_bar
from pir_serve.errors import ConfigError
from pir_serve.prompt import PromptCodec
from training import stage
from training.scorers import Sampling, ScoreError, Scorer, ServerScorer, WeightsScorer
from training.traces import Item, ScoredTrace, most_uncertain, read_items, read_scored

log = logging.getLogger(__name__)


@dataclass
class EntropyArguments:
    """Settings of `pir train entropy`."""

    rows: str = field(metadata={"help": "JSON lines with a question and, if there is one, a reasoning."})
    output: str = field(metadata={"help": "JSON lines of scored traces; grows, and is gone on with."})
    model: str | None = field(default=None, metadata={"help": "Checkpoint folder: its own logits score."})
    base_url: str | None = field(default=None, metadata={"help": "OpenAI-compatible server whose logprobs score."})
    served_model: str = field(default="", metadata={"help": "Model name at base_url."})
    tokenizer: str | None = field(
        default=None, metadata={"help": "Tokenizer folder of the served model, for reasonings that are given."}
    )
    question_key: str = field(default="", metadata={"help": "Where rows have their question; default: the usual."})
    trace_key: str = field(default="", metadata={"help": "Where rows have their reasoning; default: the usual."})
    temperature: float = field(default=0.6, metadata={"help": "Of reasonings that are sampled."})
    max_tokens: int = field(default=2048, metadata={"help": "Of reasonings that are sampled."})
    seed: int = field(default=1, metadata={"help": "Of reasonings that are sampled."})
    limit: int = field(default=0, metadata={"help": "Only so many rows; 0: all."})
    dtype: str = field(default="float32", metadata={"help": "Of the weights: float32 or bfloat16."})
    concurrency: int = field(default=16, metadata={"help": "Requests at once."})
    threads: int = field(default=1, metadata={"help": "Torch threads."})
    plot: str | None = field(default=None, metadata={"help": "PNG of the entropy along the traces."})
    top_share: float = field(default=0.4, metadata={"help": "Share of a trace's steps that the plot marks."})


def make_scorer(a: EntropyArguments) -> Scorer:
    """Raises: ConfigError."""
    if (a.model is None) == (a.base_url is None):
        raise ConfigError("name either model (a checkpoint folder) or base_url (a server)")
    sampling = Sampling(a.temperature, a.max_tokens, a.seed)
    folder = a.model or a.tokenizer
    codec = PromptCodec.load(Path(folder), mode="trained") if folder else None
    if a.model is not None:
        import torch

        assert codec is not None
        torch.set_num_threads(a.threads)
        return WeightsScorer(a.model, codec, sampling, dtype=a.dtype)
    key = os.environ.get("OPENAI_API_KEY", "none")
    return ServerScorer(a.base_url or "", a.served_model, sampling, codec, key)


def entropy(a: EntropyArguments) -> None:
    """Score what is not in `output` yet; draw the plot. Raises: ConfigError."""
    if a.dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype is {a.dtype!r}; it must be float32 or bfloat16")
    items = list(read_items(Path(a.rows), a.question_key, a.trace_key))
    items = items[: a.limit or None]
    ledger = stage.Ledger(Path(a.output))
    done = ledger.done()
    left = [item for item in items if item.id not in done]
    failed = asyncio.run(_score_all(make_scorer(a), left, ledger, a.concurrency)) if left else []
    traces = read_scored(Path(a.output)) if Path(a.output).exists() else []
    print_summary(traces)
    if a.plot and traces:
        draw(traces, Path(a.plot), a.top_share)
        log.info("plot: %s", a.plot)
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(left)} traces were not scored ({failed[0]}); run again to try them anew"
        )


async def _score_all(scorer: Scorer, items: Sequence[Item], ledger: stage.Ledger, concurrency: int) -> list[str]:
    gate, failed = asyncio.Semaphore(concurrency), list[str]()
    with progress_bar() as progress:
        task = progress.add_task("entropy", total=len(items))

        async def one(item: Item) -> None:
            async with gate:
                try:
                    ledger.add([(await scorer.score(item)).to_json()])
                except ScoreError as error:
                    failed.append(f"{item.id}: {error}")
                progress.advance(task)

        await asyncio.gather(*(one(item) for item in items))
    return failed


def print_summary(traces: Sequence[ScoredTrace]) -> None:
    values = [step.entropy for trace in traces for step in trace.steps]
    if not values:
        log.info("no trace with a step")
        return
    cuts = quantiles(values, n=10) if len(values) > 1 else values * 9
    log.info(
        "%d traces, %d steps; entropy in nats: mean %.3f, median %.3f, nine in ten below %.3f",
        *(len(traces), len(values), fmean(values), cuts[4], cuts[8]),
    )


def draw(traces: Sequence[ScoredTrace], file: Path, top_share: float, *, bins: int = 20, lines: int = 12) -> None:
    """Predictive entropy along the traces: all in bins of their length, and some one by one with their top steps."""
    from matplotlib.figure import Figure

    binned: list[list[float]] = [[] for _ in range(bins)]
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1)
    for place, trace in enumerate(t for t in traces if t.steps):
        spots = [step.start / max(1, len(trace.trace)) for step in trace.steps]
        for spot, step in zip(spots, trace.steps, strict=True):
            binned[min(bins - 1, int(spot * bins))].append(step.entropy)
        if place < lines:
            values = [step.entropy for step in trace.steps]
            below.plot(spots, values, color="#1f77b4", alpha=0.35, linewidth=0.9)
            top = most_uncertain(trace.steps, top_share, len(trace.steps))
            below.plot([spots[k] for k in top], [values[k] for k in top], "o", color="#d62728", markersize=3)
    middles = [((k + 0.5) / bins, sorted(some)) for k, some in enumerate(binned) if some]
    x = [middle for middle, _ in middles]
    above.fill_between(x, *([_at(some, q) for _, some in middles] for q in (0.1, 0.9)), color="#1f77b4", alpha=0.2)
    above.plot(x, [fmean(some) for _, some in middles], color="#1f77b4")
    above.set(ylabel="nats", title=f"predictive entropy of steps: mean and middle 80 %, {len(traces)} traces")
    shown = min(lines, len(traces))
    below.set(xlabel="place in the trace", ylabel="nats", title=f"{shown} traces, dots: the top {top_share:.0%}")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _at(values: Sequence[float], share: float) -> Any:
    return values[round(share * (len(values) - 1))]


def main(args: list[str] | None = None) -> None:
    stage.run(lambda: entropy(*stage.parse((EntropyArguments,), "entropy", args)))


if __name__ == "__main__":
    main()
