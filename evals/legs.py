"""A model behind an OpenAI-compatible address, as evaluation talks to it: one request, one leg. No user, no grading.

Two manners of talking. `pir`: our gateway, whose `pir` object says what is an ask, and which resumes the reasoning by its
session. `prompted`: any other server; a system prompt says how to ask, the ask is read from the reply's text, and the
conversation is sent again as ordinary turns, so that a baseline needs nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from openai import AsyncOpenAI

from evals.endpoint import Endpoint, LegError, Reply, Sampling, request
from evals.rows import GraderName
from pir_serve.markup import TAGS
from pir_serve.presets import BOXED_TRIGGER

SOLVE_PROMPT = "You solve problems for the user. Reason step by step, then give the final answer."
ASK_PROMPT = (
    SOLVE_PROMPT
    + """ The user may have left something out. If you need a fact that was not given and that cannot be worked out, do \
not guess it: write <asking>one short question</asking> and stop there; the user's next message answers it. Ask only for \
what you need, one thing at a time. If nothing is missing, do not ask."""
)
"""`SOLVE_PROMPT` with the ask instruction, and without any other difference: what is compared is asking."""

_ANSWER_FORMS: dict[GraderName, str] = {"math": BOXED_TRIGGER.strip().removeprefix("Please reason step by step, and ")}


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
        reply = await request(self._client, self._endpoint, self._sampling, self._messages, {"pir": pir})
        said = reply.message.get("pir")
        if not isinstance(said, dict) or "status" not in said:
            raise LegError("the reply has no `pir` object: this is no PIR gateway; choose the server kind `prompted`")
        self._session = said.get("session")
        self._messages.append({"role": "assistant", "content": reply.content})
        return self._leg(reply, said)

    def _leg(self, reply: Reply, said: Mapping[str, Any]) -> Leg:
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
        reply = await request(self._client, self._endpoint, self._sampling, self._messages, stop)
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


def read_prompted(reply: Reply, *, may_ask: bool) -> Leg:
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
