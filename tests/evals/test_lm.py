"""The lm-eval model `pir` among lm-eval's own machinery: each of its known traps, and that stock parts still work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from lm_eval import evaluator
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

from evals.catalog import TASKS, load_tasks
from evals.lm import PirLM
from evals.lm_tasks import score
from evals.rows import Row
from evals.runs import RunError
from tests.evals.scripted_server import PlainServer, Script, lines, oracle_asker, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:lm_eval.*")

UTILS = """
import json
from pathlib import Path
from evals.lm_tasks import documents
from evals.rows import Row

def rows(data: str, seed: int = 0) -> list[Row]:
    (Path(data).parent / "seed").write_text(str(seed))
    return [Row.from_json(json.loads(line)) for line in Path(data).read_text().splitlines()]

load = documents("ours", rows)
"""


@pytest.fixture
def server(builtin_rows: list[Row]) -> Iterator[PlainServer]:
    with serving(PlainServer(Script(builtin_rows, oracle_asker))) as server:
        yield server


def evaluate(lm: Any, tasks: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    results: dict[str, Any] = evaluator.evaluate(lm, dict(tasks), bootstrap_iters=0, **options)
    return results


def task_folder(folder: Path, config: Mapping[str, Any], utils: str = UTILS) -> str:
    """A task's folder as a researcher would add one; `!function` lines included."""
    folder.mkdir()
    (folder / "utils.py").write_text(utils)
    head = f"include: {TASKS / '_pir_template_yaml'}\ntask: ours\ncustom_dataset: !function utils.load\n"
    (folder / "ours.yaml").write_text(head + yaml.safe_dump({"metadata": {"version": 3}, **config}))
    return str(folder)


def write_rows(file: Path, rows: list[Row]) -> Path:
    file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    return file


def test_registering_ours_keeps_lm_evals_own_models() -> None:
    """In a fresh process: the registry fills itself only while it is empty."""
    program = """
import evals.tasks.pir_builtin.utils
from lm_eval.api.registry import get_model, model_registry
print(get_model("dummy").__name__, get_model("pir").__name__, "local-chat-completions" in model_registry)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=110)
    assert done.stdout.split() == ["DummyLM", "PirLM", "True"], done.stderr


@pytest.mark.slow
def test_stock_lm_eval_finds_the_model_through_the_path_of_a_task(server: PlainServer, tmp_path: Path) -> None:
    """Takes long because lm-eval reads all its own tasks first."""
    command = [sys.executable, "-m", "lm_eval", "--model", "pir", "--model_args", f"base_url={server.url},seed=3"]
    command += [
        "--tasks",
        str(TASKS / "pir_builtin" / "pir_builtin.yaml"),
        "--metadata",
        '{"pairs": 9}',
        "--limit",
        "6",
    ]
    command += ["--output_path", str(tmp_path / "out"), "--log_samples"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "|acc " in done.stdout
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    assert len(lines(samples)) == 6


def test_a_models_arguments_are_no_options_of_the_data(
    server: PlainServer, builtin_rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval gives both in one to the loader. What the data must not take by accident it does not name; what it does
    name comes through."""
    merged = {"base_url": server.url, "model": "scripted", "seed": 99, "persona": "terse=2", "pairs": 2, "user": "rule"}
    tasks = load_tasks_of(["pir_builtin"], merged)
    assert [doc["row_id"] for doc in tasks["tasks"]["pir_builtin"].dataset["test"]] == [
        r.row_id for r in builtin_rows[:4]
    ]


def load_tasks_of(names: list[str], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """As lm-eval's command loads them, without its own tasks."""
    return dict(TaskManager(include_path=str(TASKS), include_defaults=False, metadata=dict(metadata)).load(names))


def test_each_conversation_has_its_own_rows_user(server: PlainServer, tmp_path: Path) -> None:
    """lm-eval's clients group requests by their arguments and send all with the first one's."""
    lm = PirLM(server.url, concurrency=7, conditions="interactive")
    results = evaluate(lm, load_tasks(["pir_builtin"], {"pairs": 9}))
    assert results["results"]["pir_builtin"]["acc,none"] == 1
    rows = {row.row_id: row for row in lm.rows}
    for transcript in lm.played:
        facts = {fact.id: fact for fact in rows[transcript.row_id].facts}
        for turn in transcript.turns:
            assert turn.disclosed
            assert all(
                str(facts[name].value) in turn.response or facts[name].unit in turn.response for name in turn.disclosed
            )


def test_lm_evals_cache_is_refused(server: PlainServer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--use_cache"):
        evaluator.simple_evaluate(
            model=PirLM(server.url),
            tasks=["pir_builtin"],
            task_manager=TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"pairs": 1}),
            use_cache=str(tmp_path / "cache"),
            torch_random_seed=None,
        )
    assert not server.bodies


