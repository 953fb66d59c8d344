"""TRL's GRPO trainer with our rollouts in it: the one place that touches private parts of TRL (1.16).

What is added: rows reach the rollouts; groups that teach nothing are played again on other problems (DAPO's dynamic
sampling); batches are cut to the longest of their own rows; the sampler's log-probabilities are compared with the trainer's.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer
from trl.rewards import get_soft_overlong_punishment

from evals.rows import Row
from training.engines import ColocateEngine, InProcessEngine, Stepped
from training.rollout import Job, Rollout, Rollouts, timing
from training.scoring import Score, Scorer
from training.users import Users

Inputs = list[dict[str, Any]]


def row_columns(row: Row) -> dict[str, str]:
    """A row as columns of a data set that TRL takes: prompts are what people see in logs, the rest goes with them."""
    return {"prompt": row.shown, "row": json.dumps(row.to_json())}


@dataclass(frozen=True, slots=True)
class Played:
    """One rollout and its score; None: unscored."""

    rollout: Rollout
    score: Score | None


def has_signal(group: Sequence[Played]) -> bool:
    """Whether comparing these rollouts teaches anything.

    Groups in which nobody is right are out even if their rewards differ: by a penalty alone, a wrong rollout would be
    learnt as if it were good.
    """
    scores = [played.score for played in group if played.score is not None]
    return any(s.outcome > 0 for s in scores) and len({round(s.reward, 9) for s in scores}) > 1


class USGRPOTrainer(GRPOTrainer):
    """See the module. Rewards come from `scorer`; `reward_funcs` and `rollout_func` are its own."""

    def __init__(
        self,
        *,
        rollouts: Rollouts,
        scorer: Scorer,
        users: Users,
        resample_rounds: int = 1,
        importance_cap: float = 0.0,
        overlong_cache: int = 0,
        **of_trl: Any,
    ) -> None:
        """Args:
        resample_rounds: how often groups without a signal are replaced, in training only.
        importance_cap: each token's advantage is scaled by the trainer's over the sampler's probability, at most by
            this (truncated importance sampling); 0 leaves it.
        overlong_cache: width of DAPO's soft length penalty below `max_completion_length`; 0: none.
        """
        self.rollouts, self.scorer, self.users = rollouts, scorer, users
        self.resample_rounds, self.importance_cap = resample_rounds, importance_cap
        self._overlong = None
        self._played: list[Played] = []
        self._logps: Tensor | None = None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            super().__init__(reward_funcs=[self.reward], rollout_func=_hand_over, **of_trl)
        if isinstance(rollouts.engine, ColocateEngine):
            rollouts.engine.attach(self.vllm_generation.llm)
        if overlong_cache:
            self._overlong = get_soft_overlong_punishment(self.max_completion_length, overlong_cache)

    def _generate_and_score_completions(self, inputs: Inputs) -> dict[str, Any]:
        self._load_weights()
        is_training = self.model.training
        group_size = self.num_generations if is_training else self.num_generations_eval
        started = time.monotonic()
        self._played = self._play(inputs, 0)
        first = self._played
        for number in range(1, self.resample_rounds + 1 if is_training else 1):
            if not self._refill(inputs, group_size, number):
                break
        self._report(first, group_size, time.monotonic() - started)
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.importance_cap:
            self._correct(output)
        return output

    def _load_weights(self) -> None:
        """Sample from the weights as they are now. On vLLM this is a collective: every process takes part."""
        engine = self.rollouts.engine
        if isinstance(engine, Stepped):
            engine.busy_s = 0.0
        if isinstance(engine, InProcessEngine):
            engine.load(self.accelerator.unwrap_model(self.model).state_dict())
        elif self.use_vllm and self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step: int = self.state.global_step

    def _play(self, inputs: Inputs, number: int) -> list[Played]:
        """Rollouts of these inputs, scored. The same step of the same run draws the same ones."""
        rows = {text: Row.from_json(json.loads(text)) for text in {example["row"] for example in inputs}}
        is_training = self.model.training
        step = self.state.global_step if is_training else "eval"
        jobs = []
        for place, example in enumerate(inputs):
            row = rows[example["row"]]
            key = f"{self.args.seed}/{step}/{self.accelerator.process_index}/{number}/{place}"
            jobs.append(
                Job(
                    row,
                    self.users.draw(f"{step}/{row.row_id}"),
                    int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) & 0x7FFF_FFFF,
                    greedy=not is_training,
                )
            )
        made = self.rollouts.run(jobs)
        scores = self.rollouts.call(self.scorer.score_all(made))
        return [Played(rollout, score) for rollout, score in zip(made, scores, strict=True)]

    def _refill(self, inputs: Inputs, group_size: int, number: int) -> bool:
        """Replace groups without a signal by groups of problems drawn anew, in place; False if there is none."""
        bad = [
            start
            for start in range(0, len(inputs), group_size)
            if not has_signal(self._played[start : start + group_size])
        ]
        if not bad:
            return False
        draw = random.Random(f"{self.args.seed}/{self.state.global_step}/{self.accelerator.process_index}/{number}")
        fresh = [self.train_dataset[draw.randrange(len(self.train_dataset))] for _ in bad]
        played = self._play([dict(example) for example in fresh for _ in range(group_size)], number)
        self._played = list(self._played)
        for k, start in enumerate(bad):
            inputs[start : start + group_size] = [dict(fresh[k]) for _ in range(group_size)]
            self._played[start : start + group_size] = played[k * group_size : (k + 1) * group_size]
        return True

    def reward(self, completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        """TRL's reward function: what the rollouts were scored with, and the length penalty."""
        size = self.num_generations if self.model.training else self.num_generations_eval
        penalties = self._overlong(completion_ids) if self._overlong else [0.0] * len(self._played)
        rewards: list[float | None] = []
        for place, (played, penalty) in enumerate(zip(self._played, penalties, strict=True)):
            group = self._played[place - place % size :][:size]
            anybody = any(p.score is not None and p.score.outcome > 0 for p in group)
            rewards.append(None if played.score is None else played.score.reward + penalty * anybody)
        return rewards

    def _report(self, first: Sequence[Played], group_size: int, wall_s: float) -> None:
        """Metrics of the rollouts as first drawn (problems that refill chose would flatter them), and of the refill."""
        engine = self.rollouts.engine
        decode_s = engine.busy_s if isinstance(engine, Stepped) else None
        figures = dict(timing([played.rollout for played in first], wall_s, decode_s))
        figures["groups/without_signal"] = _without_signal(first, group_size)
        figures["groups/without_signal_after_refill"] = _without_signal(self._played, group_size)
        figures["reward/unscored"] = fmean(played.score is None for played in first)
        figures |= dict(_by_completeness(first))
        for name, value in figures.items():
            self._log_metric(name, value)
        for column, values in _columns(self._played).items():
            self._log_completion_extra(column, values)

    def _correct(self, output: dict[str, Any]) -> None:
        """Truncated importance sampling: advantages by token, (B, T)."""
        old = output.get("old_per_token_logps")
        if old is None:
            ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
            mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
            with torch.no_grad():
                size = self.args.per_device_train_batch_size
                old, _, _ = self._get_per_token_logps_and_entropies(
                    self.model, ids, mask, output["completion_ids"].size(1), size
                )
        own = output["completion_mask"] * output["tool_mask"]
        ratio = torch.exp((old - output["sampling_per_token_logps"]) * own).clamp(max=self.importance_cap)
        output["advantages"] = output["advantages"].unsqueeze(1) * ratio

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        inputs = cut_to_longest(inputs)
        loss: Tensor = super()._compute_loss(model, inputs)
        if self._logps is not None and self.model.training:
            self._compare(self._logps, inputs)
        return loss

    def _compare(self, logps: Tensor, inputs: dict[str, Any]) -> None:
        """The policy as it is now against the policy that sampled; before the first update on a batch, the two engines."""
        own = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
        gap = (logps - inputs["sampling_per_token_logps"])[own]
        if not gap.numel():
            return
        metrics = self._metrics["train"]
        metrics["sampling/ratio_mean"].append(gap.exp().mean().item())
        metrics["sampling/ratio_max"].append(gap.exp().max().item())
        if self._step % (self.args.steps_per_generation * self.num_iterations) < self.args.gradient_accumulation_steps:
            metrics["sampling/logprob_gap_mean"].append(gap.abs().mean().item())
            metrics["sampling/logprob_gap_max"].append(gap.abs().max().item())

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None, Any]:
        out: tuple[Tensor, Tensor | None, Any] = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._logps = out[0].detach() if kwargs.get("compute_entropy") else None
        return out


