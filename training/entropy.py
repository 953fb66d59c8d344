"""Score the steps of a model's own traces: where is it unsure, and is that where the problem lacks a fact?

Predictive entropy is the mean negative log-probability of a step's sampled tokens, in nats (arXiv 2601.22139, section on
uncertainty-aware selection); pir_serve.uncertainty does the arithmetic, for training and for serving alike.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from evals.problems import Problem
from pir_serve.engines.base import Engine, LegRequest, SamplingParams, TokenChunk
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from pir_serve.uncertainty import Step, StepScorer

MAX_TRACE_TOKENS = 320


@dataclass(frozen=True, slots=True)
class Trace:
    """A model's own reasoning over a problem, step by step."""

    problem: Problem
    text: str
    steps: tuple[Step, ...]
    fact_ids: tuple[str | None, ...]
    """Per step: the fact that it states, or None for an operation or what matches nothing."""

    @property
    def gaps(self) -> list[bool]:
        """Per step: whether it states a fact that the prompt hides."""
        hidden = {fact.id for fact in self.problem.hidden}
        return [fact_id in hidden for fact_id in self.fact_ids]

    def to_json(self) -> dict[str, Any]:
        steps = [
            {"text": s.text, "entropy": round(s.entropy, 5), "num_tokens": s.num_tokens, "fact_id": f, "gap": g}
            for s, f, g in zip(self.steps, self.fact_ids, self.gaps, strict=True)
        ]
        return {"row_id": self.problem.row_id, "text": self.text, "steps": steps}


async def score(engine: Engine, codec: PromptCodec, problem: Problem, sampling: SamplingParams) -> Trace:
    """Let the model reason, and score each step as it goes."""
    ids = [i for s in codec.encode_prompt([Message("user", problem.shown)]) for i in s.token_ids]
    request = LegRequest(ids, MAX_TRACE_TOKENS, sampling, stop=(TAGS.think_close,), request_id=problem.row_id)
    scorer, text, steps = StepScorer(codec.incremental().feed), "", list[Step]()
    async with aclosing(_chunks(engine, request)) as chunks:
        async for chunk in chunks:
            text += chunk.text
            steps += scorer.feed(chunk.text, chunk.token_ids, chunk.logprobs)
    steps += scorer.finish()
    return Trace(problem, text, tuple(steps), tuple(stated_fact(problem, step.text) for step in steps))


async def _chunks(engine: Engine, request: LegRequest) -> Any:
    async for chunk in engine.generate(request):
        assert isinstance(chunk, TokenChunk)
        yield chunk


async def score_all(
    engine: Engine, codec: PromptCodec, problems: Iterable[Problem], *, temperature: float = 0.0, concurrency: int = 128
) -> list[Trace]:
    """Traces in the order of `problems`; sampled traces draw from a seed of their own row."""
    gate = asyncio.Semaphore(concurrency)

    async def one(index: int, problem: Problem) -> Trace:
        async with gate:
            return await score(engine, codec, problem, SamplingParams(temperature=temperature, seed=index))

    return list(await asyncio.gather(*(one(k, p) for k, p in enumerate(problems))))


_NUMBER = re.compile(r"\d+")


def stated_fact(problem: Problem, line: str) -> str | None:
    """Id of the fact that a line of reasoning states, whatever value it gives; None if it states none.

    Numbers are masked. A reading's line differs in words from the other reading's, so that near equality counts there.
    """
    masked = _NUMBER.sub("#", line.strip())
    best: tuple[float, str | None] = (0.75, None)
    for step in problem.steps:
        if step.fact_id is None:
            continue
        wanted = _NUMBER.sub("#", step.text)
        if wanted == masked:
            return step.fact_id
        if step.kind == "reading":
            ratio = difflib.SequenceMatcher(None, wanted.split(), masked.split()).ratio()
            best = max(best, (ratio, step.fact_id), key=lambda pair: pair[0])
    return best[1]


def threshold(traces: Sequence[Trace], top_share: float) -> float:
    """The entropy that `top_share` of all steps reach or exceed."""
    entropies = sorted((step.entropy for trace in traces for step in trace.steps), reverse=True)
    return entropies[min(len(entropies) - 1, int(top_share * len(entropies)))]


def find_gaps(traces: Sequence[Trace], at_least: float) -> dict[str, float | int]:
    """How well entropy finds the steps that need a hidden fact: AUROC over all steps, and counts at the threshold."""
    from pir_serve.uncertainty import auroc

    scores = [step.entropy for trace in traces for step in trace.steps]
    labels = [gap for trace in traces for gap in trace.gaps]
    chosen = [label for s, label in zip(scores, labels, strict=True) if s >= at_least]
    with_gap = [t for t in traces if any(t.gaps)]
    top = [max(range(len(t.steps)), key=lambda k, t=t: t.steps[k].entropy) for t in with_gap]  # type: ignore[misc]
    return {
        "steps": len(scores),
        "gaps": sum(labels),
        "auroc": round(auroc(scores, labels), 4),
        "threshold_nats": round(at_least, 4),
        "chosen": len(chosen),
        "precision": round(sum(chosen) / max(1, len(chosen)), 4),
        "recall": round(sum(chosen) / max(1, sum(labels)), 4),
        "top1": round(sum(t.gaps[k] for t, k in zip(with_gap, top, strict=True)) / max(1, len(with_gap)), 4),
        "mean_gap": _mean([s for s, y in zip(scores, labels, strict=True) if y]),
        "mean_other": _mean([s for s, y in zip(scores, labels, strict=True) if not y]),
    }


def _mean(values: list[float]) -> float:
    return round(sum(values) / max(1, len(values)), 4)
