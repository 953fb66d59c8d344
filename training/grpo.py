"""US-GRPO, with TRL: `pir train grpo --config training/configs/tiny_grpo.yaml`.

Groups of rollouts of one problem are played against a user simulator, scored by one composite reward, and compared within
the group. TRL has the loss, the optimiser, checkpoints and logs; ours are the rollouts, the reward and the choice of groups.
The only private parts of TRL that are touched are in `training/grpo_trainer.py`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import torch
from datasets import Dataset
from transformers import AutoTokenizer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import GRPOConfig

from evals.grading.door import GradingOptions
from evals.grading.judge import Judge as AnswerJudge
from evals.problems import Split, make_pair
from evals.rows import Row
from evals.simulators.told import is_told
from pir_serve.engines.base import Engine
from pir_serve.engines.vllm import VllmEngine
from pir_serve.errors import ConfigError
from pir_serve.prompt import PromptCodec
from training import stage
from training.contract import training_codec, write_contract
from training.engines import ColocateEngine, InProcessEngine
from training.groups import Groups, columns
from training.grpo_trainer import USGRPOTrainer
from training.judge import Judge, LlmJudge, RuleJudge
from training.rewards import RewardConfig
from training.rollout import Rollouts
from training.scoring import Scorer
from training.sessions import ProblemReader, read_golds
from training.users import Users

log = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


@dataclass
class RolloutArguments:
    """What TRL's own configuration does not hold."""

    model: str = field(metadata={"help": "Checkpoint folder to start from: an SFT model that asks."})
    rows: str | None = field(
        default=None,
        metadata={
            "help": "JSON lines: evals/rows.py, `pir sessions export`, conversations; default: generated problems."
        },
    )
    golds: str | None = field(
        default=None, metadata={"help": "Right answers of sessions: JSON lines with `id` or `session`, and `gold`."}
    )
    num_problems: int = field(default=20_000, metadata={"help": "Generated problems to draw prompts from."})
    problem_seed: int = field(default=500_000_001, metadata={"help": "Of generated problems."})
    incomplete_share: float = field(
        default=0.5, metadata={"help": "Of generated problems; the others show every fact."}
    )
    eval_problems: int = field(default=0, metadata={"help": "Validation problems, half of them complete."})
    personas: str = field(
        default="",
        metadata={"help": "Personas and weights, e.g. clean*4; off_topic*2; terse=2,typos=1; one a group."},
    )
    simulator: str = field(default="rule", metadata={"help": "User simulator: rule, llm or replay."})
    simulator_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Its options as JSON, e.g. model and base_url of an LLM user."}
    )
    components: str = field(default="full", metadata={"help": "Reward: none, helpfulness, efficiency, full or ours."})
    base_reward: float = field(default=0.5, metadata={"help": "S: what a right answer earns."})
    ask_cost: float = field(default=0.5, metadata={"help": "With `ours`: share of the bonus a needless ask costs."})
    as_released: bool = field(default=False, metadata={"help": "The released code's reward where the paper differs."})
    lenient: float = field(default=0.0, metadata={"help": "Rule judge: helpfulness of an ask about a given fact."})
    judge_url: str | None = field(
        default=None, metadata={"help": "OpenAI-compatible endpoint of an LLM judge; default: the rule judge."}
    )
    judge_model: str = field(default="", metadata={"help": "Model name at judge_url."})
    overlong_cache: int = field(
        default=0,
        metadata={"help": "Tokens before max_completion_length over which DAPO's length penalty grows; 0: off."},
    )
    user_suffix: str = field(
        default="",
        metadata={"help": "Behind the problem: a text or `method`, which asks for a box; default: as pir.json says."},
    )
    max_asks: int = field(default=5, metadata={"help": "N of the paper; one ask more ends the rollout without reward."})
    slots: int = field(default=64, metadata={"help": "Rollouts decoded together, in process."})
    engine_url: str | None = field(
        default=None,
        metadata={
            "help": "vLLM server that TRL syncs weights to; default: in process, by vLLM with vllm_mode colocate."
        },
    )
    simulator_timeout_s: float = field(default=60.0, metadata={"help": "After it the rollout is unscored."})
    resample_rounds: int = field(
        default=1, metadata={"help": "Times that groups without a signal are replaced by groups of other problems."}
    )
    importance_cap: float = field(
        default=0.0, metadata={"help": "Truncated importance sampling of tokens, e.g. 2.0; 0: off."}
    )
    threads: int = field(default=1, metadata={"help": "Torch threads of each process."})


