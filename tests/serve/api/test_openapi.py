"""GET /openapi.json describes what there is, and nothing that it allows, or nearly allows, is ever a 500."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from starlette.routing import Route

from pir_serve.api.app import create_app
from pir_serve.api.openapi import document
from tests.serve.api.from_schema import Json, requests, values
from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
DOCUMENT: Json = document()
CHAT: Json = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
TOOL: Json = {"name": "ask_user", "parameters": {"type": "object", "properties": {"question": {"type": "string"}}}}


def operations() -> Iterator[tuple[str, str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def check_reply(path: str, method: str, reply: httpx.Response) -> Any:
    """That it is as described; returns its JSON."""
    described = DOCUMENT["paths"][path][method]["responses"]
    response = described.get(str(reply.status_code), described["default"])
    kind = reply.headers["content-type"].partition(";")[0]
    assert kind in response["content"], (path, method, reply.status_code, kind)
    if kind != "application/json":
        return None
    schema = {**response["content"][kind]["schema"], "components": DOCUMENT["components"]}
    body = reply.json()
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(body)]
    assert not errors, (path, method, errors[:3])
    return body


def test_every_route_is_described_and_nothing_else(make_desk: MakeDesk) -> None:
    routes = [route for route in create_app(make_desk([])).routes if isinstance(route, Route)]
    there = {(re.sub(r":path", "", r.path), m.lower()) for r in routes for m in (r.methods or ()) if m != "HEAD"}
    assert {(path, method) for path, method, _ in operations()} == there


def test_the_description_is_sound() -> None:
    text = json.dumps(DOCUMENT)
    schemas = DOCUMENT["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named == set(schemas), "a schema that is missing, or that nothing uses"
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    for path, _, operation in operations():
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


async def test_the_gateway_serves_it_without_a_key(make_desk: MakeDesk) -> None:
    async with in_process(make_desk([], api_key=("correct-horse",))) as client:
        reply = await client.get("/openapi.json")
        assert reply.status_code == 200 and reply.json() == DOCUMENT
        check_reply("/v1/models", "get", await client.get("/v1/models"))  # the refusal is described too


async def test_replies_of_a_chat_are_as_described(make_desk: MakeDesk) -> None:
    path = "/v1/chat/completions"
    search = {"type": "function", "function": {"name": "search"}}
    asked: Json = {"tools": [{"type": "function", "function": TOOL}, search], "pir": {"uncertainty": True}}
    async with in_process(make_desk(curious, keep_s=60.0)) as client:
        for more in (
            {},
            asked,
            {"model": "scripted:no-ask", "n": 2},
            {"max_tokens": 3},
            {"model": "x"},
            {"stream": True},
        ):
            check_reply(path, "post", await client.post(path, json=CHAT | more))
        question = check_reply(path, "post", await client.post(path, json=CHAT))["choices"][0]["message"]
        history = [*CHAT["messages"], question, {"role": "user", "content": "4 dollars"}]
        check_reply(path, "post", await client.post(path, json=CHAT | {"messages": history}))
        waiting = question["pir"]["session"]
        root = "/v1/pir/sessions"
        listed = check_reply(root, "get", await client.get(root))["data"]
        check_reply(f"{root}/export", "get", await client.get(f"{root}/export"))
        one = f"{root}/{{id}}"
        for name in (waiting, listed[0]["id"], "nothing"):
            for query in ("", "?ids=true", "?nonsense=1"):
                check_reply(one, "get", await client.get(f"{root}/{name}{query}"))
            check_reply(one, "patch", await client.patch(f"{root}/{name}", json={"title": "Pens"}))
            resumed = await client.post(f"{root}/{name}/resume", json={"response": "4 dollars"})
            check_reply(f"{one}/resume", "post", resumed)
            check_reply(one, "delete", await client.delete(f"{root}/{name}"))
        for path in ("/v1/models", "/v1/pir/examples", "/health", "/ready"):
            check_reply(path, "get", await client.get(path))


async def test_replies_of_the_responses_api_are_as_described(make_desk: MakeDesk) -> None:
    root = "/v1/responses"
    one = f"{root}/{{response_id}}"
    tools = [{"type": "function", **TOOL}]
    async with in_process(make_desk(curious)) as client:
        ids = ["resp_nothing"]
        for more in ({}, {"tools": tools}, {"store": False}, {"background": True}, {"text": {"format": {"type": "x"}}}):
            body = {"model": "scripted", "input": PROBLEM, **more}
            made = check_reply(root, "post", await client.post(root, json=body))
            ids += [made["id"]] if "id" in made else []
        output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
        call = {"type": "function_call", "call_id": "call_1", "name": "search", "arguments": "{}"}
        items = [{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": "Well."}, call, output]
        ids.append((await client.post(root, json={"model": "scripted", "input": items})).json()["id"])
        for response_id in ids:
            where = f"{root}/{response_id}"
            check_reply(one, "get", await client.get(where))
            check_reply(f"{one}/input_items", "get", await client.get(f"{where}/input_items"))
            check_reply(f"{one}/cancel", "post", await client.post(f"{where}/cancel"))
            check_reply(one, "delete", await client.delete(where))


def fuzzed(ids: list[str]) -> st.SearchStrategy[tuple[str, str, Json]]:
    """A request of any operation. Names that lead somewhere are given now and then."""
    known_ids = st.sampled_from(ids) | st.text(max_size=8)
    models = st.sampled_from(["scripted", "scripted", "scripted:no-ask", "x"])
    user = st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=12))
    schemas = DOCUMENT["components"]["schemas"]
    messages = st.builds(
        lambda before, last: [*before, last], st.lists(values(schemas["ChatMessage"], DOCUMENT), max_size=1), user
    )
    known: dict[str, st.SearchStrategy[Any]] = {
        "model": models,
        "name": models,
        "id": known_ids,
        "response_id": known_ids,
        "session": known_ids,
        "previous_response_id": known_ids,
        "messages": messages,
        "input": st.text(min_size=1, max_size=12) | st.lists(user, min_size=1, max_size=2),
        "response": st.text(min_size=1, max_size=8),
    }
    each = [
        requests(path, operation, DOCUMENT, known).map(lambda sent, p=path, m=method: (p, m, sent))
        for path, method, operation in operations()
        for _ in range(8 if method == "post" and "requestBody" in operation else 1)  # where most can go wrong
    ]
    return st.one_of(each)


def test_nothing_that_the_description_allows_is_a_server_error(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, max_asks=2, keep_s=60.0)
    loop = asyncio.new_event_loop()
    running = in_process(desk)
    try:
        client = loop.run_until_complete(running.__aenter__())
        question = loop.run_until_complete(client.post("/v1/chat/completions", json=CHAT)).json()
        response = loop.run_until_complete(client.post("/v1/responses", json={"model": "scripted", "input": PROBLEM}))
        ids = [question["choices"][0]["message"]["pir"]["session"], response.json()["id"]]
        statuses: Counter[tuple[str, int]] = Counter()

        @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
        @given(fuzzed(ids))
        def fuzz(made: tuple[str, str, Json]) -> None:
            path, method, sent = made
            reply = loop.run_until_complete(client.request(method.upper(), **sent))
            assert reply.status_code < 500, (sent, reply.text)
            if reply.url.path.count("/") == path.count("/") and reply.status_code not in (404, 405):
                check_reply(path, method, reply)
            statuses[path, reply.status_code] += 1

        fuzz()
        loop.run_until_complete(running.__aexit__(None, None, None))
    finally:
        loop.close()
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/pir/sessions"):
        assert statuses[path, 200] and statuses[path, 400], statuses


@pytest.mark.parametrize("name", ["ChatBody", "ResponsesBody", "ResumeBody", "RenameBody"])
def test_requests_are_described_by_the_models_that_read_them(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema["type"] == "object" and schema["properties"]
