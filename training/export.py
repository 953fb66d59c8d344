"""Turn a finished run into a checkpoint that the gateway, vLLM and SGLang serve: weights, tokenizer, contract, card.

The contract (`pir.json`, `golden.json`) says which ids the tags have and which ids fixed texts must give; the server
refuses a mismatch. The model card is written from the run's own measurements and nothing in it is typed by hand.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evals.paired import Outcome, Player, play_all
from evals.problems import Problem, generate
from evals.simulators import Exchange, Intent, Response
from pir_serve.trajectory import Author
from training.bulk import Running, codec_of
from training.card import card
from training.chat import END, PAD, Part, ask, prompt, response
from training.checkpoint import versions
from training.contract import golden, training_codec, verify, write_contract, write_json
from training.corpus import solved

EXAMPLES = 12
STAGES = ("base", "asking", "sft", "grpo", "evaluation")
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export(run: Path, config: Any) -> Path:
    """Write `run`/pir-tiny from the stages in `run`; returns the folder."""
    target = run / "pir-tiny"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in MODEL_FILES:
        source = run / "grpo" / name
        shutil.copy(source if source.exists() else run / "tokenizer" / name, target / name)
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    write_json(target / "generation_config.json", generation_config(tokenizer))
    problems = list(generate("validation", 20, 3, mode="incomplete"))
    write_json(target / "golden.json", golden(tokenizer, [p.shown for p in problems], _trajectory(problems[0])))
    (target / "examples.jsonl").write_text("".join(json.dumps(e) + "\n" for e in examples(target)))
    stages = {name: json.loads((run / f"{name}.json").read_text()) for name in STAGES}
    write_json(target / "evaluation.json", {**stages["evaluation"], "versions": versions()})
    made = {"config": json.loads(json.dumps(dataclasses.asdict(config))), "versions": versions()}
    hashed = (*MODEL_FILES, "golden.json")
    write_contract(target, training_codec(target), max_asks=6, max_tokens=400, hashed=hashed, more={"training": made})
    (target / "README.md").write_text(card(config, stages, versions()))
    verify(target)
    return target


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Greedy: a model this small gains nothing from sampling. The end of turn is the only EOS, never `</asking>`."""
    return {
        "do_sample": False,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
        "max_new_tokens": 400,
    }


def _trajectory(problem: Problem) -> list[Part]:
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
