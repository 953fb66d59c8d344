"""`pir train export`: what is written can be served, says what was measured, and refuses what would be read differently."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

pytest.importorskip("trl", reason="needs the train extra")

from pir_serve.errors import ConfigError
from pir_serve.presets import SYSTEM_PROMPT
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from tests.training.test_sft import MESSAGES, train, write
from training import checkpoint
from training.contract import training_codec, verify, write_contract
from training.families import write_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EVALUATION = {
    "intervals": {
        "pir_builtin": {
            "accuracy_incomplete/interactive": {"value": 0.8125, "low": 0.7, "high": 0.9, "n": 64, "clusters": 64},
            "over_ask": {"value": 0.0625, "low": 0.01, "high": 0.2, "n": 64, "clusters": 64},
            "recovered_gap": {"value": 0.5, "low": None, "high": None, "n": 64, "clusters": 64},
        }
    },
    "versions": {"pir_builtin": 3},
    "config": {"simulator": {"name": "rule"}, "seed": 1234},
}


@pytest.fixture(scope="module", params=["qwen2", "qwen3"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    base = write_model(folder / "base", request.param)
    train(base, write(folder / "rows.jsonl", [MESSAGES]), folder / "sft", "--system_prompt", "method")
    return folder / "sft"


def export(trained: Path, out: Path, *more: str) -> Path:
    checkpoint.main(["--model", str(trained), "--output", str(out), *more])
    return out


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))


def test_the_gateway_takes_what_was_exported(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    codec = PromptCodec.load(out)
    assert codec.regime == "atomic" and codec.preset.system_prompt == SYSTEM_PROMPT and codec.preset.max_asks == 5
    weights = load_file(out / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    generation, contract = read(out / "generation_config.json"), read(out / "pir.json")
    assert generation["eos_token_id"] == codec.eos_ids[0] not in codec.ask_stop_ids
    assert contract["tags"]["ask_close"]["id"] == codec.ask_stop_ids[0]
    assert {"tokenizer.json", "golden.json", "model.safetensors", "chat_template.jinja"} <= set(contract["hashes"])
    assert len(read(out / "golden.json")["texts"]) == 20
    export(trained, out)  # again, over itself


def test_the_card_has_the_evaluations_numbers_and_no_others(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(EVALUATION))
    out = export(trained, tmp_path / "out", "--evaluation", str(file), "--name", "asker", "--base", "maker/base-7b")
    card = (out / "README.md").read_text()
    assert "| 0.812 | 0.700 to 0.900 | 64 |" in card and "| 0.062 | 0.010 to 0.200 | 64 |" in card
    assert "no bound to no bound" in card and "pir_builtin, version 3" in card and '"seed": 1234' in card
    metadata = yaml.safe_load(card.split("---")[1])
    (index,) = metadata["model-index"]
    metrics = {m["type"]: m["value"] for m in index["results"][0]["metrics"]}
    assert index["name"] == "asker" and metadata["base_model"] == "maker/base-7b"
    assert metrics == {"accuracy_incomplete/interactive": 0.8125, "over_ask": 0.0625, "recovered_gap": 0.5}
    assert read(out / "evaluation.json") == EVALUATION
    assert "has not been evaluated" in (export(trained, tmp_path / "bare") / "README.md").read_text()


def test_a_golden_id_that_differs_is_refused(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    golden = read(out / "golden.json")
    golden["texts"][3]["ids"][0] += 1
    (out / "golden.json").write_text(json.dumps(golden))
    contract = read(out / "pir.json")
    del contract["hashes"]["golden.json"]
    (out / "pir.json").write_text(json.dumps(contract))
    with pytest.raises(ConfigError, match="text 3"):
        verify(out)


def test_a_tokenizer_that_transformers_would_rebuild_is_refused(tmp_path: Path) -> None:
    """Beside a qwen2 config transformers puts its own pre-tokenizer into any tokenizer of Qwen's class, in silence."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=1536, intermediate_size=32, **sizes)).save_pretrained(tmp_path / "sft")
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(BUILTIN_MODEL / name, tmp_path / "sft")
    config = read(BUILTIN_MODEL / "tokenizer_config.json") | {"tokenizer_class": "Qwen2Tokenizer"}
    (tmp_path / "sft" / "tokenizer_config.json").write_text(json.dumps(config))
    write_contract(tmp_path / "sft", training_codec(tmp_path / "sft"))
    with pytest.raises(SystemExit, match="transformers' tokenizer gives other ids"):
        export(tmp_path / "sft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_tag_id_is_refused_by_trainer_and_server(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    contract = read(out / "pir.json")
    contract["tags"]["ask_open"]["id"] -= 1
    (out / "pir.json").write_text(json.dumps(contract))
    with pytest.raises(ConfigError, match="<asking>"):
        PromptCodec.load(out)


def test_mistakes_are_answered_in_one_line(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    untagged = write_model(tmp_path / "untagged", "qwen3")
    uncontracted = shutil.copytree(trained, tmp_path / "uncontracted")
    (uncontracted / "pir.json").unlink()
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"results": {}}')
    for words, says in (
        ([trained, tmp_path / "mine"], "no export"),
        ([tmp_path / "nowhere", tmp_path / "o"], "nowhere"),
        ([untagged, tmp_path / "o"], "lacks the tags"),
        ([uncontracted, tmp_path / "o"], "pir.json"),
        ([trained, tmp_path / "o", "--evaluation", str(wrong)], "pir eval report"),
        ([trained, tmp_path / "o", "--dtype", "int4"], "dtype"),
    ):
        with pytest.raises(SystemExit, match=says):
            export(words[0], words[1], *words[2:])  # type: ignore[arg-type]
        assert not (tmp_path / "o").exists()
    assert (tmp_path / "mine" / "thesis.tex").exists()
