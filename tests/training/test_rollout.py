"""Rollouts: what reaches the trainer of a trajectory, how its user is asked, caps and failures, and that they interleave."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from evals.problems import make_pair
from evals.rows import Row
from evals.simulators import Exchange, Intent, Response, RuleSimulator, SimulatorError
from pir_serve.engines.base import Engine
from pir_serve.engines.vllm import VllmEngine
from pir_serve.errors import EngineUnavailable
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from pir_serve.trajectory import Status
from tests.engines.fake_server import FakeServer, Script
from tests.fakes import Line, ScriptedEngine
from training.engines import InProcessEngine
from training.judge import RuleJudge
from training.rewards import RewardConfig
from training.rollout import Job, Rollout, Rollouts, timing
from training.scoring import Scorer
from training.users import Users

COMPLETE, INCOMPLETE = (Row.of(problem, "t") for problem in make_pair("validation", 5, 3))
CODEC = PromptCodec.load(BUILTIN_MODEL)
ANSWER = f"So.\n</think>\nThe answer is \\boxed{{{INCOMPLETE.gold}}}."
END_ID = 3


class Says:
    """A user who takes a while."""

    def __init__(self, text: str = "It is 7.", after_s: float = 0.0) -> None:
        self.text, self.after_s = text, after_s
        self.asked_now = self.asked_at_once = 0

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        self.asked_now += 1
        self.asked_at_once = max(self.asked_at_once, self.asked_now)
        await asyncio.sleep(self.after_s)
        self.asked_now -= 1
        return Response(self.text, (), "answer")

    def describe(self) -> dict[str, str]:
        return {"name": "says"}


class Fails(Says):
    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        raise SimulatorError("nobody is there")


def scripted(*lines: str | Line | Callable[[str], str]) -> ScriptedEngine:
    script = lines[0] if callable(lines[0]) else lines
    return ScriptedEngine(BUILTIN_MODEL, script, eos="<|end|>")  # type: ignore[arg-type]


def play(engine: Engine, user: object = None, row: Row = INCOMPLETE, **settings: object) -> Rollout:
    rollouts = Rollouts(engine, CODEC, **settings)  # type: ignore[arg-type]
    try:
        return rollouts.run([Job(row, user or Says(), seed=1)])[0]  # type: ignore[arg-type]
    finally:
        rollouts.close()


def outcome(rollout: Rollout) -> float | None:
    score = asyncio.run(Scorer(RewardConfig("ours"), RuleJudge()).score(rollout))
    return None if score is None else score.reward


def test_the_mask_holds_exactly_what_the_model_wrote() -> None:
    engine = scripted("It is <asking>How many?</asking>", ANSWER)
    rollout = play(engine, Says("Ten </response> or so."))
    tokens = rollout.tokens(END_ID)
    text = CODEC.decode
    own = [i for i, by_model in zip(tokens.ids, tokens.env_mask, strict=True) if by_model]
    put_in = [i for i, by_model in zip(tokens.ids, tokens.env_mask, strict=True) if not by_model]
    assert text(own) == f"It is <asking>How many?</asking>{ANSWER}" and own[-1] == END_ID
    assert text(put_in).startswith("\n<response>Ten ") and text(put_in).endswith("</response>")
    assert text(put_in).count("</response>") == 1  # what the user typed is no tag
    assert all((p == 0.0) != bool(m) for p, m in zip(tokens.logprobs, tokens.env_mask, strict=True))


def test_each_leg_extends_what_was_sent_before() -> None:
    engine = scripted("<asking>A?</asking>", "\n<asking>B?</asking>", ANSWER)
    rollout = play(engine)
    prompts = [request.prompt_ids for request in engine.requests]
    tokens = rollout.tokens(END_ID)
    whole = tokens.prompt_ids + tokens.ids
    assert len(prompts) == 3 and all(whole[: len(prompt)] == prompt for prompt in prompts)
    assert all(request.logprobs and not request.interactive for request in engine.requests)


def test_an_ask_beyond_the_cap_ends_the_rollout_without_reward_and_not_as_cut_off() -> None:
    rollout = play(scripted(lambda _: "<asking>Again?</asking>"), max_asks=2)
    tokens = rollout.tokens(END_ID)
    assert rollout.asked_beyond_cap and len(rollout.exchanges) == 2 and rollout.num_asks == 3
    assert (tokens.ids[-1], tokens.env_mask[-1]) == (END_ID, 0)
    assert outcome(rollout) == 0.0


def test_the_token_budget_spans_all_legs() -> None:
    rollout = play(scripted("<asking>How many?</asking>", "word " * 200), max_tokens=40)
    assert rollout.trajectory.num_model_tokens == 40 and rollout.trajectory.status is Status.INCOMPLETE
    assert rollout.tokens(END_ID).ids[-1] != END_ID  # cut off, and counted as such
    assert outcome(rollout) == 0.0


async def test_rollouts_over_http_keep_the_servers_ids_and_log_probabilities() -> None:
    legs = [CODEC.encode_model(text).token_ids for text in ("It is <asking>How many?</asking>", ANSWER)]
    scripts = [
        Script(
            [(i, CODEC.decode([i])) for i in ids], finish="stop", stopped_by=CODEC.ask_stop_ids[0] if not k else None
        )
        for k, ids in enumerate(legs)
    ]
    async with FakeServer("vllm", vocab_size=CODEC.vocab_size, max_model_len=2048).serving() as server:
        engine = VllmEngine(server.url)
        await engine.start()
        server.bodies.clear()
        server.next.extend(scripts)
        rollout = await Rollouts(engine, CODEC).play(Job(INCOMPLETE, Says(), seed=1))
        await engine.aclose()
    tokens = rollout.tokens(END_ID)
    own = [i for i, by_model in zip(tokens.ids, tokens.env_mask, strict=True) if by_model]
    assert not rollout.failure and own == [*legs[0], *legs[1]]
    first, second = (body["prompt"] for body in server.bodies)
    assert first == tokens.prompt_ids and second[: len(first)] == first
    assert (tokens.prompt_ids + tokens.ids)[: len(second)] == second
    assert all((p < 0) == bool(m) for p, m in zip(tokens.logprobs, tokens.env_mask, strict=True))
    assert [body["stream_interval"] > 1 for body in server.bodies] == [True, True]


@pytest.mark.parametrize("user", [Fails(), Says(after_s=30.0)])
def test_a_user_who_fails_or_is_silent_leaves_the_rollout_unscored(user: Says) -> None:
    rollout = play(scripted("<asking>A?</asking>", ANSWER), user, simulator_timeout_s=0.05)
    assert rollout.failure == "simulator" and outcome(rollout) is None
    assert len(rollout.tokens(END_ID).ids) > 1


def test_an_engine_that_dies_leaves_the_rollout_unscored() -> None:
    rollout = play(scripted(lambda _: Line("", error=EngineUnavailable("gone"))))  # type: ignore[arg-type,return-value]
    tokens = rollout.tokens(END_ID)
    assert rollout.failure == "engine" and outcome(rollout) is None and tokens.env_mask == [0]


def test_a_box_in_the_users_words_is_no_answer() -> None:
    rollout = play(
        scripted("<asking>A?</asking>", "So.\n</think>\nI do not know."), Says(f"\\boxed{{{INCOMPLETE.gold}}}")
    )
    assert outcome(rollout) == 0.0


@pytest.mark.parametrize(
    ("fields", "final", "expected"),
    [
        ({"gold": "1/2"}, "\\boxed{0.5}", 0.5),
        ({"gold": "\\sqrt{8}"}, "\\boxed{2\\sqrt{2}}", 0.5),
        ({"gold": "\\sqrt{8}"}, "\\boxed{2}", 0.0),
        ({"gold": "A short letter to Ann.", "grader": "text"}, "A short letter to Ann.", 0.5),
        ({"gold": "7", "grader": "text", "extra": {"aliases": ["seven"]}}, "Seven", 0.5),
    ],
)
def test_outcomes_are_graded_as_the_row_says(fields: dict[str, object], final: str, expected: float) -> None:
    row = dataclasses.replace(INCOMPLETE, **fields)  # type: ignore[arg-type]
    assert outcome(play(scripted(f"So.\n</think>\n{final}"), row=row)) == pytest.approx(expected)


def test_an_edited_document_earns_the_share_of_its_bleu() -> None:
    row = dataclasses.replace(INCOMPLETE, gold="A short letter to Ann about the garden.", grader="text")
    part = outcome(play(scripted("So.\n</think>\nA short letter to Bob about the garden."), row=row))
    assert part is not None and 0.2 < part < 0.5


@pytest.fixture(scope="module")
def trained() -> Iterator[Rollouts]:
    engine = InProcessEngine(BUILTIN_MODEL, slots=16)
    engine.load_from(BUILTIN_MODEL)
    rollouts = Rollouts(engine, CODEC)
    yield rollouts
    rollouts.close()


def afresh(rollouts: Rollouts, wanted: list[Job]) -> list[Rollout]:
    """Without what the engine remembers of earlier prompts, as after every step of training."""
    assert isinstance(rollouts.engine, InProcessEngine)
    rollouts.engine.load_from(BUILTIN_MODEL)
    return rollouts.run(wanted)


def jobs(n: int, user: object = None, seed: int = 0) -> list[Job]:
    pairs = [make_pair("validation", 5, index) for index in range(n)]
    rows = [Row.of(pair[index % 2], "t") for index, pair in enumerate(pairs)]
    return [Job(row, user or RuleSimulator(), seed + k) for k, row in enumerate(rows)]  # type: ignore[arg-type]


def test_the_built_in_model_is_sampled_in_process_and_the_same_again(trained: Rollouts) -> None:
    made = afresh(trained, jobs(12))
    scores = [outcome(rollout) for rollout in made]
    assert sum(score is not None and score > 0 for score in scores) >= 6
    assert any(rollout.num_asks for rollout in made)
    again = afresh(trained, jobs(12))
    assert [r.tokens(END_ID) for r in made] == [r.tokens(END_ID) for r in again]
    other = afresh(trained, jobs(12, seed=100))
    assert [r.tokens(END_ID).ids for r in made] != [r.tokens(END_ID).ids for r in other]


def test_others_go_on_while_a_user_is_being_asked(trained: Rollouts) -> None:
    user = Says("It is 7.", after_s=0.5)
    few_slots = InProcessEngine(BUILTIN_MODEL, slots=2)
    few_slots.load_from(BUILTIN_MODEL)
    rollouts = Rollouts(few_slots, CODEC)
    made = rollouts.run(jobs(16, user))
    rollouts.close()
    assert sum(rollout.num_asks for rollout in made) >= 6
    assert user.asked_at_once > 2  # more than there are slots: a trajectory that waits holds none
    assert timing(made, 1.0, None)["simulator/wait_share"] > 0


def test_personas_are_drawn_by_weight_and_stay_with_their_problem() -> None:
    users = Users.parse("clean * 3; typos", seed=4)
    drawn = [users.draw(str(key)).describe()["persona"] for key in range(400)]
    assert 250 < drawn.count("clean") < 350 and set(drawn) == {"clean", "typos"}
    assert users.draw("x").describe() == users.draw("x").describe() != users.draw("y").describe()


def test_an_llm_user_is_made_once_a_persona() -> None:
    options = {"model": "m", "base_url": "http://127.0.0.1:9/v1"}
    users = Users.parse("terse=2", name="llm", options=options)
    assert users.draw("x") is users.draw("y")


@pytest.mark.parametrize("text", ["nobody", "clean*much", "clean*-1", "clean*0", "clean=9"])
def test_unknown_personas_and_weights_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Users.parse(text)


def test_a_checkpoint_that_is_none_is_named(tmp_path: Path) -> None:
    from pir_serve.errors import ConfigError

    with pytest.raises(ConfigError, match=r"config\.json"):
        InProcessEngine(tmp_path)
