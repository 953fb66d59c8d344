"""`pir eval uncertainty`: AUROC of signals for a missing premise, and where asks stand, from a run's folder."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web
from click.testing import Result

from evals.metrics import Scored
from evals.stats import auroc_bootstrap
from evals.verbalised import QUESTION, read_number
from pir_serve.uncertainty import auroc
from tests.evals.hand_made import played, policy, row, turn, write_run
from tests.evals.scripted_server import PlainServer, Script, completion, never_asks, serving

Eval = Callable[..., Result]


def step(entropy: float, leg: int = 0, **more: float) -> dict[str, Any]:
    return {"leg": leg, "text": "A step.", "start": 0, "end": 7, "entropy": entropy, "num_tokens": 3, **more}


def with_steps(scored: Scored, *steps: dict[str, Any], **changes: Any) -> Scored:
    return replace(scored, transcript=replace(scored.transcript, steps=steps, **changes))


def unsure_where_missing(pairs: int = 12) -> Iterator[Scored]:
    """The highest step tells the versions apart, the mean tells nothing, and the peak tells it the wrong way round."""
    for pair in range(pairs):
        for condition in ("no_ask", "full"):
            missing = condition == "no_ask"
            high, peak = (2.0, 3.0) if missing else (1.5, 4.0)
            yield with_steps(played(row(pair), condition), step(high, peak=peak), step(3.0 - high, peak=0.1))


def study(folder: Path, pir_eval: Eval, *arguments: object) -> dict[str, Any]:
    result = pir_eval("uncertainty", folder, *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((folder / "uncertainty" / "uncertainty.json").read_text())
    return found | {"output": result.output}


def aurocs(found: dict[str, Any]) -> dict[str, float]:
    return {name: signal["auroc"]["value"] for name, signal in found["signals"].items()}


def test_auroc_counts_pairs_won_and_half_of_ties() -> None:
    scores, labels = [3.0, 1.0, 2.0, 2.0, 0.0], [True, False, True, False, True]
    won = [(a > b) + (a == b) / 2 for a, b in itertools.product((3, 2, 0), (1, 2))]
    found = auroc_bootstrap(scores, labels, "abcde")
    assert found.value == sum(won) / len(won) == auroc(scores, labels)
    assert found.low < found.value < found.high
    assert (found.n, found.clusters) == (5, 5)


def test_auroc_interval_draws_problems_not_observations() -> None:
    scores, labels = [0.1 * (k % 7) + 0.2 * (k % 2) for k in range(60)], [k % 2 == 1 for k in range(60)]
    pairs = [k // 2 for k in range(60)]
    once = auroc_bootstrap(scores, labels, pairs)
    again = auroc_bootstrap(scores * 4, labels * 4, pairs * 4)
    assert (again.low, again.value, again.high) == pytest.approx((once.low, once.value, once.high))
    apart = auroc_bootstrap(scores * 4, labels * 4, list(range(240)))
    assert apart.high - apart.low < 0.7 * (once.high - once.low)


def test_each_signal_is_judged_by_itself(tmp_path: Path, pir_eval: Eval) -> None:
    found = study(write_run(tmp_path / "run", unsure_where_missing()), pir_eval)
    values = aurocs(found)
    assert values == {"step_entropy_mean": 0.5, "step_entropy_max": 1.0, "token_peak": 0.0, "brevity": 1.0}
    assert found["signals"]["step_entropy_max"]["mean_missing"] == 2.0
    assert found["signals"]["step_entropy_max"]["auroc"]["n"] == 24
    assert "each row was played once" in found["notes"][0]
    assert found["run"]["identity"]["model"] == "hand"


def test_the_study_is_written_for_people_too(tmp_path: Path, pir_eval: Eval) -> None:
    folder = write_run(tmp_path / "run", unsure_where_missing())
    output = study(folder, pir_eval)["output"]
    assert "| step entropy, highest step | 1.000 [1.000, 1.000] | 2.000 | 1.500 | 24 |" in output
    assert "1.000 [1.000, 1.000]" in (folder / "uncertainty" / "uncertainty.md").read_text()
    for name in ("auroc", "asks"):
        picture = folder / "uncertainty" / f"uncertainty-{name}.svg"
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_samples_that_disagree_are_a_signal(tmp_path: Path, pir_eval: Eval) -> None:
    def run() -> Iterator[Scored]:
        for pair, repeat in itertools.product(range(6), range(4)):
            yield played(row(pair), "full", repeat=repeat)
            # Two of four differ where something is missing; without an answer a sample agrees with none.
            yield played(row(pair), "no_ask", right=repeat % 2 == 0, repeat=repeat)

    found = study(write_run(tmp_path / "run", run()), pir_eval)
    signal = found["signals"]["self_consistency"]
    assert (signal["auroc"]["value"], signal["mean_missing"], signal["mean_complete"]) == (1.0, 0.5, 0.0)
    assert "no step entropies" in found["notes"][0]


def test_samples_without_an_answer_agree_with_none(tmp_path: Path, pir_eval: Eval) -> None:
    def run() -> Iterator[Scored]:
        for pair, repeat in itertools.product(range(3), range(2)):
            for condition in ("full", "no_ask"):
                one = played(row(pair), condition, repeat=repeat)
                final = "I cannot say." if condition == "no_ask" else one.transcript.final
                yield replace(one, transcript=replace(one.transcript, final=final))

    signal = study(write_run(tmp_path / "run", run()), pir_eval)["signals"]["self_consistency"]
    assert (signal["mean_missing"], signal["mean_complete"]) == (0.5, 0.0)


def test_steps_are_placed_by_the_asks_beside_them(tmp_path: Path, pir_eval: Eval) -> None:
    def run() -> Iterator[Scored]:
        for pair in range(5):
            yield with_steps(
                played(row(pair), "interactive", turn("f1")), step(0.1), step(0.7), step(0.2, leg=1), step(0.1, leg=1)
            )
            yield with_steps(played(row(pair), "no_ask"), step(0.1), step(0.9, leg=1), step(0.3, leg=1), auto_answers=1)
            yield with_steps(played(row(pair), "full"), step(5.0))

    asks = study(write_run(tmp_path / "run", run()), pir_eval)["asks_follow_entropy"]
    means = {place: found["value"] for place, found in asks["means"].items()}
    assert means == pytest.approx(
        {"before_ask": 0.7, "after_response": 0.2, "after_silence": 0.9, "elsewhere": 0.1, "elsewhere_no_ask": 0.2}
    )
    assert asks["auroc"]["value"] == 1.0


def test_asking_itself_is_judged_on_pairs(tmp_path: Path, pir_eval: Eval) -> None:
    for name, value in (("oracle", 1.0), ("never", 0.5), ("always", 0.5)):
        found = study(write_run(tmp_path / name, policy(name, 10)), pir_eval)
        assert aurocs(found)["asked"] == value


def test_a_problem_in_one_version_only_is_left_out(tmp_path: Path, pir_eval: Eval) -> None:
    run = [*unsure_where_missing(4), with_steps(played(row(9), "no_ask"), step(0.0, peak=9.0))]
    assert study(write_run(tmp_path / "run", run), pir_eval)["signals"]["step_entropy_max"]["auroc"]["n"] == 8


def test_a_run_without_both_conditions_is_refused_in_words(tmp_path: Path, pir_eval: Eval) -> None:
    folder = write_run(tmp_path / "run", [played(row(k), "interactive") for k in range(3)])
    result = pir_eval("uncertainty", folder)
    assert result.exit_code == 1
    assert "play it with both conditions" in result.output
    assert "is no run" in pir_eval("uncertainty", tmp_path / "nothing").output


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("70", 0.7),
        (" 5 %.\n", 0.05),
        ("**100**", 1.0),
        ("12.5", 0.125),
        ("140", None),
        ("", None),
        ("2 of 10", None),
        ("The answer is \\boxed{7}.", None),
        ("\\boxed{7}", None),
    ],
)
def test_only_a_number_and_nothing_else_is_a_confidence(reply: str, number: float | None) -> None:
    assert read_number(reply) == number


@pytest.mark.parametrize("can_say", [True, False])
def test_what_the_model_says_counts_if_it_can_say_it(can_say: bool, tmp_path: Path, pir_eval: Eval) -> None:
    folder = write_run(tmp_path / "run", unsure_where_missing(6), model="scripted", server="prompted")
    asked: list[str] = []

    def judge(_: web.Request, body: dict[str, Any], __: int) -> web.StreamResponse:
        text = body["messages"][-1]["content"]
        asked.append(text.removesuffix(QUESTION))
        assert "<asking>" not in body["messages"][0]["content"]
        return completion(("20" if "pen costs" in text else "90") if can_say else "The answer is 7 or 8.")

    with serving(PlainServer(Script([], never_asks), fault=judge)) as server:
        found = study(folder, pir_eval, "--base-url", server.url)
    assert sorted(asked) == sorted(text for k in range(6) for text in (row(k).shown, row(k).full))
    assert aurocs(found).get("verbalised") == (1.0 if can_say else None)
    assert ("cannot say" in found["output"]) is not can_say


def tiny_model(folder: Path, tokenizer: Path, dropout: float) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    for file in tokenizer.iterdir():
        folder.mkdir(exist_ok=True)
        (folder / file.name).write_bytes(file.read_bytes())
    config = LlamaConfig(
        vocab_size=800,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        attention_dropout=dropout,
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_dropout_is_measured_where_there_is_some(tmp_path: Path, small_tokenizer: Path, pir_eval: Eval) -> None:
    folder = write_run(tmp_path / "run", unsure_where_missing(3))
    with_dropout = tiny_model(tmp_path / "with", small_tokenizer, 0.3)
    found = study(folder, pir_eval, "--dropout", with_dropout, "--passes", 4)
    signal = found["signals"]["mc_dropout"]
    assert 0 < signal["mean_missing"] < math.log(4)
    assert study(folder, pir_eval, "--dropout", with_dropout, "--passes", 4)["signals"]["mc_dropout"] == signal
    without = study(folder, pir_eval, "--dropout", tiny_model(tmp_path / "without", small_tokenizer, 0.0))
    assert "mc_dropout" not in without["signals"]
    assert re.search("has no dropout", without["output"])