def test_two_models_and_two_users_never_share_a_result(server: PlainServer, tmp_path: Path) -> None:
    """The same rows in another folder, or with another user, are played anew."""
    tasks = load_tasks(["pir_builtin"], {"pairs": 1})
    keys = set()
    for options in ({}, {"user_seed": 1}, {"persona": "terse=1"}, {"temperature": 1.0}, {"seed": 2}, {"max_turns": 3}):
        lm = PirLM(server.url, **options)
        evaluate(lm, tasks)
        keys |= {transcript.key for transcript in lm.played}
    assert len(keys) == 6 * 4


def test_a_data_path_means_the_same_wherever_the_command_runs(
    server: PlainServer, builtin_rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = task_folder(tmp_path / "ours", {})
    file = write_rows(tmp_path / "rows.jsonl", builtin_rows[:4])
    monkeypatch.chdir(tmp_path / "ours")
    manager = TaskManager(include_path=folder, include_defaults=False, metadata={"data": {"": str(file)}, "seed": 5})
    results = evaluate(PirLM(server.url), manager.load(["ours"]))
    assert results["n-samples"]["ours"]["effective"] == 4
    assert (tmp_path / "seed").read_text() == "5"
    assert len(load_tasks(["pir_builtin"], {"pairs": 1})["tasks"]["pir_builtin"].dataset["test"]) == 2


def test_files_are_given_by_task(server: PlainServer, builtin_rows: list[Row], tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "ours", {})
    files = {"ours": str(write_rows(tmp_path / "a.jsonl", builtin_rows[:2])), "other": "nowhere"}
    manager = TaskManager(include_path=folder, include_defaults=False, metadata={"data": files})
    assert [doc["row_id"] for doc in manager.load(["ours"])["tasks"]["ours"].dataset["test"]] == [
        row.row_id for row in builtin_rows[:2]
    ]


def test_two_rows_of_one_name_are_refused(server: PlainServer, builtin_rows: list[Row], tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "ours", {})
    rows = [builtin_rows[0], replace(builtin_rows[2], row_id=builtin_rows[0].row_id)]
    metadata = {"data": str(write_rows(tmp_path / "rows.jsonl", rows))}
    manager = TaskManager(include_path=folder, include_defaults=False, metadata=metadata)
    with pytest.raises(RunError, match="two different rows"):
        evaluate(PirLM(server.url), manager.load(["ours"]))
    assert not server.bodies


def test_unsorted_samples_keep_their_own_results(server: PlainServer, tmp_path: Path) -> None:
    """lm-eval's doc_id is wrong then; the row's own name is not."""
    tasks = load_tasks(["pir_builtin"], {"pairs": 9})
    lm = PirLM(server.url, run=tmp_path / "run")
    results = evaluate(lm, tasks, samples={"pir_builtin": [5, 1, 8]}, log_samples=True)
    docs = tasks["tasks"]["pir_builtin"].dataset["test"]
    samples = results["samples"]["pir_builtin"]
    assert {sample["doc"]["row_id"] for sample in samples} == {docs[place]["row_id"] for place in (1, 5, 8)}
    for sample in samples:
        transcripts = json.loads(sample["resps"][0][0])["transcripts"]
        assert {transcript["row_id"] for transcript in transcripts} == {sample["doc"]["row_id"]}
    assert {line["row_id"] for line in lines(tmp_path / "run" / "rows.jsonl")} == {s["doc"]["row_id"] for s in samples}


def test_repeats_of_one_request_are_played_apart(server: PlainServer, builtin_rows: list[Row], tmp_path: Path) -> None:
    """lm-eval hands the same object over several times."""
    everything = {"name": "all", "filter": [{"function": "custom", "filter_fn": "FILTER"}]}
    folder = task_folder(tmp_path / "ours", {"repeats": 2, "filter_list": [everything]})
    file = Path(folder) / "ours.yaml"
    file.write_text(file.read_text().replace("filter_fn: FILTER", "filter_fn: !function utils.keep"))
    with (Path(folder) / "utils.py").open("a") as utils:
        utils.write("\ndef keep(resps, docs):\n    return list(resps)\n")
    data = write_rows(tmp_path / "rows.jsonl", builtin_rows[:2])
    manager = TaskManager(include_path=folder, include_defaults=False, metadata={"data": str(data)})
    lm = PirLM(server.url, conditions="interactive", repeats=2, seed=10)
    results = evaluate(lm, manager.load(["ours"]), log_samples=True)
    assert sorted(t.repeat for t in lm.played if t.row_id == builtin_rows[0].row_id) == [0, 1, 2, 3]
    assert len({t.key for t in lm.played}) == 8
    assert {body["seed"] for body in server.bodies} == {10, 11, 12, 13}
    assert len(results["samples"]["ours"][0]["filtered_resps"][0]) == 2
    assert results["results"]["ours"]["acc,all"] == 1


def test_every_metric_is_declared_so_that_none_is_averaged_by_accident(
    builtin_rows: list[Row], server: PlainServer
) -> None:
    config = yaml.safe_load((TASKS / "_pir_template_yaml").read_text().replace("!function ", ""))
    declared = {metric["metric"] for metric in config["metric_list"]}
    results = evaluate(PirLM(server.url), load_tasks(["pir_builtin"], {"pairs": 3}), log_samples=True)
    found = {name for sample in results["samples"]["pir_builtin"] for name in sample["metrics"]}
    assert found == declared
    for sample in results["samples"]["pir_builtin"]:
        assert all(isinstance(sample[name], float) for name in sample["metrics"])
        assert json.loads(json.dumps(sample["resps"])) == sample["resps"]


def test_a_stock_task_is_played_with_its_own_prompt_and_cut(tmp_path: Path, builtin_rows: list[Row]) -> None:
    row = builtin_rows[0]
    utils = f"""
def load(**_):
    from datasets import Dataset
    return {{"test": Dataset.from_list([{{"question": {row.full!r}, "gold": "x"}}])}}
"""
    folder = tmp_path / "stock"
    folder.mkdir()
    (folder / "utils.py").write_text(utils)
    (folder / "stock.yaml").write_text(
        "task: stock\ncustom_dataset: !function utils.load\ntest_split: test\noutput_type: generate_until\n"
        'doc_to_text: "{{question}}"\ndoc_to_target: "{{gold}}"\n'
        'generation_kwargs: {until: ["\\\\boxed"], temperature: 0.25, max_gen_toks: 99}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    with serving(PlainServer(Script([row], oracle_asker))) as server:
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        results = evaluate(PirLM(server.url), manager.load(["stock"]), log_samples=True)
    assert results["samples"]["stock"][0]["resps"] == [["The answer is "]]
    (body,) = server.bodies
    assert "<asking>" not in body["messages"][0]["content"]
    assert (body["temperature"], body["max_tokens"]) == (0.25, 99)


def test_a_stock_model_can_play_our_tasks_as_a_floor(builtin_rows: list[Row]) -> None:
    results = evaluate(get_model("dummy")(), load_tasks(["pir_builtin"], {"pairs": 3}))
    found = results["results"]["pir_builtin"]
    assert found["acc_no_ask,none"] == 0
    assert "acc,none" not in found
    doc = {"row": json.dumps(builtin_rows[1].to_json())}
    assert score(doc, [f"It is \\boxed{{{builtin_rows[1].gold}}}."])["acc_no_ask"] == 1


@pytest.mark.parametrize(
    "options",
    [{"system_instruction": "Be brief."}, {"apply_chat_template": True, "system_instruction": "Be brief."}],
)
def test_what_would_change_the_prompt_is_refused(options: dict[str, Any], server: PlainServer) -> None:
    with pytest.raises(RunError, match="leave out few-shot examples"):
        evaluate(PirLM(server.url), load_tasks(["pir_builtin"], {"pairs": 1}), **options)
    assert not server.bodies


def test_a_chat_template_changes_nothing(server: PlainServer) -> None:
    evaluate(PirLM(server.url), load_tasks(["pir_builtin"], {"pairs": 1}), apply_chat_template=True)
    assert len(server.bodies) > 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"conditions": "maybe"}, "no condition maybe"),
        ({"server": "magic"}, "no kind of server magic"),
        ({"repeats": 0}, "repeats is too small"),
        ({"colour": "red"}, "no argument colour"),
        ({"persona": "rude=9"}, "rude"),
    ],
)
def test_arguments_that_cannot_be_are_named(options: dict[str, Any], said: str, server: PlainServer) -> None:
    with pytest.raises(ValueError, match=said):
        PirLM(server.url, **options)


async def test_a_notebook_whose_loop_runs_already_can_evaluate(server: PlainServer) -> None:
    results = evaluate(PirLM(server.url), load_tasks(["pir_builtin"], {"pairs": 1}))
    assert results["results"]["pir_builtin"]["acc,none"] == 1


def test_likelihood_tasks_are_refused(server: PlainServer) -> None:
    lm = PirLM(server.url)
    for method in (lm.loglikelihood, lm.loglikelihood_rolling):
        with pytest.raises(RunError, match="converses"):
            method([])


def test_model_info_names_what_was_evaluated_and_no_key(server: PlainServer) -> None:
    lm = PirLM(server.url, api_key="sk-secret", persona="terse=1")
    info = lm.get_model_info()
    assert info["pir"]["model"] == "scripted"
    assert info["pir"]["server"] == "prompted"
    assert info["pir"]["prompts"]
    assert "sk-secret" not in json.dumps(info)


def test_the_command_passes_lm_evals_own_help_through(pir_eval: Callable[..., Result]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pir_serve.cli", "eval", "lm-eval", "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert "run" in done.stdout
