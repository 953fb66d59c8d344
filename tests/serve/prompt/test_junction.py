"""A leg cut where its ask ends, though the tag may end inside a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pir_serve.errors import EngineProtocolError
from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Author, Segment
from tests.serve.prompt.conftest import BARE
from tests.serve.tokenizers import FAMILIES, LLAMA3, write_folder


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
