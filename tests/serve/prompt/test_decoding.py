"""Ids back to text, whole and as they stream."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pir_serve.prompt import PromptCodec
from tests.serve.tokenizers import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_decoding_equals_the_librarys_and_streams_whole_characters(
    name: str, folders: dict[str, Path], codecs: dict[str, PromptCodec]
) -> None:
    codec, pick = codecs[name], random.Random(name)
    tokenizer = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    hidden = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special} | set(codec.eos_ids)
    for _ in range(400):
        ids = [pick.randrange(codec.vocab_size + 3) for _ in range(pick.randrange(12))]
        shown = tokenizer.decode([i for i in ids if i not in hidden], skip_special_tokens=False)
        assert codec.decode(ids) == shown
        decoder = codec.incremental()
        pieces = [decoder.feed([i]) for i in ids]
        assert "".join(pieces) + decoder.finish() == shown


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFFF), max_size=30))
@settings(deadline=None)
def test_a_character_comes_whole_or_not_yet(text: str, codecs: dict[str, PromptCodec]) -> None:
    codec = codecs["pir-tiny"]
    ids = codec.encode_model(text.replace("<", "")).token_ids
    decoder = codec.incremental()
    pieces = [decoder.feed([i]) for i in ids]
    assert "".join(pieces) + decoder.finish() == text.replace("<", "")
    assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in text


def test_ids_beyond_the_vocabulary_spell_nothing(codecs: dict[str, PromptCodec]) -> None:
    codec = codecs["qwen"]
    assert codec.decode([codec.vocab_size, 10**9, -1]) == ""
