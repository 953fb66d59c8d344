"""What clients can get wrong: each gets the right 4xx in OpenAI's error body, and nothing they send is ever a 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.api.chat_request import ChatBody
from tests.serve.brains import PROBLEM, QUESTION, curious, sure
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
URL = "/v1/chat/completions"
USER = {"role": "user", "content": PROBLEM}
GOOD: dict[str, Any] = {"model": "scripted", "messages": [USER]}

WRONG: list[tuple[str, dict[str, Any], str | None, str | None]] = [
    # what, the body's difference, param, code
    ("unknown model", {"model": "gpt-9"}, "model", "model_not_found"),
    ("model of a wrong type", {"model": 7}, "model", None),
    ("empty model", {"model": ""}, "model", None),
    ("no messages", {"messages": []}, "messages", None),
    ("messages of a wrong type", {"messages": "hi"}, "messages", None),
    ("message of a wrong type", {"messages": ["hi"]}, "messages[0]", None),
    ("no role", {"messages": [{"content": "x"}]}, "messages[0].role", None),
    ("unknown role", {"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", None),
    ("no content", {"messages": [{"role": "user"}]}, "messages[0].content", None),
    ("content of a wrong type", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", None),
    ("part without a type", {"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]", None),
    (
        "part without text",
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
        None,
    ),
    (
        "image",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages[0].content[0].type",
        "unsupported_value",
    ),
    ("assistant last", {"messages": [USER, {"role": "assistant", "content": "x"}]}, "messages[1].role", None),
    ("tool result", {"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id", None),
    (
        "result of no call",
        {"messages": [USER, {"role": "tool", "content": "x", "tool_call_id": "c1"}]},
        "messages[1].tool_call_id",
        None,
    ),
    (
        "tool calls",
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}, USER]},
        "messages[1].tool_calls[0]",
        None,
    ),
    ("no tokens", {"max_tokens": 0}, "max_tokens", None),
    ("negative tokens", {"max_completion_tokens": -5}, "max_completion_tokens", None),
    ("absurdly many tokens", {"max_tokens": 10**12}, "max_tokens", None),
    ("tokens beyond any integer", {"max_tokens": 10**30}, "max_tokens", None),
    ("fraction of a token", {"max_tokens": 1.5}, "max_tokens", None),
    ("hot", {"temperature": 2.1}, "temperature", None),
    ("cold", {"temperature": -0.1}, "temperature", None),
    ("temperature in words", {"temperature": "0.7"}, "temperature", None),
    ("top_p of nothing", {"top_p": 0}, "top_p", None),
    ("penalty", {"presence_penalty": 3}, "presence_penalty", None),
    ("seed in words", {"seed": "7"}, "seed", None),
    ("very many choices", {"n": 17}, "n", None),
    ("no choice", {"n": 0}, "n", None),
    ("logprobs", {"logprobs": True}, "logprobs", "unsupported_value"),
    ("top_logprobs", {"top_logprobs": 3}, "logprobs", "unsupported_value"),
    ("logit bias", {"logit_bias": {"5": 1}}, "logit_bias", "unsupported_value"),
    ("five stop strings", {"stop": ["a", "b", "c", "d", "e"]}, "stop", None),
    ("empty stop string", {"stop": [""]}, "stop", None),
    ("stop of a wrong type", {"stop": {"a": 1}}, "stop", None),
    ("audio", {"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
    ("functions", {"functions": [{"name": "f"}]}, "functions", "unsupported_value"),
    ("a tool that no ask can be", {"pir": {"ask_via": "tool"}}, "pir.ask_via", "unsupported_value"),
    ("a way to ask that is none", {"pir": {"ask_via": "fax"}}, "pir.ask_via", None),
    ("a tool without a shape", {"tools": ["search"]}, "tools[0]", None),
    ("a tool choice", {"tool_choice": "required"}, "tool_choice", "unsupported_value"),
    ("an unknown format", {"response_format": {"type": "xml"}}, "response_format.type", None),
    ("stream options without a stream", {"stream_options": {"include_usage": True}}, "stream_options", None),
    ("stream of a wrong type", {"stream": "yes"}, "stream", None),
    ("metadata of a wrong type", {"metadata": {"a": 1}}, "metadata.a", None),
    ("pir of a wrong type", {"pir": []}, "pir", None),
    ("a misspelt pir key", {"pir": {"asks": "never"}}, "pir.asks", None),
    ("an unreadable policy", {"pir": {"ask": "maybe"}}, "pir.ask", None),
    ("an unknown action", {"pir": {"action": "stop"}}, "pir.action", None),
    ("an unknown session", {"pir": {"session": "pir_nowhere"}}, None, "previous_response_not_found"),
    (
        "a prompt that is too long",
        {"messages": [{"role": "user", "content": "pens " * 5000}]},
        "messages",
        "context_length_exceeded",
    ),
]


def assert_openai_error(reply: httpx.Response, status: int, param: str | None, code: str | None) -> None:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and error["message"]
    assert (error["param"], error["code"]) == (param, code)


async def test_each_mistake_has_its_own_error(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk) as client:
        for what, difference, param, code in WRONG:
            about_streams = "stream" in difference or "stream_options" in difference
            for stream in ({},) if about_streams else ({}, {"stream": True}):
                reply = await client.post(URL, json=GOOD | stream | difference)
                status = 404 if code == "model_not_found" else 400
                try:
                    assert_openai_error(reply, status, param, code)
                except AssertionError as error:
                    raise AssertionError(f"{what}: {error}") from error
                assert reply.headers["x-should-retry"] == "false"
                assert reply.headers["x-request-id"]
        missing_model = await client.post(URL, json={"messages": [USER]})
        assert_openai_error(missing_model, 400, "model", None)
    assert desk.engine.requests == [], "a wrong request reached the engine"


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"hi"', b"3", b'{"model": NaN}', b"[" * 100_000, b'{"a": "\\ud800"}'],
)
async def test_what_is_no_json_object_is_refused(make_desk: MakeDesk, raw: bytes) -> None:
    async with in_process(make_desk(sure)) as client:
        assert_openai_error(await client.post(URL, content=raw), 400, None, None)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_413(make_desk: MakeDesk, declared: bool) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 1000

    async with in_process(make_desk(sure, max_body_bytes=20_000)) as client:
        reply = await client.post(URL, content=b" " * 40_000 if declared else endless())
        assert_openai_error(reply, 413, None, "request_too_large")


async def test_wrong_methods_and_paths_are_answered_in_the_same_body(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(sure)) as client:
        reply = await client.get(URL)
        assert_openai_error(reply, 405, None, None)
        assert reply.headers["allow"] == "POST"
        assert_openai_error(await client.post("/v1/chat/completions/"), 404, None, None)
        assert_openai_error(await client.get("/v1/nothing"), 404, None, None)
        assert_openai_error(await client.get("/v1/models/gpt-9"), 404, "model", "model_not_found")


async def test_headers_are_checked_too(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(sure)) as client:
        for header in ("X-PIR-Ask", "X-PIR-Action"):
            reply = await client.post(URL, json=GOOD, headers={header: "perhaps"})
            assert_openai_error(reply, 400, header, None)
        odd = {"X-PIR-Session": "\u00e9" * 300, "X-Request-Id": "a b\u00e9", "X-PIR-Conversation": "\u00e9"}
        encoded = {name: value.encode("latin-1") for name, value in odd.items()}
        reply = await client.post(URL, json=GOOD, headers=encoded)
        assert_openai_error(reply, 400, None, "previous_response_not_found")
        assert reply.headers["x-request-id"].startswith("req_")


async def test_keys_are_needed_where_there_are_any(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(sure, api_key=("correct-horse", "battery-staple"))) as client:
        for authorization in (None, "Bearer wrong", "Basic correct-horse", "Bearer "):
            headers = {"Authorization": authorization} if authorization else {}
            refused = [
                await client.post(URL, json=GOOD, headers=headers),
                await client.get("/v1/models", headers=headers),
            ]
            for reply in refused:
                assert_openai_error(reply, 401, None, "invalid_api_key")
        for key in ("correct-horse", "battery-staple"):
            assert (await client.post(URL, json=GOOD, headers={"Authorization": f"Bearer {key}"})).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_unknown_fields_and_harmless_ones_are_accepted(make_desk: MakeDesk) -> None:
    extra = {
        "user": "u1", "metadata": {"a": "b"}, "seed": 7, "n": 1, "logprobs": False, "tools": [], "tool_choice": "none",
        "logit_bias": {}, "stop": "Zebra", "response_format": {"type": "text"}, "store": True, "service_tier": "auto",
        "parallel_tool_calls": True, "reasoning_effort": "high", "some_vendor_field": {"x": [1]}, "max_tokens": None,
        "frequency_penalty": 0, "top_k": -1, "stream": None, "modalities": ["text"],
    }  # fmt: skip
    ask_tool = {"type": "function", "function": {"name": "ask_user", "parameters": {}}}
    messages = [
        {"role": "developer", "content": "Be brief.", "name": "d"},
        {"role": "assistant", "content": "Hello, I am Tiny.", "metadata": None, "options": []},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": PROBLEM}]},
    ]
    async with in_process(make_desk(sure)) as client:
        for difference in (extra, {"tools": [ask_tool]}, {"messages": messages}):
            reply = await client.post(URL, json=GOOD | difference)
            assert reply.status_code == 200, reply.text
            assert reply.json()["choices"][0]["message"]["content"] == "The answer is 24."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(ChatBody.model_fields)
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        QUESTION,
        "</think>",
        "<asking>x</asking>",
        "</response>",
        "<|im_end|>",
        "{{ 7 }}",
        " ",
        "\x00",
        "\ufffd",
        "\U0010fffd",
    ]
)
text_parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=3)
messages_like = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", "x"])},
        optional={
            "content": TEXTS | text_parts | json_values,
            "reasoning_details": json_values,
            "tool_calls": json_values,
        },
    ),
    max_size=5,
)
pir_like = st.fixed_dictionaries(
    {},
    optional={
        "ask": json_values, "session": TEXTS, "action": st.sampled_from(["new", "resume", "x"]),
        "uncertainty": st.booleans(), "strict": st.booleans(), "conversation": TEXTS,
    },
)  # fmt: skip
bodies = st.builds(
    lambda wild, messages, pir, tame: {
        **GOOD,
        **({"messages": messages} if tame else {}),
        **({"pir": pir} if tame else {}),
        **wild,
    },
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3),
    messages_like,
    pir_like,
    st.booleans(),
)


def test_nothing_that_a_client_sends_is_a_server_error(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, max_asks=2)
    statuses: dict[int, int] = {}

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(bodies, min_size=1, max_size=4), st.booleans())
    def fuzz(batch: list[dict[str, Any]], well_formed: bool) -> None:
        async def send() -> None:
            for body in batch:
                if well_formed:
                    body["messages"] = [*body["messages"], USER] if isinstance(body["messages"], list) else [USER]
                reply = await client.post(URL, content=json.dumps(body))
                statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
                assert reply.status_code < 500, (body, reply.text)
                if reply.status_code != 200:
                    assert reply.json()["error"]["message"]
                elif "text/event-stream" in reply.headers["content-type"]:
                    assert reply.text.endswith("data: [DONE]\n\n") and '"error"' not in reply.text

        loop.run_until_complete(send())

    loop = asyncio.new_event_loop()
    try:
        running = in_process(desk)
        client = loop.run_until_complete(running.__aenter__())
        fuzz()
        loop.run_until_complete(running.__aexit__(None, None, None))
    finally:
        loop.close()
    assert statuses.get(200, 0) > 20 and statuses.get(400, 0) > 20, statuses
