"""`pir train tiny`: the whole chain from nothing to a small model that asks, stage by stage, each resumable.

Tokenizer -> passive base -> step entropy of its own traces -> asking data -> SFT -> US-GRPO -> evaluation -> checkpoint.
Every stage leaves `<stage>.json` with its figures in the output folder; a stage whose file is there, made with the same
settings, is not run again. The validation split is for choosing; test splits are only ever reported.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from evals.paired import CONDITIONS, Condition, summary
from evals.problems import Split, question
from evals.rows import Row
from evals.simulators import PERSONAS, Persona
from pir_serve.settings import BUILTIN_MODEL
from training import CONFIGS, corpus
from training.augment import Report, asking_rows
from training.bulk import played, scored_pairs, shared_out
from training.entropy import Trace, find_gaps, threshold
from training.pretrain import pretrain
from training.tiny_config import TinyConfig
from training.tokenizer import save_tokenizer, train_tokenizer


class Chain:
    """Runs the stages in order inside one folder."""

    def __init__(self, config: TinyConfig, out: Path) -> None:
        self.config, self.out = config, out
        out.mkdir(parents=True, exist_ok=True)

    def stage(self, name: str, settings: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The stage's figures: from its file if it was made with the same settings, else by doing the work now."""
        file = self.out / f"{name}.json"
        text = json.dumps(settings, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        if file.exists():
            saved: dict[str, Any] = json.loads(file.read_text())
            if saved["settings"] == digest:
                return saved
        print(f"{name}: started", flush=True)
        wall, cpu = time.monotonic(), time.process_time()
        figures = work()
        figures |= {"settings": digest, "wall_s": round(time.monotonic() - wall, 1)}
        file.write_text(json.dumps(figures, indent=2) + "\n")
        shown = {k: v for k, v in figures.items() if not isinstance(v, dict)}
        spent = f"{figures['wall_s']} s ({time.process_time() - cpu:.0f} CPU-s in this process)"
        print(f"{name}: done in {spent}  {shown}", flush=True)
        return figures

    def run(self, until: str = "export") -> Path:
        """The stages up to `until`; the exported checkpoint's folder, or that of the last stage."""
        from training.export import export

        c = self.config
        settings: list[Any] = [dataclasses.asdict(c.size), dataclasses.asdict(c.base), dataclasses.asdict(c.mixture)]
        works: dict[str, tuple[list[Any], Callable[[], dict[str, Any]]]] = {
            "base": ([], self._base),
            "asking": ([c.trace_pairs, dataclasses.asdict(c.asking)], self._asking),
            "sft": ([_recipe("sft"), c.sft], self._sft),
            "grpo": ([_recipe("grpo"), c.grpo], self._grpo),
            "evaluation": ([dataclasses.asdict(c.evaluation)], self._evaluation),
        }
        self.stage("tokenizer", [c.vocab_size, c.tokenizer_problems, c.seed], self._tokenizer)
        for name, (own, work) in works.items():
            settings = [*settings, *own]
            self.stage(name, settings, work)
            if name == until:
                return self.out / name
        return export(self.out, c)

    def _tokenizer(self) -> dict[str, Any]:
        shutil.rmtree(self.out / "base", ignore_errors=True)  # of another tokenizer: nothing to go on from
        tokenizer = train_tokenizer(tokenizer_texts(self.config), self.config.vocab_size)
        save_tokenizer(tokenizer, self.out / "tokenizer", self.config.size.max_position_embeddings)
        return {"entries": tokenizer.get_vocab_size()}

    @property
    def _tokenizer_file(self) -> Path:
        return self.out / "tokenizer" / "tokenizer.json"

    def _base(self) -> dict[str, Any]:
        examples = functools.partial(base_examples, self.config.mixture)
        pretrain(self.config.base, self.config.size, self._tokenizer_file, examples, self.out / "base")
        self._add_tokenizer(self.out / "base")
        last = json.loads((self.out / "base" / "log.jsonl").read_text().splitlines()[-1])
        return {"tokens": last["tokens"], "loss": last["loss"], "cpu_s": last["cpu_s"] * self.config.base.workers}

    def _add_tokenizer(self, folder: Path) -> None:
        for file in (self.out / "tokenizer").iterdir():
            shutil.copy(file, folder / file.name)

    def _asking(self) -> dict[str, Any]:
        c, base = self.config, self.out / "base"
        shutil.rmtree(self.out / "sft", ignore_errors=True)  # of other rows
        score = functools.partial(scored_pairs, base, c.mixture.families)
        traces = shared_out(functools.partial(score, "train", 700_000_001, 0.0), c.trace_pairs, c.processes)
        validation = shared_out(functools.partial(score, "validation", 5, 0.0), c.checked_pairs, c.processes)
        sampled = shared_out(functools.partial(score, "validation", 5, 1.0), c.checked_pairs, c.processes)
        at_least = threshold(traces, c.asking.top_share)
        report = Report()
        with (self.out / "asking.jsonl").open("w") as file:
            for row in asking_rows(traces, at_least, c.asking, report):
                file.write(json.dumps(row) + "\n")
        self._write_traces(validation)
        return {
            "entropy": find_gaps(traces, at_least),
            "entropy_validation": find_gaps(validation, at_least),
            "entropy_validation_sampled": find_gaps(sampled, at_least),
            "augmentation": report.to_json(),
        }

    def _write_traces(self, traces: list[Trace]) -> None:
        lines = (json.dumps(trace.to_json()) + "\n" for trace in traces)
        (self.out / "entropy_validation.jsonl").write_text("".join(lines))

    def _sft(self) -> dict[str, Any]:
        sft_out = self.out / "sft"
        shutil.rmtree(self.out / "grpo", ignore_errors=True)  # of another model
        had_ended = (self.out / "sft.json").exists()
        extended = _last_step(sft_out) if had_ended else 0
        rows = self.out / "asking.jsonl"
        self._train("sft", self.config.processes, {"model": self.out / "base", "rows": rows, **self.config.sft})
        self._add_tokenizer(sft_out)
        return {"rows": sum(1 for _ in rows.open()), "extended_at_step": extended}

    def _grpo(self) -> dict[str, Any]:
        grpo_out, settings = self.out / "grpo", dict(self.config.grpo)
        if (self.out / "grpo.json").exists():
            shutil.rmtree(grpo_out, ignore_errors=True)  # with other settings
        if self.config.mixture.families:
            settings["rows"] = self._write_prompts()
        self._train("grpo", self.config.processes, {"model": self.out / "sft", **settings})
        state = json.loads((grpo_out / f"checkpoint-{_last_step(grpo_out)}" / "trainer_state.json").read_text())
        rewards = [row["eval_reward"] for row in state["log_history"] if "eval_reward" in row]
        return {
            "updates": state["global_step"],
            "validation_reward": rewards[-1] if rewards else None,
            "log": [row for row in state["log_history"] if "asks/complete" in row],
        }

    def _write_prompts(self) -> Path:
        """Prompts of the families that the model knows."""
        file, families = self.out / "prompts.jsonl", self.config.mixture.families
        pairs = corpus.generate_pairs("train", self.config.trace_pairs, 500_000_001, families=families)
        rows = (Row.of(problem, "generated") for pair in pairs for problem in pair)
        file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
        return file

    def _train(self, stage: str, processes: int, arguments: Mapping[str, Any]) -> None:
        """Run `training.<stage>` with `tiny_<stage>.yaml` and `arguments` over it; it goes on where it was stopped."""
        command = [sys.executable, "-m"]
        if processes > 1:
            command += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
        command += [f"training.{stage}", "--config", str(CONFIGS / f"tiny_{stage}.yaml")]
        arguments = {**arguments, "output_dir": self.out / stage}
        command += [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
        subprocess.run(command, check=True)

    def _evaluation(self) -> dict[str, Any]:
        e = self.config.evaluation
        first = e.splits[0]
        figures: dict[str, Any] = {"base": {first: self._conditions("base", first, e.pairs, ("complete", "no_ask"))}}
        figures["sft"] = {split: self._conditions("sft", split, e.pairs, CONDITIONS) for split in ("validation", first)}
        splits: tuple[Split, ...] = ("validation", *e.splits)
        figures["model"] = {split: self._conditions("grpo", split, e.pairs, CONDITIONS) for split in splits}
        for stage, key in (("sft", "personas_sft"), ("grpo", "personas")):
            figures[key] = {
                persona: self._conditions(stage, first, e.persona_pairs, ("interactive",), persona)
                for persona in e.personas or PERSONAS
            }
        return figures

    def _conditions(
        self, stage: str, split: Split, pairs: int, conditions: tuple[Condition, ...], persona: Persona = "clean"
    ) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        for condition in conditions:
            job = functools.partial(
                played,
                self.out / stage,
                self.config.mixture.families,
                split,
                self.config.evaluation.seed,
                condition,
                persona,
            )
            figures[condition] = summary(shared_out(job, pairs, self.config.processes))
            accuracy, asked = figures[condition]["accuracy"], figures[condition]["asked"]
            print(
                f"  {stage} {split} {condition} {persona}: {accuracy['value']:.3f} "
                f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}], asked {asked['value']:.3f}",
                flush=True,
            )
        return figures


