"""openai-agents with its Chat Completions model: history is the run's input list."""

from __future__ import annotations

import sys
from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI
from player import play

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=sys.argv[1], api_key="unused")
agent = Agent(name="solver", model=OpenAIChatCompletionsModel(model=sys.argv[2], openai_client=client))


async def say(messages: list[Any], stream: bool) -> tuple[list[Any], str]:
    if stream:
        result: Any = Runner.run_streamed(agent, messages)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, messages)
    return result.to_input_list()[len(messages) :], str(result.final_output)


play(say, lambda text: {"role": "user", "content": text})
