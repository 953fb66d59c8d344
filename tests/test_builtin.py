"""The shipped model: its files keep their contract, its card says what was measured, and the demo plays."""

import json
import subprocess
import sys

import pytest

from evals.problems import SPLITS
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from training.card import card
from training.tiny_config import TinyConfig


def read(name: str) -> dict:
    return json.loads((BUILTIN_MODEL / name).read_text())


def test_files_keep_their_hashes_ids_and_golden_texts() -> None:
    codec = PromptCodec.load(BUILTIN_MODEL)
    assert codec.regime == "atomic"
    assert codec.preset.system_prompt is None
    assert read("generation_config.json")["eos_token_id"] not in codec.ask_stop_ids


def test_the_folder_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in BUILTIN_MODEL.iterdir()) < 8_000_000


def test_every_score_in_the_card_is_in_the_evaluation() -> None:
    text = (BUILTIN_MODEL / "README.md").read_text()
    evaluation = read("evaluation.json")
    for split, conditions in evaluation["model"].items():
        assert split in SPLITS
        for figures in conditions.values():
            share = figures["accuracy"]
            assert f"{100 * share['value']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]" in text
            assert share["n"] >= 1000 and share["low"] <= share["value"] <= share["high"]


def test_no_model_below_its_bars_is_shipped() -> None:
    splits = json.loads((BUILTIN_MODEL / "evaluation.json").read_text())["model"]
    numbers, templates = (
        {condition: figures["accuracy"]["value"] for condition, figures in splits[split].items()}
        for split in ("heldout_numbers", "heldout_templates")
    )
    assert numbers["complete"] >= 0.88 and numbers["no_ask"] <= 0.20 and numbers["interactive"] >= 0.80
    assert all(templates[condition] >= numbers[condition] - 0.15 for condition in ("complete", "interactive"))


def test_the_card_says_when_a_model_asks_needlessly() -> None:
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "hits": 5, "n": 10}
    figures = {"accuracy": share, "asked": share, "turns": 1.25, "ask_precision": None, "model_tokens": 9.0}
    stages = {
        "base": {"tokens": 1e6, "loss": 1.0},
        "asking": {
            "entropy": {"auroc": 0.9, "gaps": 1, "steps": 2},
            "entropy_validation": {"auroc": 0.81},
            "entropy_validation_sampled": {"auroc": 0.8},
            "augmentation": {"rows": 7, "asks": 3, "right_fact": 0.5, "rejected": {"odd": 4}},
        },
        "sft": {"extended_at_step": 12},
        "grpo": {"updates": 160, "validation_reward": 0.9},
        "evaluation": {
            "base": {"heldout_numbers": {"complete": figures}},
            "sft": {"validation": {"complete": figures}},
            "model": {"heldout_numbers": {"complete": figures}},
            "personas": {"typos": {"interactive": figures}},
            "personas_sft": {"typos": {"interactive": figures}},
        },
    }
    text = card(TinyConfig(), stages, {"torch": "2.13.0"})
    assert "| heldout_numbers | complete | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | 1.25 | - | 9 |" in text
    assert "| typos | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | 1.25 | - | 9 |" in text
    assert "160 updates; reward on validation problems 0.900" in text and "| after SFT, validation | complete |" in text
    assert "7 rows, 1 epochs; extended at step 12" in text
    assert '4 as "odd"' in text and "0.810" in text and "torch 2.13.0" in text


def test_examples_lack_the_fact_that_they_name() -> None:
    examples = [json.loads(line) for line in (BUILTIN_MODEL / "examples.jsonl").read_text().splitlines()]
    assert len(examples) >= 3
    for example in examples:
        assert example["missing"] not in example["problem"]
        assert example["problem"] != example["full"] and example["gold"].isdigit()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_plays_to_its_end() -> None:
    done = subprocess.run([sys.executable, "-m", "pir_serve.demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every step held" in done.stdout and "killed with -9" in done.stdout
