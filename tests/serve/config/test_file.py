"""pir.toml: what it can say, what is refused and how that is told, and what wins over it."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pir_serve import cli
from pir_serve.config import ENGINE_KEYS, MODEL_KEYS, load
from pir_serve.errors import ConfigError, PirError
from pir_serve.settings import Settings

TWO = """
port = 9000
ttl_s = 60
engine = "vllm"
[models.small]
engine = "local"
[models.pir-7b]
engine_url = ["http://a:1", "http://b:2"]
model = "org/pir-7b"
tokenizer = "tok"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pir.toml"


def pir(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.cli, arguments, prog_name="pir", env=env)


def test_models_have_tables_and_share_the_rest(file: Path) -> None:
    file.write_text(TWO)
    config = load({}, config=file)
    small, large = config.models
    assert [model.name for model in config.models] == ["small", "pir-7b"]
    assert small.engine == "local" and large.engine == "vllm" and large.engine_url == ("http://a:1", "http://b:2")
    assert large.tokenizer == file.parent / "tok", "paths are seen from the file's folder"
    assert config.settings.port == small.port == large.port == 9000 and large.ttl_s == 60.0


def test_variables_win_over_the_file_and_flags_over_variables(file: Path) -> None:
    file.write_text(TWO)
    env = {"PIR_CONFIG": str(file), "PIR_PORT": "9001", "PIR_TTL_S": "61"}
    env |= {"PIR_MODELS__PIR_7B__ENGINE_URL": "http://c:3", "PIR_MODELS__PIR_7B__ENGINE_API_KEY": "k"}
    config = load(env, ttl_s=62.0, host=None)
    assert (config.settings.port, config.settings.ttl_s) == (9001, 62.0)
    assert config.models[1].engine_url == ("http://c:3",) and config.models[1].engine_api_key == "k"
    assert config.models[0].engine_api_key is None


