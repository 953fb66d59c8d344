"""The user that a language model plays, against a scripted endpoint."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from evals.simulators import Exchange, Intent, Response, SimulatorError, simulator
from evals.simulators.llm import PROMPT_SHA256
from tests.evals.other_rows import BY_ID
from tests.evals.scripted_llm import serving

ROW = BY_ID["bakery"]
INTENT = Intent.of(ROW)
FACT = ROW.hidden[0].id
ASK = "How many rolls are on a tray?"


def written(kind: str = "answer", ids: tuple[str, ...] = (FACT,), reply: str = "Eighteen of them.") -> str:
    return json.dumps({"kind": kind, "fact_ids": ids, "reply": reply})


def user_of(llm, **options):
    return simulator("llm", model="player", base_url=llm.url, **options)


async def test_a_reply_names_the_fact_that_it_tells():
    async with serving(written()) as llm:
        said = await user_of(llm).respond(ASK, intent=INTENT)
    assert said == Response("Eighteen of them.", (FACT,), "answer", tokens=120, attempts=1, prompt_tokens=100)
    assert llm.requests[0]["response_format"]["type"] == "json_schema"


async def test_the_model_sees_facts_and_exchanges_and_neither_gold_nor_full_text():
    history = [Exchange("Who is Nora?", Response("A baker.", (), "dont_know"))]
    async with serving(written()) as llm:
        await user_of(llm).respond(ASK, intent=INTENT, history=history)
    sent = json.dumps(llm.requests)
    assert ROW.hidden[0].text in sent
    assert ASK in sent
    assert "A baker." in sent
    assert ROW.gold not in sent
    assert ROW.full not in sent


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "Eighteen.",
        '{"kind": "answer"',
        "[]",
        written(reply=""),
        written(reply=" \n"),
        '{"kind": "dont_know", "fact_ids": [], "reply": ' + "[" * 100_000,
        written(ids=("f99",)),
        written(ids=()),
        written(kind="dont_know"),
        written(kind="shrug"),
        json.dumps({"kind": "answer", "fact_ids": [FACT], "reply": "18", "gold": "360"}),
    ],
)
async def test_output_that_does_not_fit_is_asked_for_again(broken):
    async with serving(broken, written()) as llm:
        said = await user_of(llm).respond(ASK, intent=INTENT)
    assert (said.text, said.attempts, said.tokens) == ("Eighteen of them.", 2, 240)
    assert "does not fit" in llm.requests[1]["messages"][-1]["content"]


async def test_output_that_never_fits_is_an_error_and_no_response():
    async with serving("I would rather chat.") as llm:
        with pytest.raises(SimulatorError, match=r"no usable response .* in 3 attempts: there is no JSON") as failed:
            await user_of(llm).respond(ASK, intent=INTENT)
    assert (failed.value.tokens, failed.value.prompt_tokens) == (360, 300), "what was spent in vain was spent"
    assert len(llm.requests) == 3


@pytest.mark.parametrize(
    "around",
    ["<think>It holds {18}.</think>\n%s", "```json\n%s\n```", "Sure! %s I hope this helps."],
)
async def test_thoughts_and_wrapping_around_the_object_are_left_out(around):
    async with serving(around % written()) as llm:
        assert (await user_of(llm).respond(ASK, intent=INTENT)).text == "Eighteen of them."


async def test_a_tag_of_thinking_within_the_reply_is_text():
    async with serving(written(reply="It is </think> 18.")) as llm:
        assert (await user_of(llm).respond(ASK, intent=INTENT)).text == "It is </think> 18."


async def test_an_endpoint_that_refuses_schemas_is_asked_without():
    def picky(body):
        if body.get("response_format", {}).get("type") == "json_schema":
            return web.json_response({"error": {"message": "response_format: unknown"}}, status=400)
        return written()

    async with serving(picky) as llm:
        user = user_of(llm)
        for _ in range(2):
            assert (await user.respond(ASK, intent=INTENT)).attempts == 1
    kinds = [body.get("response_format", {}).get("type") for body in llm.requests]
    assert kinds == ["json_schema", "json_object", "json_object"]


async def test_many_asks_at_once_find_the_format_that_is_taken():
    def picky(body):
        if "response_format" in body:
            return web.json_response({"error": {"message": "no"}}, status=400)
        return written()

    async with serving(picky) as llm:
        user = user_of(llm)
        said = await asyncio.gather(*(user.respond(ASK, intent=INTENT) for _ in range(12)))
    assert {response.text for response in said} == {"Eighteen of them."}


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_an_endpoint_that_refuses_is_an_error(status):
    async with serving(lambda _: web.json_response({"error": {"message": "no"}}, status=status)) as llm:
        with pytest.raises(SimulatorError, match="player"):
            await user_of(llm, api_key="secret-key").respond(ASK, intent=INTENT)


@pytest.mark.parametrize("text", ["busy", "{", "[]", '{"choices": [{"message": {"content": {"a": 1}}}]}'])
async def test_a_reply_that_is_no_completion_is_an_error(text):
    async with serving(lambda _: web.Response(text=text, content_type="application/json")) as llm:
        with pytest.raises(SimulatorError, match="failed"):
            await user_of(llm).respond(ASK, intent=INTENT)


async def test_one_refusal_for_another_reason_does_not_give_up_the_schema():
    def full(_):
        return web.json_response({"error": {"message": "the prompt is too long"}}, status=400)

    async with serving(full, full, full, written()) as llm:
        user = user_of(llm)
        with pytest.raises(SimulatorError, match="too long"):
            await user.respond(ASK, intent=INTENT)
        await user.respond(ASK, intent=INTENT)
    assert llm.requests[-1]["response_format"]["type"] == "json_schema"


async def test_an_endpoint_that_is_not_there_is_an_error():
    user = simulator("llm", model="player", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(SimulatorError, match="failed"):
        await user.respond(ASK, intent=INTENT)


async def test_an_endpoint_that_stalls_is_an_error():
    async def stall(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", stall)
    async with TestServer(app) as server:
        user = simulator("llm", model="m", base_url=str(server.make_url("/v1")), timeout_s=0.2, retries=0)
        with pytest.raises(SimulatorError, match="timed out"):
            await user.respond(ASK, intent=INTENT)


async def test_describe_tells_all_that_matters_and_no_key():
    async with serving(written()) as llm:
        user = user_of(llm, api_key="secret-key", seed=4, persona="typos=1")
    told = user.describe()
    assert told["prompt_sha256"] == PROMPT_SHA256
    assert (told["model"], told["seed"], told["traits"]) == ("player", 4, "typos=1")
    assert "secret-key" not in json.dumps(told) + repr(user)


async def test_traits_are_put_over_what_the_model_says_and_its_tokens_are_kept():
    async with serving(written(reply="Of course. Each tray holds 18 rolls.")) as llm:
        said = await user_of(llm, persona="terse=3").respond(ASK, intent=INTENT)
    assert (said.text, said.tokens) == ("Each tray holds 18 rolls", 120)
