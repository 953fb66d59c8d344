"""What `pir train` writes, served by a real vLLM: VLLM_PYTHON names the interpreter of its venv (make test-engines)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from evals.problems import make_pair
from evals.rows import Row
from evals.simulators import Exchange, Intent, Response
from pir_serve.engines.local import LocalEngine
from pir_serve.engines.vllm import VllmEngine
from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Status
from tests.engines.servers import serving
from tests.training.test_sft import MESSAGES, PROBLEM, train, write
from training import checkpoint
from training.families import write_model
from training.rollout import Job, Rollout, Rollouts

pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


class SaysSixteen:
    def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        return Response("She buys 16.", (), "answer")


def play(engine: LocalEngine | VllmEngine, codec: PromptCodec) -> Rollout:
    row = Row.of(make_pair("train", 1, 1)[1], "generated")
    job = Job(Row.from_json({**row.to_json(), "shown": PROBLEM}), SaysSixteen(), seed=1, greedy=True)
    rollouts = Rollouts(engine, codec, max_tokens=120)
    rollouts.start()
    try:
        return rollouts.run([job])[0]
    finally:
        rollouts.close()


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_a_trained_checkpoint_asks_and_answers_on_vllm_as_it_does_here(family: str, tmp_path: Path) -> None:
    python = os.environ.get("VLLM_PYTHON")
    if not python:
        pytest.skip("no vllm: set VLLM_PYTHON to its venv's python")
    base = write_model(tmp_path / "base", family)
    rows = write(tmp_path / "rows.jsonl", [MESSAGES])
    train(base, rows, tmp_path / "sft", "--max_steps", "60", "--system_prompt", "method", "--learning_rate", "5e-3")
    out = tmp_path / "checkpoint"
    checkpoint.main(["--model", str(tmp_path / "sft"), "--output", str(out)])
    codec = PromptCodec.load(out)
    here = play(LocalEngine(out), codec)
    with serving("vllm", python, out, tmp_path / "vllm.log") as server:
        there = play(VllmEngine(server.url), codec)
    for rollout in (here, there):
        assert rollout.trajectory.status is Status.COMPLETED
        assert [e.ask for e in rollout.exchanges] == ["How many pens?"]
        assert "boxed{64}" in rollout.trajectory.segments[-1].text
    assert there.trajectory.token_ids == here.trajectory.token_ids
