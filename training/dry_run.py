"""Walk every stage with the 7B settings on a two-layer random model of the same family: `pir train dry-run`.

What the real run does, this does on a CPU: score, augment (over HTTP, against a small writer that it starts itself), SFT and
US-GRPO as two processes under torchrun, export, and a turn served from the result. Settings are those of the files; what a
small machine needs otherwise is listed. Only size stays unproven.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from evals.problems import Problem, answer_text, make_pair, trace
from evals.rows import Row
from evals.simulators import RuleSimulator
from pir_serve.errors import ConfigError
from training import CONFIGS, stage
from training.families import FAMILIES, write_model

log = logging.getLogger(__name__)

SMALL: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "dtype": None,
    "report_to": "none",
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "disable_tqdm": True,
    "save_strategy": "no",
}
"""What every stage has otherwise here; None takes a setting out."""
SMALL_SFT: dict[str, Any] = {
    "max_steps": 150,
    "learning_rate": 5.0e-3,
    "num_train_epochs": None,
    "user_suffix": "method",
}
"""Long enough to learn a few rows by heart, with the prompts of US-GRPO, so that rollouts ask and are answered."""
SMALL_GRPO: dict[str, Any] = {
    "max_steps": 2,
    "learning_rate": 1.0e-4,
    "num_train_epochs": None,
    "steps_per_generation": 4,
    "max_completion_length": 160,
    "use_vllm": False,
    "vllm_mode": None,
    "vllm_server_base_url": None,
    "engine_url": None,
    "simulator": "rule",
    "simulator_kwargs": None,
    "judge_url": None,
    "judge_model": None,
    "overlong_cache": 32,
}


@dataclass
class DryRunArguments:
    """Settings of `pir train dry-run`."""

    family: str = field(default="qwen2", metadata={"help": "qwen2 (DeepSeek-R1-Distill-Qwen) or qwen3."})
    sft: str = field(default=str(CONFIGS / "pir_7b_sft.yaml"), metadata={"help": "Settings of SFT."})
    grpo: str = field(default=str(CONFIGS / "pir_7b_usgrpo_8gpu.yaml"), metadata={"help": "Settings of US-GRPO."})
    output: str = field(default="out/dry-run", metadata={"help": "Folder of all stages; replaced."})
    ranks: int = field(default=2, metadata={"help": "Processes of SFT and US-GRPO, over gloo."})
    problems: int = field(default=4, metadata={"help": "Generated problems to learn."})


class Walk:
    """The stages in one folder, and what they proved."""

    def __init__(self, a: DryRunArguments) -> None:
        if a.family not in FAMILIES:
            raise ConfigError(f"family is {a.family!r}; there are {', '.join(FAMILIES)}")
        self.a, self.out = a, Path(a.output)
        if self.out.exists() and any(self.out.iterdir()) and not (self.out / "base").exists():
            raise ConfigError(f"{self.out} holds something that is no dry run; name another folder")
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.known = [make_pair("train", 71, k)[1] for k in range(a.problems)]
        self.claims: dict[str, bool] = {}

    def run(self) -> None:
        """Raises: ConfigError, naming the stage that failed, or what did not hold."""
        write_model(self.out / "base", self.a.family)
        self._entropy()
        self._augment()
        self._trained("training.sft", self.a.sft, SMALL_SFT, model="base", rows="asking.jsonl", output_dir="sft")
        _write(self.out / "rows.jsonl", [Row.of(p, "generated").to_json() for p in self.known])
        self._trained("training.grpo", self.a.grpo, SMALL_GRPO, model="sft", rows="rows.jsonl", output_dir="grpo")
        self._call("training.checkpoint", 1, ["--model", self._at("grpo"), "--output", self._at("checkpoint")])
        self.claims |= prove(self.out, self.known)
        print("\n".join(f"{'ok' if holds else 'FAILED':>6}  {claim}" for claim, holds in self.claims.items()))
        if failed := [claim for claim, holds in self.claims.items() if not holds]:
            raise ConfigError(f"the dry run did not show: {'; '.join(failed)}")

    def _at(self, name: str) -> str:
        return str(self.out / name)

    def _entropy(self) -> None:
        rows = [p.to_json() | {"trace": trace(p), "answer": answer_text(p)} for p in self.known]
        _write(self.out / "questions.jsonl", rows)
        self._call("training.score", 1, ["--rows", self._at("questions.jsonl"), "--model", self._at("base"),
                                         "--output", self._at("scored.jsonl"), "--plot", self._at("entropy.png")])  # fmt: skip

    def _augment(self) -> None:
        common = ["--rows", self._at("scored.jsonl")]
        with writer_server() as url:
            self._call("training.asking", 1, [*common, "--output", self._at("written.jsonl"), "--base_url", url,
                                              "--writer_model", "rules", "--cache", self._at("writer.db")])  # fmt: skip
        self._call("training.asking", 1, [*common, "--output", self._at("asking.jsonl"), "--writer", "rules",
                                          "--top_share", "1", "--copies", "1"])  # fmt: skip
        both = (self.out / "asking.jsonl").read_text() + (self.out / "written.jsonl").read_text()
        (self.out / "asking.jsonl").write_text(both)

    def _trained(self, module: str, config: str, small: dict[str, Any], **folders: str) -> None:
        """A stage with its own settings, changed only where this machine must have it so."""
        try:
            given = yaml.safe_load(Path(config).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read {config}: {error}") from error
        wanted = SMALL | small | {key: self._at(name) for key, name in folders.items()}
        changed = {key: value for key, value in wanted.items() if given.get(key) != value}
        log.info("%s with %s, but for: %s", module, config, ", ".join(f"{k}: {v}" for k, v in changed.items()))
        file = self.out / f"{module.rpartition('.')[2]}.yaml"
        file.write_text(yaml.safe_dump({k: v for k, v in (given | wanted).items() if v is not None}))
        self._call(module, self.a.ranks, ["--config", str(file)])

    def _call(self, module: str, ranks: int, words: list[str]) -> None:
        if stage.launch(module, words, ranks):
            raise ConfigError(f"{module} {' '.join(words)} failed, see above")


def prove(out: Path, problems: list[Problem]) -> dict[str, bool]:
    """Claim -> whether it holds, read from the files that the stages left."""
    from datasets import load_dataset
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    from pir_serve.engines.local import LocalEngine
    from pir_serve.prompt import Message, PromptCodec
    from pir_serve.trajectory import Status
    from training.contract import rendered, training_codec
    from training.rollout import Job, Rollouts
    from training.rows import RowReader
    from training.sft import IGNORED, labelled

    codec = PromptCodec.load(out / "checkpoint")
    tokenizer = Tokenizer.from_file(str(out / "checkpoint" / "tokenizer.json"))
    stock = AutoTokenizer.from_pretrained(out / "checkpoint")
    prompt = "".join(s.text for s in codec.encode_prompt([Message("user", problems[0].shown)]))
    its_own = rendered(stock, codec, [{"role": "user", "content": problems[0].shown}])
    learnt = RowReader(training_codec(out / "checkpoint"), stock.eos_token).read(out / "asking.jsonl")
    masks = [labelled(tokenizer, parts) for parts in learnt]
    said = [part for parts in learnt for part in parts if part.author.value == "user"]
    own = [[i for i in m["labels"] if i != IGNORED] for m in masks]
    response = codec.encode_response("x").token_ids[1]
    files = [str(file) for file in sorted((out / "grpo" / "completions").glob("*.parquet"))]
    completions = load_dataset("parquet", data_files=files, split="train", cache_dir=str(out / "cache"))
    before, after = (load_file(out / name / "model.safetensors") for name in ("sft", "grpo"))
    rollouts = Rollouts(LocalEngine(out / "checkpoint"), codec, max_tokens=240)
    rollouts.start()
    served = rollouts.run([Job(Row.of(p, "generated"), RuleSimulator(), 1, greedy=True) for p in problems])
    rollouts.close()
    report = json.loads((out / "written.report.json").read_text())
    return {
        "the gateway renders the model's own template": prompt == its_own,
        "tags are tokens of their own": codec.regime == "atomic",
        "replies are in the rows, and never in the loss": bool(said) and all(response not in ids for ids in own),
        "the writer was reached over HTTP, and its exchanges passed": report["asks"] > 0 and report["calls"] > 0,
        "the user simulator was asked and answered in rollouts": any(
            "</asking>\n<response>" in text for text in completions["completion"]
        ),
        "rewards tell rollouts apart": len(set(completions["reward"])) > 1,
        "US-GRPO moved the weights": any(not bool((before[n] == after[n]).all()) for n in after),
        "the checkpoint answers, and asks, when served": any(r.trajectory.status is Status.COMPLETED for r in served)
        and any(r.exchanges for r in served),
    }


class _Writer(BaseHTTPRequestHandler):
    """An instruction model's place: makes the step itself into the user's reply."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        step = asked["messages"][-1]["content"].partition("<step>\n")[2].partition("\n</step>")[0]
        what = step.partition(" is ")[0]
        exchange = {"question": f"What is {what[:1].lower()}{what[1:]}?", "reply": step, "evidence": step}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps(exchange)},
        }
        body = json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "rules",
                "choices": [choice],
                "usage": usage,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def writer_server() -> Iterator[str]:
    """The base URL of a writer that lives as long as the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Writer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(args: list[str] | None = None) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    stage.run(lambda: Walk(*stage.parse((DryRunArguments,), "dry-run", args)).run())


if __name__ == "__main__":
    main()
