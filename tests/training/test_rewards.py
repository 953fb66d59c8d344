"""The composite reward against the published code's figures, our variant that charges for needless asks, and judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from evals.problems import make_pair
from evals.simulators import Exchange, Intent, Response
from training.judge import JudgeError, LlmJudge, RuleJudge
from training.rewards import COMPONENTS, RewardConfig, composite, read

ASK = "How many?"
ANSWERED = "<asking>How many?</asking>\n<response>7.</response> So.\n"
END = "</think>\nThe answer is \\boxed{22}."
RELEASED = RewardConfig(as_released=True)


def reward(text: str, config: RewardConfig = RELEASED, *, right: bool = True, h: float = 0.8) -> float:
    answered = text.partition("</think>")[0].count("<response>")
    return composite(float(right), read(text, as_released=config.as_released), [h] * answered, config)


@pytest.mark.parametrize(
    ("text", "right", "score"),
    [
        (f"Sum.{END}", False, 0.0),
        ("Sum. The answer is \\boxed{22}.", True, 0.0),
        (f"Sum.{END}", True, 0.5),
        (f"{ANSWERED}{END}", True, 0.9),
        (f"{ANSWERED * 2}{END}", True, 0.8),
        (f"{ANSWERED * 3}{END}", True, 0.7),
        (f"{ANSWERED * 4}{END}", True, 0.6),
        (f"{ANSWERED * 5}{END}", True, 0.5),
        (f"{ANSWERED * 6}{END}", True, 0.4),
        (f"{ANSWERED * 7}{END}", True, 0.3),
        (f"<asking>How many?{END}", True, 0.5),
        (f"{ANSWERED}<asking>And{END}", True, 0.5),
        (f"<asking>How many?</asking> So.{END}", True, 0.5),
        (f"{ANSWERED}<asking>How long?</asking>{END}", True, 0.8),
        (f"<asking>How many?</asking> hm <response>7.</response>{END}", True, 0.5),
        (f"<asking> </asking>\n<response>7.</response>{END}", True, 0.5),
        (f"{ANSWERED}{END}</think>", True, 0.9),
        (f"{ANSWERED}</think></think>The answer is \\boxed{{22}}.", True, 0.0),
        (f"{ANSWERED}{END}", False, 0.0),
    ],
)
def test_published_figures(text: str, right: bool, score: float) -> None:
    assert reward(text, right=right) == pytest.approx(score)


def test_where_the_paper_departs_from_the_released_code() -> None:
    paper = RewardConfig()
    assert reward(f"{ANSWERED * 7}{END}", paper) == pytest.approx(0.5)  # E is not negative
    assert reward(f"{ANSWERED}</think></think>\\boxed{{22}}", paper) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("components", "one", "three"),
    [("none", 0.5, 0.5), ("helpfulness", 0.9, 0.9), ("efficiency", 1.0, 0.75), ("full", 0.9, 0.7)],
)
def test_components_of_the_ablation(components: Any, one: float, three: float) -> None:
    config = RewardConfig(components)
    assert reward(f"{ANSWERED}{END}", config) == pytest.approx(one)
    assert reward(f"{ANSWERED * 3}{END}", config) == pytest.approx(three)
    assert reward(f"x{END}", config) == pytest.approx(0.5)


def ours(helpfulness: list[float], *, is_complete: bool, outcome: float = 1.0) -> float:
    text = ANSWERED * len(helpfulness) + END
    return composite(outcome, read(text), helpfulness, RewardConfig("ours"), is_complete=is_complete)


def test_ours_pays_for_silence_on_a_complete_problem_where_the_paper_pays_for_asking() -> None:
    silent, asking = f"x{END}", f"{ANSWERED}{END}"
    assert reward(asking) > reward(silent)
    assert ours([], is_complete=True) == 1.0 > ours([0.0], is_complete=True) == 0.75
    assert ours([0.0, 0.0], is_complete=True) == ours([0.0] * 4, is_complete=True) == 0.5


def test_ours_wants_the_missing_fact_and_nothing_else_and_is_patient() -> None:
    assert ours([1.0], is_complete=False) == 1.0
    assert ours([1.0, 1.0, 1.0], is_complete=False) == 1.0  # the user had to be asked again
    assert ours([1.0, 0.0], is_complete=False) == 0.75
    assert ours([], is_complete=False) == ours([0.0], is_complete=False) == 0.5  # a lucky guess
    assert ours([1.0], is_complete=False, outcome=0.0) == 0.0


@given(
    st.sampled_from(COMPONENTS),
    st.lists(st.floats(0, 1), max_size=8),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_no_reward_leaves_its_bounds(
    components: Any, helpfulness: list[float], complete: bool, outcome: float, hurt: bool
) -> None:
    text = ANSWERED * len(helpfulness) + ("<asking>" if hurt else "") + END
    value = composite(outcome, read(text), helpfulness, RewardConfig(components), is_complete=complete)
    assert 0.0 <= value <= 2 * 0.5 * outcome


@given(st.lists(st.sampled_from(["<asking>", "</asking>", "<response>", "</response>", "</think>", "a", "\n"])))
def test_any_tags_can_be_read(pieces: list[str]) -> None:
    text = "".join(pieces)
    for as_released in (False, True):
        assert 0 <= read(text, as_released=as_released).num_asks <= text.count("<asking>")


@pytest.mark.parametrize("wrong", [{"components": "best"}, {"max_asks": 1}, {"ask_cost": 2.0}, {"base": 0.0}])
def test_a_reward_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RewardConfig(**wrong)


COMPLETE, INCOMPLETE = make_pair("validation", 5, 3)


def rated(ask: str, history: tuple[Exchange, ...] = (), *, needless: float = 0.0) -> float:
    judge = RuleJudge(needless)
    return asyncio.run(judge.helpfulness(ask, intent=Intent.of(INCOMPLETE), history=history))


def test_the_rule_judge_wants_a_hidden_fact_that_was_not_told() -> None:
    hidden = INCOMPLETE.hidden[0]
    given_fact = next(fact for fact in INCOMPLETE.facts if not fact.hidden)
    ask = f"What is {hidden.phrase}?"
    put_off = (Exchange(ask, Response("I don't know.", (), "dont_know")),)
    told = (Exchange(ask, Response("7", (hidden.id,), "answer")),)
    assert rated(ask) == rated(ask, put_off) == 1.0
    assert rated(ask, told) == 0.0
    assert rated(f"What is {given_fact.phrase}?") == 0.0
    assert rated(f"What is {given_fact.phrase}?", needless=0.6) == 0.6
    assert rated("Why?", needless=0.6) == 0.0


@asynccontextmanager
async def endpoint(*replies: str) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible server that says these, one after the other, the last one over and over."""
    seen: list[dict[str, Any]] = []

    async def chat(request: web.Request) -> web.Response:
        seen.append(await request.json())
        text = replies[min(len(seen), len(replies)) - 1]
        if text == "500":
            return web.Response(status=500)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 0, "model": "j", "choices": [choice]}
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"http://127.0.0.1:{port}/v1", seen
    finally:
        await runner.cleanup()


