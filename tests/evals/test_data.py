"""Public data sets as rows, from files of the same shape."""

from __future__ import annotations

import json

import pytest

from evals.data import SOURCES, DataError, data_sets, load
from evals.data.code import take_apart
from evals.rows import Row
from evals.simulators import Intent, simulator
from tests.evals import data_files
from tests.evals.data_files import ARTICLE, CODE, RECORDS, write


@pytest.fixture
def rows(tmp_path):
    return lambda task, **options: load(task, write(tmp_path, task), **options)


def _incomplete(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.is_complete]


def test_every_task_is_tested_here_and_every_data_set_feeds_a_task():
    assert set(RECORDS) == set(SOURCES)
    assert {source.dataset for source in SOURCES.values()} == set(data_sets())


@pytest.mark.parametrize("task", SOURCES)
def test_rows_are_whole_and_keep_their_json_form(rows, task):
    found = rows(task)
    assert found
    assert len({row.row_id for row in found}) == len(found)
    for row in found:
        assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row
        assert row.task == task
        assert row.license
        assert row.source
        assert row.is_complete == (row.shown == row.full)
        assert len({fact.id for fact in row.facts}) == len(row.facts)


@pytest.mark.parametrize("task", SOURCES)
def test_versions_come_in_pairs_under_one_pair_id(rows, task):
    found = {row.row_id: row for row in rows(task)}
    for row in _incomplete(list(found.values())):
        complete = found[f"{row.row_id}/complete"]
        assert complete.pair_id == row.pair_id == row.row_id
        assert complete.shown == row.full
        assert [fact.text for fact in complete.facts] == [fact.text for fact in row.facts]


