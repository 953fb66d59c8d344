"""GET /v1/pir/sessions/export: every token of every node, a line each, with what it takes to choose among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pir_serve.params import RunParams
from pir_serve.policy import AskPolicy
from tests.serve.brains import PROBLEM, QUESTION, curious, sure, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import BEGAN, GATED, keep, keep_volunteered

MakeDesk = Callable[..., Desk]
URL = "/v1/pir/sessions/export"


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    reply = await client.get(URL, params=query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/jsonl"
    assert reply.text == "" or reply.text.endswith("\n")
    return [json.loads(line) for line in reply.text.splitlines()]


async def test_a_row_holds_every_token_and_what_became_of_it(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        done = await keep(desk, 2, "4 dollars", parent=asked)
        finished, waiting = await rows(client)
        parts = finished.pop("parts")
        assert finished == {
            "id": "pir_2",
            "session": "s_pens",
            "parent": "pir_1",
            "model": "scripted",
            "digest": done.digest,
            "status": "completed",
            "detail": None,
            "malformed": [],
            "created_at": BEGAN + 2,
            "question": None,
            "answer": "Six pens at 4 dollars each.",
            "exchanges": [
                {
                    "question": QUESTION,
                    "original": None,
                    "opened_by": "model",
                    "response": "4 dollars",
                    "by": "user",
                    "reason": "",
                }
            ],
            "volunteered": [],
            "options": {"ask": "auto", "temperature": 0.5},
            "user_texts": [PROBLEM],
        }
        assert (waiting["status"], waiting["question"], waiting["answer"]) == ("awaiting_user", QUESTION, None)
        prompt, thought, response, rest = parts
        assert [part["author"] for part in parts] == ["template", "model", "user", "model"]
        assert [i for part in parts for i in part["token_ids"]] == done.trajectory.token_ids
        assert prompt["text"] == "".join(s.text for s in done.trajectory.prompt_segments)
        assert [thought["logprobs"], rest["logprobs"]] == [
            list(s.logprobs) for s in done.trajectory.segments if s.logprobs
        ]
        assert prompt["logprobs"] is None and response["logprobs"] is None
        assert parts[:3] == waiting["parts"] + [response]


async def test_the_token_that_ended_a_turn_is_written_out(make_desk: MakeDesk) -> None:
    """What is trained on these texts has to learn to stop."""
    desk = make_desk(curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4", parent=asked)
        await keep(desk, 3, PROBLEM, session="s_cut", params=RunParams(max_tokens=5))
        cut, finished, waiting = await rows(client)
        assert finished["parts"][-1]["text"].endswith("Six pens at 4 each.<|im_end|>")
        assert waiting["parts"][-1]["text"].endswith("</asking>")
        assert not cut["parts"][-1]["text"].endswith("<|im_end|>")


async def test_ids_that_the_junction_replaced_are_told(make_desk: MakeDesk, plain_tokenizer_dir: Any) -> None:
    """Log-probabilities are of what was sampled."""
    desk = make_desk(
        [f"\nHm.\n<asking>{QUESTION}</asking>\nand on"],
        tokenizer=plain_tokenizer_dir,
        engine={"honours_stop": False, "chunk_tokens": 50},
    )
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
        (row,) = await rows(client)
        sampled = row["parts"][-1]
        assert sampled["sampled_ids"] == list(node.trajectory.segments[-1].sampled_ids or ())
        assert len(sampled["logprobs"]) == len(sampled["sampled_ids"]) > len(sampled["token_ids"])


async def test_filters_choose_rows(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        first = await keep(desk, 1, PROBLEM)
        second = await keep(desk, 2, "4", parent=first)
        await keep(desk, 3, "dollars", parent=second)
        await keep(desk, 4, PROBLEM, session="s_cut", params=RunParams(max_tokens=2))

        async def ids(**query: Any) -> list[str]:
            return [row["id"] for row in await rows(client, **query)]

        assert await ids() == ["pir_4", "pir_3", "pir_2", "pir_1"]
        assert await ids(status="completed") == ["pir_3"]
        assert await ids(status="finished") == ["pir_4", "pir_3"]
        assert await ids(status="awaiting_user") == ["pir_2", "pir_1"]
        assert await ids(session="s_cut") == ["pir_4"]
        assert await ids(model="scripted") == await ids()
        assert await ids(model="other") == []
        day = datetime.fromtimestamp(BEGAN + 2, UTC)
        for since in (BEGAN + 2, day.isoformat(), day.replace(tzinfo=None).isoformat()):
            assert await ids(since=since) == ["pir_4", "pir_3", "pir_2"]
        assert await ids(since="2020-01-01", status="awaiting_user") == ["pir_2", "pir_1"]
        assert await ids(since=BEGAN + 1000) == []


async def test_more_rows_than_are_read_at_once_come_once_each(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk) as client:
        for n in range(70):
            await keep(desk, n, PROBLEM, session=f"s_{n}")
        assert [row["id"] for row in await rows(client)] == [f"pir_{n}" for n in reversed(range(70))]
        assert [row["id"] for row in await rows(client, since=BEGAN + 69)] == ["pir_69"]


async def test_what_neither_the_model_nor_a_user_wrote_is_the_templates(make_desk: MakeDesk) -> None:
    desk = make_desk(
        ["\nThe number of pens is 6.\nSo.", f"{QUESTION}</asking>", "\n</think>\n24", curious(""), "\n</think>\n10"]
    )
    async with in_process(desk) as client:
        opened = await keep(desk, 1, PROBLEM, params=GATED)
        await keep(desk, 2, "4", parent=opened)
        await keep(desk, 3, PROBLEM, session="s_never", params=RunParams(policy=AskPolicy(0), auto_response="Guess."))
        never, finished, _ = await rows(client)
        assert [(e["opened_by"], e["by"]) for e in finished["exchanges"]] == [("template", "user")]
        assert [p["author"] for p in finished["parts"]] == ["template", "model", "template", "model", "user", "model"]
        assert [(e["by"], e["reason"]) for e in never["exchanges"]] == [("template", "never")]
        assert [p["author"] for p in never["parts"]] == ["template", "model", "template", "model"]
        assert "<response>Guess.</response>" in never["parts"][2]["text"]


async def test_what_the_user_said_unasked_is_marked(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep_volunteered(desk, 1)
        (row,) = await rows(client)
        (said,) = row["volunteered"]
        assert said["text"] == "It is 4." and "It is 4." in row["parts"][said["part"]]["text"]
        assert [part["author"] for part in row["parts"]] == ["template", "model", "user", "model"]
        assert [i for part in row["parts"] for i in part["token_ids"]] == node.trajectory.token_ids
        (shown,) = (await client.get("/v1/pir/sessions/pir_1")).json()["branches"]
        assert shown["volunteered"] == ["It is 4."] and shown["exchanges"] == []


async def test_rows_of_a_model_that_is_not_served_any_more_are_exported_too(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk):
        await keep(desk, 1, PROBLEM)
    desk.gateway.models["scripted"].__dict__["digest"] = "of another tokenizer"
    async with in_process(desk) as client:
        (row,) = await rows(client)
        assert row["parts"][-1]["text"].endswith("The answer is 24.")


@pytest.mark.parametrize(
    "query",
    [{"since": "yesterday"}, {"since": "1e999"}, {"status": "all"}, {"limit": "5"}, {"since": "9" * 400}],
)
async def test_a_wrong_query_is_told(make_desk: MakeDesk, query: dict[str, str]) -> None:
    async with in_process(make_desk(sure)) as client:
        reply = await client.get(URL, params=query)
        assert reply.status_code == 400 and reply.json()["error"]["param"] == next(iter(query))
