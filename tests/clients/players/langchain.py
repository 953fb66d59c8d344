"""langchain-openai's ChatOpenAI: messages are its own objects; streamed chunks are added up."""

from __future__ import annotations

import sys
from functools import reduce
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from player import play

llm = ChatOpenAI(base_url=sys.argv[1], model=sys.argv[2], api_key="unused")


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    if stream:
        message = reduce(lambda a, b: a + b, [chunk async for chunk in llm.astream(messages)])
    else:
        message = await llm.ainvoke(messages)
    return [message], str(message.content)


play(say, HumanMessage)
