"""What people said to a gateway is training data: exported, learnt from (SFT), and played as problems (US-GRPO)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pandas
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file
from tokenizers import Tokenizer

pytest.importorskip("trl", reason="needs the train extra")

from evals.rows import Row
from evals.simulators import Intent
from evals.simulators.door import simulator
from pir_serve.api.app import create_app
from pir_serve.api.build import build_gateway
from pir_serve.errors import ConfigError
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL, Settings
from tests.training.test_sft import IN_TURNS, MESSAGES, PROBLEM, SHAREGPT, write
from training import CONFIGS
from training.cli import train
from training.engines import InProcessEngine
from training.rollout import Job, Rollouts
from training.rows import RowReader
from training.sessions import ProblemReader, prompt_of, read_golds
from training.sft import labelled

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EXAMPLES = [json.loads(line) for line in (BUILTIN_MODEL / "examples.jsonl").read_text().splitlines()][:3]
CODEC = PromptCodec.load(BUILTIN_MODEL)
TOKENIZER = Tokenizer.from_file(str(BUILTIN_MODEL / "tokenizer.json"))
ON_CPU = ["--use_cpu", "true", "--bf16", "false", "--disable_tqdm", "true"]


async def converse(folder: Path) -> str:
    """The export of a gateway to which three people told a problem and, asked, what was missing; a fourth left."""
    gateway = build_gateway(Settings(engine="local", store=folder / "pir.db"))
    transport = httpx.ASGITransport(create_app(gateway, manage=False))
    async with gateway.running(), httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        for number, example in enumerate([*EXAMPLES, EXAMPLES[0]]):
            messages = [{"role": "user", "content": example["problem"]}]
            for reply in ("", example["missing"])[: 1 if number == len(EXAMPLES) else 2]:
                if reply:
                    messages.append({"role": "user", "content": reply})
                body = {"model": "pir-tiny", "messages": messages, "user": str(number)}
                said = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
                messages.append({"role": "assistant", "content": said})
        await asyncio.sleep(0.2)  # what has ended is kept after its reply
        return (await client.get("/v1/pir/sessions/export")).text


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    file = folder / "sessions.jsonl"
    file.write_text(asyncio.run(converse(folder)))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def golds_for(exported: Path, n: int, folder: Path) -> Path:
    by_problem = {example["problem"]: example["gold"] for example in EXAMPLES}
    done = [row for row in lines(exported) if row["status"] == "completed"]
    golds = [{"session": row["session"], "gold": by_problem[row["user_texts"][0]]} for row in done[:n]]
    return write(folder / "golds.jsonl", golds)


def pir(*words: object) -> str:
    result = CliRunner().invoke(train, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_an_export_goes_through_sft_and_two_updates_of_grpo(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The commands of docs/training.md, with their settings cut down."""
    sft, out = tmp_path / "sft", tmp_path / "grpo"
    caplog.set_level("INFO")
    common = [*ON_CPU, "--logging_steps", "1", "--report_to", "none"]
    pir("sft", "--model", BUILTIN_MODEL, "--rows", exported, "--output_dir", sft, "--max_steps", 2,
        "--learning_rate", "1e-3", *common)  # fmt: skip
    assert "3 rows, left out: 4 (status awaiting_user)" in caplog.text
    pir("grpo", "--config", CONFIGS / "tiny_grpo.yaml", "--model", sft, "--rows", exported, "--output_dir", out,
        "--golds", golds_for(exported, 2, tmp_path), "--personas", "", "--max_steps", 2, "--num_generations", 8,
        "--per_device_train_batch_size", 16, "--gradient_accumulation_steps", 1, "--steps_per_generation", 1,
        "--eval_problems", 0, "--eval_strategy", "no", "--warmup_steps", 0, *common)  # fmt: skip
    assert "2 problems" in caplog.text and "1 (no gold, and no judge)" in caplog.text
    played = pandas.concat(pandas.read_parquet(file) for file in sorted((out / "completions").glob("*.parquet")))
    ids = {row["id"] for row in lines(exported) if row["status"] == "completed"}
    assert set(played["row_id"]) <= ids and set(played["prompt"]) <= {e["problem"] for e in EXAMPLES}
    assert played["reward"].max() > 0.5, "somebody was asked, and the answer was right"
    told = [text for text in played["completion"] if "<response>" in text]
    assert told and any(example["missing"].rstrip(".") in text for example in EXAMPLES for text in told)
    before, after = load_file(sft / "model.safetensors"), load_file(out / "model.safetensors")
    assert any(not bool((before[name] == after[name]).all()) for name in after)


def test_what_was_sampled_is_learnt_token_by_token(exported: Path, tmp_path: Path) -> None:
    """Even where encoding the text again would cut it elsewhere."""
    done = next(row for row in lines(exported) if row["status"] == "completed")
    done["parts"][1]["token_ids"][:1] = [9, 9]
    for name, own in ((done["model"], True), ("another name", False)):
        (parts,) = RowReader(CODEC).read(write(tmp_path / "rows.jsonl", [done | {"model": name}]))
        ids = labelled(TOKENIZER, parts)["input_ids"]
        assert (ids == [i for part in done["parts"] for i in part["token_ids"]]) is own


def read(file: Path, **options: Any) -> tuple[list[Row], ProblemReader]:
    reader = ProblemReader(CODEC, **options)
    return reader.read(file), reader


