"""How far the sampler's log-probabilities are from the trainer's: `python -m benchmarks.logprob_gap`.

Rollouts of the built-in model by the in-process engine (cached, in batches), scored once more by transformers' whole forward
in float32, as the trainer does, and in float64, which tells whose the error is.
"""

from __future__ import annotations

import copy
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.report import Table
from evals.problems import make_pair
from evals.rows import Row
from evals.simulators import RuleSimulator
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from training.engines import InProcessEngine
from training.rollout import Job, Rollouts, Tokens


def sampled(n: int) -> list[Tokens]:
    """What a trainer takes of `n` rollouts of incomplete problems."""
    engine = InProcessEngine(BUILTIN_MODEL, slots=64)
    engine.load_from(BUILTIN_MODEL)
    codec = PromptCodec.load(BUILTIN_MODEL)
    rollouts = Rollouts(engine, codec)
    rows = [Row.of(make_pair("validation", 9, k)[1], "bench") for k in range(n)]
    made = rollouts.run([Job(row, RuleSimulator(), seed) for seed, row in enumerate(rows)])
    rollouts.close()
    return [rollout.tokens(codec.eos_ids[0]) for rollout in made]


def scored(model: Any, tokens: Tokens, *, exact_head: bool = False) -> Tensor:
    """Log-probability of each token that the model wrote; `exact_head`: logits and softmax in float64."""
    ids, n = torch.tensor([tokens.prompt_ids + tokens.ids]), len(tokens.prompt_ids)
    hidden, head = model.model(ids).last_hidden_state[0, n - 1 : -1], model.lm_head.weight
    logits = hidden.double() @ head.double().T if exact_head else hidden @ head.T
    logps = logits.gather(1, ids[0, n:].unsqueeze(1)).squeeze(1) - logits.logsumexp(-1)  # as TRL's fused head has it
    return logps[torch.tensor(tokens.env_mask).bool()].double()


def gaps(n: int) -> list[list[str]]:
    """Rows of the table: mean, 99.9th percentile, largest, and the number above 1e-5."""
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    trainer = AutoModelForCausalLM.from_pretrained(BUILTIN_MODEL, dtype=torch.float32)
    exact = copy.deepcopy(trainer).double()
    made = sampled(n)
    with torch.no_grad():
        sampler = torch.cat([torch.tensor(t.logprobs).double()[torch.tensor(t.env_mask).bool()] for t in made])
        plain = torch.cat([scored(trainer, t) for t in made])
        with_exact_head = torch.cat([scored(trainer, t, exact_head=True) for t in made])
        truth = torch.cat([scored(exact, t) for t in made])
    pairs = {
        "sampler and trainer, both float32": sampler - plain,
        "sampler and float64": sampler - truth,
        "trainer and float64": plain - truth,
        "trainer with head and softmax in float64, and float64": with_exact_head - truth,
    }
    return [[name, *_figures(gap.abs())] for name, gap in pairs.items()]


def _figures(gap: Tensor) -> list[str]:
    high = gap.quantile(0.999).item()
    return [
        f"{gap.mean().item():.1e}", f"{high:.1e}", f"{gap.max().item():.1e}", f"{int((gap > 1e-5).sum())} of {gap.numel():,}"
    ]  # fmt: skip


@click.command()
@click.option("--trajectories", type=click.IntRange(1), default=128, show_default=True)
def main(trajectories: int) -> None:
    """Compare the sampler's log-probabilities with the trainer's, on the built-in model.

    \b
    python -m benchmarks.logprob_gap
    python -m benchmarks.logprob_gap --trajectories 1000
    """
    click.echo(Table(["between", "mean", "99.9 %", "largest", "above 1e-5"], gaps(trajectories)))


if __name__ == "__main__":
    main()
