"""Settings of `pir train tiny`: one YAML file, a section a stage, with overrides as `section.key=value`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evals.problems import Split
from evals.simulators import Persona
from pir_serve.errors import ConfigError
from training import corpus
from training.augment import Recipe
from training.pretrain import ModelSize, PretrainConfig


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    pairs: int = 1000
    """Problems of each test split, each played complete and incomplete."""
    persona_pairs: int = 300
    splits: tuple[Split, ...] = ("heldout_numbers", "heldout_templates", "heldout_families")
    personas: tuple[Persona, ...] = ()
    """Beside the clean user, on the first split's incomplete problems. Empty: all of them."""
    seed: int = 11


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Settings of the whole chain; one YAML file, a section a field."""

    vocab_size: int = 1536
    tokenizer_problems: int = 30_000
    trace_pairs: int = 6000
    """Pairs of training problems whose traces are scored."""
    checked_pairs: int = 1000
    """Pairs of validation problems on which entropy's use is reported."""
    seed: int = 1
    size: ModelSize = field(default_factory=ModelSize)
    base: PretrainConfig = field(default_factory=PretrainConfig)
    mixture: corpus.Mixture = field(default_factory=corpus.Mixture)
    asking: Recipe = field(default_factory=Recipe)
    sft: dict[str, Any] = field(default_factory=dict)
    """Fields of TRL's SFTConfig, over those of training/configs/tiny_sft.yaml."""
    grpo: dict[str, Any] = field(default_factory=dict)
    """Fields of training/grpo.py and TRL's GRPOConfig, over those of training/configs/tiny_grpo.yaml."""
    processes: int = 2
    """Single-threaded processes that traces, SFT, US-GRPO and evaluation are shared out to; batches are of each."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> TinyConfig:
    """Read YAML, then `section.key=value` overrides. Raises: ConfigError, naming an unknown key or a wrong value."""
    try:
        data = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    for override in overrides:
        key, sep, value = override.partition("=")
        if not sep:
            raise ConfigError(f"override {override!r} must be key=value, e.g. base.steps=100")
        *sections, last = key.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = yaml.safe_load(value)
    config: TinyConfig = _build(TinyConfig, data, str(path))
    return config


def _build(cls: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: {cls.__name__} wants a mapping, not {data!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := set(data) - set(known):
        raise ConfigError(f"{where}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(known)}")
    sections: dict[str, type[Any]] = {
        "size": ModelSize,
        "base": PretrainConfig,
        "mixture": corpus.Mixture,
        "asking": Recipe,
        "evaluation": EvaluationConfig,
    }
    values = {
        k: _build(sections[k], v, f"{where}: {k}") if k in sections and cls is TinyConfig else v
        for k, v in data.items()
    }
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    defaults = cls()
    for key, value in values.items():
        default = getattr(defaults, key)
        number = isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not isinstance(value, type(default)):
            raise ConfigError(f"{where}: {key} is {value!r}; a {type(default).__name__} is needed")
    built = cls(**values)
    if isinstance(built, ModelSize) and built.hidden_size != 32 * built.num_attention_heads:
        raise ConfigError(f"{where}: hidden_size is {built.hidden_size}; it must be 32 for each attention head")
    return built