def test_a_session_becomes_its_very_prompt_and_what_was_said(exported: Path, tmp_path: Path) -> None:
    golds = read_golds(golds_for(exported, 3, tmp_path))
    rows, reader = read(exported, golds=golds)
    done = {row["id"]: row for row in lines(exported) if row["status"] == "completed"}
    assert len(rows) == 3 and reader.left_out["status awaiting_user"] == len(lines(exported)) - 3
    for row in rows:
        session = done[row.row_id]
        (example,) = [e for e in EXAMPLES if e["problem"] == row.shown]
        (prompt,) = prompt_of(Row.from_json(json.loads(json.dumps(row.to_json()))), CODEC)
        assert list(prompt.token_ids) == session["parts"][0]["token_ids"]
        assert row.gold == example["gold"] and not row.is_complete and example["missing"] in row.full
        user = simulator("rule")
        said = asyncio.run(user.respond(session["exchanges"][0]["question"], intent=Intent.of(row)))
        assert said.text.endswith(example["missing"]) and said.disclosed == (row.facts[0].id,)
    engine = InProcessEngine(BUILTIN_MODEL)
    engine.load_from(BUILTIN_MODEL)
    rollouts = Rollouts(engine, CODEC)
    made = rollouts.run([Job(row, simulator("rule"), 1, greedy=True) for row in rows])
    rollouts.close()
    for rollout in made:  # greedy, as the gateway was: the conversation happens again
        assert rollout.trajectory.segments[1].text == done[rollout.row.row_id]["parts"][1]["text"]


def test_without_a_gold_a_session_is_refused_and_never_scored(exported: Path) -> None:
    with pytest.raises(ConfigError, match=r"no usable row; left out: .*3 \(no gold, and no judge\)"):
        read(exported)
    rows, _ = read(exported, is_judged=True)
    assert {row.grader for row in rows} == {"judge"} and all("boxed" in row.gold for row in rows)


@pytest.mark.parametrize("line", [MESSAGES, SHAREGPT, IN_TURNS])
def test_conversations_of_any_shape_are_problems(line: dict[str, Any], tmp_path: Path) -> None:
    (row,), _ = read(write(tmp_path / "rows.jsonl", [line | {"gold": 64}]))
    assert row.gold == "64" and PROBLEM in row.shown and row.facts[0].text == "She buys 16."
    text = "".join(segment.text for segment in prompt_of(row, CODEC))
    assert text.endswith("<think>\n") and PROBLEM in text and "16" not in text


def test_another_tokenizer_gets_the_words_and_long_conversations_are_left_out(exported: Path, tmp_path: Path) -> None:
    (done, *_) = [row for row in lines(exported) if row["status"] == "completed"]
    other = done | {"digest": "of another", "gold": "7"}
    longer = other | {"id": "long", "user_texts": ["Hello.", "Hi!", "How many?"]}
    rows, reader = read(write(tmp_path / "rows.jsonl", [other, longer]))
    assert [row.row_id for row in rows] == [done["id"]] and "prompt" not in rows[0].extra
    assert reader.left_out == {"a longer conversation with another tokenizer or template": 1}


def test_what_the_policy_answered_is_nothing_that_the_user_knows(exported: Path, tmp_path: Path) -> None:
    (done, *_) = [row for row in lines(exported) if row["status"] == "completed"]
    auto = [exchange | {"by": "template"} for exchange in done["exchanges"]]
    (row,), _ = read(write(tmp_path / "rows.jsonl", [done | {"exchanges": auto, "gold": "7"}]))
    assert row.is_complete and row.facts == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"messages": [{"role": "user", "content": 3}], "gold": "1"}', r"rows\.jsonl:1: not a row"),
        ('{"messages": [{"role": "user", "content": "x"}], "gold": "1"}', "assistant's turn"),
        ('{"messages": [{"role": "assistant", "content": "x"}], "gold": "1"}', "no problem"),
        ('{"parts": [], "status": "failed", "gold": "1"}', "status failed"),
        ('{"parts": 7, "gold": "1"}', "another tokenizer"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "gold": true}',
            "gold",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "gold": " "}',
            "gold",
        ),
        ("[]", "a JSON object"),
        ("", "no usable row"),
    ],
)
def test_lines_that_are_no_problems_are_named(line: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line)
    with pytest.raises(ConfigError, match=says):
        ProblemReader(CODEC).read(file)


@pytest.mark.parametrize(
    "line", ['{"session": "s"}', '{"gold": "1"}', '{"id": 3, "gold": "1"}', '{"id": "x", "gold": {}}']
)
def test_wrong_golds_are_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "golds.jsonl"
    file.write_text(line)
    with pytest.raises(ConfigError, match=r"golds\.jsonl:1"):
        read_golds(file)


def test_personas_that_cannot_say_these_facts_are_refused_at_the_start(exported: Path, tmp_path: Path) -> None:
    words = ["grpo", "--config", CONFIGS / "tiny_grpo.yaml", "--model", BUILTIN_MODEL, "--rows", exported, *ON_CPU,
             "--golds", golds_for(exported, 3, tmp_path), "--output_dir", tmp_path]  # fmt: skip
    result = CliRunner().invoke(train, [str(word) for word in words])
    assert isinstance(result.exception, SystemExit) and "levels, e.g. terse=2" in str(result.exception)
