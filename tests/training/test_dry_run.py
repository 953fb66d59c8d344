"""The 7B settings: they parse, fit each other and say what the paper says; and every stage is walked with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("trl", reason="needs the train extra")

from trl import GRPOConfig, SFTConfig

from pir_serve.errors import ConfigError
from training import CONFIGS, stage
from training.cli import train
from training.dry_run import SMALL, SMALL_GRPO, SMALL_SFT, DryRunArguments, Walk
from training.grpo import RolloutArguments, check
from training.sft import DataArguments

ON_CPU = ["--use_cpu", "true", "--bf16", "false", "--use_vllm", "false"]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_the_settings_of_sft_are_the_published_ones() -> None:
    words = ["--config", str(CONFIGS / "pir_7b_sft.yaml"), *ON_CPU[:4]]
    data, config = stage.parse((DataArguments, SFTConfig), "sft", words)
    assert config.per_device_train_batch_size * config.gradient_accumulation_steps * 8 == 32
    assert (config.num_train_epochs, config.learning_rate, config.max_length) == (3, 1e-5, 4096)
    assert data.mask_responses and data.system_prompt == "method"


@pytest.mark.parametrize(("name", "trainers"), [("pir_7b_usgrpo_8gpu.yaml", 4), ("pir_7b_usgrpo_multinode.yaml", 16)])
def test_the_settings_of_grpo_make_batches_of_1024_in_two_updates(name: str, trainers: int, tmp_path: Path) -> None:
    words = ["--config", str(CONFIGS / name), *ON_CPU, "--model", str(tmp_path)]
    arguments, config = stage.parse((RolloutArguments, GRPOConfig), "grpo", words)
    (tmp_path / "config.json").write_text("{}")
    config.use_vllm = True  # TRL refuses it without a GPU; `check` wants it
    check(arguments, config)
    assert config.per_device_train_batch_size * config.steps_per_generation * trainers == 1024
    assert config.per_device_train_batch_size * config.gradient_accumulation_steps * trainers == 512
    assert (config.num_generations, config.epsilon, config.epsilon_high, config.beta) == (8, 0.2, 0.28, 0.0)
    assert config.eval_strategy == "no" and arguments.engine_url == config.vllm_server_base_url


@pytest.mark.parametrize("name", ["zero3.yaml", "fsdp2.yaml"])
def test_the_launchers_settings_are_those_that_accelerate_knows(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(CONFIGS / "accelerate" / name))
    assert (loaded.num_processes, loaded.mixed_precision) == (8, "bf16")


def test_only_known_settings_are_changed_for_a_small_machine() -> None:
    for small, file in ((SMALL | SMALL_SFT, "pir_7b_sft.yaml"), (SMALL | SMALL_GRPO, "pir_7b_usgrpo_8gpu.yaml")):
        given = yaml.safe_load((CONFIGS / file).read_text())
        kept = set(given) - set(small)
        assert len(kept) >= 6, "the dry run shares what decides about templates, tags, masks, reward and groups"
    assert not {"system_prompt", "mask_responses", "max_length", "components", "num_generations"} & set(
        SMALL_GRPO | SMALL_SFT
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dry-run", "--family", "gpt9"], "gpt9"),
        (["dry-run", "--rank", "x"], "rank"),
        (["entropy", "--dry-run"], "--dry-run is for sft"),
        (["sft", "--dry-run", "--family", "gpt9"], "gpt9"),
    ],
)
def test_mistakes_are_answered_in_words(words: list[str], says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(train, words)
    assert result.exit_code and (says in result.output or says in str(result.exception))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="no dry run"):
        Walk(DryRunArguments(output=str(tmp_path)))
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_stage_is_walked_by_two_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a minute of work, most of it starting eight Python processes that import torch."""
    Walk(DryRunArguments(family="qwen3", output=str(tmp_path))).run()
    assert capsys.readouterr().out.count("ok  ") == 8
