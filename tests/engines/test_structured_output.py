"""The user and the judge that language models play, on a real server that constrains what a model writes to a schema.

The model behind it is the built-in one, which knows nothing of either part: what it writes is nonsense of the right form. So
this is about the wire: a form that is asked for comes, and what does not fit ends as a failure, never as a reply or a verdict.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from evals.grading.judge import HELPFULNESS, Judge, JudgeError
from evals.llm import LLM, LLMError, Written
from evals.rows import Row
from evals.simulators import Intent, Response, SimulatorError, simulator
from evals.tasks.pir_builtin.utils import rows
from tests.engines.conftest import Target

pytestmark = [
    pytest.mark.parametrize("target", [pytest.param("vllm", marks=pytest.mark.engines)], indirect=True),
    pytest.mark.timeout(1500),  # a server start counts towards the first test that needs it
]

ROWS = rows(pairs=3, split="heldout_numbers")
INCOMPLETE = [row for row in ROWS if not row.is_complete]


class Weather(BaseModel):
    kind: Literal["sun", "rain"]
    is_warm: bool


@pytest.fixture
def model(target: Target) -> str:
    return openai.OpenAI(base_url=f"{target.url}/v1", api_key="none").models.list().data[0].id


async def test_a_model_that_cannot_write_json_writes_the_form_it_is_asked_for(target: Target, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{target.url}/v1", api_key="none", max_retries=0) as client:
        asked = [{"role": "user", "content": "How is the weather?"}]
        llm = LLM(client, model, max_tokens=250)
        wanted = (llm.write(Weather, asked, temperature=1.0, seed=seed) for seed in range(6))
        found = await asyncio.gather(*wanted, return_exceptions=True)
        written = [one for one in found if isinstance(one, Written)]
        assert written, found
        assert all(
            one.spent.prompt_tokens > 0 < one.spent.completion_tokens <= 250 * one.spent.calls for one in written
        )
        # It likes blanks between the tokens of JSON, more than fit: cut off, that is no form.
        others = [str(one) for one in found if not isinstance(one, Written)]
        assert all("the JSON is broken" in text for text in others), others
        free = await client.chat.completions.create(model=model, messages=asked, max_tokens=60)  # type: ignore[arg-type]
        assert "{" not in (free.choices[0].message.content or ""), "it is the schema that makes it write JSON"
        with pytest.raises(LLMError, match="nothing usable in 2 attempts"):
            await LLM(client, model, attempts=2, max_tokens=3).write(Weather, asked)
    print(f"\n{len(written)} forms, {len(others)} cut off")


async def test_a_user_responds_from_its_facts_or_fails_and_says_nothing(target: Target, model: str) -> None:
    options = {"model": model, "base_url": f"{target.url}/v1", "max_tokens": 80, "temperature": 1.0}

    async def respond(seed: int, row: Row) -> Response | SimulatorError:
        user = simulator("llm", seed=seed, **options)
        try:
            return await user.respond("How many are there?", intent=Intent.of(row))
        except SimulatorError as error:
            return error

    outcomes = await asyncio.gather(*(respond(seed, row) for seed in range(3) for row in INCOMPLETE))
    for outcome, row in zip(outcomes, INCOMPLETE * 3, strict=True):
        assert outcome.tokens > outcome.prompt_tokens > 0
        if isinstance(outcome, Response):
            assert outcome.text.strip()
            assert set(outcome.disclosed) <= {fact.id for fact in row.facts}
            assert (outcome.kind == "answer") == bool(outcome.disclosed)
        else:
            assert "nothing usable in 3 attempts" in str(outcome)
            assert "no JSON object" not in str(outcome), "the form was asked for and came"
            assert not outcome.is_unreachable
    failed = sum(isinstance(outcome, SimulatorError) for outcome in outcomes)
    print(f"\n{len(outcomes) - failed} responses, {failed} failures of the simulator")


def test_a_judge_gives_every_item_or_no_verdict(target: Target, model: str) -> None:
    judge = Judge(f"{target.url}/v1", model, votes=3, max_tokens=250)
    verdicts = failures = 0
    for row in INCOMPLETE:
        material = {"intent": row.full, "shown": row.shown, "earlier": [], "question": "How many are there?"}
        try:
            found = judge.judge(HELPFULNESS, material)
        except JudgeError as error:
            failures += 1
            assert "nothing usable in 3 attempts: the JSON is broken" in str(error), "the form was asked for and came"
            assert error.spent.completion_tokens > 0
        else:
            verdicts += 1
            assert set(found.items) == set(HELPFULNESS.items) and found.spent.calls >= 3
    assert verdicts + failures == len(INCOMPLETE)
    print(f"\n{verdicts} verdicts, {failures} failures of the judge")
