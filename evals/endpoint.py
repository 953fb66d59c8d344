"""A server of models behind an OpenAI-compatible address, and one request to it: retried, timed, its failure in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import openai
from openai import AsyncOpenAI

from evals.llm import is_unreachable
from evals.runs import RunError

Server = Literal["pir", "prompted"]

_BACKOFF_S = 8.0
"""The SDK waits at most as long between two attempts."""


class LegError(Exception):
    """The server gave no usable reply, after all attempts; its text says why."""

    def __init__(self, text: str, *, is_unreachable: bool = False) -> None:
        super().__init__(text)
        self.is_unreachable = is_unreachable
        """Nobody answers at the address."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is, and how patient we are with it."""

    base_url: str
    model: str
    server: Server
    api_key: str = "none"
    timeout_s: float = 300.0
    """Of silence, for each attempt."""
    retries: int = 3
    """Attempts after the first: on 408, 409, 429, 5xx, timeouts and dropped connections."""
    listed: Mapping[str, Any] = field(default_factory=dict)
    """How the server lists the model."""

    @property
    def revision(self) -> str | None:
        """What changes with the model's weights, tokenizer and template; only our gateway tells."""
        pir = self.listed.get("pir")
        return pir.get("revision") if isinstance(pir, Mapping) else None

    def client(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=self.base_url, api_key=self.api_key, timeout=self.timeout_s, max_retries=self.retries
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is sent with each request; None leaves it to the server."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Of one reply, reasoning included."""
    seed: int | None = None
    gate: float | None = None
    """Nats of a reasoning step above which our gateway makes the model ask, where it may."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def body(self) -> dict[str, Any]:
        """What OpenAI's API has of it."""
        return {name: value for name, value in self.to_json().items() if name != "gate"}


@dataclass(frozen=True, slots=True)
class Reply:
    message: Mapping[str, Any]
    """As it came."""
    content: str
    reasoning: str
    is_cut: bool
    tokens: int
    prompt_tokens: int
    retries: int


async def request(
    client: AsyncOpenAI,
    endpoint: Endpoint,
    sampling: Sampling,
    messages: Sequence[Mapping[str, Any]],
    extra: Mapping[str, Any],
) -> Reply:
    body: dict[str, Any] = {"model": endpoint.model, "messages": list(messages), **sampling.body}
    # The SDK's timeout is for silence; a server that dribbles on for ever is caught here.
    patience_s = (endpoint.retries + 1) * (endpoint.timeout_s + _BACKOFF_S)
    try:
        async with asyncio.timeout(patience_s):
            raw = await client.chat.completions.with_raw_response.create(**body, extra_body=dict(extra))
        return _read(raw.http_response.json(), raw.retries_taken)
    except openai.APIStatusError as error:
        raise LegError(f"HTTP {error.status_code}: {_reason(error)}", is_unreachable=is_unreachable(error)) from error
    except openai.APITimeoutError as error:
        raise LegError(f"no reply within {endpoint.timeout_s:g} s") from error
    except TimeoutError as error:
        raise LegError(f"the reply did not end within {patience_s:g} s") from error
    except openai.OpenAIError as error:
        text = f"{error}: {error.__cause__ or ''}".rstrip(": ")
        raise LegError(text, is_unreachable=is_unreachable(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LegError(f"the reply is no chat completion: {type(error).__name__}: {error}") from error


def _reason(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error.message)[:500]


def _read(data: Any, retries: int) -> Reply:
    choice = data["choices"][0]
    message, usage = choice["message"], data.get("usage") or {}
    return Reply(
        message=message,
        content=_text(message.get("content")),
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        is_cut=choice.get("finish_reason") == "length",
        tokens=int(usage.get("completion_tokens") or 0),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        retries=retries,
    )


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"text was expected, not {type(value).__name__}")
    return value or ""


def probe(base_url: str, model: str | None, server: str, api_key: str) -> Endpoint:
    """The endpoint, with the model and the kind of server that are there.

    Raises:
        RunError: nothing answers, the key is refused, or there is no such model.
    """
    if server not in ("auto", *get_args(Server)):
        raise ValueError(f"no kind of server {server}; there are auto, {', '.join(get_args(Server))}")
    try:
        client = openai.OpenAI(base_url=base_url, api_key=api_key, timeout=30, max_retries=1)
        listed = {entry.id: entry.model_dump() for entry in client.models.list().data or ()}
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise RunError(f"{base_url} refuses the key; set OPENAI_API_KEY") from error
        listed = {}  # some servers do not list their models
    except (openai.OpenAIError, ValueError, AttributeError, TypeError) as error:
        raise RunError(
            f"no OpenAI-compatible server answers at {base_url} ({error}); start one with `pir serve`"
        ) from error
    if model is None and not listed:
        raise RunError(f"{base_url} lists no models; name one with --model")
    chosen = model or next(iter(listed))
    if listed and chosen not in listed:
        raise RunError(f"{base_url} has no model {chosen}; it has {', '.join(listed)}")
    is_ours = isinstance(listed.get(chosen, {}).get("pir"), dict)
    kind: Server = "prompted" if server == "prompted" or (server == "auto" and not is_ours) else "pir"
    return Endpoint(base_url, chosen, kind, api_key, listed=listed.get(chosen, {}))
