"""US-GRPO over a real vLLM in the trainer's process; VLLM_PYTHON names the interpreter of its venv (make test-engines)."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from pir_serve.settings import BUILTIN_MODEL
from training import CONFIGS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

WORDS = shlex.split("""
--use_vllm true --vllm_mode colocate --vllm_gpu_memory_utilization 0.1 --vllm_max_model_length 1024 --max_steps 2
--learning_rate 5e-3 --warmup_steps 0 --eval_strategy no --eval_problems 0 --num_problems 60 --num_generations 4
--per_device_train_batch_size 4 --gradient_accumulation_steps 1 --steps_per_generation 1 --resample_rounds 0
--max_completion_length 150 --save_steps 2 --disable_tqdm true --logging_steps 1
""")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def test_vllm_in_the_trainers_process_samples_from_the_trainers_weights(tmp_path: Path) -> None:
    python = os.environ.get("VLLM_PYTHON")
    if not python:
        pytest.skip("no vllm: set VLLM_PYTHON to its venv's python")
    script, site = Path(__file__).with_name("with_vllm.py"), sysconfig.get_path("purelib")
    words = ["--config", CONFIGS / "tiny_grpo.yaml", "--model", BUILTIN_MODEL, "--output_dir", tmp_path, *WORDS]
    command = [python, script, site, "training.grpo", *words]
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        env=os.environ | ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())
    first, second = (row for row in state["log_history"] if "sampling/logprob_gap_mean" in row)
    # vLLM computes in bfloat16 here. The second batch is sampled after an update, which alone would make a larger gap.
    assert max(first["sampling/logprob_gap_mean"], second["sampling/logprob_gap_mean"]) < 5e-3
    assert first["time/decode_s"] > 0 and second["grad_norm"] > 0
