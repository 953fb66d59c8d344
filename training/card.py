"""The model card, written from a run's own figures. Nothing in it is typed by hand but the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [reasoning, clarifying-questions, proactive-interactive-reasoning]
---

# pir-tiny

A very small Llama ({size}) that solves short English word problems step by step and, where a fact is missing, stops in its
reasoning and asks for it. It was trained from scratch on generated problems by `pir train tiny` of this repository, on CPU.

**It knows only its little world**: {families} families of word problems with whole numbers. It cannot chat, and outside that
world its questions and answers mean nothing. It exists so that serving, clients, training and evaluation of models that ask
can be tried and tested without a GPU or a download.

## How it was made

| stage | what | figures |
|---|---|---|
| passive base | {guessed:.0%} of its problems hide a fact that the reasoning states all the same | {tokens:.1f} M tokens, last loss {loss:.3f} |
| step entropy | mean negative log-probability of each step of its own greedy traces | AUROC {auroc:.3f} for "this step states a hidden fact" ({gaps} of {steps} steps) |
| asking data | asks before the facts among the {top:.0%} most uncertain steps, responses by the rule user | {rows} rows, {asks} asks, {right:.1%} about a hidden fact |
| SFT | TRL, loss on the model's own tokens only | {rows} rows, {epochs:g} epochs{resumed} |
| US-GRPO | groups of rollouts against clean and noisy users; reward `{reward}`, needless asks cost | {updates} updates; reward on validation problems {validation_reward} |

The guesses in the base's training text are a modelling choice: a model that never saw reasoning over unstated facts copies a
nearby number with confidence, and its step entropy finds little. Of the chosen steps, {rejected} were turned down.
On 1,000 unseen validation pairs the AUROC is {auroc_validation:.3f} on greedy traces and {auroc_sampled:.3f} on traces
sampled at temperature 1 (incomplete problems only).

## Scores

Greedy decoding, rule user simulator, paired problems, 95 % Wilson intervals. `complete`: the whole problem is shown;
`no ask`: a fact is hidden and asking is answered with "use your best judgment"; `asking`: a fact is hidden and the user
answers. `after SFT` is the same model before US-GRPO. A rollout that does not finish counts as wrong. Choices were made on the
validation split and, for US-GRPO, on 1,000 other pairs of held-out numbers.
"""

_TAIL = """
## Reproduce

```sh
make setup-train
.venv/bin/pir train tiny --output out/tiny
```

Seeds and all settings are in `pir.json`, raw figures in `evaluation.json`. Versions: {versions}.
Runs are repeatable up to the order in which two processes average their weights; expect scores within the intervals' width.

## Limits

- The user simulator shares the problems' wording: people's answers are more varied than what was measured here.
- Noisy users cost accuracy, as the persona table shows. After an off-topic reply the model may take a wrong number.
- It still asks some needless questions, as the `asked` column of complete problems shows.
"""


def card(config: Any, stages: Mapping[str, Mapping[str, Any]], versions: Mapping[str, str]) -> str:
    """Markdown of the card. `stages` are the figures of base, asking, sft, grpo and evaluation."""
    from evals.problems import FAMILIES

    base, asking, evaluation = stages["base"], stages["asking"], stages["evaluation"]
    augmentation, size = asking["augmentation"], config.size
    head = _HEAD.format(
        size=f"{size.num_hidden_layers} layers, width {size.hidden_size}, {config.vocab_size} tokens",
        families=len(FAMILIES),
        guessed=config.mixture.guessed,
        tokens=base["tokens"] / 1e6,
        loss=base["loss"],
        auroc=asking["entropy"]["auroc"],
        gaps=asking["entropy"]["gaps"],
        steps=asking["entropy"]["steps"],
        top=config.asking.top_share,
        rows=augmentation["rows"],
        asks=augmentation["asks"],
        right=augmentation["right_fact"],
        epochs=config.sft.get("num_train_epochs", 1),
        resumed=_resumed(stages["sft"]),
        reward=config.grpo.get("components", "ours"),
        updates=stages["grpo"]["updates"],
        validation_reward=_reward(stages["grpo"]["validation_reward"]),
        rejected=", ".join(f'{count} as "{reason}"' for reason, count in augmentation["rejected"].items()),
        auroc_validation=asking["entropy_validation"]["auroc"],
        auroc_sampled=asking["entropy_validation_sampled"]["auroc"],
    )
    tail = _TAIL.format(versions=", ".join(f"{name} {number}" for name, number in versions.items()))
    return "\n".join([head, *_conditions(evaluation), "", *_personas(evaluation), tail])


def _resumed(sft: Mapping[str, Any]) -> str:
    """A run that was extended has seen other learning rates than a fresh one with the same settings."""
    step = sft["extended_at_step"]
    return f"; extended at step {step}, where a shorter schedule had ended" if step else ""


def _reward(value: float | None) -> str:
    return "not measured: the last one was kept" if value is None else f"{value:.3f}"


def _conditions(evaluation: Mapping[str, Any]) -> list[str]:
    lines = [
        "| split | condition | accuracy | asked | turns | asks that hit a gap | own tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    groups = [
        ("passive base", evaluation["base"]),
        ("after SFT", evaluation["sft"]),
        ("pir-tiny", evaluation["model"]),
    ]
    for who, splits in groups:
        for split, conditions in splits.items():
            for condition, f in conditions.items():
                name = {"no_ask": "no ask", "interactive": "asking"}.get(condition, condition)
                where = f"{who}, {split}" if who != "pir-tiny" else split
                lines.append(f"| {where} | {name} | {' | '.join(_figures(f))} |")
    return lines


def _personas(evaluation: Mapping[str, Any]) -> list[str]:
    lines = [
        "| user persona (held-out numbers, asking) | after SFT | accuracy | asked | turns | asks that hit a gap | own tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in evaluation["personas"].items():
        before = _share(evaluation["personas_sft"][name]["interactive"]["accuracy"])
        lines.append(f"| {name} | {before} | {' | '.join(_figures(figures['interactive']))} |")
    return lines


def _figures(f: Mapping[str, Any]) -> list[str]:
    precision = _share(f["ask_precision"]) if f["ask_precision"] else "-"
    return [_share(f["accuracy"]), _share(f["asked"]), f"{f['turns']:.2f}", precision, f"{f['model_tokens']:.0f}"]


def _share(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