def training_rows(arguments: RolloutArguments, codec: PromptCodec | None = None) -> list[Row]:
    """The rows that prompts are drawn from. Raises: ConfigError: a file that cannot be read as rows."""
    if arguments.rows is not None:
        golds = read_golds(Path(arguments.golds)) if arguments.golds else {}
        reader = ProblemReader(codec, golds, is_judged=arguments.judge_url is not None)
        rows = reader.read(Path(arguments.rows))
        log.info("%s: %d problems, left out: %s", arguments.rows, len(rows), reader.told())
        return rows
    rng = random.Random(arguments.problem_seed)
    pairs = (make_pair("train", arguments.problem_seed, index) for index in range(arguments.num_problems))
    return [Row.of(pair[rng.random() < arguments.incomplete_share], "generated") for pair in pairs]


def validation_rows(n: int, seed: int = 5) -> list[Row]:
    """Complete and incomplete problems of the validation split, alternating."""
    split: Split = "validation"
    return [Row.of(make_pair(split, seed, index)[index % 2], "generated") for index in range(n)]


def make_engine(arguments: RolloutArguments, config: GRPOConfig) -> Engine:
    if arguments.engine_url is not None:
        return VllmEngine(arguments.engine_url)
    return ColocateEngine() if config.use_vllm else InProcessEngine(Path(arguments.model), slots=arguments.slots)


