"""Make a checkpoint to serve: `pir train export --model out/grpo --output out/checkpoint`.

Weights in bf16, tokenizer and template as trained, generation settings, `pir.json` with tag ids and hashes, `golden.json`, and
a card. What transformers and the gateway would read differently is refused here, before anybody serves it.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evals.problems import Problem, answer_text, generate, trace
from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.prompt import PromptCodec
from training import stage
from training.contract import golden, verify, write_contract, write_json
from training.model_card import card, read_evaluation
from training.rows import RowReader
from training.tags import TOKENIZER_FILES, missing_tags

log = logging.getLogger(__name__)


@dataclass
class ExportArguments:
    """Settings of `pir train export`."""

    model: str = field(metadata={"help": "Folder that SFT or GRPO left."})
    output: str = field(metadata={"help": "Folder to write; an earlier export in it is replaced."})
    evaluation: str | None = field(default=None, metadata={"help": "results.json of `pir eval report`."})
    name: str = field(default="", metadata={"help": "Of the model, on its card; default: the output folder's."})
    base: str = field(default="", metadata={"help": "What it was trained from, for the card."})
    dtype: str = field(default="bfloat16", metadata={"help": "Of the weights: bfloat16 or float32."})
    max_asks: int = field(default=5, metadata={"help": "Asks of one turn before the policy answers."})
    max_tokens: int = field(default=4096, metadata={"help": "Of one turn."})
    temperature: float = field(default=0.6, metadata={"help": "For generation_config.json; 0 is greedy."})
    top_p: float = field(default=0.95, metadata={"help": "For generation_config.json."})


def export(a: ExportArguments) -> Path:
    """Write and check the folder. Raises: ConfigError."""
    source, target = Path(a.model), Path(a.output)
    if not (source / "config.json").is_file():
        raise ConfigError(f"model: {source} is no checkpoint folder")
    if a.dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype is {a.dtype!r}; it must be float32 or bfloat16")
    if target.exists() and any(target.iterdir()) and not (target / "pir.json").exists():
        raise ConfigError(f"{target} holds something that is no export; name another folder")
    evaluation = read_evaluation(Path(a.evaluation)) if a.evaluation else None
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    if missing := missing_tags(tokenizer):
        raise ConfigError(f"{source} lacks the tags {' '.join(missing)}; `pir train sft` adds them")
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _write(a, source, fresh, tokenizer, evaluation)
    verify(fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    log.info("%s: written, and read alike by transformers and by the gateway", target)
    return target


def _write(
    a: ExportArguments, source: Path, target: Path, tokenizer: Tokenizer, evaluation: dict[str, Any] | None
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, a.dtype))
    model.save_pretrained(target)
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copy(source / name, target / name)
    end, pad = _clean_tokenizer_config(target)
    if end is None:
        raise ConfigError(f"{source}/tokenizer_config.json names no eos_token")
    write_json(target / "generation_config.json", _generation(a, tokenizer, end, pad))
    codec = PromptCodec.load(source, mode="trained") if (source / "pir.json").exists() else None
    if codec is None:
        raise ConfigError(f"{source} has no pir.json: it was not trained by `pir train sft`")
    problems = list(generate("validation", 20, 3, mode="incomplete"))
    parts = RowReader(codec, end).parts({"messages": _dialogue(problems[0])})
    write_json(target / "golden.json", golden(tokenizer, [p.shown for p in problems], parts, codec))
    if evaluation is not None:
        write_json(target / "evaluation.json", evaluation)
    base = a.base or a.model
    (target / "README.md").write_text(card(a.name or Path(a.output).name, base, evaluation, versions()))
    hashed = [file.name for file in sorted(target.iterdir()) if file.name != "README.md"]
    made = {"training": {"from": base, "versions": versions()}}
    write_contract(target, codec, max_asks=a.max_asks, max_tokens=a.max_tokens, hashed=hashed, more=made)


def _clean_tokenizer_config(target: Path) -> tuple[str | None, str | None]:
    """Take out what a local load leaves behind; texts of the tokens that end and that pad."""
    file = target / "tokenizer_config.json"
    config = json.loads(file.read_text()) if file.exists() else {}
    kept = {key: value for key, value in config.items() if key not in ("is_local", "local_files_only", "name_or_path")}
    write_json(file, kept)
    end, pad = (_text(kept.get(key)) for key in ("eos_token", "pad_token"))
    return end, pad


def _text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def _generation(a: ExportArguments, tokenizer: Tokenizer, end: str, pad: str | None) -> dict[str, Any]:
    """The end of turn is the only EOS: with `</asking>` among them plain clients of vLLM would get half answers."""
    sampling = (
        {"do_sample": True, "temperature": a.temperature, "top_p": a.top_p} if a.temperature else {"do_sample": False}
    )
    ends = tokenizer.token_to_id(end)
    pads = tokenizer.token_to_id(pad) if pad else None
    return {
        **sampling,
        "eos_token_id": ends,
        "pad_token_id": ends if pads is None else pads,
        "max_new_tokens": a.max_tokens,
    }


def _dialogue(problem: Problem) -> list[dict[str, str]]:
    thought = (
        f"{TAGS.think_open}\n{TAGS.ask_open}How many are there?{TAGS.ask_close}\n"
        f"{TAGS.response_open}There are 7.{TAGS.response_close}\n{trace(problem)}\n{TAGS.think_close}\n"
    )
    return [
        {"role": "user", "content": problem.shown},
        {"role": "assistant", "content": thought + answer_text(problem)},
    ]


def versions() -> dict[str, str]:
    packages = ("pir-serve", "torch", "transformers", "trl", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def main(args: list[str] | None = None) -> None:
    def work() -> None:
        export(*stage.parse((ExportArguments,), "export", args))

    stage.run(work)


if __name__ == "__main__":
    main()
