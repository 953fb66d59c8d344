"""The gateway's public HTTP API seen from outside, through the OpenAI SDK. One `Gateway` is one API key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, AsyncStream, omit
from openai.types.chat import ChatCompletionChunk

_SILENCE_S = 60.0
"""A gateway that generates says something every ten seconds."""
_KEPT_WITHIN_S = 2.0
"""What has ended is kept a moment after its reply has left."""


class GatewayError(Exception):
    """What the gateway says is wrong, in words for the person at the page."""


class GatewayAway(GatewayError):
    """Nothing answers there, or the reply broke off."""


class NotThere(GatewayError):
    """It keeps nothing under that id."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may set; None leaves it to the gateway."""

    model: str
    ask: str | int | None = None
    """`auto`, `never`, or the most questions that reach the user."""
    temperature: float | None = None

    def pir(self) -> dict[str, Any]:
        return {"uncertainty": True} | ({} if self.ask is None else {"ask": self.ask})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed reply; each field is empty where the part has none."""

    reasoning: str = ""
    content: str = ""
    pir: Mapping[str, Any] | None = None
    tokens: int | None = None
    """Written in this request: it comes last."""


class Gateway:
    """Every method raises GatewayError, or GatewayAway where nothing answers."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        """`base_url` with or without `/v1`."""
        root = base_url.rstrip("/").removesuffix("/v1")
        self.url = root
        self._client = AsyncOpenAI(base_url=f"{root}/v1", api_key=api_key or "none", timeout=_SILENCE_S, max_retries=0)

    async def models(self) -> list[str]:
        """Names of models that may ask."""
        listed = await self._get("models")
        return [str(model["id"]) for model in listed["data"] if not str(model["id"]).endswith(":no-ask")]

    async def examples(self, model: str) -> list[Any]:
        """Problems that came with the model, each in the model's own shape."""
        return list((await self._get("pir/examples", model=model))["data"])

    async def sessions(
        self, *, status: str | None = None, search: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> dict[str, Any]:
        """A page of sessions, newest first: `data`, `has_more`, `next_cursor`."""
        return await self._get("pir/sessions", status=status, search=search or None, cursor=cursor, limit=limit)

    async def session(self, session: str) -> dict[str, Any]:
        """A session and its nodes as a tree."""
        return await self._get(f"pir/sessions/{quote(session, safe='')}", limit=100)

    async def rename(self, session: str, title: str) -> None:
        """An empty title gives back the one that it has by itself."""
        async with _in_words():
            await self._client.patch(_path(session), cast_to=object, body={"title": title})

    async def delete(self, session: str) -> None:
        async with _in_words():
            await self._client.delete(_path(session), cast_to=object)

    async def begin(self, messages: Sequence[Mapping[str, str]], options: Options) -> AsyncIterator[Piece]:
        """A new reasoning about the last of `messages` (`role`, `content`)."""
        async with _in_words():
            stream = await self._client.chat.completions.create(
                model=options.model,
                messages=cast(Any, list(messages)),
                temperature=omit if options.temperature is None else options.temperature,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"pir": {**options.pir(), "action": "new"}},
            )
            async for piece in _pieces(stream):
                yield piece

    async def resume(self, node: str, response: str | None, options: Options) -> AsyncIterator[Piece]:
        """Go on behind the question of `node`. Without a response the model is told to use its best judgment."""
        said = {"action": "decline"} if response is None else {"response": response}
        body: dict[str, Any] = {
            **said,
            "model": options.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "pir": options.pir(),
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        async with _in_words():
            stream = await self._client.post(
                f"{_path(node)}/resume",
                cast_to=ChatCompletionChunk,
                body=body,
                stream=True,
                stream_cls=AsyncStream[ChatCompletionChunk],
            )
            async for piece in _pieces(stream):
                yield piece

    async def kept(self, node: str) -> dict[str, Any] | None:
        """The whole session of a node that a reply has just named; None if nothing is kept of it."""
        until = time.monotonic() + _KEPT_WITHIN_S
        while True:
            try:
                return await self.session(str((await self.session(node))["id"]))
            except NotThere:
                if time.monotonic() > until:
                    return None
            await asyncio.sleep(0.1)

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        async with _in_words():
            reply = await self._client.get(f"/{path}", cast_to=object, options={"params": given})
            if not isinstance(reply, dict):
                raise GatewayError(f"what answers at {self.url} is no PIR gateway")
            return reply


def _path(session: str) -> str:
    return f"/pir/sessions/{quote(session, safe='')}"


async def _pieces(stream: AsyncStream[ChatCompletionChunk]) -> AsyncIterator[Piece]:
    async with stream:
        async for chunk in stream:
            if chunk.usage:
                yield Piece(tokens=chunk.usage.completion_tokens)
            for choice in chunk.choices:
                extra = choice.delta.model_extra or {}
                reasoning = extra.get("reasoning_content") or extra.get("reasoning") or ""
                piece = Piece(reasoning, choice.delta.content or "", extra.get("pir"))
                if piece != Piece():
                    yield piece


@asynccontextmanager
async def _in_words() -> AsyncIterator[None]:
    try:
        yield
    except APIConnectionError:
        raise GatewayAway("The gateway does not answer.") from None
    except APIStatusError as error:
        body = error.body
        said = body.get("message") if isinstance(body, dict) else None
        kind = {404: NotThere, 503: GatewayAway}.get(error.status_code, GatewayError)
        raise kind(f"The gateway refused: {said or error.message}") from None
    except APIError as error:  # the stream broke off
        raise GatewayAway(f"The reply broke off: {error.message}") from None
    except (OSError, EOFError) as error:
        raise GatewayAway(f"The reply broke off: {type(error).__name__}") from None
