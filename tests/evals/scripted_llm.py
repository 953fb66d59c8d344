"""A small OpenAI-compatible server whose replies are written beforehand, to stand in for the model behind a simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Reply = str | web.Response | Callable[[dict[str, Any]], "str | web.Response"]


@dataclass
class ScriptedLLM:
    replies: list[Reply]
    """One per call; the last is repeated. A text is what the model writes; a function gets the request's body."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        reply = reply(body) if callable(reply) else reply
        if isinstance(reply, web.Response):
            return reply
        return web.json_response(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
            }
        )


@asynccontextmanager
async def serving(*replies: Reply) -> AsyncIterator[ScriptedLLM]:
    llm = ScriptedLLM(list(replies))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", llm.complete)
    async with TestServer(app) as server:
        llm.url = str(server.make_url("/v1"))
        yield llm