def _hand_over(prompts: list[str], trainer: USGRPOTrainer) -> dict[str, Any]:
    """TRL's rollout function: the rollouts that have been made for these prompts."""
    assert len(prompts) == len(trainer._played), "one rollout a prompt, in order"
    end_id = trainer.eos_token_ids[0]
    tokens = [played.rollout.tokens(end_id) for played in trainer._played]
    return {
        "prompt_ids": [t.prompt_ids for t in tokens],
        "completion_ids": [t.ids for t in tokens],
        "logprobs": [t.logprobs for t in tokens],
        "env_mask": [t.env_mask for t in tokens],
    }


_OF_COMPLETION = (
    "completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "sampling_per_token_logps",
    "ref_per_token_logps", "importance_sampling_ratio",
)  # fmt: skip


def cut_to_longest(inputs: dict[str, Any]) -> dict[str, Any]:
    """A mini-batch without the columns that are padding in all its rows; TRL pads to the longest of the whole batch."""
    width = max(1, int(inputs["completion_mask"].sum(1).max()))
    prompt = max(1, int(inputs["prompt_mask"].sum(1).max()))
    cut = dict(inputs)
    for name in _OF_COMPLETION:
        if isinstance(cut.get(name), Tensor) and cut[name].dim() == 2 and cut[name].size(1) > 1:
            cut[name] = cut[name][:, :width]
    if cut["advantages"].dim() == 2:
        cut["advantages"] = cut["advantages"][:, :width]
    for name in ("prompt_ids", "prompt_mask"):
        cut[name] = cut[name][:, -prompt:]
    return cut


def _without_signal(played: Sequence[Played], size: int) -> float:
    return fmean(not has_signal(played[start : start + size]) for start in range(0, len(played), size))


def _by_completeness(played: Sequence[Played]) -> Iterator[tuple[str, float]]:
    for name, complete in (("complete", True), ("incomplete", False)):
        some = [p for p in played if p.rollout.row.is_complete == complete]
        if not some:
            continue
        yield f"accuracy/{name}", fmean(p.score.outcome if p.score else 0.0 for p in some)
        yield f"asked/{name}", fmean(p.rollout.num_asks > 0 for p in some)
        yield f"asks/{name}", fmean(p.rollout.num_asks for p in some)
        rated = [h for p in some if p.score for h in p.score.helpfulness]
        if rated:
            yield f"helpfulness/{name}", fmean(rated)


def _columns(played: Sequence[Played]) -> dict[str, list[Any]]:
    """What a table of completions shows beside text and reward."""
    return {
        "row_id": [p.rollout.row.row_id for p in played],
        "is_complete": [p.rollout.row.is_complete for p in played],
        "num_asks": [p.rollout.num_asks for p in played],
        "outcome": [p.score.outcome if p.score else None for p in played],
        "status": [str(p.rollout.trajectory.status) for p in played],
    }
