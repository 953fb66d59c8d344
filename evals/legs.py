"""A model behind an OpenAI-compatible address, as evaluation talks to it: one request, one leg. No user, no grading.

Two manners of talking. `pir`: our gateway, whose `pir` object says what is an ask, and which resumes the reasoning by its
session. `prompted`: any other server; a system prompt says how to ask, the ask is read from the reply's text, and the
conversation is sent again as ordinary turns, so that a baseline needs nothing of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import openai
from openai import AsyncOpenAI

from evals.rows import GraderName
from pir_serve.markup import TAGS
from pir_serve.presets import BOXED_TRIGGER

Server = Literal["pir", "prompted"]

SOLVE_PROMPT = "You solve problems for the user. Reason step by step, then give the final answer."
ASK_PROMPT = (
    SOLVE_PROMPT
    + """ The user may have left something out. If you need a fact that was not given and that cannot be worked out, do \
not guess it: write <asking>one short question</asking> and stop there; the user's next message answers it. Ask only for \
what you need, one thing at a time. If nothing is missing, do not ask."""
)
"""`SOLVE_PROMPT` with the ask instruction, and without any other difference: what is compared is asking."""

_ANSWER_FORMS: dict[GraderName, str] = {"math": BOXED_TRIGGER.strip().removeprefix("Please reason step by step, and ")}
_BACKOFF_S = 8.0
"""The SDK waits at most as long between two attempts."""


class LegError(Exception):
    """The server gave no usable reply, after all attempts; its text says why."""


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
class Leg:
    """What one request brought."""

    ask: str | None
    """The question; None if the model has ended."""
    final: str
    """The visible answer; empty with an ask."""
    reasoning: str
    is_cut: bool
    """A limit of tokens ended it."""
    fault: str = ""
    """The model's own fault that ended the conversation without an answer, e.g. `unclosed_ask`."""
    format_errors: tuple[str, ...] = ()
    ended_by_cap: bool = False
    """The server would not let the model ask once more."""
    tokens: int = 0
    prompt_tokens: int = 0
    retries: int = 0
    steps: tuple[Mapping[str, Any], ...] = ()
    auto_answers: int = 0
    """Asks that the server answered in the user's place."""


class Talk(Protocol):
    """One conversation with the model; it remembers what was said."""

    async def say(self, text: str) -> Leg:
        """What the model replies to the user's `text`.

        Raises:
            LegError: no usable reply after all attempts.
        """
        ...


class GatewayTalk:
    """A conversation with our gateway; each response names the session, so that nothing is guessed or rebuilt."""

    def __init__(
        self, client: AsyncOpenAI, endpoint: Endpoint, sampling: Sampling, *, may_ask: bool, uncertainty: bool
    ) -> None:
        self._client, self._endpoint, self._sampling = client, endpoint, sampling
        self._pir: dict[str, Any] = {"ask": "auto" if may_ask else "never", "strict": True, "uncertainty": uncertainty}
        if sampling.gate is not None:
            self._pir["gate"] = sampling.gate
        self._messages: list[dict[str, Any]] = []
        self._session: str | None = None

    async def say(self, text: str) -> Leg:
        self._messages.append({"role": "user", "content": text})
        pir = self._pir | ({"session": self._session} if self._session else {"action": "new"})
        reply = await _request(self._client, self._endpoint, self._sampling, self._messages, {"pir": pir})
        said = reply.message.get("pir")
        if not isinstance(said, dict) or "status" not in said:
            raise LegError("the reply has no `pir` object: this is no PIR gateway; choose the server kind `prompted`")
        self._session = said.get("session")
        self._messages.append({"role": "assistant", "content": reply.content})
        return self._leg(reply, said)

    def _leg(self, reply: _Reply, said: Mapping[str, Any]) -> Leg:
        status, detail = said["status"], str(said.get("detail") or "")
        is_ask = status == "awaiting_user"
        errors = [str(kind) for kind in said.get("malformed") or () if status != "failed" or kind != detail]
        if not is_ask and TAGS.ask_open in reply.content:
            errors.append("ask_after_think")
        return Leg(
            ask=str(said.get("question") or reply.content) if is_ask else None,
            final="" if is_ask else reply.content,
            reasoning=reply.reasoning,
            is_cut=status == "incomplete" and detail != "max_asks",
            fault=detail or "failed" if status == "failed" else "",
            format_errors=tuple(errors),
            ended_by_cap=status == "incomplete" and detail == "max_asks",
            tokens=reply.tokens,
            prompt_tokens=reply.prompt_tokens,
            retries=reply.retries,
            steps=tuple(said.get("uncertainty") or ()),
            auto_answers=len(said.get("auto_answers") or ()),
        )


