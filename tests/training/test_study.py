"""`pir train study` from outside: two checkpoints on the same problems, kept and not played twice."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from pir_serve.settings import BUILTIN_MODEL
from training.cli import train


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model with weights that know nothing."""
    folder = tmp_path_factory.mktemp("models") / "broken"
    shutil.copytree(BUILTIN_MODEL, folder)
    (folder / "pir.json").unlink()
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    save_file({k: torch.randn_like(v) * 0.02 for k, v in weights.items()}, folder / "model.safetensors")
    return folder


def run(output: Path, broken: Path, *more: str) -> Result:
    args = [
        "study",
        "--before",
        str(broken),
        "--after",
        str(BUILTIN_MODEL),
        "--output",
        str(output),
        "--processes",
        "1",
    ]
    return CliRunner().invoke(train, [*args, *more])


def test_a_model_that_asks_beats_one_that_knows_nothing_and_is_played_once(tmp_path: Path, broken: Path) -> None:
    first = run(tmp_path / "out", broken, "--pairs", "5")
    assert first.exit_code == 0, first.output
    assert "incomplete, clean user ..." in first.output
    results = json.loads((tmp_path / "out" / "study.json").read_text())["results"]
    accuracy = results["incomplete, clean user"]["accuracy"]
    assert accuracy["means"][0] == 0 and accuracy["means"][1] >= 0.5
    assert accuracy["change"]["low"] > 0 and accuracy["change"]["n"] == 5
    assert results["complete, may not ask"]["asked"]["means"] == [0, 0]
    table = (tmp_path / "out" / "study.md").read_text()
    assert table in first.output
    again = run(tmp_path / "out", broken, "--pairs", "5")
    assert again.output == table + "\n"
    picture = (tmp_path / "out" / "study.svg").read_text()
    assert picture.startswith("<?xml") and len(picture) > 5000
    each = run(tmp_path / "out", broken, "--pairs", "5", "--separately").output
    assert "| checkpoint | complete: accuracy, % | complete: asks, % |" in each
    assert f"\n| {BUILTIN_MODEL.name} | " in each and "\n| broken | 0.0 | " in each
    other = run(tmp_path / "out", broken, "--pairs", "6")
    assert other.exit_code == 1 and "name another output folder" in other.output


def test_a_folder_without_a_model_is_named(tmp_path: Path, broken: Path) -> None:
    result = CliRunner().invoke(
        train, ["study", "--before", str(tmp_path), "--after", str(broken), "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 1 and "is no checkpoint folder" in result.output