def _recipe(stage: str) -> Any:
    """What `training.<stage>` is told by its file."""
    return yaml.safe_load((CONFIGS / f"tiny_{stage}.yaml").read_text())


def tokenizer_texts(config: TinyConfig) -> Iterator[str]:
    """Problems, reasoning, questions and statements of the training split."""
    rng = random.Random(config.seed)
    for complete, incomplete in corpus.generate_pairs(
        "train", config.tokenizer_problems, 900_000_001, families=config.mixture.families
    ):
        yield from (part.text for part in corpus.solved(complete))
        for fact in incomplete.hidden:
            yield question(fact, rng)
            yield fact.text


def base_examples(mixture: corpus.Mixture, seed: int, n: int) -> Any:
    """Picklable, for the worker processes."""
    examples: Any = corpus.base_examples("train", seed, n, mixture)
    return examples


def _last_step(folder: Path) -> int:
    """Of the newest checkpoint; 0: none."""
    return max((int(c.name.split("-")[1]) for c in folder.glob("checkpoint-*")), default=0)


def install(checkpoint: Path) -> Path:
    """Copy a finished checkpoint over the built-in model of this checkout."""
    shutil.copytree(checkpoint, BUILTIN_MODEL, dirs_exist_ok=True)
    return BUILTIN_MODEL
