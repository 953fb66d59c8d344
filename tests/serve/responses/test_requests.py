"""What clients of the Responses API can get wrong: each gets the right 4xx, and nothing they send is ever a 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.api.responses.body import ResponsesBody
from tests.serve.brains import PROBLEM, curious, sure
from tests.serve.chat.test_requests import TEXTS, assert_openai_error, json_values
from tests.serve.conftest import Desk, in_process
from tests.serve.responses.wire import URL, Json, assembled, checked_response, events_of

MakeDesk = Callable[..., Desk]
GOOD: Json = {"model": "scripted", "input": PROBLEM}
USER: Json = {"role": "user", "content": PROBLEM}
CALL: Json = {"type": "function_call", "call_id": "c1", "name": "ask_user", "arguments": "{}"}

WRONG: list[tuple[Json, str | None, str | None]] = [
    # the body's difference, param, code
    ({"model": "gpt-9"}, "model", "model_not_found"),
    ({"model": 7}, "model", None),
    ({"input": None}, "input", None),
    ({"input": 7}, "input", None),
    ({"input": []}, "input", None),
    ({"input": ["hi"]}, "input[0]", None),
    ({"input": [{}]}, "input[0].type", None),
    ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role", None),
    ({"input": [{"role": "user"}]}, "input[0].content", None),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", None),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
        "input[0].content[0].type",
        "unsupported_value",
    ),
    ({"input": [USER, {"role": "assistant", "content": "x"}]}, "input", None),
    ({"input": [USER, CALL]}, "input", None),
    ({"input": [USER, CALL | {"name": 7}, USER]}, "input[1].name", None),
    ({"input": [USER, {"type": "function_call_output", "call_id": "c1"}]}, "input[1].output", None),
    ({"input": [USER, {"type": "function_call_output", "output": "x"}]}, "input[1].call_id", None),
    ({"input": [USER, {"type": "function_call_output", "call_id": "c9", "output": "x"}]}, "input[1].call_id", None),
    ({"input": [USER, {"type": "reasoning", "encrypted_content": 7}, USER]}, "input[1].encrypted_content", None),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type", "unsupported_value"),
    ({"input": [{"type": "computer_call_output"}]}, "input[0].type", "unsupported_value"),
    ({"previous_response_id": "resp_nowhere"}, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": 7}, "previous_response_id", None),
    ({"conversation": "conv_1"}, "conversation", "unsupported_value"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_value"),
    ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_value"),
    ({"moderation": {"model": "m"}}, "moderation", "unsupported_value"),
    ({"truncation": "auto"}, "truncation", "unsupported_value"),
    ({"top_logprobs": 2}, "top_logprobs", "unsupported_value"),
    ({"include": ["message.output_text.logprobs"]}, "include", "unsupported_value"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_value"),
    ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type", "unsupported_value"),
    ({"tools": ["search"]}, "tools[0]", None),
    ({"tools": [{"type": "function"}]}, "tools[0].name", None),
    ({"tool_choice": "required"}, "tool_choice", "unsupported_value"),
    ({"max_output_tokens": 0}, "max_output_tokens", None),
    ({"max_output_tokens": 10**9}, "max_output_tokens", None),
    ({"temperature": 3}, "temperature", None),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", None),
    ({"text": {"format": 7}}, "text.format.type", None),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", None),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", None),
    ({"metadata": {"a": 1}}, "metadata.a", None),
    ({"metadata": {str(k): "x" for k in range(17)}}, "metadata", None),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", None),
    ({"stream": "yes"}, "stream", None),
    ({"background": True, "store": False}, "store", None),
    ({"pir": {"asks": "never"}}, "pir.asks", None),
    ({"pir": {"ask_via": "tool"}}, "pir.ask_via", "unsupported_value"),
    ({"input": "pens " * 5000}, "input", "context_length_exceeded"),
]


async def test_each_mistake_has_its_own_error(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk) as client:
        for difference, param, code in WRONG:
            for stream in ({},) if "stream" in difference else ({}, {"stream": True}):
                reply = await client.post(URL, json=GOOD | stream | difference)
                status = 404 if code == "model_not_found" else 400
                try:
                    assert_openai_error(reply, status, param, code)
                except AssertionError as error:
                    raise AssertionError(f"{difference}: {error}") from error
                assert reply.headers["x-should-retry"] == "false"
        assert_openai_error(await client.post(URL, content=b"{"), 400, None, None)
        assert_openai_error(await client.put(URL, json=GOOD), 405, None, None)
        assert_openai_error(await client.get(f"{URL}/resp_none/nothing"), 404, None, None)
        for path in ("resp_none", "%00", "é" * 300):
            assert (await client.get(f"{URL}/{path}")).status_code == 404
    assert desk.engine.requests == [], "a wrong request reached the engine"


async def test_what_has_no_effect_is_accepted(make_desk: MakeDesk) -> None:
    harmless = {
        "reasoning": {"effort": "high", "summary": "auto"}, "service_tier": "flex", "user": "u", "safety_identifier": "s",
        "prompt_cache_key": "k", "parallel_tool_calls": True, "max_tool_calls": 3, "truncation": "disabled",
        "include": ["reasoning.encrypted_content", "file_search_call.results"], "text": {"verbosity": "low"},
        "tools": [], "tool_choice": "auto", "stream_options": {"include_obfuscation": False}, "some_field": [1],
        "metadata": None, "temperature": None, "top_logprobs": 0, "generate": True,
    }  # fmt: skip
    search = {"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}, "strict": True}
    async with in_process(make_desk(sure)) as client:
        for more in (harmless, {"tools": [search]}):
            body = checked_response((await client.post(URL, json=GOOD | more)).json())
            assert body["status"] == "completed"
        assert body["pir"]["ignored_tools"] == ["search"] and body["tools"][0]["name"] == "search"


items_like = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "x"])
            | json_values,
            "role": st.sampled_from(["user", "assistant", "system", "developer", "x"]),
            "content": TEXTS | st.lists(st.fixed_dictionaries({"type": st.just("input_text"), "text": TEXTS})),
            "call_id": TEXTS | st.just("call_pir_x"),
            "name": TEXTS,
            "arguments": TEXTS,
            "output": TEXTS | json_values,
            "encrypted_content": TEXTS | json_values,
            "id": TEXTS,
        },
    ),
    max_size=4,
)
FIELDS = sorted(set(ResponsesBody.model_fields) - {"background"})  # a job would outlive its example
call_ids = st.sampled_from(["c1", "call_pir_x", "call_pir_"])
tame_items = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "developer"]), "content": TEXTS}),
        st.builds(
            lambda i, n, a: CALL | {"call_id": i, "name": n, "arguments": a}, call_ids, st.just("f") | TEXTS, TEXTS
        ),
        st.builds(lambda i, o: {"type": "function_call_output", "call_id": i, "output": o}, call_ids, TEXTS),
        st.builds(lambda s: {"type": "reasoning", "summary": [], "encrypted_content": s}, st.none() | TEXTS),
    ),
    max_size=4,
)
bodies = st.builds(
    lambda wild, items, tame, is_tame, stream: {
        **GOOD,
        "input": [*tame, USER] if is_tame else items,
        "stream": stream,
        **({} if is_tame else wild),
    },
    st.dictionaries(st.sampled_from(FIELDS), json_values | st.sampled_from([True, False]), max_size=3),
    items_like,
    tame_items,
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize("stored", [True, False])
def test_nothing_that_a_client_sends_is_a_server_error(make_desk: MakeDesk, stored: bool) -> None:
    desk = make_desk(curious, max_asks=2)
    statuses: dict[int, int] = {}

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(bodies, min_size=1, max_size=4))
    def fuzz(batch: list[dict[str, Any]]) -> None:
        async def send() -> None:
            for body in batch:
                reply = await client.post(URL, content=json.dumps({"store": stored, **body}))
                statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
                assert reply.status_code < 500, (body, reply.text)
                if reply.status_code != 200:
                    assert reply.json()["error"]["message"]
                elif "text/event-stream" in reply.headers["content-type"]:
                    assembled(events_of(reply.text))
                else:
                    checked_response(reply.json())

        loop.run_until_complete(send())

    loop = asyncio.new_event_loop()
    try:
        running = in_process(desk)
        client = loop.run_until_complete(running.__aenter__())
        fuzz()
        loop.run_until_complete(running.__aexit__(None, None, None))
    finally:
        loop.close()
    assert statuses.get(200, 0) > 10 and statuses.get(400, 0) > 10, statuses
