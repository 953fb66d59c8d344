"""A codec of each template family, with no preset of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from pir_serve.presets import Preset
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Segment
from tests.serve.tokenizers import FAMILIES, write_folder

BARE = Preset(name="bare", summary="no system prompt, no trigger", template="any")
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
"""Of DeepSeek's families."""
SYSTEM, USER, ASSISTANT = (partial(Message, role) for role in ("system", "user", "assistant"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write_folder(root / name, family) for name, family in FAMILIES.items()}


@pytest.fixture(scope="session")
def codecs(folders: dict[str, Path]) -> dict[str, PromptCodec]:
    return {name: PromptCodec.load(folder, preset=BARE) for name, folder in folders.items()}


def ids_of(segments: Sequence[Segment]) -> list[int]:
    return [i for segment in segments for i in segment.token_ids]


def text_of(segments: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in segments)
