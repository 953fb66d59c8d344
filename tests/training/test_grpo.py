"""US-GRPO end to end on a tiny random model that is taught nothing: plumbing, masks, determinism, resuming, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from evals.problems import make_pair
from evals.rows import Row
from pir_serve.errors import ConfigError
from pir_serve.settings import BUILTIN_MODEL
from training import CONFIGS
from training.cli import train
from training.groups import Played, has_signal
from training.grpo import TOKENIZER_FILES, grpo, parse, training_rows
from training.grpo_trainer import USGRPOTrainer, cut_to_longest
from training.scoring import Score
from training.sessions import ProblemReader

STEPS = ["--max_steps", "2", "--learning_rate", "1e-3", "--warmup_steps", "0", "--eval_strategy", "no"]
SMALL = [
    *("--num_problems", "30", "--eval_problems", "0", "--num_generations", "4", "--per_device_train_batch_size", "16"),
    *("--gradient_accumulation_steps", "1", "--steps_per_generation", "1", "--max_completion_length", "120"),
    *("--save_steps", "1", "--disable_tqdm", "true", "--incomplete_share", "0.4", "--slots", "16"),
]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model's tokenizer and its weights, blurred so that its rollouts differ."""
    folder = tmp_path_factory.mktemp("asker")
    for file in BUILTIN_MODEL.iterdir():
        if file.name in (*TOKENIZER_FILES, "config.json"):
            shutil.copy(file, folder)
    model = LlamaForCausalLM.from_pretrained(BUILTIN_MODEL, dtype=torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15 * parameter.std())
    model.save_pretrained(folder)
    return folder


def run(model: Path, out: Path, *more: str) -> dict[str, torch.Tensor]:
    args = ["--config", str(CONFIGS / "tiny_grpo.yaml"), "--model", str(model), "--output_dir", str(out)]
    grpo(*parse([*args, *SMALL, *STEPS, *more]))
    return dict(load_file(out / "model.safetensors"))


def history(out: Path) -> list[dict[str, Any]]:
    state = json.loads(
        (max(out.glob("checkpoint-*"), key=lambda p: int(p.name[11:])) / "trainer_state.json").read_text()
    )
    timed = ("time/", "step_time", "tokens_per_s", "wait_share")
    return [{k: v for k, v in row.items() if not any(t in k for t in timed)} for row in state["log_history"]]


