"""Messages to token ids for each template family, the junction after an ask, and ids back to text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pir_serve.errors import EngineProtocolError, RequestError
from pir_serve.presets import GENERIC, Preset
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author, Segment
from tests.serve.tokenizers import FAMILIES, LLAMA3, PIR_7B, QWEN, Family, write_folder

BARE = Preset(name="bare", summary="no system prompt, no trigger", template="any")

Load = Callable[..., PromptCodec]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write_folder(root / name, family) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def codecs(folders: dict[str, Path]) -> dict[str, PromptCodec]:
    return {name: PromptCodec.load(folder, preset=BARE) for name, folder in folders.items()}


def ids_of(segments: Sequence[Segment]) -> list[int]:
    return [i for segment in segments for i in segment.token_ids]


def text_of(segments: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in segments)


SYSTEM, USER, ASSISTANT = (lambda text, role=role: Message(role, text) for role in ("system", "user", "assistant"))

# --- the prompts of each family, written out -----------------------------------------------------------------------

TALK = [
    SYSTEM("Be brief."),
    USER("How many apples?"),
    ASSISTANT("I add.</think>\n\nThere are 4."),
    USER("And naïve 😀 café?"),
]

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
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


# --- presets: system prompt, trigger -------------------------------------------------------------------------------


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


# --- requests that cannot be encoded -------------------------------------------------------------------------------


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


# --- replies and asks ----------------------------------------------------------------------------------------------


def test_a_reply_is_one_segment_in_its_tags(codecs: dict[str, PromptCodec]) -> None:
    for codec in codecs.values():
        reply = codec.encode_response("About 3.")
        assert reply.text == "\n<response>About 3.</response>"
        assert codec.decode(reply.token_ids) == reply.text
        assert reply.author is Author.USER
        assert codec.encode_response("x", Author.TEMPLATE).author is Author.TEMPLATE
        ask = codec.encode_ask("How many?")
        assert (ask.author, codec.decode(ask.token_ids)) == (Author.TEMPLATE, "<asking>How many?</asking>")


def test_regimes_and_stop_ids(folders: dict[str, Path], codecs: dict[str, PromptCodec], tmp_path: Path) -> None:
    special = Family(QWEN.template, [*QWEN.special, *PIR_7B.plain[2:8]], config=QWEN.config, eos=QWEN.eos)
    codec = PromptCodec.load(write_folder(tmp_path, special), preset=BARE)
    assert codec.regime == "special"
    assert codec.decode(codec.encode_response("x").token_ids) == "\n<response>x</response>"
    assert codec.decode(codec.ask_stop_ids) == "</asking>"
    assert codecs["pir-tiny"].regime == codecs["pir-7b"].regime == "atomic"
    assert codecs["pir-tiny"].decode(codecs["pir-tiny"].ask_stop_ids) == "</asking>"
    for name in ("deepseek-r1", "qwen", "llama3"):
        assert codecs[name].regime == "plain"
        assert codecs[name].ask_stop_ids == ()


def test_a_tag_is_never_an_end_of_turn(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PIR_7B)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    closing, eos = tokenizer.token_to_id("</asking>"), tokenizer.token_to_id(EOS)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [closing, eos]}))
    codec = PromptCodec.load(folder, preset=BARE)
    assert codec.eos_ids == (eos,)
    assert codec.decode([closing, eos]) == "</asking>"


def test_the_digest_tells_tokenizers_and_templates_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    digests = {PromptCodec.load(folder).digest for folder in folders.values()}
    assert len(digests) == len(folders)
    again = write_folder(tmp_path, QWEN, Tokenizer.from_file(str(folders["qwen"] / "tokenizer.json")))
    assert PromptCodec.load(again).digest in digests


# --- the junction --------------------------------------------------------------------------------------------------


def _leg(codec: PromptCodec, text: str) -> Segment:
    ids = codec.encode_model(text).token_ids
    return Segment(Author.MODEL, text, ids, tuple(-0.1 * k for k in range(len(ids))))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("overrun", ["", "\n", "\n<response>yes", " It", "é", "中文"])
def test_a_leg_is_cut_where_its_ask_ends(name: str, overrun: str, codecs: dict[str, PromptCodec]) -> None:
    codec, ask = codecs[name], "I need it.\n<asking>How many?</asking>"
    leg = _leg(codec, ask + overrun)
    closed = codec.close_ask(leg, len(ask))
    assert closed.text == codec.decode(closed.token_ids) == ask
    sampled = closed.sampled_ids or closed.token_ids
    assert sampled == leg.token_ids
    assert closed.logprobs == leg.logprobs
    within = [k for k in range(len(sampled) + 1) if ask.startswith(codec.decode(sampled[:k]))]
    assert closed.token_ids[: max(within)] == sampled[: max(within)]


def test_a_token_over_the_end_of_an_ask_is_replaced_by_what_remains_of_it(codecs: dict[str, PromptCodec]) -> None:
    codec = codecs["llama3"]
    ask = "what?</asking>"
    leg = _leg(codec, ask + "\n")
    assert codec.decode(leg.token_ids[:-1]) == "what?</asking"  # the corpus taught it ">\n"
    closed = codec.close_ask(leg, len(ask))
    assert closed.token_ids[:-1] == leg.token_ids[:-1]
    assert codec.decode(closed.token_ids[-1:]) == ">"
    assert closed.sampled_ids == leg.token_ids
    whole = closed.token_ids + codec.encode_response("yes").token_ids
    assert codec.decode(whole) == ask + "\n<response>yes</response>"


def test_a_leg_that_ends_on_its_ask_stays_as_it_was_sampled(codecs: dict[str, PromptCodec]) -> None:
    leg = _leg(codecs["pir-7b"], "<asking>How many?</asking>")
    assert codecs["pir-7b"].close_ask(leg, len(leg.text)) == leg


def test_bytes_that_make_no_character_do_not_shift_the_cut(codecs: dict[str, PromptCodec]) -> None:
    codec = codecs["pir-tiny"]
    half = codec.encode_model("é").token_ids[:1] if len(codec.encode_model("é").token_ids) > 1 else ()
    half = half or codec.encode_model("中").token_ids[:1]
    ids = half + codec.encode_model("x<asking>a</asking>").token_ids
    leg = Segment(Author.MODEL, "x<asking>a</asking>", ids)  # an engine that leaves broken bytes out
    assert codec.close_ask(leg, len(leg.text)).token_ids == ids


def test_an_ask_may_end_in_a_token_that_begins_the_next_character(tmp_path: Path) -> None:
    alphabet = {c: k for k, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE({**alphabet, ">Ã": 256}, [(">", "Ã")]))  # ">" and the first byte of "é"
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(LLAMA3.special))
    codec = PromptCodec.load(write_folder(tmp_path, LLAMA3, tokenizer), preset=BARE)
    leg = _leg(codec, "<asking>a</asking>é")
    assert leg.token_ids[-2] == 256
    closed = codec.close_ask(leg, len("<asking>a</asking>"))
    assert closed.token_ids == (*leg.token_ids[:-2], alphabet[">"])
    assert closed.text == codec.decode(closed.token_ids) == "<asking>a</asking>"


def test_ids_that_do_not_spell_the_text_are_the_engines_fault(codecs: dict[str, PromptCodec]) -> None:
    leg = Segment(Author.MODEL, "<asking>a</asking>", codecs["qwen"].encode_model("something else").token_ids)
    with pytest.raises(EngineProtocolError, match="do not spell"):
        codecs["qwen"].close_ask(leg, len(leg.text))


# --- decoding ------------------------------------------------------------------------------------------------------


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