class PromptedTalk:
    """A conversation with any server: ordinary turns, the ask read from the text."""

    def __init__(
        self, client: AsyncOpenAI, endpoint: Endpoint, sampling: Sampling, *, may_ask: bool, grader: GraderName
    ) -> None:
        self._client, self._endpoint, self._sampling = client, endpoint, sampling
        self._may_ask = may_ask
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": system_prompt(grader, may_ask=may_ask)}]

    async def say(self, text: str) -> Leg:
        self._messages.append({"role": "user", "content": text})
        # A server that honours the stop string spares us what the model would make up as the user's words.
        stop = {"stop": [TAGS.ask_close]} if self._may_ask else {}
        reply = await _request(self._client, self._endpoint, self._sampling, self._messages, stop)
        leg = read_prompted(reply, may_ask=self._may_ask)
        self._messages.append({"role": "assistant", "content": self._sent_back(reply.content, leg.ask)})
        return leg

    @staticmethod
    def _sent_back(content: str, ask: str | None) -> str:
        """The assistant's turn as the model will read it: its own words up to the ask, which may stand in the reasoning."""
        if ask is None:
            return content
        before, opened, _ = content.partition(TAGS.ask_open)
        return (before if opened else "") + f"{TAGS.ask_open}{ask}{TAGS.ask_close}"


def talk(
    client: AsyncOpenAI,
    endpoint: Endpoint,
    sampling: Sampling,
    *,
    may_ask: bool,
    grader: GraderName,
    uncertainty: bool = False,
) -> Talk:
    """A conversation in the manner of the endpoint's server."""
    if endpoint.server == "prompted":
        return PromptedTalk(client, endpoint, sampling, may_ask=may_ask, grader=grader)
    return GatewayTalk(client, endpoint, sampling, may_ask=may_ask, uncertainty=uncertainty)


def system_prompt(grader: GraderName, *, may_ask: bool) -> str:
    """What a `prompted` server is told; with `may_ask` off it differs by the ask instruction alone."""
    form = _ANSWER_FORMS.get(grader, "")
    prompt = ASK_PROMPT if may_ask else SOLVE_PROMPT
    return f"{prompt} {form[:1].upper()}{form[1:]}" if form else prompt


def read_prompted(reply: _Reply, *, may_ask: bool) -> Leg:
    """A plain reply's text as a leg: the first ask in it, or the answer after the think block."""
    inside_reasoning = TAGS.ask_open in reply.reasoning and TAGS.ask_open not in reply.content
    text = reply.reasoning if inside_reasoning else reply.content
    errors = ["response_by_model"] if TAGS.response_open in text or TAGS.response_close in text else []
    before, opened, rest = text.partition(TAGS.ask_open)
    ask, closed, after = rest.partition(TAGS.ask_close)
    fault, is_ask = "", bool(opened) and may_ask
    if is_ask:
        if TAGS.think_close in before:
            errors.append("ask_after_think")
        if TAGS.ask_open in after:
            errors.append("two_asks")
        if TAGS.ask_open in ask:
            errors.append("nested_ask")
            ask = ask.replace(TAGS.ask_open, "")
        # Without its closing tag it is an ask only if the server stopped at that tag, which it then leaves out.
        if not closed and (reply.is_cut or not ask.strip()):
            fault = "unclosed_ask"
        elif not ask.strip():
            fault = "empty_ask"
    elif opened:
        errors.append("ask_when_not_allowed")
    elif TAGS.ask_close in text:
        errors.append("unopened_ask_close")
    thought, think_closed, answer = text.rpartition(TAGS.think_close)
    if not is_ask and TAGS.think_open in text and not think_closed:
        fault, thought, answer = "" if reply.is_cut else "missing_think_close", text, ""
    is_ask = is_ask and not fault
    return Leg(
        ask=ask.strip() if is_ask else None,
        final="" if is_ask or fault else answer.strip(),
        reasoning=(before if is_ask else reply.reasoning or thought).removeprefix(TAGS.think_open).strip(),
        is_cut=reply.is_cut and not is_ask and fault != "unclosed_ask",
        fault=fault,
        format_errors=tuple(errors),
        tokens=reply.tokens,
        prompt_tokens=reply.prompt_tokens,
        retries=reply.retries,
    )


@dataclass(frozen=True, slots=True)
class _Reply:
    message: Mapping[str, Any]
    content: str
    reasoning: str
    is_cut: bool
    tokens: int
    prompt_tokens: int
    retries: int


async def _request(
    client: AsyncOpenAI,
    endpoint: Endpoint,
    sampling: Sampling,
    messages: Sequence[Mapping[str, Any]],
    extra: Mapping[str, Any],
) -> _Reply:
    body: dict[str, Any] = {"model": endpoint.model, "messages": list(messages), **sampling.body}
    # The SDK's timeout is for silence; a server that dribbles on for ever is caught here.
    patience_s = (endpoint.retries + 1) * (endpoint.timeout_s + _BACKOFF_S)
    try:
        async with asyncio.timeout(patience_s):
            raw = await client.chat.completions.with_raw_response.create(**body, extra_body=dict(extra))
        return _read(raw.http_response.json(), raw.retries_taken)
    except openai.APIStatusError as error:
        raise LegError(f"HTTP {error.status_code}: {_reason(error)}") from error
    except openai.APITimeoutError as error:
        raise LegError(f"no reply within {endpoint.timeout_s:g} s") from error
    except TimeoutError as error:
        raise LegError(f"the reply did not end within {patience_s:g} s") from error
    except openai.OpenAIError as error:
        raise LegError(f"{error}: {error.__cause__ or ''}".rstrip(": ")) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LegError(f"the reply is no chat completion: {type(error).__name__}: {error}") from error


def _reason(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error.message)[:500]


def _read(data: Any, retries: int) -> _Reply:
    choice = data["choices"][0]
    message, usage = choice["message"], data.get("usage") or {}
    return _Reply(
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
