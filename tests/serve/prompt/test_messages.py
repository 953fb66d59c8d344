"""What a preset adds to messages, and which messages are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pir_serve.errors import RequestError
from pir_serve.presets import GENERIC
from pir_serve.prompt import Message, PromptCodec
from tests.serve.prompt.conftest import ASSISTANT, BARE, BOS, SYSTEM, USER, ids_of, text_of
from tests.serve.tokenizers import FAMILIES, LLAMA3, write_folder


def test_the_presets_system_prompt_comes_before_the_users_own(folders: dict[str, Path]) -> None:
    preset = replace(BARE, system_prompt="Ask with <asking> tags.")
    codec = PromptCodec.load(folders["pir-7b"], preset=preset)
    alone = text_of(codec.encode_prompt([USER("x")]))
    assert alone == f"{BOS}Ask with <asking> tags.<｜User｜>x<｜Assistant｜><think>\n"
    talk = [Message("developer", "Be <asking>brief."), SYSTEM("Be kind."), USER("x")]
    both = codec.encode_prompt(talk)
    assert text_of(both).startswith(f"{BOS}Ask with <asking> tags.\n\nBe ‹asking›brief.\n\nBe kind.<｜User｜>x")
    asking = ids_of([codec.encode_model("<asking>")])
    assert len(asking) == 1
    assert ids_of(both).count(asking[0]) == 1  # the preset's, not the user's


def test_the_trigger_goes_to_the_first_question_only(folders: dict[str, Path]) -> None:
    codec = PromptCodec.load(folders["pir-7b"], preset=replace(BARE, user_suffix=" Use \\boxed{}."))
    first = codec.encode_prompt([USER("1 + 1?")])
    assert "<｜User｜>1 + 1? Use \\boxed{}.<｜Assistant｜>" in text_of(first)
    later = codec.encode_prompt([USER("1 + 1?"), ASSISTANT("2"), USER("2 + 2?")])
    assert text_of(later).count("boxed") == 1
    assert text_of(later).startswith(text_of(first)[: -len("<think>\n")])
    own = codec.encode_prompt([USER("1 + 1? Put it in \\boxed{}.")])
    assert text_of(own).count("boxed") == 1


def test_a_model_that_is_not_known_is_told_to_ask(folders: dict[str, Path]) -> None:
    codec = PromptCodec.load(folders["qwen"])
    assert codec.preset is GENERIC
    assert "<asking>" in text_of(codec.encode_prompt([USER("x")]))


def test_a_template_without_a_place_for_system_messages_still_serves(
    codecs: dict[str, PromptCodec], caplog: pytest.LogCaptureFixture
) -> None:
    segments = codecs["pir-tiny"].encode_prompt([SYSTEM("Be brief."), USER("x")])
    assert "brief" not in text_of(segments)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "0 messages"),
        ([Message("tool", "x")], "role 'tool'"),
        ([SYSTEM("x")], "last message is of the system"),
        ([USER("x"), ASSISTANT("y")], "last message is of the assistant"),
        ([USER("x"), SYSTEM("y"), USER("z")], "System must come first"),
        ([USER("x")] * 10_001, "10001 messages"),
    ],
)
def test_messages_that_cannot_be_a_prompt_are_refused(
    codecs: dict[str, PromptCodec], messages: list[Message], said: str
) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        codecs["llama3"].encode_prompt(messages)
    assert caught.value.status == 400
    assert caught.value.param is not None


def test_a_template_that_drops_a_message_is_no_silent_loss(tmp_path: Path) -> None:
    last_only = replace(LLAMA3, template="{{ bos_token }}{{ messages[-1].content }}")
    codec = PromptCodec.load(write_folder(tmp_path, last_only), preset=BARE)
    assert text_of(codec.encode_prompt([USER("x")])) == "<|begin_of_text|>x<think>\n"
    with pytest.raises(RequestError, match="leaves out message 0"):
        codec.encode_prompt([USER("x"), ASSISTANT("y"), USER("z")])


@pytest.mark.parametrize("content", ["", " ", "\n\t ", "\u3000"])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_message_is_a_message(name: str, content: str, codecs: dict[str, PromptCodec]) -> None:
    segments = codecs[name].encode_prompt([USER(content)])
    assert text_of(segments).endswith("<think>\n")
