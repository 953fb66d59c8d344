"""What a checkpoint promises the server: `pir.json` and `golden.json` (read by pir_serve/prompting/contract.py).

Tag strings and ids, the observation format, the system prompt that it was trained with, budgets, hashes of its files, and
texts with the ids that every party must give them. Written by training, checked by the trainer here and by the server at start.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.presets import SYSTEM_PROMPT, TRAINED
from pir_serve.prompt import PromptCodec
from training.chat import Part, encode

SCHEMA = 1


def training_codec(folder: Path, system_prompt: str = "") -> PromptCodec:
    """How rows without a system message of their own are prompted."""
    text = SYSTEM_PROMPT if system_prompt == "method" else system_prompt or None
    return PromptCodec.load(folder, preset=dataclasses.replace(TRAINED, system_prompt=text))


def contract(
    codec: PromptCodec,
    folder: Path,
    *,
    max_asks: int | None = None,
    max_tokens: int | None = None,
    hashed: Iterable[str] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`pir.json` of a folder whose tokenizer is `codec`'s. Budgets that are None are the server's to choose."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {
        "schema": SCHEMA,
        "tags": {n: {"text": text, "id": tokenizer.token_to_id(text)} for n, text in dataclasses.asdict(TAGS).items()},
        "observation_format": codec.preset.observation_format,
        "junction": codec.preset.junction,
        "system_prompt": codec.preset.system_prompt,
        "max_asks": max_asks,
        "budgets": {"max_tokens": max_tokens},
        "golden": "golden.json" if (folder / "golden.json").exists() else None,
        "hashes": {name: sha256(folder / name) for name in hashed},
        **(more or {}),
    }


def write_contract(folder: Path, codec: PromptCodec, **options: Any) -> None:
    write_json(folder / "pir.json", contract(codec, folder, **options))


def golden(tokenizer: Tokenizer, texts: Sequence[str], parts: Sequence[Part]) -> dict[str, Any]:
    """Texts and one trajectory with the ids (and authors) that every party must give them."""
    encoded = encode(tokenizer, parts)
    return {
        "texts": [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts],
        "trajectory": {
            "parts": [{"author": part.author.value, "text": part.text} for part in parts],
            "ids": encoded.ids,
            "by_model": encoded.by_model,
        },
    }


def verify(folder: Path) -> None:
    """That transformers (which trains) and the gateway (which serves) read the checkpoint alike.

    Raises:
        ConfigError: they do not: what was learnt would not be what is served.
    """
    from transformers import AutoTokenizer

    PromptCodec.load(folder)  # hashes, tag ids, golden file
    loaded = AutoTokenizer.from_pretrained(folder)
    for row in json.loads((folder / "golden.json").read_text())["texts"]:
        found = loaded.encode(row["text"], add_special_tokens=False)
        if found != row["ids"]:
            raise ConfigError(
                f"{folder}: transformers' tokenizer gives other ids than tokenizer.json for {row['text']!r:.60}; its class "
                f"{type(loaded).__name__} rebuilds it: set tokenizer_class to PreTrainedTokenizerFast in "
                "tokenizer_config.json, and train again if the model was trained through it"
            )


def write_json(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
