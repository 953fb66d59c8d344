"""`pir.json` alone is enough: trainer and server build the very same prompt, whatever the folder is called."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

pytest.importorskip("transformers", reason="needs the train extra")

from pir_serve.api.build import build_codec
from pir_serve.errors import ConfigError
from pir_serve.presets import BOXED_TRIGGER, SYSTEM_PROMPT
from pir_serve.prompt import Message, PromptCodec
from pir_serve.settings import Settings
from pir_serve.trajectory import Author
from tests.serve.tokenizers import FAMILIES, LLAMA3, PIR_7B, write_folder
from training.chat import Part
from training.contract import golden, training_codec, verify, write_contract, write_json
from training.tags import tagged_tokenizer

NAMES = ("plain", "pir-tiny", "DeepSeek-R1-Distill-Qwen-7B", "Proactive-Interactive-R1-Math-7B")
"""Of folders; all but the first are names under which other settings are known."""
TEXTS = ("Tom has some apples. How many?", "naïve 中文 😀")
DIALOGUES = (
    [("user", "Is <asking>x</asking> a </think> or <|im_end|>?")],
    [("system", "Be brief."), ("user", TEXTS[0]), ("assistant", "<think>\nx\n</think>\n4"), ("user", " And now?\n")],
)


def trained(folder: Path, family: str, **prompting: str) -> Path:
    """What SFT and export leave of a family's tokenizer, without the weights."""
    base = write_folder(folder.parent / "base", FAMILIES[family])
    tagged_tokenizer(base, folder)
    shutil.copy(base / "generation_config.json", folder)
    codec = training_codec(folder, **prompting)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    parts = [Part(Author.MODEL, "So.\n</think>\n4")]
    write_json(folder / "golden.json", golden(tokenizer, TEXTS, parts, codec))
    write_contract(folder, codec)
    return folder


def served(folder: Path) -> PromptCodec:
    """As `pir serve` makes it."""
    return build_codec(Settings(engine="vllm", engine_url=("http://127.0.0.1:1",), model=str(folder), tokenizer=folder))


def ids(codec: PromptCodec, dialogue: list[tuple[str, str]]) -> list[int]:
    segments = codec.encode_prompt([Message(role, text) for role, text in dialogue])
    return [i for segment in segments for i in segment.token_ids]


@pytest.mark.parametrize("prompting", [{}, {"system_prompt": "method", "user_suffix": "method"}], ids=["bare", "paper"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trainer_and_server_build_the_same_prompt(family: str, prompting: dict[str, str], tmp_path: Path) -> None:
    folder = trained(tmp_path / "out", family, **prompting)
    wanted = [ids(training_codec(folder), dialogue) for dialogue in DIALOGUES]
    for name in NAMES:
        folder = folder.rename(tmp_path / name)
        server = served(folder)
        assert [ids(server, dialogue) for dialogue in DIALOGUES] == wanted
    text = "".join(s.text for s in server.encode_prompt([Message("user", "What is 1 + 1?")]))
    assert (BOXED_TRIGGER in text) is bool(prompting)
    assert (SYSTEM_PROMPT in text) is (bool(prompting) and family != "pir-tiny")  # its template has no place for one
    rows = json.loads((folder / "golden.json").read_text())["prompts"]
    assert [ids(server, [(m["role"], m["content"]) for m in row["messages"]]) for row in rows] == [
        r["ids"] for r in rows
    ]
    verify(folder)  # and transformers renders the same


@pytest.mark.parametrize("key", ["user_suffix", "system_prompt"])
def test_a_changed_prompt_is_refused_by_trainer_and_server(key: str, tmp_path: Path) -> None:
    folder = trained(tmp_path / "mine", "pir-7b", system_prompt="Think.", user_suffix=" In a box.")
    contract: dict[str, Any] = json.loads((folder / "pir.json").read_text())
    (folder / "pir.json").write_text(json.dumps(contract | {key: "Something else."}))
    for load in (served, training_codec):
        with pytest.raises(ConfigError, match="prompt 0"):
            load(folder)


def test_a_template_that_writes_the_date_has_no_golden_prompts(tmp_path: Path) -> None:
    dated = dataclasses.replace(LLAMA3, template="{{ strftime_now('%d %b %Y') }}" + LLAMA3.template)
    folder = write_folder(tmp_path / "dated", dated)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made = golden(tokenizer, TEXTS, [Part(Author.MODEL, "4")], training_codec(folder))
    assert made["prompts"] == [] and len(made["texts"]) == 2


def test_a_model_that_is_trained_further_keeps_its_prompt(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", "pir-7b", system_prompt="method", user_suffix="method")
    again = write_folder(tmp_path / "again", PIR_7B)
    codec = training_codec(again, model=first)
    assert (codec.preset.system_prompt, codec.preset.user_suffix) == (SYSTEM_PROMPT, BOXED_TRIGGER)
    other = training_codec(first, "Be kind.", " Now.")
    assert (other.preset.system_prompt, other.preset.user_suffix) == ("Be kind.", " Now.")


@pytest.mark.parametrize("wrong", [{"user_suffix": 3}, {"folds_system": "yes"}, {"folds_system": 1}])
def test_wrong_types_are_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    folder = trained(tmp_path / "mine", "qwen")
    contract = json.loads((folder / "pir.json").read_text())
    (folder / "pir.json").write_text(json.dumps(contract | wrong))
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PromptCodec.load(folder)
