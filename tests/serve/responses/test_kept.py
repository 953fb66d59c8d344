"""What the gateway keeps of the Responses API, for whom, and what does without: lists, tenants, echoed items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process
from tests.serve.responses.wire import (
    ASK,
    BODY,
    FINAL,
    URL,
    Json,
    checked_items,
    checked_response,
    made,
    output_text,
    streamed,
)

MakeDesk = Callable[..., Desk]


async def test_what_is_stored_can_be_read_listed_and_deleted(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        items = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello", "id": "msg_mine"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello!", "annotations": []}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": PROBLEM}]},
        ]
        first = await made(client, input=items)
        where = f"{URL}/{first['id']}"
        assert (await client.get(where)).json() == first
        newest = checked_items((await client.get(f"{where}/input_items")).json())
        assert [i["role"] for i in newest["data"]] == ["user", "assistant", "user", "developer"]
        assert not newest["has_more"] and newest["data"][2]["id"] == "msg_mine"
        page = checked_items((await client.get(f"{where}/input_items?order=asc&limit=3")).json())
        assert page["has_more"] and [i["role"] for i in page["data"]] == ["developer", "user", "assistant"]
        rest = (await client.get(f"{where}/input_items?order=asc&limit=3&after={page['last_id']}")).json()
        assert [i["role"] for i in rest["data"]] == ["user"] and rest["first_id"] == rest["last_id"]
        for wrong in ("limit=0", "limit=x", "order=up", "after=nothing"):
            assert (await client.get(f"{where}/input_items?{wrong}")).status_code == 400
        assert (await client.post(f"{where}/cancel")).status_code == 400
        assert (await client.get(f"{where}?stream=true")).status_code == 400
        assert (await client.delete(where)).json() == {"id": first["id"], "object": "response", "deleted": True}
        for reply in (await client.get(where), await client.delete(where), await client.get(f"{where}/input_items")):
            assert reply.status_code == 404 and reply.json()["error"]["code"] == "response_not_found"
        gone = await client.post(URL, json=BODY | {"previous_response_id": first["id"]})
        assert gone.status_code == 400 and gone.json()["error"]["code"] == "previous_response_not_found"
        assert gone.headers["x-should-retry"] == "false"


async def test_tenants_do_not_see_each_other(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, api_key=("correct-horse", "battery-staple"))) as client:
        client.headers["authorization"] = "Bearer correct-horse"
        first = await made(client)
        kept = await made(client, store=False)
        client.headers["authorization"] = "Bearer battery-staple"
        assert (await client.get(f"{URL}/{first['id']}")).status_code == 404
        reply = await client.post(URL, json=BODY | {"previous_response_id": first["id"]})
        assert reply.json()["error"]["code"] == "previous_response_not_found"
        history = [{"role": "user", "content": PROBLEM}, *kept["output"], {"role": "user", "content": "4"}]
        reply = await client.post(URL, json={"model": "scripted", "input": history})
        assert reply.headers["x-pir-resume"] == "rebuilt"
        del client.headers["authorization"]
        for reply in (await client.post(URL, json=BODY), await client.get(f"{URL}/{first['id']}")):
            assert reply.status_code == 401


@pytest.mark.parametrize("tools", [None, [ASK]])
async def test_echoed_items_resume_without_a_database(make_desk: MakeDesk, tmp_path: Path, tools: Any) -> None:
    """Another gateway with an empty store, and the same secret."""
    first_desk, second_desk = make_desk(curious), make_desk(curious, store=tmp_path / "another.db")
    async with in_process(first_desk) as one, in_process(second_desk) as other:
        first = await streamed(one, store=False, tools=tools, include=["reasoning.encrypted_content"])
        assert first["store"] is False and first_desk.num_suspended == 0
        assert (await one.get(f"{URL}/{first['id']}")).status_code == 404
        answer: Json = {"role": "user", "content": "4 dollars"}
        if tools:
            call_id = first["output"][1]["call_id"]
            answer = {"type": "function_call_output", "call_id": call_id, "output": "4 dollars"}
        history = [{"role": "user", "content": PROBLEM}, *first["output"], answer]
        for client in (other, one):
            reply = await client.post(URL, json={"model": "scripted", "input": history, "store": False})
            assert reply.headers["x-pir-resume"] == "sealed"
            assert output_text(checked_response(reply.json())) == FINAL
        history[0] = {"role": "user", "content": "Something else?"}
        reply = await other.post(URL, json={"model": "scripted", "input": history, "store": False})
        assert reply.headers["x-pir-resume"] == "rebuilt"  # an edited history
        forged = first["output"][0]["encrypted_content"][:-4] + "AAAA"
        history = [{"role": "user", "content": PROBLEM}, first["output"][0] | {"encrypted_content": forged}]
        reply = await other.post(URL, json={"model": "scripted", "input": [*history, first["output"][1], answer]})
        assert reply.headers["x-pir-resume"] == "rebuilt"
    same = second_desk.engine.requests[0].prompt_ids == first_desk.engine.requests[1].prompt_ids
    assert same, "the same ids, to the last"


async def test_a_lost_question_is_rebuilt_or_refused(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        first = await made(client)
        await desk.gateway.store.delete("local", first["pir"]["session"])
        body = BODY | {"input": "4 dollars", "previous_response_id": first["id"]}
        reply = await client.post(URL, json=body)
        assert reply.headers["x-pir-resume"] == "rebuilt" and reply.status_code == 200
        reply = await client.post(URL, json=body | {"pir": {"strict": True}})
        assert reply.json()["error"]["code"] == "previous_response_not_found"
