"""The prompt of each template family: its text, its ids, and who wrote which of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author
from tests.serve.prompt.conftest import ASSISTANT, BOS, EOS, SYSTEM, USER, ids_of, text_of
from tests.serve.tokenizers import FAMILIES

TALK = [
    SYSTEM("Be brief."),
    USER("How many apples?"),
    ASSISTANT("I add.</think>\n\nThere are 4."),
    USER("And naïve 😀 café?"),
]

R1 = (
    f"{BOS}Be brief.<｜User｜>How many apples?<｜Assistant｜>\n\nThere are 4.{EOS}"
    "<｜User｜>And naïve 😀 café?<｜Assistant｜>"
)

PROMPTS = {
    "pir-tiny": (
        "<|user|>How many apples?<|end|><|assistant|>There are 4.<|end|><|user|>And naïve 😀 café?<|end|>"
        "<|assistant|><think>\n"
    ),
    "deepseek-r1": R1 + "<think>\n",
    "deepseek-r1-unopened": R1 + "<think>\n",
    "pir-7b": R1 + "<think>\n",
    "qwen": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow many apples?<|im_end|>\n"
        "<|im_start|>assistant\n\n\nThere are 4.<|im_end|>\n<|im_start|>user\nAnd naïve 😀 café?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n"
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHow many apples?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nThere are 4.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd naïve 😀 café?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n<think>\n"
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prompt_is_the_templates_and_its_ids_are_the_tokenizers(
    name: str, folders: dict[str, Path], codecs: dict[str, PromptCodec]
) -> None:
    segments = codecs[name].encode_prompt(TALK)
    assert text_of(segments) == PROMPTS[name]
    whole = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    assert ids_of(segments) == whole.encode(PROMPTS[name], add_special_tokens=False).ids


WORDS = st.lists(
    st.sampled_from(
        ["How many", " apples", "\n\n", " ", "3.5", "é", "中文", "😀", "a<b", "?", "\t", "system", "e\u0301", "  "]
    ),
    min_size=1,
    max_size=8,
).map("".join)


@pytest.mark.parametrize("name", FAMILIES)
@given(st.lists(WORDS, min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_ids_equal_those_of_transformers(
    name: str, folders: dict[str, Path], codecs: dict[str, PromptCodec], words: list[str]
) -> None:
    first, second, third = words
    talk = [USER(first), ASSISTANT(second.lstrip("\n") or "ok"), USER(third)]
    expected = _transformers_ids(folders[name], talk)
    opened = [] if name not in ("deepseek-r1-unopened", "qwen", "llama3") else _encode(folders[name], "<think>\n")
    found = ids_of(codecs[name].encode_prompt(talk))
    if not opened:
        assert found == expected
    else:
        # The opening of the think block may share a token with the template's last line break.
        assert codecs[name].decode(found) == codecs[name].decode(expected + opened)
        assert found[: len(expected) - 1] == expected[:-1]


_tokenizers: dict[Path, Any] = {}


def _transformers(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    if folder not in _tokenizers:
        _tokenizers[folder] = transformers.AutoTokenizer.from_pretrained(folder)
    return _tokenizers[folder]


def _transformers_ids(folder: Path, talk: Sequence[Message]) -> list[int]:
    messages = [{"role": m.role, "content": m.content} for m in talk]
    ids = _transformers(folder).apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return list(ids)


def _encode(folder: Path, text: str) -> list[int]:
    return list(_transformers(folder)(text, add_special_tokens=False).input_ids)


def test_bos_stands_once_at_the_start(codecs: dict[str, PromptCodec]) -> None:
    for name, bos in (("deepseek-r1", BOS), ("llama3", "<|begin_of_text|>"), ("pir-7b", BOS)):
        segments = codecs[name].encode_prompt([USER("x")])
        assert text_of(segments).count(bos) == 1
        assert ids_of(segments).count(segments[0].token_ids[0]) == 1


def test_segments_say_who_wrote_what(codecs: dict[str, PromptCodec]) -> None:
    segments = codecs["llama3"].encode_prompt([SYSTEM("Be brief."), USER("How many?")])
    assert [(s.author, s.text) for s in segments] == [
        (Author.TEMPLATE, "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"),
        (Author.USER, "Be brief."),
        (Author.TEMPLATE, "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"),
        (Author.USER, "How many?"),
        (Author.TEMPLATE, "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>\n"),
    ]


def test_a_token_of_both_is_the_users(codecs: dict[str, PromptCodec]) -> None:
    # After the line break of "user\n", a user's own line breaks make one token with it.
    segments = codecs["qwen"].encode_prompt([USER("\n\nx")])
    assert text_of(segments).startswith("<|im_start|>user\n\n\nx<|im_end|>")
    assert all(segment.token_ids for segment in segments)
