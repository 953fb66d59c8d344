"""Fixed texts and their ids, written when a checkpoint was trained, compared when it is served.

    {"texts": [{"text": "...", "ids": [...]}, ...],
     "prompts": [{"messages": [{"role": "user", "content": "..."}, ...], "ids": [...]}, ...],
     "trajectory": {"parts": [{"author": "template", "text": "..."}, ...], "ids": [...], "by_model": [...]}}

Prompts are whole: with the system prompt and the suffix that the model was trained with. Each part of the trajectory was
encoded on its own; `ids` are all of them, `by_model` says per id whether the model wrote it. A bare list of texts will do
as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pir_serve.errors import ConfigError, RequestError
from pir_serve.prompting.messages import Message
from pir_serve.trajectory import Author

if TYPE_CHECKING:
    from pir_serve.prompt import PromptCodec


def check_golden(codec: PromptCodec, path: Path) -> None:
    """Encode everything in a golden file and compare.

    Raises:
        ConfigError: an id differs, or the file cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        texts, trajectory = (data, None) if isinstance(data, list) else (data.get("texts", []), data.get("trajectory"))
        for k, row in enumerate(texts):
            segment = codec.encode_model(row["text"], at_start=True)
            _compare(path, f"text {k}", segment.token_ids, row["ids"])
        if isinstance(data, dict) and codec.preset.mode == "trained":  # a prompted model is told more on purpose
            _check_prompts(codec, path, data.get("prompts", []))
        if trajectory is not None:
            _check_trajectory(codec, path, trajectory)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RequestError) as error:
        raise ConfigError(f"{path} cannot be read as a golden file: {error!r}") from error


def _check_prompts(codec: PromptCodec, path: Path, prompts: Sequence[dict[str, Any]]) -> None:
    for k, row in enumerate(prompts):
        segments = codec.encode_prompt([Message(m["role"], m["content"]) for m in row["messages"]])
        _compare(path, f"prompt {k}", [i for segment in segments for i in segment.token_ids], row["ids"])


def _check_trajectory(codec: PromptCodec, path: Path, trajectory: dict[str, Any]) -> None:
    ids: list[int] = []
    by_model: list[bool] = []
    before, _, behind = codec.preset.observation_format.partition("{response}")
    for k, part in enumerate(trajectory["parts"]):
        author, text = Author(part["author"]), part["text"]
        found = codec.encode_model(text, at_start=k == 0).token_ids
        if author is Author.USER:
            # The way a reply really takes must give the same ids as the text with its tags.
            reply = codec.encode_response(text.removeprefix(before).removesuffix(behind))
            _compare(path, f"response in part {k}", reply.token_ids, found)
        ids += found
        by_model += [author is Author.MODEL] * len(found)
    _compare(path, "trajectory", ids, trajectory["ids"])
    _compare(path, "authors of the trajectory", by_model, trajectory["by_model"])


def _compare(path: Path, what: str, found: Sequence[int], needed: Sequence[int]) -> None:
    if list(found) != list(needed):
        pairs = enumerate(zip(found, needed, strict=False))
        at = next((k for k, (a, b) in pairs if a != b), min(len(found), len(needed)))
        raise ConfigError(
            f"{path}: {what} gives {list(found)[at : at + 4]} from token {at} on, but {list(needed)[at : at + 4]} is "
            "needed; use the tokenizer and template that the model was trained with"
        )
