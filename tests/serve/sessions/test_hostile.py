"""Sessions of other keys are not there, and nothing that is sent to these paths is our mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import StoreError
from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import keep

MakeDesk = Callable[..., Desk]
URL = "/v1/pir/sessions"
MINE, THEIRS = "correct-horse-1", "correct-horse-2"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/{id}", None),
    ("GET", "/{id}?ids=1", None),
    ("PATCH", "/{id}", {"title": "Mine now"}),
    ("DELETE", "/{id}", None),
    ("POST", "/{id}/resume", {"response": "4"}),
    ("POST", "/{id}/resume", {"action": "decline", "stream": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("name", ["pir_1", "s_pens"])
async def test_nothing_of_another_tenant_is_seen_or_touched(
    make_desk: MakeDesk, method: str, path: str, body: Any, name: str
) -> None:
    desk = make_desk(curious, api_key=(MINE, THEIRS))
    tenant = (await desk.gateway.auth.caller({"authorization": f"Bearer {THEIRS}"})).tenant
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM, tenant=tenant)
        before = (await client.get(f"{URL}/s_pens", headers=bearer(THEIRS))).json()
        reply = await client.request(method, URL + path.format(id=name), json=body, headers=bearer(MINE))
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "session_not_found"
        unknown = await client.request(method, URL + path.format(id="x" * len(name)), json=body, headers=bearer(MINE))
        assert unknown.text.replace("x" * len(name), name) == reply.text  # nor is it told that there is such a one
        assert (await client.get(f"{URL}/s_pens", headers=bearer(THEIRS))).json() == before
        assert len(desk.engine.requests) == 1


@pytest.mark.parametrize("query", ["", "?search=nora", "?status=awaiting_user", "?limit=100"])
async def test_lists_and_exports_hold_ones_own_only(make_desk: MakeDesk, query: str) -> None:
    desk = make_desk(curious, api_key=(MINE, THEIRS))
    async with in_process(desk) as client:
        for n, key in enumerate((MINE, THEIRS), 1):
            tenant = (await desk.gateway.auth.caller({"authorization": f"Bearer {key}"})).tenant
            await keep(desk, n, PROBLEM, tenant=tenant)
        for n, key in enumerate((MINE, THEIRS), 1):
            listed = (await client.get(URL + query, headers=bearer(key))).json()["data"]
            assert [(session["newest"], session["num_nodes"]) for session in listed] == [(f"pir_{n}", 1)]
            exported = await client.get(f"{URL}/export?session=s_pens", headers=bearer(key))
            assert [json.loads(line)["id"] for line in exported.text.splitlines()] == [f"pir_{n}"]
        page = await client.get(f"{URL}?cursor=AAAAAAAAAAk", headers=bearer(MINE))
        assert [session["newest"] for session in page.json()["data"]] in ([], ["pir_1"])


@pytest.mark.parametrize(("method", "path", "body"), [*ROUTES, ("GET", "", None), ("GET", "/export", None)])
async def test_without_a_key_nothing_is_answered(make_desk: MakeDesk, method: str, path: str, body: Any) -> None:
    desk = make_desk(curious, api_key=(MINE,))
    async with in_process(desk) as client:
        for headers in ({}, bearer("wrong-horse-3")):
            reply = await client.request(method, URL + path.format(id="pir_1"), json=body, headers=headers)
            assert reply.status_code == 401 and reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "", 405),
        ("PUT", "/s_pens", 405),
        ("POST", "/s_pens", 405),
        ("GET", "/s_pens/resume", 405),
        ("DELETE", "", 405),
        ("GET", "/", 404),
        ("GET", "/s_pens/", 404),
        ("GET", "/s_pens/nodes", 404),
        ("POST", "/export/resume", 404),
        ("DELETE", "/export", 404),
        ("GET", "/export%2F", 404),
        ("GET", "/%00", 404),
        ("GET", "/%ff%fe", 404),
        ("GET", "/%ED%A0%80", 404),
        ("GET", "/..%2F..%2Fhealth", 404),
        ("GET", "/' OR 1=1 --", 404),
        ("GET", "/" + "a" * 4000, 404),
    ],
)
async def test_what_is_not_there_is_told(make_desk: MakeDesk, method: str, path: str, status: int) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        body = {"response": "4"} if path.endswith("/resume") else None
        reply = await client.request(method, URL + path, json=body)
        assert reply.status_code == status, reply.text
        assert reply.json()["error"]["type"] == "invalid_request_error" and len(reply.text) < 5000


async def test_a_store_that_cannot_be_read_is_said_to_be_so(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await desk.gateway.store.aclose()
        for method, path, body in [*ROUTES, ("GET", "", None), ("GET", "/export", None)]:
            reply = await client.request(method, URL + path.format(id="pir_1"), json=body)
            assert reply.status_code == 503 and reply.json()["error"]["code"] == "store_unavailable", path


async def test_an_export_that_breaks_off_is_no_complete_one(
    make_desk: MakeDesk, on_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of half an export must not take it for the whole."""
    desk = make_desk(lambda prompt: "\nNo.\n</think>\n" + "It is so. " * 40)
    async with in_process(desk):
        for n in range(40):
            await keep(desk, n, PROBLEM, session=f"s_{n}")
    pages = 0
    read = desk.gateway.store.list

    async def read_once(*args: Any, **kwargs: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages > 1:
            raise StoreError("the disk is gone")
        return await read(*args, **kwargs)

    monkeypatch.setattr(desk.gateway.store, "list", read_once)

    def export(url: str) -> None:
        with httpx.stream("GET", f"{url}{URL}/export") as reply:
            assert reply.status_code == 200
            for _ in reply.iter_lines():
                pass

    with on_port(desk), pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        await asyncio.to_thread(export, desk.url)
    assert pages == 2


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["pir_1", "s_pens", "export", "..", "%", "%00", "\ud7ff", "9" * 30, "-1", "nan", "inf", "0001-01-01", "true", "é"]
)
QUERIES = st.dictionaries(
    st.sampled_from(["status", "search", "limit", "cursor", "ids", "since", "model", "session"]) | TEXTS,
    TEXTS,
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["response", "action", "model", "messages", "stream", "stream_options", "pir", "title", "max_tokens", "stop", "n"]
)
BODIES = (
    st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(FIELDS, JSON, max_size=4).map(lambda value: json.dumps({"response": "4", **value}).encode())
)


def test_nothing_that_is_sent_is_our_mistake(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    with asyncio.Runner() as runner:

        async def play(method: str, name: str, tail: str, query: dict[str, str], body: bytes) -> httpx.Response:
            async with in_process(desk) as client:
                await keep(desk, 1, PROBLEM)
                path = "".join(f"/{quote(part, safe='')}" for part in (name, tail) if part)
                return await client.request(method, URL + path, params=query, content=body)

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"]),
            st.sampled_from(["", "pir_1", "s_pens"]) | TEXTS,
            st.sampled_from(["", "resume"]) | TEXTS,
            QUERIES,
            BODIES,
        )
        def check(method: str, name: str, tail: str, query: dict[str, str], body: bytes) -> None:
            reply = runner.run(play(method, name, tail, query, body))
            assert reply.status_code < 500, (method, name, tail, query, body, reply.text)
            if reply.status_code >= 400 and method != "HEAD":
                error = reply.json()["error"]
                assert error.keys() == {"message", "type", "param", "code"} and error["message"]

        check()
