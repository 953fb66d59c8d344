"""What is known of models that ask: how their prompts are set up, and how they are best sampled.

A model is served in one of two modes. `trained`: it learnt to ask, and gets the prompt that it was trained with.
`prompted`: it never did; a system prompt tells it how, and what it gets wrong in the markup is mended. A checkpoint's own
`pir.json` goes before its preset. Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Mode = Literal["trained", "prompted"]
ModeChoice = Literal["auto", "trained", "prompted"]
"""`auto`: trained where `pir.json` or the preset says so, else prompted."""

SYSTEM_PROMPT = """\
Answer the user's question. Whenever you learn something new, first reason about it between <think> and </think>. If \
while reasoning you find that you lack knowledge, or that something needs to be made clear, turn to the asking engine: \
write <asking> your question </asking>, and the reply comes back between <response> and </response>. You may ask as \
often as you like. Once nothing more is missing, close the reasoning and give your final answer after it."""
"""The method's system prompt in our own words (same five points, same order)."""

PROMPTED_SYSTEM_PROMPT = """\
You solve problems together with the user, who may have left something out. Reason between <think> and </think>. If \
your reasoning needs a fact that was not given and that you cannot work out (a quantity, a price, a date, which of two \
readings is meant), do not guess it and do not wait for the end: ask for it right there in your reasoning by writing \
<asking>one short question</asking>, then stop. The reply will follow between <response> and </response>, and your \
reasoning goes on from there. Never write <response> yourself. Ask only for what you need, one thing at a time; if \
nothing is missing, do not ask. After </think>, write the final answer for the user, without any tags.

Example of a reasoning that asks:
<think>
The rope is cut into 4 equal parts, so I need its length.
<asking>How long is the rope?</asking>
<response>20 metres</response>
Each part is 20 / 4 = 5 metres.
</think>
Each part is 5 metres long."""
"""For models that were never trained to ask: says what trained ones know, with one example."""

BOXED_TRIGGER = " Please reason step by step, and put your final answer within \\boxed{}."

OBSERVATION_FORMAT = "\n<response>{response}</response>"
"""How a reply is written behind `</asking>`; published PIR models were trained with no newline behind it."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One known model, or one way to use any model."""

    name: str
    """Model id as its publisher writes it, or a short name of ours."""
    summary: str
    template: str
    """Family of the chat template, for people; the template itself is read from the model's folder."""
    mode: Mode = "trained"
    also: str = ""
    """Regular expression for the last part of other model ids that this preset is right for."""
    system_prompt: str | None = None
    """Goes before the user's own system message; None: the model was trained without one."""
    folds_system: bool = False
    """Whether system texts go before the first user message although the template has a place for them."""
    user_suffix: str = ""
    """Appended to the conversation's first user message, unless that asks for a box already."""
    observation_format: str = OBSERVATION_FORMAT
    junction: str = "segmented"
    """How a reply joins an ask whose closing tag ends inside a token; without effect where the tags are tokens."""
    temperature: float = 0.6
    """The paper's evaluation value."""
    top_p: float = 0.95
    """The paper's evaluation value."""
    max_tokens: int = 4096
    """The paper's budget for one trajectory, prompt included."""
    max_asks: int = 5
    """N_max of the paper's reward."""


_PIR = "Proactive-Interactive-R1/Proactive-Interactive-R1-"

GENERIC = Preset(
    name="generic",
    summary="any other model: a system prompt tells it to ask",
    template="the model's own",
    mode="prompted",
    system_prompt=PROMPTED_SYSTEM_PROMPT,
    max_tokens=8192,
)
"""For models without a preset of their own. They ask less reliably than models that were trained to."""

TRAINED = Preset(
    name="trained",
    summary="a model that was trained to ask, and is not known here by name",
    template="the model's own",
    system_prompt=SYSTEM_PROMPT,
)
"""The paper's settings, under what the model's `pir.json` says, if it has one."""

_KNOWN = (
    Preset(
        name="pir-tiny",
        summary="the built-in model: word problems, on a CPU",
        template="pir-tiny",
        temperature=0.0,
        top_p=1.0,
        max_tokens=400,
        max_asks=6,
    ),
    Preset(
        name=_PIR + "Math-7B",
        summary="the published model for mathematics, trained with an 8B user simulator",
        template="DeepSeek-R1-Distill",
        system_prompt=SYSTEM_PROMPT,
        user_suffix=BOXED_TRIGGER,
    ),
    Preset(
        name=_PIR + "Math-7B-Pro",
        summary="the same, trained with a stronger user simulator: asks more",
        template="DeepSeek-R1-Distill",
        system_prompt=SYSTEM_PROMPT,
        user_suffix=BOXED_TRIGGER,
    ),
    replace(
        GENERIC,
        name="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        summary="reasons, and was never taught to ask; its makers advise against system messages",
        template="DeepSeek-R1-Distill",
        also=r"DeepSeek-R1|DeepSeek-R1-Distill-(Qwen|Llama)-\d+(\.\d+)?B",
        folds_system=True,
    ),
)


def all_presets() -> tuple[Preset, ...]:
    """The known models, and last the preset for all others."""
    return (*_KNOWN, GENERIC)


def find_preset(model_id: str) -> Preset | None:
    """The preset of a model id or of a folder that bears its name, in any case; None if the model is not known."""
    wanted = model_id.rstrip("/").casefold()
    last = wanted.rpartition("/")[2]
    named = [preset for preset in _KNOWN if wanted == preset.name.casefold()]
    named += [preset for preset in _KNOWN if last == preset.name.casefold().rpartition("/")[2]]
    named += [preset for preset in _KNOWN if preset.also and re.fullmatch(preset.also, last, re.IGNORECASE)]
    return named[0] if named else None


def preset_for(known: Preset | None, mode: ModeChoice, *, has_contract: bool) -> Preset:
    """The preset to serve a model with; `known` is its own, `has_contract` says whether it has a `pir.json`."""
    if mode == "auto":
        mode = "trained" if has_contract or (known is not None and known.mode == "trained") else "prompted"
    if known is None:
        return TRAINED if mode == "trained" else GENERIC
    if known.mode == mode:
        return known
    return replace(known, mode=mode, system_prompt=SYSTEM_PROMPT if mode == "trained" else PROMPTED_SYSTEM_PROMPT)
