"""LiteLLM's proxy before the gateway: what it keeps of a reply and a request, and what it drops."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from tests.clients.conftest import Front, Proxy
from tests.serve.brains import PROBLEM, QUESTION

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]
MESSAGES: Any = [{"role": "user", "content": f"{PROBLEM} (LiteLLM)"}]


@pytest.fixture
def client(litellm: Proxy, front: Front) -> OpenAI:
    front.recorder.take()
    return OpenAI(base_url=litellm.url, api_key=litellm.key)


def test_a_whole_reply_keeps_our_fields_in_a_field_of_the_proxys_own(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="scripted", messages=MESSAGES)
    message: Any = raw.parse().choices[0].message
    moved = message.provider_specific_fields
    assert message.content == QUESTION and message.reasoning_content
    assert moved["pir"]["status"] == "awaiting_user" and moved["reasoning_details"]
    assert "pir" not in message.model_extra and "reasoning_details" not in message.model_extra
    assert raw.headers["llm_provider-x-pir-status"] == "awaiting_user"
    assert raw.headers["llm_provider-x-pir-session"] == moved["pir"]["session"]


def test_a_stream_keeps_the_text_and_the_reasoning_alone(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="scripted", messages=MESSAGES, stream=True)
    deltas: list[Any] = [chunk.choices[0].delta.model_dump(exclude_none=True) for chunk in stream if chunk.choices]
    assert "".join(delta.get("content", "") for delta in deltas) == QUESTION
    assert any(delta.get("reasoning_content") for delta in deltas)
    assert not any("pir" in str(delta) for delta in deltas)


@pytest.mark.parametrize("stream", [False, True])
def test_the_responses_api_keeps_all(client: OpenAI, stream: bool) -> None:
    reply: Any = client.responses.create(model="scripted", input=MESSAGES, stream=stream)
    if stream:
        reply = list(reply)[-1].response
    assert reply.output_text == QUESTION and reply.pir["status"] == "awaiting_user"
    assert reply.metadata["pir_status"] == "awaiting_user" and reply.output[0].encrypted_content


def test_a_chats_id_reaches_the_gateway_in_the_body_and_where_headers_are_forwarded(
    client: OpenAI, front: Front
) -> None:
    """All its users are one tenant: only such an id tells two with the same words apart."""
    messages: Any = [{"role": "user", "content": f"{PROBLEM} (ids of chats)"}]
    asked = client.chat.completions.create(
        model="scripted", messages=messages, extra_body={"pir": {"conversation": "ann"}}
    )
    answer = [*messages, {"role": "assistant", "content": asked.choices[0].message.content}]
    answer.append({"role": "user", "content": "4 dollars"})
    front.recorder.take()
    for name, how in (("bob", "rebuilt"), ("ann", "hash")):
        carriers: tuple[Any, ...] = (
            {"extra_body": {"pir": {"conversation": name}}},
            {"extra_headers": {"X-PIR-Conversation": name}},
        )
        for carrier in carriers:
            client.chat.completions.create(model="scripted", messages=answer, **carrier)
            (exchange,) = front.recorder.take()
            assert exchange.resume == how, (name, carrier)


def test_a_wrong_request_is_refused_in_the_gateways_words(client: OpenAI) -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError, match="sesion"):
        client.chat.completions.create(model="scripted", messages=MESSAGES, extra_body={"pir": {"sesion": "x"}})
