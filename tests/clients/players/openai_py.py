"""The OpenAI Python SDK. `object`: the message object is appended; `dict`: a hand-built one; `async`: the asynchronous
client; `helper`: `.stream()` collects the stream."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from openai import AsyncOpenAI, OpenAI
from player import play

BASE_URL, MODEL, HOW = sys.argv[1:4]
sync = OpenAI(base_url=BASE_URL)
client = AsyncOpenAI(base_url=BASE_URL)


def by_hand(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def whole(messages: list[Any]) -> Any:
    return sync.chat.completions.create(model=MODEL, messages=messages).choices[0].message


def streamed(messages: list[Any]) -> str:
    stream = sync.chat.completions.create(model=MODEL, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def helped(messages: list[Any]) -> Any:
    with sync.chat.completions.stream(model=MODEL, messages=messages) as stream:
        for event in stream:
            assert event.type != "error"
        return stream.get_final_completion().choices[0].message


async def asynchronous(messages: list[Any], stream: bool) -> str:
    if not stream:
        reply = await client.chat.completions.create(model=MODEL, messages=messages)
        return reply.choices[0].message.content or ""
    chunks = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    if HOW == "async":
        text = await asynchronous(messages, stream)
        return [by_hand(text)], text
    if stream and HOW != "helper":
        text = await asyncio.to_thread(streamed, messages)
        return [by_hand(text)], text
    message = await asyncio.to_thread(helped if stream else whole, messages)
    return [by_hand(message.content) if HOW == "dict" else message], message.content


play(say, lambda text: {"role": "user", "content": text})