@pytest.fixture(scope="module")
def trained(asker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    run(asker, out)
    return out


def test_two_steps_move_the_weights_and_leave_a_model_that_can_be_served(asker: Path, trained: Path) -> None:
    from pir_serve.prompt import PromptCodec

    before, after = load_file(asker / "model.safetensors"), load_file(trained / "model.safetensors")
    moved = [name for name in after if not torch.equal(before[name], after[name])]
    assert len(moved) == len(after)
    codec = PromptCodec.load(trained)
    assert codec.digest == PromptCodec.load(asker).digest
    assert codec.contract is not None and codec.contract.tag_ids["<asking>"] == 1532 and not codec.contract.hashes


def test_the_log_tells_asks_groups_time_and_how_far_the_sampler_is_off(trained: Path) -> None:
    step = history(trained)[0]
    for name in ("reward", "accuracy/complete", "accuracy/incomplete", "asked/complete", "asks/incomplete"):
        assert any(name in row for row in history(trained))
    assert 0 <= step["groups/without_signal_after_refill"] <= step["groups/without_signal"] <= 1
    assert step["sampling/logprob_gap_mean"] <= 1e-6  # float32: a few units in the last place of logits near 16
    assert step["sampling/logprob_gap_max"] <= 5e-5
    assert step["sampling/ratio_max"] == pytest.approx(1.0, abs=1e-4)


def test_rollouts_are_kept_as_parquet(trained: Path) -> None:
    table = pandas.read_parquet(trained / "completions" / "completions_00001.parquet")
    assert len(table) == 16
    assert {"prompt", "completion", "reward", "advantage", "row_id", "num_asks", "status"} <= set(table.columns)
    asks = [text.count("</asking>") for text in table["completion"]]
    assert asks == list(table["num_asks"])


def test_the_same_seed_gives_the_same_curve_and_another_does_not(asker: Path, trained: Path, tmp_path: Path) -> None:
    again = run(asker, tmp_path / "again")
    assert history(tmp_path / "again") == history(trained)
    assert all(torch.equal(again[name], value) for name, value in load_file(trained / "model.safetensors").items())
    run(asker, tmp_path / "other", "--seed", "2", "--max_steps", "1")
    assert history(tmp_path / "other")[0]["reward"] != history(trained)[0]["reward"]


def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(asker: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "checkpoint-1", tmp_path / "checkpoint-1")
    resumed = run(asker, tmp_path)
    assert all(torch.equal(resumed[name], value) for name, value in load_file(trained / "model.safetensors").items())
    assert history(tmp_path)[-1] == history(trained)[-1]


def test_no_loss_is_taken_on_what_the_user_said(asker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of the loss with respect to each token's log-probability shows what was learnt."""
    inner = USGRPOTrainer._get_per_token_logps_and_entropies

    def watched(self: USGRPOTrainer, *args: Any, **kwargs: Any) -> Any:
        out = inner(self, *args, **kwargs)
        if kwargs.get("compute_entropy"):
            watched_inputs.append(args[1])
            out[0].retain_grad()
            kept.append(out[0])
        return out

    watched_inputs: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(USGRPOTrainer, "_get_per_token_logps_and_entropies", watched)
    run(asker, tmp_path, "--max_steps", "1", "--beta", "0")
    open_id, close_id = 1534, 1535
    spoken = learnt = 0
    for ids, logps in zip(watched_inputs, kept, strict=True):
        assert logps.grad is not None
        for row, gradient in zip(ids[:, -logps.size(1) :].tolist(), logps.grad.tolist(), strict=True):
            inside = False
            for token, slope in zip(row, gradient, strict=True):
                inside = inside or token == open_id
                if inside:
                    spoken += 1
                    assert slope == 0.0
                else:
                    learnt += slope != 0.0
                inside = inside and token != close_id
    assert spoken > 10 and learnt > 100


def test_the_samplers_own_log_probabilities_serve_as_those_of_the_old_policy(
    asker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two updates on one batch, so that the second one needs them: the same as if the trainer computed them anew."""
    two = ("--steps_per_generation", "2", "--learning_rate", "1e-4")
    taken = run(asker, tmp_path / "taken", *two)
    monkeypatch.setattr(USGRPOTrainer, "_wants_old_logps", False)
    computed = run(asker, tmp_path / "computed", *two)
    before = load_file(asker / "model.safetensors")
    moved = torch.cat([(taken[name] - before[name]).flatten() for name in before])
    apart = torch.cat([(taken[name] - computed[name]).flatten() for name in before])
    assert 0 < apart.norm() < 1e-3 * moved.norm()


def score(reward: float, outcome: float = 1.0) -> Score:
    return Score(reward, outcome, ())


@pytest.mark.parametrize(
    ("scores", "signal"),
    [
        ([score(1.0), score(0.0, 0.0)], True),
        ([score(1.0), score(0.75)], True),  # all right, but asking differs: what US-GRPO is about
        ([score(1.0), score(1.0)], False),
        ([score(0.0, 0.0), score(-0.5, 0.0)], False),  # all wrong: a penalty alone must not teach
        ([score(1.0), None], False),
        ([None, None], False),
    ],
)
def test_which_groups_teach(scores: list[Score | None], signal: bool) -> None:
    group = [Played(None, s) for s in scores]  # type: ignore[arg-type]
    assert has_signal(group) is signal


def test_batches_are_cut_to_their_own_longest_row() -> None:
    ids = torch.arange(20).view(2, 10)
    completion, prompt = torch.ones(2, 10, dtype=torch.long), torch.ones(2, 10, dtype=torch.long)
    completion[:, 6:] = 0
    prompt[:, :7] = 0
    cut = cut_to_longest(
        {
            **{"prompt_ids": ids, "prompt_mask": prompt, "completion_ids": ids, "completion_mask": completion},
            **{"tool_mask": completion, "advantages": torch.ones(2, 10), "num_items_in_batch": 12},
        }
    )
    assert cut["prompt_ids"].tolist() == ids[:, 7:].tolist() and cut["completion_ids"].tolist() == ids[:, :6].tolist()
    assert cut["advantages"].shape == (2, 6) and cut["num_items_in_batch"] == 12


def test_importance_correction_and_the_length_penalty_train(asker: Path, trained: Path, tmp_path: Path) -> None:
    plain = load_file(trained / "model.safetensors")
    other = run(asker, tmp_path, "--importance_cap", "2.0", "--overlong_cache", "30", "--max_steps", "1")
    assert not all(torch.equal(plain[name], value) for name, value in other.items())


def test_rows_of_a_file_are_prompts(tmp_path: Path) -> None:
    rows = [Row.of(problem, "mine") for problem in make_pair("train", 1, 0)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    arguments, _ = parse(["--model", "m", "--rows", str(file), "--use_cpu", "true", "--bf16", "false"])
    assert training_rows(arguments) == rows


def pir_train(*args: str) -> Result:
    return CliRunner().invoke(train, ["grpo", *args])


VLLM = ["--use_vllm", "true", "--vllm_mode"]
CPU = ["--use_cpu", "true", "--bf16", "false"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--model", "m", "--modle", "m", *CPU], "modle"),
        (["--model", "nowhere", *CPU], "nowhere"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--model", str(BUILTIN_MODEL), "--temperature", "0.6", *CPU], "temperature"),
        (["--model", str(BUILTIN_MODEL), "--personas", "villain", *CPU], "villain"),
        (["--model", str(BUILTIN_MODEL), "--components", "best", *CPU], "best"),
        (["--model", str(BUILTIN_MODEL), "--simulator", "oracle", *CPU], "oracle"),
        (["--model", str(BUILTIN_MODEL), "--simulator", "llm", *CPU], "base_url"),
        (["--model", str(BUILTIN_MODEL), "--simulator_kwargs", "{", *CPU], "simulator_kwargs"),
        (["--model", str(BUILTIN_MODEL), "--engine_url", "http://localhost:1", *CPU], "use_vllm"),
        (["--model", str(BUILTIN_MODEL), *VLLM, "server", *CPU], "engine_url"),
        (["--model", str(BUILTIN_MODEL), "--engine_url", "http://localhost:1", *VLLM, "colocate", *CPU], "vllm_mode"),
        (
            ["--model", str(BUILTIN_MODEL), *VLLM, "colocate", "--vllm_tensor_parallel_size", "2", *CPU],
            "parallel_size: 1",
        ),
        (["--model", str(BUILTIN_MODEL), *VLLM, "colocate", "--vllm_enable_sleep_mode", "true", *CPU], "sleep_mode"),
        (["--model", str(BUILTIN_MODEL), "--rows", "none.jsonl", *CPU], "none.jsonl"),
        (["--model", str(BUILTIN_MODEL), "--learning_rate", "fast", *CPU], "learning_rate"),
    ],
)
def test_a_mistake_is_named_without_a_traceback(
    args: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = pir_train(*args, "--output_dir", str(tmp_path))
    said = result.output + capfd.readouterr().err + str(result.exception)
    assert result.exit_code != 0 and isinstance(result.exception, SystemExit), said
    assert says in said and "Traceback" not in said


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("ask_price: 0.5\nuse_cpu: true\nbf16: false\n")
    with pytest.raises(ConfigError, match="ask_price"):
        parse(["--config", str(file), "--model", "m", "--output_dir", str(tmp_path)])


def test_a_row_that_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    with pytest.raises(ConfigError, match=r"rows\.jsonl:1"):
        ProblemReader().read(file)


def test_help_teaches() -> None:
    assert "tiny_grpo.yaml" in pir_train("--help").output
