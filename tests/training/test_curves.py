"""`pir train curves` from outside: a picture of runs, and what is said of a folder that holds none."""

import json
from pathlib import Path

from click.testing import CliRunner

from training.cli import train


def a_run(folder: Path) -> Path:
    figures = {"accuracy/complete": 0.9, "accuracy/incomplete": 0.5, "asked/complete": 0.1, "asks/incomplete": 1.2}
    rows = [{"step": step, **{name: value + step / 100 for name, value in figures.items()}} for step in range(1, 11)]
    rows.append({"step": 10, **{f"eval_{name}": value for name, value in figures.items()}})
    for step, kept in ((9, rows[:9]), (10, rows)):
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": kept}))
    return folder


def test_two_runs_are_drawn(tmp_path: Path) -> None:
    runs = [str(a_run(tmp_path / name)) for name in ("first", "second")]
    result = CliRunner().invoke(train, ["curves", *runs, "-o", str(tmp_path / "pictures" / "curves.svg")])
    assert result.exit_code == 0, result.output
    picture = (tmp_path / "pictures" / "curves.svg").read_text()
    assert picture.count('<g id="axes_') == 4 and picture.count('<g id="line2d_') > 16


def test_what_cannot_be_drawn_is_told_in_a_line(tmp_path: Path) -> None:
    nothing = CliRunner().invoke(train, ["curves", str(tmp_path), "-o", str(tmp_path / "a.svg")])
    assert nothing.exit_code == 1 and "holds no checkpoint of a US-GRPO run" in nothing.output
    odd = CliRunner().invoke(train, ["curves", str(a_run(tmp_path / "run")), "-o", str(tmp_path / "a.doc")])
    assert odd.exit_code == 1 and "doc" in odd.output and "Traceback" not in odd.output
