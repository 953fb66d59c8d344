"""Turn a finished run into a checkpoint that the gateway, vLLM and SGLang serve: weights, tokenizer, contract, card.

The contract (`pir.json`, `golden.json`) says which ids the tags have and which ids fixed texts must give; the server
refuses a mismatch. The model card is written from the run's own measurements and nothing in it is typed by hand.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evals.paired import Outcome, Player, play_all
from evals.problems import Problem, generate
from evals.simulators import Exchange, Intent, Response
from pir_serve.markup import TAGS
from training.bulk import Running, codec_of
from training.card import card
from training.chat import END, PAD, Encoded, Part, ask, encode, prompt, response
from training.corpus import solved

SCHEMA = 1
EXAMPLES = 12
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export(run: Path, config: Any) -> Path:
    """Write `run`/pir-tiny from the stages in `run`; returns the folder."""
    target = run / "pir-tiny"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in MODEL_FILES:
        source = run / "sft" / name
        shutil.copy(source if source.exists() else run / "tokenizer" / name, target / name)
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    _write(target / "generation_config.json", generation_config(tokenizer))
    _write(target / "golden.json", golden(tokenizer))
    (target / "examples.jsonl").write_text("".join(json.dumps(e) + "\n" for e in examples(target)))
    stages = {name: json.loads((run / f"{name}.json").read_text()) for name in ("base", "asking", "sft", "evaluation")}
    _write(target / "evaluation.json", {**stages["evaluation"], "versions": versions()})
    _write(target / "pir.json", contract(tokenizer, target, config))
    (target / "README.md").write_text(card(config, stages, versions()))
    return target


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Greedy: a model this small gains nothing from sampling. The end of turn is the only EOS, never `</asking>`."""
    return {
        "do_sample": False,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
        "max_new_tokens": 400,
    }


def contract(tokenizer: Tokenizer, folder: Path, config: Any) -> dict[str, Any]:
    tags = {name: {"text": text, "id": tokenizer.token_to_id(text)} for name, text in dataclasses.asdict(TAGS).items()}
    return {
        "schema": SCHEMA,
        "tags": tags,
        "observation_format": "\n<response>{response}</response>",
        "junction": "segmented",
        "system_prompt": None,
        "max_asks": 6,
        "budgets": {"max_tokens": 400},
        "golden": "golden.json",
        "hashes": {name: _sha256(folder / name) for name in (*MODEL_FILES, "golden.json")},
        "training": {"config": json.loads(json.dumps(dataclasses.asdict(config))), "versions": versions()},
    }


def golden(tokenizer: Tokenizer) -> dict[str, Any]:
    """Twenty texts and one trajectory with the ids (and authors) that every party must give them."""
    problems = list(generate("validation", 20, 3, mode="incomplete"))
    texts = [{"text": p.shown, "ids": tokenizer.encode(p.shown, add_special_tokens=False).ids} for p in problems]
    parts = _trajectory(problems[0])
    encoded: Encoded = encode(tokenizer, parts)
    authors = [{"author": part.author.value, "text": part.text} for part in parts]
    return {"texts": texts, "trajectory": {"parts": authors, "ids": encoded.ids, "by_model": encoded.by_model}}


def _trajectory(problem: Problem) -> list[Part]:
    from pir_serve.trajectory import Author

    first = Part(Author.MODEL, ask("How many are there?"))
    rest = solved(problem)[1]
    return [prompt(problem.shown), first, response("There are 7."), Part(Author.MODEL, f"\n{rest.text}")]


class StatesTheFact:
    """A user who answers every ask with the sentence that the problem lacks."""

    def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        missing = next(fact for fact in intent.facts if fact.hidden)
        return Response(missing.text, (missing.id,), "answer")


def examples(folder: Path) -> list[dict[str, Any]]:
    """Short problems that lack one fact, at most one a family, for demos and first-run hints.

    Of the validation split's first 300, those that the model solves with exactly one ask: examples, not a measurement.
    """
    candidates = [p for p in generate("validation", 300, 77, mode="incomplete") if _is_short(p)]

    async def play() -> list[Outcome]:
        async with Running(folder) as engine:
            return await play_all(Player(engine, codec_of(folder), StatesTheFact()), candidates, "interactive")

    chosen: dict[str, dict[str, Any]] = {}
    for problem, outcome in zip(candidates, asyncio.run(play()), strict=True):
        if outcome.correct and outcome.num_asks == 1 and problem.family not in chosen:
            missing = problem.hidden[0].text
            example = {"problem": problem.shown, "missing": missing, "gold": problem.gold, "full": problem.full}
            chosen[problem.family] = example
    return list(chosen.values())[:EXAMPLES]


def _is_short(problem: Problem) -> bool:
    return len(problem.hidden) == 1 and len(problem.shown) < 150 and len(problem.facts) <= 3


def versions() -> dict[str, str]:
    packages = ("pir-serve", "torch", "transformers", "trl", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _write(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
