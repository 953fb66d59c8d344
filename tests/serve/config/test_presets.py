"""Known models, found by the names that people give; how each is told to ask; and the commands that serve it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pir_serve.cli import cli
from pir_serve.commands.serve import serve
from pir_serve.config import load
from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.presets import GENERIC, TRAINED, ModeChoice, Preset, all_presets, find_preset, preset_for
from pir_serve.prompting.contract import split_format
from pir_serve.settings import Settings

MATH = "Proactive-Interactive-R1/Proactive-Interactive-R1-Math-7B"
DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        (MATH, MATH),
        (MATH + "-Pro", MATH + "-Pro"),
        (MATH.lower(), MATH),
        ("/models/Proactive-Interactive-R1-Math-7B/", MATH),
        ("pir-tiny", "pir-tiny"),
        ("runs/7/pir-tiny", "pir-tiny"),
        (DISTILL, DISTILL),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", DISTILL),
        ("/w/deepseek-r1-distill-llama-70b", DISTILL),
        ("deepseek-ai/DeepSeek-R1", DISTILL),
    ],
)
def test_a_model_is_found_by_id_and_by_folder(model_id: str, name: str) -> None:
    preset = find_preset(model_id)
    assert preset is not None
    assert preset.name == name


@pytest.mark.parametrize(
    "model_id",
    ["", "/", "gpt-9", "Proactive-Interactive-R1-Math-70B", "pir-tiny-2", "generic", "trained", "runs/generic",
     "DeepSeek-R1-0528-Qwen3-8B", "DeepSeek-R1-Distill-Qwen-7B-mine", "Qwen/Qwen3-8B"],
)  # fmt: skip
def test_an_unknown_model_has_no_preset(model_id: str) -> None:
    assert find_preset(model_id) is None


def test_published_models_carry_the_papers_settings() -> None:
    for name in (MATH, MATH + "-Pro"):
        preset = find_preset(name)
        assert preset is not None
        assert (preset.temperature, preset.top_p, preset.max_tokens, preset.max_asks) == (0.6, 0.95, 4096, 5)
        assert preset.system_prompt is not None and preset.mode == "trained"
        assert "\\boxed{}" in preset.user_suffix
        assert preset.observation_format == "\n<response>{response}</response>"


def test_every_preset_is_usable() -> None:
    presets = all_presets()
    assert GENERIC in presets
    assert len({p.name for p in presets}) == len(presets)
    for preset in (*presets, TRAINED):
        split_format(preset.observation_format)
        assert preset.junction == "segmented"
        if preset.mode == "prompted":
            assert preset.system_prompt is not None
        if preset.system_prompt is not None:
            assert TAGS.ask_open in preset.system_prompt
            assert TAGS.ask_close in preset.system_prompt


@pytest.mark.parametrize(
    ("known", "has_contract", "mode", "expected"),
    [
        (None, False, "auto", "prompted"),
        (None, True, "auto", "trained"),
        (MATH, False, "auto", "trained"),
        (DISTILL, False, "auto", "prompted"),
        (DISTILL, True, "auto", "trained"),  # somebody has trained it
        (None, False, "trained", "trained"),
        (DISTILL, False, "trained", "trained"),
        (MATH, True, "prompted", "prompted"),
        (None, True, "prompted", "prompted"),
    ],
)
def test_the_mode_is_what_is_known_unless_it_is_chosen(
    known: str | None, has_contract: bool, mode: ModeChoice, expected: str
) -> None:
    own = find_preset(known) if known else None
    preset = preset_for(own, mode, has_contract=has_contract)
    assert preset.mode == expected and preset.system_prompt is not None
    says_how = "Never write <response> yourself" in preset.system_prompt
    assert says_how == (expected == "prompted")
    if own is not None:
        assert (preset.name, preset.temperature) == (own.name, own.temperature)


@pytest.mark.parametrize("wrong", ["", "Trained", "sometimes"])
def test_a_mode_of_nonsense_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="auto, trained, prompted"):
        Settings.from_env({"PIR_MODE": wrong})


def pir_models(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def commands(output: str) -> list[list[str]]:
    """The words of each command line that is printed."""
    lines = re.findall(r"^ {4}((?:vllm|python|pir|hf) .*)$", output, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("preset", all_presets(), ids=lambda p: p.name.rpartition("/")[2])
def test_each_model_is_listed_with_its_mode_its_sampling_and_its_commands(preset: Preset) -> None:
    (entry,) = [e for e in pir_models().split("\n\n") if e.startswith(f"{preset.name}\n")]
    assert f"mode {preset.mode};" in entry
    assert f"temperature {preset.temperature:g}, top_p {preset.top_p:g}" in entry
    assert f"at most {preset.max_tokens} tokens and {preset.max_asks} questions" in entry
    assert "vllm serve " in entry and "python -m sglang.launch_server " in entry
    assert entry.count("pir serve --engine ") == 2


def test_the_gateways_commands_are_read_as_meant() -> None:
    gateways = [words[2:] for words in commands(pir_models()) if words[:2] == ["pir", "serve"]]
    assert len(gateways) == 1 + 2 * len(all_presets())
    for words in gateways:
        flags = serve.make_context("pir serve", list(words)).params
        del flags["with_ui"]  # the command's own
        settings = load({}, **flags).settings  # checks the values
        if not words:
            assert settings.engine == "local"
            continue
        assert settings.engine_url == ("http://127.0.0.1:8001",)
        preset = find_preset(settings.name) or GENERIC
        assert preset.name.rpartition("/")[2] in (settings.name, "generic")


def test_the_tokenizer_is_fetched_to_where_the_gateway_looks() -> None:
    by_kind = {words[0]: words for words in commands(pir_models("some-org/Some.Model-9B"))}
    fetch, gateway = by_kind["hf"], by_kind["pir"]
    assert fetch[:3] == ["hf", "download", "some-org/Some.Model-9B"]
    assert fetch[fetch.index("--local-dir") + 1] == gateway[gateway.index("--tokenizer") + 1] == "Some.Model-9B"
    assert [fetch[k + 1] for k, word in enumerate(fetch) if word == "--include"] == ["*.json", "*.jinja"]


def test_a_model_that_is_not_known_gets_commands_too() -> None:
    output = pir_models("some-org/a model; rm -rf")
    assert "mode prompted" in output
    assert all("some-org/a model; rm -rf" in words for words in commands(output))
    assert "mode trained" in pir_models(MATH.lower())
    assert "mode prompted" in pir_models("DeepSeek-R1-Distill-Llama-8B")


VLLM_FLAGS = {"--port": 1, "--max-model-len": 1, "--served-model-name": 1, "--enable-prompt-tokens-details": 0}
SGLANG_FLAGS = {"--model-path": 1, "--port": 1, "--context-length": 1, "--served-model-name": 1,
                "--enable-cache-report": 0}  # fmt: skip
"""Flags of vLLM 0.32.0 and SGLang 0.5.23, with how many values each takes."""


def read_flags(words: list[str], known: dict[str, int]) -> tuple[list[str], dict[str, str]]:
    """Positional words and flags. Raises: KeyError, IndexError, where the engine would refuse them."""
    rest, plain, flags = list(words), [], {}
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            flags[word] = rest.pop(0) if known[word] else ""
        else:
            plain.append(word)
    return plain, flags


def engine_commands(name: str) -> list[list[str]]:
    begins = {"vllm": ["vllm", "serve"], "sglang": ["python", "-m", "sglang.launch_server"]}[name]
    found = [words[len(begins) :] for words in commands(pir_models()) if words[: len(begins)] == begins]
    assert len(found) == len(all_presets())
    return found


def test_the_engines_commands_use_flags_that_they_have() -> None:
    for words in engine_commands("vllm"):
        plain, flags = read_flags(words, VLLM_FLAGS)
        assert len(plain) == 1 and flags["--port"] == "8001"
    for words in engine_commands("sglang"):
        plain, flags = read_flags(words, SGLANG_FLAGS)
        assert not plain and flags["--model-path"] and flags["--port"] == "8001"


_PARSE = {
    "vllm": """
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
""",
    "sglang": """
import argparse
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser(allow_abbrev=False)
ServerArgs.add_cli_args(parser)
""",
}


@pytest.mark.engines
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_the_engines_own_parsers_take_the_commands(name: str, tmp_path: Path) -> None:
    python = os.environ.get(f"{name.upper()}_PYTHON")
    if not python:
        pytest.skip(f"{name.upper()}_PYTHON does not name an interpreter that has {name}")
    script = _PARSE[name] + "import json, sys\nfor words in json.load(sys.stdin): print(parser.parse_args(words).port)"
    words = json.dumps(engine_commands(name))
    done = subprocess.run(
        [python, "-c", script],
        input=words,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "SGLANG_USE_CPU_ENGINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-len(all_presets()) :] == ["8001"] * len(all_presets())


def test_a_flag_that_an_engine_lacks_is_noticed() -> None:
    with pytest.raises(KeyError):
        read_flags(["m", "--max-model-length", "5"], VLLM_FLAGS)
    with pytest.raises(click.UsageError):
        serve.make_context("pir serve", ["--modus", "trained"])