@pytest.mark.parametrize("kind", ["json", "jsonl", "jsonl.gz", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, kind):
    for task in ("pir_squad", "pir_mmlu", "pir_math_chat", "pir_triviaqa"):
        assert load(task, write(tmp_path, task, kind)) == load(task, write(tmp_path, task))


def test_a_missing_premise_is_the_fact_and_records_with_nothing_missing_are_left_out(rows):
    complete, row = rows("pir_mip_gsm8k")
    assert [fact.text for fact in row.hidden] == ["Each tray holds 18 rolls."]
    assert complete.is_complete
    assert row.gold == "1072"
    assert "\\boxed" in row.shown


def test_what_a_model_once_replied_is_not_read(rows):
    assert "99" not in json.dumps([row.to_json() for row in rows("pir_mip_math")])


def test_a_missing_variable_is_the_fact_and_one_that_is_the_answer_is_left_out(rows):
    complete, row = rows("pir_questbench_gsmq")
    assert [fact.text for fact in row.hidden] == ["Rolls on each tray: 18"]
    assert complete.shown.startswith("Rolls on each tray: 18.")


async def test_words_of_the_required_points_find_the_fact(rows):
    [_, row] = rows("pir_askmind")
    assert "Format your response" not in row.full
    said = await simulator().respond("What is the capacity?", intent=Intent.of(row))
    assert said.disclosed == (row.hidden[0].id,)


async def test_details_are_told_one_by_one_and_the_choice_is_the_same_every_time(rows):
    _, vague, clear = rows("pir_in3")
    assert clear.facts == ()
    assert [fact.slots["importance"] for fact in vague.hidden] == ["3", "2"]
    assert vague == rows("pir_in3")[1]
    said = await simulator().respond("What kind of dish would you like?", intent=Intent.of(vague))
    assert said.disclosed == ("d0",)
    assert vague.facts[0].text in said.text


def test_chats_have_each_problem_once_and_on_one_side_only(rows):
    test, train, both = (rows("pir_math_chat", split=split) for split in ("test", "train", "all"))
    assert {row.pair_id for row in test}.isdisjoint(row.pair_id for row in train)
    assert len(test) + len(train) == len(both) == 2 * 30
    assert 0 < len(test) < len(train)
    assert {row.full.split("\n")[0] for row in both} == {record["single_turn_prompt"] for record in data_files.CHATS}
    assert all(row.gold.isdigit() for row in both)


def test_the_split_does_not_depend_on_the_order_of_the_file(rows, monkeypatch):
    before = {row.row_id for row in rows("pir_math_chat")}
    monkeypatch.setitem(RECORDS, "pir_math_chat", RECORDS["pir_math_chat"][::-1])
    assert {row.row_id for row in rows("pir_math_chat")} == before


def test_choices_are_lettered_and_the_gold_is_a_letter(rows):
    [row] = rows("pir_mmlu")
    assert "B. Pear" in row.shown
    assert (row.gold, row.grader, row.extra["options"][1]) == ("B", "choice", "Pear")
    [pro] = rows("pir_mmlu_pro")
    assert (pro.gold, pro.group) == ("A", "chemistry")


@pytest.mark.parametrize("task", ["pir_triviaqa", "pir_squad"])
async def test_the_user_holds_the_text_and_tells_one_sentence(rows, task):
    complete, row = rows(task)
    assert ARTICLE not in row.shown
    assert ARTICLE in complete.shown
    said = await simulator().respond("Who was the keeper?", intent=Intent.of(row))
    assert "Ida Brandt" in said.text
    assert "1821" not in said.text
    assert row.extra["aliases"]


def test_demands_and_examples_of_a_docstring_are_hidden_and_the_tests_can_be_run(rows):
    complete, row = rows("pir_humaneval_under")
    assert [fact.text for fact in row.hidden] == [
        "It is the mean of two values if the length is even.",
        "Return -1 if the list is empty.",
        ">>> middle([1, 2, 3])\n2",
    ]
    assert '"""Find the middle value of a list."""' in row.shown
    assert "even" not in row.shown
    assert "def helper" in row.shown
    assert row.extra["setup"].startswith("from math import floor")
    assert complete.shown.startswith(CODE.strip())
    program = f"{row.extra['setup']}\ndef middle(v):\n    return -1\n{row.extra['tests']}"
    exec(compile(program, "program", "exec"), {})
    with pytest.raises(AssertionError):
        exec(compile(program.replace("-1\n", "0\n", 1), "program", "exec"), {})


def test_a_docstring_is_found_behind_letters_of_several_bytes():
    source = 'def f(x="é"): """ Ü. Return 1 if ö. """\n'
    doc = take_apart(source, "f")
    assert doc is not None
    assert source[doc.start : doc.end] == '""" Ü. Return 1 if ö. """'
    assert doc.prose == ("Ü.", "Return 1 if ö.")


def test_a_gold_number_in_view_is_flagged(tmp_path):
    file = tmp_path / "x.jsonl"
    records = [
        {
            "question": "He has 3 hats. He buys 4. How many?",
            "insufficient_question": "He buys 4. How many?",
            "answer": "#### 3",
        },
        {
            "question": "He has 3 hats. He buys 4. How many?",
            "insufficient_question": "He buys 4. How many?",
            "answer": "#### 4",
        },
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert [row.flags for row in _incomplete(load("pir_mip_gsm8k", file))] == [
        ("gold_number_in_fact",),
        ("gold_number_in_shown_text",),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", '{"question": "Q"}', "without 'insufficient_question'; is it MiP-GSM8K"),
        ("x.jsonl", '{"question": 1, "insufficient_question": "", "answer": "#### 1"}', "is not MiP-GSM8K"),
        ("x.jsonl", '{"question": "Q", "insufficient_question": "Q", "answer": "no"}', "no #### line"),
        ("x.jsonl", '{"question": "Q", "insufficient_question": "Q", "answer": "#### 1"}', "gives no rows"),
        ("x.jsonl", "{broken", "cannot be read"),
        ("x.jsonl", "", "holds no records"),
        ("x.jsonl", "[1]\n", "holds no records"),
        ("x.json", '"text"', "holds no records"),
        ("x.jsonl.gz", "not gzip", "cannot be read"),
        ("x.parquet", "not parquet", "cannot be read"),
        ("x.xlsx", "x", "is none of .json, .jsonl, .csv and .parquet"),
        ("x.csv", "question,answer\nQ,#### 1", "without 'insufficient_question'"),
    ],
)
def test_a_file_of_something_else_is_refused_in_words(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError, match=said):
        load("pir_mip_gsm8k", file)


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read"):
        load("pir_mip_gsm8k", tmp_path / "no.jsonl")
    monkeypatch.setenv("PIR_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"`pir eval data fetch mip_gsm8k` downloads it \(licence: MIT\)"):
        load("pir_mip_gsm8k")


def test_the_registry_says_what_is_known_and_no_more():
    for dataset in data_sets().values():
        assert dataset.url.startswith("https://")
        assert dataset.license
        assert dataset.records > 0
        assert not dataset.sha256 or len(bytes.fromhex(dataset.sha256)) == 32
        assert not dataset.revision or dataset.revision in dataset.url
        assert bool(dataset.sha256) == bool(dataset.revision)
