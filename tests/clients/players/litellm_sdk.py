"""litellm.acompletion with an `openai/` model: its message object is appended; streams are put together by its own
builder."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from player import play

OPTIONS: dict[str, Any] = {"model": f"openai/{sys.argv[2]}", "api_base": sys.argv[1], "api_key": "unused"}


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    if stream:
        chunks = [chunk async for chunk in await litellm.acompletion(messages=messages, stream=True, **OPTIONS)]
        reply = litellm.stream_chunk_builder(chunks, messages=messages)
    else:
        reply = await litellm.acompletion(messages=messages, **OPTIONS)
    message = reply.choices[0].message
    return [message], message.content


play(say, lambda text: {"role": "user", "content": text})