def test_without_tables_the_file_is_of_one_model(file: Path) -> None:
    file.write_text('engine = "sglang"\nengine_url = "http://a:1"\nmodel = "m"\nstrict_resume = true\napi_key = []\n')
    config = load({"PIR_ENGINE_URL": "http://b:2,http://c:3"}, config=file)
    assert config.models == (config.settings,)
    assert config.settings.engine_url == ("http://b:2", "http://c:3") and config.settings.strict_resume


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", "prot is not a setting; did you mean port?"),
        ("[model.a]", "model is '"),
        ("[modles.a]", "modles is not a setting; did you mean models?"),
        ("quux_zzz = 1", "`pir config example` shows all"),
        ('[models.a]\nengin = "vllm"', "models.a.engin is not a setting; did you mean engine?"),
        ("[models.a]\nttl_s = 5", "models.a.ttl_s is not a setting; it holds for all models"),
        ('port = "8000"', "port is '8000'; it must be a whole number"),
        ("port = 80.5", "port is 80.5; it must be a whole number"),
        ("port = true", "port is True; it must be a whole number"),
        ("port = 99999", "port is 99999; it must lie between"),
        ("strict_resume = 1", "strict_resume is 1; it must be true or false"),
        ("store = 5", "store is 5; it must be a path in quotes"),
        ("api_key = [1, 2]", "must be a list of texts"),
        ('engine = "llama"', "engine is 'llama'; it must be one of local, vllm, sglang"),
        ("models = 3", "models must be tables"),
        ("[models]\na = 3", "models must be tables"),
        ('[models."a b"]', "'a b' cannot be a model's name"),
        ('[models."a:no-ask"]', "cannot be a model's name"),
        ("[models.a-b]\n[models.a_b]", "their variables would clash"),
        ('model = "x"\n[models.a]', "model is of one model"),
        ('[models.a]\nengine = "vllm"', "models.a: engine vllm needs the address"),
        ("port = ", "is not TOML"),
        ("ask = 'sometimes'", "ask is 'sometimes'"),
        ("[models.a]\nask = -1", "ask is '-1'; it must be auto, never, max=N or N"),
        ("[models.a]\nask = true", "ask is True; it must be text in quotes"),
        ("[models.a]\nask = 1.5", "ask is 1.5; it must be"),
        ("[models.a]\ntemperature = 3", "temperature is 3.0; it must lie between 0 and 2"),
        ("[models.a]\ntop_p = nan", "top_p is nan; it must lie between"),
        ("[models.a]\ntop_p = 0", "top_p is 0.0; it must lie between"),
        ("[models.a]\nmax_tokens = 0", "max_tokens is 0; it must lie between"),
        ("[models.a]\nmax_asks = 'two'", "max_asks is 'two'; it must be a whole number"),
        ("[models.a]\ntemprature = 1", "models.a.temprature is not a setting; did you mean temperature?"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    result = pir("config", "check", str(file))
    assert isinstance(result.exception, PirError) and "\n" not in str(result.exception)  # `main` prints it
    if text != "[model.a]":
        assert words in str(result.exception)
    assert str(file) in str(result.exception) or "lie between" in words or "one of" in words or "ask" in words


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            load({}, config=path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        load({}, config=tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PIR_MODELS__PIR_7B__ENGINE_URLS": "x"}, "did you mean PIR_MODELS__PIR_7B__ENGINE_URL"),
        ({"PIR_MODELS__OTHER__MODEL": "x"}, "sets no key of a model"),
        ({"PIR_MODEL": "x"}, "PIR_MODEL is of one model"),
        ({"PIR_PROT": "1"}, "did you mean PIR_PORT"),
    ],
)
def test_variables_that_set_nothing_are_refused(file: Path, env: dict[str, str], words: str) -> None:
    file.write_text(TWO)
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(env, config=file)
    with pytest.raises(ConfigError, match="--tokenizer is of one model"):
        load({}, config=file, tokenizer=Path("x"))


def test_the_example_names_every_key_and_is_valid_with_all_of_them_taken_in(file: Path) -> None:
    text = pir("config", "example").output
    file.write_text(text)
    assert pir("config", "check", str(file)).output.startswith(f"{file}: all is well")
    everything = re.sub(r"^#(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)
    data: dict[str, Any] = tomllib.loads(everything)
    keys = {field.name for field in dataclasses.fields(Settings)} - {"model_name"}
    assert set(data) - {"models"} == keys - set(ENGINE_KEYS)
    assert set(data["models"]["pir-7b"]) == set(MODEL_KEYS)
    file.write_text(everything.replace("\ndatabase = ", "\n#database = "))  # in place of store
    assert [model.name for model in load({}, config=file).models] == ["pir-tiny", "pir-7b"]
    defaults = Settings()
    shown = {key: value for key, value in data.items() if f"\n#{key} = " in text and key != "models"}
    for key, value in shown.items():
        default = getattr(defaults, key)
        assert default in (None, ()) or default == value, f"{key} does not show its default"


def test_what_is_said_of_one_model_goes_before_what_is_said_of_all(file: Path) -> None:
    """The documented order, one step after the other from the weakest."""
    plain = "[models.a]\n[models.b]\n"
    steps: list[tuple[str, dict[str, str], str | None, str]] = [
        (plain, {}, None, "auto"),
        (f"ask = 'max=9'\n{plain}", {}, None, "max=9"),
        (f"ask = 'max=9'\n{plain}", {"PIR_ASK": "max=8"}, None, "max=8"),
        (f"ask = 'max=9'\n{plain}", {"PIR_ASK": "max=8"}, "max=7", "max=7"),
        (f"ask = 'max=9'\n{plain}ask = 6", {"PIR_ASK": "max=8"}, "max=7", "6"),
        (f"{plain}ask = 6", {"PIR_ASK": "max=8", "PIR_MODELS__B__ASK": "5"}, "max=7", "5"),
    ]
    for text, env, flag, wanted in steps:
        file.write_text(text)
        of_a, of_b = load(env, config=file, ask=flag).models
        assert of_b.ask == wanted
        assert of_a.ask == (flag or env.get("PIR_ASK") or ("max=9" if text.startswith("ask") else "auto"))


def test_check_says_what_requests_go_by(file: Path) -> None:
    file.write_text('temperature = 0.5\n[models.a]\nask = 3\n[models.b]\nask = "never"\ntop_k = 20\ntemperature = 1\n')
    said = pir("config", "check", str(file)).output
    assert "model a: local, in this process, ask 3, temperature 0.5\n" in said
    assert "model b: local, in this process, ask never, temperature 1.0, top_k 20\n" in said


def test_check_shows_no_credentials_of_engines(file: Path, tokenizer_dir: Path) -> None:
    file.write_text(
        f'[models.a]\nengine = "vllm"\nmodel = "m"\nengine_url = "http://me:secret@gpu:8001"\ntokenizer = "{tokenizer_dir}"\n'
    )
    result = pir("config", "check", str(file))
    said = result.output
    assert result.exit_code == 0, result.exception
    assert "vllm, http://gpu:8001" in said and "secret" not in said


def test_check_says_what_would_be_served(file: Path) -> None:
    file.write_text('[models.tiny]\nengine = "local"\n')
    said = pir("config", "check", env={"PIR_CONFIG": str(file), "PIR_PORT": "8123"}).output
    assert "127.0.0.1:8123" in said and "model tiny: local, in this process" in said
    file.write_text(TWO)
    result = pir("config", "check", str(file))
    assert isinstance(result.exception, ConfigError) and "tokenizer.json" in str(result.exception)
