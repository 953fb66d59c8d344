"""What a checkpoint promises the server: `pir.json` and `golden.json` (read by pir_serve/prompting/contract.py).

Tag strings and ids, the observation format, the system prompt and suffix that it was trained with, budgets, hashes of its
files, and texts and whole prompts with the ids that every party must give them: whatever the folder is called, trainer and
server build the same prompt from it. Written by training, checked by the trainer here and by the server at start.
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
from pir_serve.presets import BOXED_TRIGGER, SYSTEM_PROMPT, TRAINED
from pir_serve.prompt import Message, PromptCodec
from pir_serve.prompting.contract import read_contract
from training.chat import Part, encode

SCHEMA = 1


def training_codec(
    folder: Path, system_prompt: str = "", user_suffix: str = "", *, model: Path | None = None
) -> PromptCodec:
    """How rows are prompted: as `pir.json` says, else with nothing added.

    Args:
        folder: with the tokenizer and template.
        system_prompt: of rows without a system message: a text or `method`, the paper's, in place of what `pir.json` says.
        user_suffix: behind a conversation's first user message: a text or `method`, which asks for a box; likewise.
        model: whose `pir.json` counts where `folder` has none yet.
    """
    said = read_contract(model or folder)
    bare = dataclasses.replace(TRAINED, system_prompt=None)
    codec = PromptCodec.load(folder, preset=said.over(bare) if said else bare)
    codec.preset = dataclasses.replace(
        codec.preset,
        system_prompt={"method": SYSTEM_PROMPT, "": codec.preset.system_prompt}.get(system_prompt, system_prompt),
        user_suffix={"method": BOXED_TRIGGER, "": codec.preset.user_suffix}.get(user_suffix, user_suffix),
    )
    return codec


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
        "user_suffix": codec.preset.user_suffix,
        "folds_system": codec.folds_system,
        "max_asks": max_asks,
        "budgets": {"max_tokens": max_tokens},
        "golden": "golden.json" if (folder / "golden.json").exists() else None,
        "hashes": {name: sha256(folder / name) for name in hashed},
        **(more or {}),
    }


def write_contract(folder: Path, codec: PromptCodec, **options: Any) -> None:
    write_json(folder / "pir.json", contract(codec, folder, **options))


def golden(
    tokenizer: Tokenizer, texts: Sequence[str], parts: Sequence[Part], codec: PromptCodec | None = None
) -> dict[str, Any]:
    """Texts, whole prompts (with `codec`) and one trajectory with the ids (and authors) that every party must give them."""
    encoded = encode(tokenizer, parts)
    return {
        "texts": [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts],
        "prompts": [] if codec is None else _prompts(codec, texts),
        "trajectory": {
            "parts": [{"author": part.author.value, "text": part.text} for part in parts],
            "ids": encoded.ids,
            "by_model": encoded.by_model,
        },
    }


def _prompts(codec: PromptCodec, texts: Sequence[str]) -> list[dict[str, Any]]:
    """A first turn, one with a system message, and a later one."""
    if "strftime_now" in codec.template.source:
        return []  # the template writes today's date
    first, second = texts[:2]
    dialogues = (
        [("user", first)],
        [("system", "Be brief."), ("user", first)],
        [("user", first), ("assistant", "The answer is \\boxed{7}."), ("user", second)],
    )
    rows = []
    for dialogue in dialogues:
        segments = codec.encode_prompt([Message(role, text) for role, text in dialogue])
        messages = [{"role": role, "content": text} for role, text in dialogue]
        rows.append({"messages": messages, "ids": [i for segment in segments for i in segment.token_ids]})
    return rows


def verify(folder: Path) -> None:
    """That transformers (which trains) and the gateway (which serves) read the checkpoint alike.

    Raises:
        ConfigError: they do not: what was learnt would not be what is served.
    """
    from transformers import AutoTokenizer

    codec = PromptCodec.load(folder)  # hashes, tag ids, golden file
    loaded = AutoTokenizer.from_pretrained(folder)
    data = json.loads((folder / "golden.json").read_text())
    rows = [(row["text"], row["ids"]) for row in data["texts"]]
    rows += [(rendered(loaded, codec, row["messages"]), row["ids"]) for row in data.get("prompts", [])]
    for text, ids in rows:
        if loaded.encode(text, add_special_tokens=False) != ids:
            raise ConfigError(
                f"{folder}: transformers' tokenizer gives other ids than tokenizer.json for {text!r:.60}; its class "
                f"{type(loaded).__name__} rebuilds it: set tokenizer_class to PreTrainedTokenizerFast in "
                "tokenizer_config.json, and train again if the model was trained through it"
            )


def rendered(tokenizer: Any, codec: PromptCodec, messages: Sequence[Mapping[str, str]]) -> str:
    """The prompt of a conversation as somebody with transformers would write it from what `pir.json` says."""
    preset, turns = codec.preset, [dict(message) for message in messages]
    given = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
    system = "\n\n".join(text for text in (preset.system_prompt, given) if text)
    if "\\boxed" not in turns[0]["content"]:
        turns[0]["content"] += preset.user_suffix
    if system and codec.folds_system:
        turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
    elif system:
        turns.insert(0, {"role": "system", "content": system})
    text = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    is_open = text.rfind(TAGS.think_open) > text.rfind(TAGS.think_close)
    return text if is_open else f"{text}{TAGS.think_open}\n"


def write_json(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
