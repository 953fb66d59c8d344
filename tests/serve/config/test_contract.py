"""A checkpoint's `pir.json` and golden file: kept promises serve, broken ones are told in plain words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.presets import SYSTEM_PROMPT, Preset
from pir_serve.prompt import Message, PromptCodec, check_golden
from tests.serve.tokenizers import LLAMA3, PIR_7B, PIR_TINY, write_folder

NAMES = ("think_open", "think_close", "ask_open", "ask_close", "response_open", "response_close")
Folder = tuple[Path, dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A checkpoint as training exports it, and its contract to tamper with."""
    write_folder(tmp_path, PIR_TINY)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    parts = [
        {"author": "template", "text": "<|user|>How many apples?<|end|><|assistant|><think>\n"},
        {"author": "model", "text": "<asking>Of whom?</asking>"},
        {"author": "user", "text": "\n<response>Of Tom.</response>"},
        {"author": "model", "text": "\n4</think>\n4<|end|>"},
    ]
    encoded = [tokenizer.encode(p["text"], add_special_tokens=False).ids for p in parts]
    golden = {
        "texts": [{"text": t, "ids": tokenizer.encode(t).ids} for t in ("How many?", "naïve 😀", "<think>a</think>")],
        "trajectory": {
            "parts": parts,
            "ids": [i for ids in encoded for i in ids],
            "by_model": [p["author"] == "model" for p, ids in zip(parts, encoded, strict=True) for _ in ids],
        },
    }
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    return tmp_path, {
        "schema": 1,
        "tags": {n: {"text": t, "id": tokenizer.token_to_id(t)} for n, t in zip(NAMES, TAGS.all(), strict=True)},
        "observation_format": "\n<response>{response}</response>",
        "system_prompt": None,
        "junction": "segmented",
        "max_asks": 3,
        "budgets": {"max_tokens": 77},
        "golden": "golden.json",
        "hashes": {"tokenizer.json": hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()},
        "training": {"seed": 1},
    }


def load(folder: Folder, preset: Preset | None = None) -> PromptCodec:
    (folder[0] / "pir.json").write_text(json.dumps(folder[1]))
    return PromptCodec.load(folder[0], preset=preset)


def test_the_checkpoint_goes_before_the_preset(folder: Folder) -> None:
    preset = Preset("p", "s", "t", system_prompt=SYSTEM_PROMPT, temperature=0.3, max_asks=9)
    codec = load(folder, preset)
    assert codec.preset.system_prompt is None
    assert (codec.preset.max_asks, codec.preset.max_tokens, codec.preset.temperature) == (3, 77, 0.3)
    del folder[1]["system_prompt"], folder[1]["max_asks"]
    codec = load(folder, preset)
    assert (codec.preset.system_prompt, codec.preset.max_asks) == (SYSTEM_PROMPT, 9)


def test_the_checkpoints_own_observation_format_is_used(folder: Folder) -> None:
    folder[1]["observation_format"] = "\n<response>{response}</response>\n"
    del folder[1]["golden"]
    assert load(folder).encode_response("x").text == "\n<response>x</response>\n"


def _tag_id(c: dict[str, Any]) -> None:
    c["tags"]["ask_close"]["id"] += 1


def _tag_text(c: dict[str, Any]) -> None:
    c["tags"]["ask_open"]["text"] = "<ask>"


def _tag_absent(c: dict[str, Any]) -> None:
    c["tags"]["ask_open"]["id"] = None


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "tag id": (_tag_id, r"</asking> has id \d+ in tokenizer.json, but pir.json needs \d+"),
    "tag text": (_tag_text, "tag ask_open is"),
    "tag in tokens": (_tag_absent, "needs None"),
    "schema": (lambda c: c.update(schema=2), "schema 2"),
    "no schema": (lambda c: c.pop("schema"), "schema None"),
    "type": (lambda c: c.update(max_asks="5"), "max_asks must be a int"),
    "bool is no number": (lambda c: c.update(max_asks=True), "max_asks must be"),
    "format": (lambda c: c.update(observation_format="{response}"), "observation format"),
    "hash": (lambda c: c["hashes"].update({"tokenizer.json": "0" * 64}), "SHA-256"),
    "missing file": (lambda c: c["hashes"].update({"weights.bin": "0" * 64}), "not in the folder"),
    "file elsewhere": (lambda c: c["hashes"].update({"../x": "0" * 64}), "not in the folder"),
    "no golden file": (lambda c: c.update(golden="g.json"), "golden file"),
}


@pytest.mark.parametrize(("break_it", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_promise_is_refused(break_it: Callable[[dict[str, Any]], object], said: str, folder: Folder) -> None:
    load(folder)
    break_it(folder[1])
    with pytest.raises(ConfigError, match=said):
        load(folder)


def test_a_golden_text_that_gives_other_ids_is_refused(folder: Folder) -> None:
    codec, file = load(folder), folder[0] / "golden.json"
    golden = json.loads(file.read_text())
    check_golden(codec, file)
    for change in ("text", "trajectory", "by_model"):
        changed = json.loads(json.dumps(golden))
        if change == "text":
            changed["texts"][1]["ids"][-1] += 1
        elif change == "trajectory":
            changed["trajectory"]["ids"].pop()
        else:
            changed["trajectory"]["by_model"][0] = True
        file.write_text(json.dumps(changed))
        with pytest.raises(ConfigError, match="is needed"):
            check_golden(codec, file)
    file.write_text(json.dumps(golden["texts"]))
    check_golden(codec, file)  # a bare list will do


@pytest.mark.parametrize("content", ["", "[1", '{"texts": [{"text": 1}]}', "3", '{"texts": [1]}'])
def test_a_golden_file_that_makes_no_sense_is_refused(content: str, folder: Folder) -> None:
    codec = load(folder)
    (folder[0] / "golden.json").write_text(content)
    with pytest.raises(ConfigError, match="golden"):
        check_golden(codec, folder[0] / "golden.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", "{", "cannot be read"),
        ("tokenizer.json", "{}", "cannot be used"),
        ("tokenizer.json", '{"model": {"type": "BPE"}, "added_tokens": []}', "cannot be used"),
        ("chat_template.jinja", None, "has no chat template"),
        ("chat_template.jinja", "{% if %}", "not valid"),
        ("chat_template.jinja", "{{ raise_exception('never') }}", "never"),
        ("chat_template.jinja", "{{ ''.__class__.__mro__ }}", "cannot be used"),
        ("tokenizer_config.json", "[]", "must hold a JSON object"),
        ("pir.json", "nonsense", "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_served_says_what_is_wrong(
    name: str, content: str | None, said: str, folder: Folder
) -> None:
    file = folder[0] / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(ConfigError, match=said):
        PromptCodec.load(folder[0])


def test_a_template_in_the_tokenizers_config_is_found(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, LLAMA3)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for template in (
        LLAMA3.template,
        [{"name": "tools", "template": "x"}, {"name": "default", "template": LLAMA3.template}],
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
        segments = PromptCodec.load(folder).encode_prompt([Message("user", "x")])
        assert segments[0].text.startswith("<|begin_of_text|>")


def test_a_junction_that_we_cannot_make_is_refused_where_it_matters(tmp_path: Path) -> None:
    merged = Preset("m", "s", "t", junction="merged")
    PromptCodec.load(write_folder(tmp_path / "atomic", PIR_7B), preset=merged)
    with pytest.raises(ConfigError, match="junction 'merged'"):
        PromptCodec.load(write_folder(tmp_path / "plain", LLAMA3), preset=merged)
