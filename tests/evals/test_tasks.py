"""Every task and group: loads offline, says where it comes from, and plays."""

from __future__ import annotations

import json

import pytest

from evals.catalog import TASKS, catalog, load_tasks
from evals.data import SOURCES, data_sets
from evals.lm_tasks import row_of
from evals.runs import RunError
from evals.simulators import Intent, simulator
from evals.simulators.told import question_for
from tests.evals.data_files import write

NAMES = sorted(SOURCES)
ENTRIES = {entry.name: entry for entry in catalog()}


def _load(tmp_path, task, **options):
    return load_tasks([task], {"data": {task: str(write(tmp_path, task))}, **options})["tasks"][task]


@pytest.mark.parametrize("name", NAMES)
def test_a_task_loads_from_a_local_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # paths are not relative to where one stands
    task = _load(tmp_path, name)
    docs = list(task.test_docs())
    assert docs
    for doc in docs:
        row = row_of(doc)
        assert task.doc_to_text(doc) == row.shown
        assert row.task == name
        shown = json.dumps(task.doc_to_text(doc))
        assert not [fact.text for fact in row.hidden if json.dumps(fact.text)[1:-1] in shown]


@pytest.mark.parametrize("name", NAMES)
async def test_the_rule_user_can_tell_what_a_task_hides(tmp_path, name):
    for doc in _load(tmp_path, name).test_docs():
        row = row_of(doc)
        for fact in row.hidden:
            said = await simulator().respond(question_for(fact), intent=Intent.of(row))
            assert said.disclosed == (fact.id,), (fact, said)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_its_data_says_how_to_get_it(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PIR_DATA", str(tmp_path))
    with pytest.raises(RunError, match=f"pir eval data fetch {SOURCES[name].dataset}"):
        load_tasks([name], {})


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_source_versions_licence_and_how_to_try(name):
    page, dataset = ENTRIES[name].page, data_sets()[SOURCES[name].dataset]
    for needed in (
        f"# {name}\n",
        dataset.url,
        "| licence |",
        "| rows |",
        "| grader |",
        f"| version | {ENTRIES[name].version} |",
        f"pir eval data fetch {dataset.name}",
        f"pir eval run --tasks {name} --limit",
        f"- {ENTRIES[name].version}:",
    ):
        assert needed in page
    for option in ENTRIES[name].options:
        assert f"| `{option}` |" in page


def test_every_folder_is_a_task_and_every_task_has_its_data():
    folders = {path.name for path in TASKS.iterdir() if path.name.startswith("pir_")}
    assert folders == {*NAMES, "pir_builtin"} == {entry.name for entry in ENTRIES.values() if not entry.members}


def test_groups_have_tasks_that_there_are():
    groups = {entry.name: set(entry.members) for entry in ENTRIES.values() if entry.members}
    assert set(groups) >= {"pir_smoke", "pir_core", "pir_paper"}
    assert all(members <= set(ENTRIES) for members in groups.values())
    assert {"pir_math_chat", "pir_bigcodebench_chat", "pir_docedit_chat"} <= groups["pir_paper"]


def test_the_split_is_an_option_of_the_chats(tmp_path):
    test = _load(tmp_path, "pir_math_chat").test_docs()
    every = _load(tmp_path, "pir_math_chat", split="all").test_docs()
    assert 0 < len(test) < len(every)
    with pytest.raises(RunError, match="no rows of split nonsense"):
        _load(tmp_path, "pir_math_chat", split="nonsense")
