"""langchain-openai's ChatOpenAI: messages are its own objects; streamed chunks are added up. `chat` is Chat Completions,
`responses` the Responses API with the whole conversation, `previous` the same with the id of the response before;
`tool`: the model is given a question tool."""

from __future__ import annotations

import sys
from functools import reduce
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from player import play

BASE_URL, MODEL, API, *REST = sys.argv[1:]
OPTIONS: dict[str, Any] = {
    "chat": {},
    "responses": {"use_responses_api": True},
    "previous": {"use_responses_api": True, "use_previous_response_id": True},
}[API]


@tool
def ask_user(question: str) -> str:
    """Ask the user."""
    raise NotImplementedError("its calls are answered by the user")


plain = ChatOpenAI(base_url=BASE_URL, model=MODEL, **OPTIONS)
llm = plain.bind_tools([ask_user]) if REST else plain


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    if len(messages) > 1 and isinstance(messages[-2], AIMessage) and messages[-2].tool_calls:
        messages[-1] = ToolMessage(messages[-1].content, tool_call_id=messages[-2].tool_calls[0]["id"])
    if stream:
        message: Any = reduce(lambda a, b: a + b, [chunk async for chunk in llm.astream(messages)])
    else:
        message = await llm.ainvoke(messages)
    text = message.tool_calls[0]["args"]["question"] if message.tool_calls else message.text
    return [message], str(text)


play(say, HumanMessage)