async def judged(url: str, cache: Path | None = None, ask: str = ASK) -> float:
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        return await LlmJudge(client, "j", cache).helpfulness(ask, intent=Intent.of(INCOMPLETE), history=())


async def test_the_llm_judge_reads_a_verdict_and_pays_once(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "judge.db"
    async with endpoint('Sure!\n```json\n{"thought": "t", "helpfulness": 0.8}\n```') as (url, seen):
        assert await judged(url, cache) == await judged(url, cache) == 0.8
        assert len(seen) == 1 and INCOMPLETE.full in seen[0]["messages"][0]["content"]
        assert await judged(url, cache, "Another?") == 0.8 and len(seen) == 2


async def test_a_judge_that_talks_nonsense_is_asked_anew_and_then_fails() -> None:
    async with endpoint("no", '{"helpfulness": 7}', '{"helpfulness": 1}') as (url, seen):
        assert await judged(url) == 1.0 and len(seen) == 3
    for nonsense in ("", "{", '{"helpfulness": "much"}', '{"helpfulness": -0.2}', '{"helpfulness": NaN}', "500"):
        async with endpoint(nonsense) as (url, _):
            with pytest.raises(JudgeError):
                await judged(url)


async def test_a_judge_out_of_reach_is_an_error_not_a_zero() -> None:
    with pytest.raises(JudgeError, match="cannot be reached"):
        await judged("http://127.0.0.1:9/v1")
