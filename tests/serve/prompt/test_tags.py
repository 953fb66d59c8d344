"""Replies and asks in their tags, for tokenizers that know the tags in different ways."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Author
from tests.serve.prompt.conftest import BARE, EOS
from tests.serve.tokenizers import PIR_7B, QWEN, Family, write_folder


def test_a_reply_is_one_segment_in_its_tags(codecs: dict[str, PromptCodec]) -> None:
    for codec in codecs.values():
        reply = codec.encode_response("About 3.")
        assert reply.text == "\n<response>About 3.</response>"
        assert codec.decode(reply.token_ids) == reply.text
        assert reply.author is Author.USER
        assert codec.encode_response("x", Author.TEMPLATE).author is Author.TEMPLATE


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
    assert closing is not None and eos is not None
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [closing, eos]}))
    codec = PromptCodec.load(folder, preset=BARE)
    assert codec.eos_ids == (eos,)
    assert codec.decode([closing, eos]) == "</asking>"


def test_the_digest_tells_tokenizers_and_templates_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    digests = {PromptCodec.load(folder).digest for folder in folders.values()}
    assert len(digests) == len(folders)
    again = write_folder(tmp_path, QWEN, Tokenizer.from_file(str(folders["qwen"] / "tokenizer.json")))
    assert PromptCodec.load(again).digest in digests
