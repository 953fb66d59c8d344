"""`pir eval report`: figures for people, spreadsheets and programs, whatever the models wrote."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from evals.cli import evaluation
from evals.runs import read_run
from tests.evals.hand_made import CONDITIONS, failed, played, policy, row, turn, write_run


def report(folder, *arguments):
    done = CliRunner().invoke(evaluation, ["report", str(folder), *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return folder / "report"


def with_steps(run):
    """Surer of themselves where nothing is missing."""
    for number, one in enumerate(run):
        entropy = 0.2 + 0.01 * (number % 7) + (0.0 if one.row.is_complete else 1.0)
        step = {"leg": 0, "text": "A step.", "start": 0, "end": 7, "entropy": entropy, "num_tokens": 3}
        yield replace(one, transcript=replace(one.transcript, steps=(step, {**step, "entropy": entropy / 2})))


@pytest.fixture(scope="module")
def oracle_report(tmp_path_factory):
    return report(write_run(tmp_path_factory.mktemp("runs") / "oracle", with_steps(policy("oracle"))))


def test_markdown_tells_the_figures_the_rows_and_what_was_run(oracle_report):
    text = (oracle_report / "report.md").read_text()
    assert "| recovered gap | 100.0 % [100.0, 100.0] |" in text
    assert "| incomplete | no_ask | 40 | 30.0 % [" in text
    assert "| pens | 100.0 % [100.0, 100.0] |" in text
    assert "| user | name=rule |" in text
    assert "version 1.0, 80 rows, data " in text
    assert "a smoke test" in text


def test_plots_are_pictures(oracle_report):
    names = {file.name for file in oracle_report.iterdir()} - {"report.md", "report.csv", "results.json"}
    stems = ("hand-gap", "hand-turns", "hand-ask-curve", "hand-reliability")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    for stem in stems:
        assert (oracle_report / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(oracle_report / f"{stem}.svg").getroot().tag.endswith("svg")
        assert f"![{stem}.png]({stem}.png)" in (oracle_report / "report.md").read_text()


def test_csv_holds_every_figure_of_every_part(oracle_report):
    lines = list(csv.DictReader(io.StringIO((oracle_report / "report.csv").read_text())))
    found = {(line["part"], line["figure"]): line for line in lines}
    assert float(found["all", "recovered_gap"]["value"]) == 1
    assert float(found["family=trips", "accuracy_incomplete/no_ask"]["n"]) == 20
    assert found["all", "over_ask"]["clusters"] == "40"


def test_json_has_lm_evals_shape_and_is_strict(oracle_report):
    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads((oracle_report / "results.json").read_text(), parse_constant=refuse)
    results = found["results"]["hand"]
    assert results["alias"] == "hand"
    assert results["recovered_gap,none"] == 1
    assert results["accuracy_incomplete/no_ask,none"] == pytest.approx(0.3)
    assert 0 < results["accuracy_incomplete/no_ask_stderr,none"] < 0.1
    assert found["versions"] == {"hand": "1.0"}
    assert found["n-samples"]["hand"] == {"original": 80, "effective": 80}
    assert found["intervals"]["hand"]["recovered_gap"]["low"] == 1


def test_failures_are_told_and_counted(tmp_path):
    run = [failed(one) if k % 4 == 0 else one for k, one in enumerate(policy("oracle"))]
    text = (report(write_run(tmp_path / "a", run)) / "report.md").read_text()
    assert "60 of 240 conversations failed; they count as wrong" in text
    assert "| error: HTTP 500 | 60 |" in text


def test_a_user_that_gave_answers_away_is_named_at_the_head(tmp_path):
    problems = [replace(row(k), gold="4711") for k in range(40)]
    honest = [played(of, "interactive", turn("f1")) for of in problems]
    leaky = [played(of, "interactive", turn(response="The answer is 4711.")) for of in problems]
    texts = [
        (report(write_run(tmp_path / n, run)) / "report.md").read_text() for n, run in (("a", honest), ("b", leaky))
    ]
    assert "SIMULATOR UNRELIABLE" not in texts[0]
    assert "SIMULATOR UNRELIABLE: leak 100.0%" in texts[1].split("##")[0]


def test_half_a_character_from_a_model_is_kept_as_it_is(tmp_path):
    one = played(row(0))
    odd = replace(one, transcript=replace(one.transcript, final="\ud83d \\boxed{0}"))
    assert read_run(write_run(tmp_path / "a", [odd])).transcripts[0].final == "\ud83d \\boxed{0}"
    assert "100" in (report(tmp_path / "a") / "report.md").read_text()


def test_a_run_that_was_interrupted_is_reported_on(tmp_path):
    run = [played(row(k), condition) for k in range(4) for condition in CONDITIONS][:-2]
    text = (report(write_run(tmp_path / "a", run)) / "report.md").read_text()
    assert "1 rows were not played under all conditions" in text


def test_disagreement_of_graders_is_listed(tmp_path):
    of = replace(row(0), gold="1024")
    one = played(of)
    one = replace(one, transcript=replace(one.transcript, final="\\boxed{2^{10}}"))
    folder = write_run(tmp_path / "a", [one, played(row(1))])
    text = (report(folder, "--grader", "both") / "report.md").read_text()
    assert "disagree on 1 of 2 answers" in text
    assert "| p0-incomplete | 2^{10} | 1024 | correct | wrong |" in text
    official = json.loads((report(folder, "--grader", "official") / "results.json").read_text())
    assert official["results"]["hand"]["accuracy/interactive,none"] == 0.5


def test_texts_are_scored_as_a_corpus(tmp_path):
    of = replace(row(0), grader="text", gold="The cat sat on the mat.")
    one = played(of)
    one = replace(one, transcript=replace(one.transcript, final="The cat sat on a mat."))
    text = (report(write_run(tmp_path / "a", [one])) / "report.md").read_text()
    for name in ("bleu", "chrf", "bleu\\_collab", "bleu\\_signature"):
        assert f"| {name} |" in text or f"| {name.replace(chr(92), '')} |" in text


HOSTILE = "x | y\n# Boo <script>alert(1)</script> $\\frac{ [a](http://b) =cmd()"


def test_what_models_and_data_sets_write_breaks_no_table(tmp_path):
    of = replace(row(0, group=HOSTILE), gold=HOSTILE)
    other = row(1, group="=SUM(A1)")
    run = [
        failed(played(of, condition, *([turn("f1")] if condition == "interactive" else []))) for condition in CONDITIONS
    ]
    run = [replace(one, transcript=replace(one.transcript, error=HOSTILE)) for one in run]
    run += [played(other, condition) for condition in CONDITIONS]
    folder = report(write_run(tmp_path / "a", run, model=HOSTILE))
    text = (folder / "report.md").read_text()
    assert "<script>" not in text
    assert not [line for line in text.splitlines() if line.startswith("# Boo")]
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, lines
    lines = list(csv.DictReader(io.StringIO((folder / "report.csv").read_text())))
    assert {None} not in [set(line.values()) for line in lines]
    assert f"family={HOSTILE}" in {line["part"] for line in lines}


def test_wrong_arguments_are_a_sentence(tmp_path):
    done = CliRunner().invoke(evaluation, ["report", str(tmp_path)])
    assert done.exit_code == 1
    assert "is no run" in done.output
    empty = write_run(tmp_path / "empty", [])
    done = CliRunner().invoke(evaluation, ["report", str(empty)])
    assert done.exit_code == 1
    assert "no conversations yet" in done.output
    (tmp_path / "file").write_text("")
    good = write_run(tmp_path / "good", [played(row(0))])
    done = CliRunner().invoke(evaluation, ["report", str(good), "-o", str(tmp_path / "file")])
    assert done.exit_code in (1, 2)
    assert "Traceback" not in done.output


def test_the_same_run_gives_the_same_report(tmp_path):
    folder = write_run(tmp_path / "a", policy("always"))
    first = (report(folder) / "results.json").read_text()
    assert (report(folder) / "results.json").read_text() == first