def make_judge(arguments: RolloutArguments) -> Judge:
    if arguments.judge_url is None:
        return RuleJudge(arguments.lenient)
    client = openai.AsyncOpenAI(base_url=arguments.judge_url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    return LlmJudge(client, arguments.judge_model, Path("out/judge.jsonl"))


def make_grading(arguments: RolloutArguments) -> GradingOptions:
    """The judge of asks judges answers without a rule as well."""
    if arguments.judge_url is None:
        return GradingOptions()
    key = os.environ.get("OPENAI_API_KEY", "none")
    return GradingOptions(judge=AnswerJudge(arguments.judge_url, arguments.judge_model, key))


def _mapping(value: dict[str, Any] | str | None, name: str) -> dict[str, Any]:
    """A nested option, which a file gives as a mapping and the command line as JSON. Raises: ValueError."""
    try:
        read = json.loads(value) if isinstance(value, str) else value or {}
    except ValueError as error:
        raise ValueError(f"{name}: {value!r} is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{name} must be a JSON object, not {value!r}")
    return read


def check(arguments: RolloutArguments, config: GRPOConfig) -> None:
    """Raises: ConfigError, saying what to change."""
    if not (Path(arguments.model) / "config.json").is_file():
        raise ConfigError(f"model: {arguments.model} is no checkpoint folder")
    if config.temperature != 1.0 or config.top_p != 1.0:
        raise ConfigError("temperature and top_p must be 1: log-probabilities are those of the untouched distribution")
    _check_vllm(arguments, config)
    per_rank = config.per_device_train_batch_size * config.steps_per_generation
    if per_rank % config.num_generations:
        raise ConfigError(
            f"per_device_train_batch_size * steps_per_generation = {per_rank} must be a multiple of num_generations = "
            f"{config.num_generations}: a process refills whole groups"
        )


def _check_vllm(arguments: RolloutArguments, config: GRPOConfig) -> None:
    if arguments.engine_url is not None and not (config.use_vllm and config.vllm_mode == "server"):
        raise ConfigError(
            "engine_url needs use_vllm: true and vllm_mode: server: TRL sends the server each step's weights"
        )
    if not config.use_vllm:
        return
    if arguments.engine_url is None and config.vllm_mode != "colocate":
        raise ConfigError("use_vllm needs engine_url, the server, or vllm_mode: colocate")
    is_divided = config.vllm_tensor_parallel_size != 1 or config.vllm_enable_sleep_mode
    if config.vllm_mode == "colocate" and is_divided:
        raise ConfigError(
            "vllm_mode: colocate needs vllm_tensor_parallel_size: 1 and no vllm_enable_sleep_mode: requests come and go as "
            "users reply; leave the trainer room with vllm_gpu_memory_utilization"
        )


class Brief(ProgressCallback):
    """A progress bar with a few figures; all of them are in trainer_state.json and with `report_to`."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        shown = ("reward", "accuracy/", "asks/", "kl", "step_time", "train_runtime")
        few = {k: v for k, v in (logs or {}).items() if k.removeprefix("eval_").startswith(shown) and "_std" not in k}
        super().on_log(args, state, control, logs=few, **kwargs)


def grpo(arguments: RolloutArguments, config: GRPOConfig) -> None:
    """Train; goes on from the newest checkpoint in `output_dir`, and leaves the model there.

    Raises:
        ConfigError: settings that do not fit each other, or files that cannot be read.
    """
    check(arguments, config)
    if config.use_vllm and find_spec("vllm") is None:
        raise ConfigError("use_vllm: vllm is not installed here; pip install trl[vllm]")
    torch.set_num_threads(arguments.threads)
    config.vllm_importance_sampling_correction = False  # importance_cap does it, once
    config.model_init_kwargs = {"dtype": torch.float32, **(config.model_init_kwargs or {})}
    try:
        scorer = Scorer(
            RewardConfig(
                arguments.components,  # type: ignore[arg-type]  # checked on construction
                arguments.base_reward,
                arguments.max_asks,
                arguments.ask_cost,
                arguments.as_released,
            ),
            make_judge(arguments),
            make_grading(arguments),
        )
        users = Users.parse(
            arguments.personas,
            name=arguments.simulator,
            seed=config.seed,
            options=_mapping(arguments.simulator_kwargs, "simulator_kwargs"),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    codec = training_codec(Path(arguments.model), user_suffix=arguments.user_suffix)
    rows = training_rows(arguments, codec)
    if any(is_told(fact) for row in rows for fact in row.facts) and not users.speak_any_facts:
        raise ConfigError(
            f"personas: {arguments.personas} word generated facts only; for {arguments.rows} use levels, e.g. terse=2"
        )
    train_rows = Dataset.from_list([columns(row) for row in rows])
    eval_rows = [columns(row) for row in validation_rows(arguments.eval_problems)]
    rollouts = Rollouts(
        make_engine(arguments, config),
        codec,
        max_tokens=config.max_completion_length,
        max_asks=arguments.max_asks,
        simulator_timeout_s=arguments.simulator_timeout_s,
    )
    try:
        rollouts.start()
        trainer = USGRPOTrainer(
            groups=Groups(rollouts, scorer, users),
            resample_rounds=arguments.resample_rounds,
            importance_cap=arguments.importance_cap,
            overlong_cache=arguments.overlong_cache,
            model=arguments.model,
            args=config,
            train_dataset=train_rows,
            eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
            processing_class=AutoTokenizer.from_pretrained(arguments.model),
        )
        run(trainer, config)
    finally:
        rollouts.close()
    if trainer.accelerator.is_main_process:
        for name in TOKENIZER_FILES:  # as they were: the trainer's own copies differ in details
            if (source := Path(arguments.model) / name).exists():
                shutil.copy(source, Path(config.output_dir) / name)
        write_contract(Path(config.output_dir), rollouts.codec)


def run(trainer: USGRPOTrainer, config: GRPOConfig) -> None:
    """Train from the newest checkpoint, if there is one, and save the model."""
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(Brief)
    resumable = any(Path(config.output_dir).glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resumable or None)
    trainer.save_model(config.output_dir)


def parse(args: list[str] | None = None) -> tuple[RolloutArguments, GRPOConfig]:
    """Raises: ConfigError: an unknown key in the file, or a wrong value."""
    arguments, config = stage.parse((RolloutArguments, GRPOConfig), "grpo", args)
    return arguments, config


def main(args: list[str] | None = None) -> None:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    stage.run(lambda: grpo(*parse(args)))


if __name__ == "__main__":
    main()
