"""`pir train` from outside: help that teaches, settings that are checked, mistakes answered in one line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pir_serve.errors import ConfigError
from training import CONFIGS
from training.cli import train
from training.tiny_config import load_config


def run(*args: str) -> Result:
    return CliRunner().invoke(train, args)


def test_help_names_the_stages_and_shows_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0 and "pir train tiny" in result.output
    assert "resumable" in run("tiny", "--help").output or "go on" in run("tiny", "--help").output


@pytest.mark.parametrize("name", ["tiny.yaml", "tiny_smoke.yaml"])
def test_shipped_settings_load(name: str) -> None:
    config = load_config(CONFIGS / name)
    assert config.base.steps > 0 and config.size.hidden_size % config.size.num_attention_heads == 0


def test_an_override_reaches_its_section() -> None:
    config = load_config(CONFIGS / "tiny.yaml", ("base.steps=7", "asking.top_share=0.5", "vocab_size=600"))
    assert (config.base.steps, config.asking.top_share, config.vocab_size) == (7, 0.5, 600)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: {stepz: 3}", "stepz"),
        ("bass: {steps: 3}", "bass"),
        ("base: 5", "mapping"),
        ("a: [", "cannot read"),
        ("base: {steps: many}", "steps"),
        ("size: {hidden_size: 100}", "hidden_size"),
    ],
)
def test_a_wrong_setting_is_named_without_a_traceback(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_config(file)
    result = run("tiny", "--config", str(file), "--output", str(tmp_path / "out"))
    assert result.exit_code == 1 and "Traceback" not in result.output and says in result.output
    assert not (tmp_path / "out" / "tokenizer").exists()


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="key=value"):
        load_config(CONFIGS / "tiny.yaml", ("base.steps",))
