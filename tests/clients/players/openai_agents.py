"""openai-agents: `chat` (its Chat Completions model) or `responses`, history being the run's input list, or `previous`,
where each run names the response before it; `tool`: the agent has a question tool, at which it stops."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    StopAtTools,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from player import play

BASE_URL, MODEL, API, *REST = sys.argv[1:]
set_tracing_disabled(True)
client = AsyncOpenAI(base_url=BASE_URL)


@function_tool
def ask_user(question: str) -> str:
    """Ask the user."""
    return question  # the user is told when the run has stopped, and answers with the next run


tools: dict[str, Any] = {"tools": [ask_user], "tool_use_behavior": StopAtTools(stop_at_tool_names=["ask_user"])}
model_class = OpenAIChatCompletionsModel if API == "chat" else OpenAIResponsesModel
agent = Agent(name="solver", model=model_class(model=MODEL, openai_client=client), **(tools if REST else {}))


class Chained(NamedTuple):
    """A reply that the gateway keeps."""

    response_id: str
    call: dict[str, Any] | None


def said(messages: list[Any]) -> tuple[list[Any], str | None]:
    """What is to be sent, and the response that it follows. The last message becomes the output of a call that is
    open."""
    start, call, previous = 0, None, None
    for k, item in enumerate(messages[:-1]):
        if isinstance(item, Chained):
            start, call, previous = k + 1, item.call, item.response_id
        else:
            call = item if item.get("type") == "function_call" else None
    if call:
        output = messages[-1]["content"]
        messages[-1] = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    return messages[start:], previous


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    items, previous = said(messages)
    if stream:
        result: Any = Runner.run_streamed(agent, items, previous_response_id=previous)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, items, previous_response_id=previous)
    added = result.to_input_list()[len(items) :]
    if added[-1].get("type") == "function_call_output":
        added.pop()  # the tool's own, which is the question
    if API == "previous":
        call = added[-1] if added[-1].get("type") == "function_call" else None
        added = [Chained(result.last_response_id, call)]
    return added, str(result.final_output)


play(say, lambda text: {"role": "user", "content": text})
