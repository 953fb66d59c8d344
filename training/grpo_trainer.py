"""TRL's GRPO trainer with our rollouts in it: the one place that touches private parts of TRL (1.16).

What is added: groups are played by `training/groups.py`; batches are cut to the longest of their own rows; the sampler's
log-probabilities are compared with the trainer's.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer
from trl.rewards import get_soft_overlong_punishment

from training.engines import ColocateEngine, InProcessEngine, Stepped
from training.groups import Draw, Example, Group, Groups, Played, has_signal
from training.rollout import timing


class USGRPOTrainer(GRPOTrainer):
    """See the module. Rewards are the groups' scores; `reward_funcs` and `rollout_func` are its own."""

    def __init__(
        self,
        *,
        groups: Groups,
        resample_rounds: int = 1,
        importance_cap: float = 0.0,
        overlong_cache: int = 0,
        **of_trl: Any,
    ) -> None:
        """Args:
        resample_rounds: how often a group without a signal is replaced, in training only.
        importance_cap: each token's advantage is scaled by the trainer's over the sampler's probability, at most by
            this (truncated importance sampling); 0 leaves it.
        overlong_cache: width of DAPO's soft length penalty below `max_completion_length`; 0: none.
        """
        self.groups = groups
        self.resample_rounds, self.importance_cap = resample_rounds, importance_cap
        self._overlong = None
        self._played: list[Played] = []
        self._logps: Tensor | None = None
        self._sampled_due = False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            super().__init__(reward_funcs=[self.reward], rollout_func=_hand_over, **of_trl)
        if isinstance(groups.rollouts.engine, ColocateEngine):
            groups.rollouts.engine.attach(self.vllm_generation.llm)
        if overlong_cache:
            self._overlong = get_soft_overlong_punishment(self.max_completion_length, overlong_cache)

    def _generate_and_score_completions(self, inputs: list[Example]) -> dict[str, Any]:
        self._load_weights()
        size = self.num_generations if self.model.training else 1
        started = time.monotonic()
        groups = self._play(inputs[::size], size)
        self._report(groups, time.monotonic() - started)
        self._played = [played for group in groups for played in group.rounds[-1]]
        inputs[:] = [dict(group.example) for group in groups for _ in range(size)]
        self._sampled_due = self._wants_old_logps and isinstance(self.groups.rollouts.engine, InProcessEngine)
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.importance_cap:
            self._correct(output)
        return output

    def _load_weights(self) -> None:
        """Sample from the weights as they are now. On vLLM this is a collective: every process takes part."""
        engine = self.groups.rollouts.engine
        if isinstance(engine, Stepped):
            engine.busy_s = 0.0
        if isinstance(engine, InProcessEngine):
            engine.load(self.accelerator.unwrap_model(self.model).state_dict())
        elif self.use_vllm and self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step: int = self.state.global_step

    def _play(self, examples: Sequence[Example], size: int) -> list[Group]:
        process = self.accelerator.process_index
        if not self.model.training:
            return self.groups.play(examples, size, Draw(self.args.seed, "eval", process, greedy=True))
        draw = Draw(self.args.seed, self.state.global_step, process)
        return self.groups.play(examples, size, draw, others=self.train_dataset, refills=self.resample_rounds)

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

    def _report(self, groups: Sequence[Group], wall_s: float) -> None:
        """Metrics of the rollouts as first drawn (problems that refill chose would flatter them), and of the refill."""
        engine = self.groups.rollouts.engine
        decode_s = engine.busy_s if isinstance(engine, Stepped) else None
        first = [played for group in groups for played in group.rounds[0]]
        made = [played.rollout for group in groups for played in chain(*group.rounds)]
        figures = dict(timing(made, wall_s, decode_s))
        figures["groups/without_signal"] = fmean(not has_signal(group.rounds[0]) for group in groups)
        figures["groups/without_signal_after_refill"] = fmean(not has_signal(group.rounds[-1]) for group in groups)
        figures["reward/unscored"] = fmean(played.score is None for played in first)
        figures |= dict(_by_completeness(first))
        for name, value in figures.items():
            self._log_metric(name, value)
        for column, values in _columns([played for group in groups for played in group.rounds[-1]]).items():
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

    @property
    def _wants_old_logps(self) -> bool:
        """Whether TRL asks for the log-probabilities under the weights that sampled, before any other."""
        every = self.args.steps_per_generation * self.num_iterations
        return bool(self.model.training and self.args.gradient_accumulation_steps % every)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None, Any]:
        if self._sampled_due:  # the sampler in this process knows them: a sixth of the time of an update saved
            self._sampled_due = False
            return self._sampled_logps(width=args[3]).to(args[1].device), None, None
        out: tuple[Tensor, Tensor | None, Any] = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._logps = out[0].detach() if kwargs.get("compute_entropy") else None
        return out

    def _sampled_logps(self, width: int) -> Tensor:
        """The sampler's log-probabilities, padded to (B, width)."""
        logps = torch.zeros(len(self._played), width)
        for row, played in zip(logps, self._played, strict=True):
            known = played.rollout.tokens(self.eos_token_ids[0]).logprobs
            row[: len(known)] = torch.tensor(known)
        return logps


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
