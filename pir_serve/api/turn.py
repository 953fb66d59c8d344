"""One request between the wire and the loop: which trajectory it begins or resumes, and how a question is put away.

The surfaces (chat now, others later) differ in shapes only; what is decided here is the same for all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.api.request import ChatRequest, sampling
from pir_serve.errors import RequestError, StoreError, SuspensionNotFound
from pir_serve.loop import RunParams
from pir_serve.policy import AskPolicy, choose
from pir_serve.prompt import Message
from pir_serve.resume import Lookup, Resumption, find, was_asked
from pir_serve.store.base import Suspension
from pir_serve.trajectory import Author, Segment, Trajectory

logger = logging.getLogger(__name__)

How = Literal["exact", "sealed", "hash", "heuristic", "rebuilt", "new"]
_SCOPE_HEADERS = ("x-pir-conversation", "x-openwebui-chat-id")
"""Where clients name their chat: our own header, and the one that Open WebUI sends when told to forward user info."""


_LONG_PROMPT_CHARS = 20_000
"""About 10 ms of encoding."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that is ready to run."""

    chat: ChatRequest
    served: ServedModel
    trajectory: Trajectory
    params: RunParams
    how: How
    """How the trajectory was found, for `X-PIR-Resume`."""
    scope: str
    parent: str | None
    """The suspension that it resumes."""
    options: dict[str, Any]
    """What the run goes by, for those who resume it."""

    @property
    def model(self) -> str:
        """As the client wrote it."""
        return self.chat.model

    @property
    def include_usage(self) -> bool:
        return self.chat.include_usage


@dataclass(frozen=True, slots=True)
class Suspended:
    """A question on its way to the user."""

    question: str
    suspension: Suspension
    handle: str
    stored: bool
    """False when the store was out of order: the reply will be answered from the visible text."""

    @property
    def sid(self) -> str:
        return self.suspension.sid

    def describe(self) -> dict[str, Any]:
        out: dict[str, Any] = {"session": self.sid, "question": self.question}
        out["expires_at"] = int(self.suspension.expires)
        return out if self.stored else {**out, "stored": False}


async def prepare(
    gateway: Gateway, chat: ChatRequest, *, tenant: str, request_id: str, headers: Mapping[str, str]
) -> Turn:
    """Find or begin the trajectory of a request.

    Raises:
        UnknownModel, RequestError: the request cannot be served as it is.
        SuspensionNotFound: the session it names is gone, and rebuilding is not wanted or has nothing to build from.
        StoreError: it names a session, and the store cannot be asked.
    """
    served, alias_never = gateway.served(chat.model)
    _check_max_tokens(chat, served)
    scope = chat.pir.conversation or next((headers[h] for h in _SCOPE_HEADERS if headers.get(h)), "")[:256]
    action = chat.pir.action or headers.get("x-pir-action", "").strip().lower()
    if action not in ("", "new", "resume"):
        raise RequestError("X-PIR-Action must be new or resume", param="X-PIR-Action")
    sid = chat.pir.session or headers.get("x-pir-session", "").strip() or None
    found: Resumption | None = None
    lost = False
    if action != "new":
        found, lost = await _find(gateway, chat, served, tenant=tenant, scope=scope, sid=sid)
    stored = found.suspension.request if found else {}
    policy = choose(
        gateway.default_policy,
        body=chat.pir.ask,
        header=headers.get("x-pir-ask"),
        alias_never=alias_never,
        forced_never=chat.never_ask,
        suspended=AskPolicy.parse(stored["ask"]) if "ask" in stored else None,
    )
    options = {**served.options, **stored, **chat.options, "ask": str(policy)}
    if found is not None:
        response = served.codec.encode_response(found.response_text)
        trajectory = found.suspension.trajectory.respond(found.response_text, response, by=Author.USER)
    else:
        session = f"s_{secrets.token_urlsafe(16)}"
        trajectory = Trajectory(session, served.name, await _encoded(served, chat.prompt_messages))
    params = RunParams(
        policy=policy if policy.max_asks is not None else AskPolicy(served.codec.preset.max_asks),
        sampling=sampling(options),
        max_tokens=options.get("max_tokens"),
        stop=tuple(options.get("stop", ())),
        uncertainty=chat.pir.uncertainty,
        max_asks=gateway.settings.max_asks,
        auto_response=gateway.settings.auto_response,
        request_id=request_id,
        tenant=tenant,
    )
    how: How = found.how if found else "rebuilt" if lost else "new"
    parent = found.suspension.sid if found else None
    return Turn(chat, served, trajectory, params, how=how, scope=scope, parent=parent, options=options)


async def _encoded(served: ServedModel, messages: list[Message]) -> tuple[Segment, ...]:
    """The prompt's segments; a long one is encoded in a thread, as it would hold up everybody else's stream."""
    if sum(len(m.content) for m in messages) < _LONG_PROMPT_CHARS:
        return served.codec.encode_prompt(messages)
    return await asyncio.to_thread(served.codec.encode_prompt, messages)


async def suspend(gateway: Gateway, turn: Turn, trajectory: Trajectory) -> Suspended:
    """Put a question away; it is durable when this returns. A store that is out of order does not lose the reply."""
    assert trajectory.pending is not None
    question = trajectory.pending.text
    messages = [(m.role, m.content) for m in turn.chat.messages]
    keys = gateway.keys.for_suspension(messages, question)
    now = time.time()
    suspension = Suspension(
        sid=f"pir_{secrets.token_urlsafe(18)}",
        tenant=turn.params.tenant,
        scope=turn.scope,
        model=turn.served.name,
        digest=turn.served.digest,
        trajectory=trajectory,
        request=turn.options,
        transcript_key=keys.transcript_key,
        question_key=keys.question_key,
        message_keys=keys.message_keys,
        system_key=keys.system_key,
        parent=turn.parent,
        created=now,
        expires=now + gateway.settings.ttl_s,
    )
    handle = gateway.sealer.seal(
        suspension.sid,
        tenant=suspension.tenant,
        digest=suspension.digest,
        transcript_key=suspension.transcript_key,
        expires=suspension.expires,
    )
    try:
        await gateway.store.put(suspension)
    except StoreError as error:
        logger.error("%s: the question could not be stored: %s", turn.params.request_id, error)
        return Suspended(question, suspension, handle, stored=False)
    return Suspended(question, suspension, handle, stored=True)


async def _find(
    gateway: Gateway, chat: ChatRequest, served: ServedModel, *, tenant: str, scope: str, sid: str | None
) -> tuple[Resumption | None, bool]:
    """The suspension, and whether the request was meant to resume one that is gone."""
    lookup = Lookup(
        tenant=tenant,
        digest=served.digest,
        messages=[(m.role, m.content) for m in chat.messages],
        model=served.name,
        scope=scope,
        explicit_sid=sid,
        sealed=chat.sealed,
    )
    strict = gateway.settings.strict_resume if chat.pir.strict is None else chat.pir.strict
    has_history = any(m.role == "assistant" for m in chat.messages)
    try:
        found = await find(lookup, gateway.store, gateway.keys, gateway.sealer)
    except SuspensionNotFound:
        if strict or not has_history:  # the answer alone is no conversation to build from
            raise
        return None, True
    except StoreError as error:
        if sid is not None:
            raise
        logger.warning("no suspension could be looked up: %s", error)
        found = None
    if found is not None:
        return found, False
    lost = _answers_a_question(gateway, chat, lookup)
    if lost and strict:
        raise SuspensionNotFound("the reasoning that asked this question is gone; start anew", param="messages")
    return None, lost


def _answers_a_question(gateway: Gateway, chat: ChatRequest, lookup: Lookup) -> bool:
    """Whether the user seems to respond to an ask of ours that is gone: provably so, or the last reply was a
    question."""
    if was_asked(lookup, gateway.keys, gateway.sealer):
        return True
    last = next((m.content for m in reversed(chat.messages) if m.role == "assistant"), "")
    return last.rstrip().endswith(("?", "？"))


def _check_max_tokens(chat: ChatRequest, served: ServedModel) -> None:
    wanted, limit = chat.options.get("max_tokens"), served.engine.max_model_len
    if wanted is not None and wanted > limit:
        raise RequestError(
            f"max_tokens is {wanted}; this model reads and writes {limit} tokens in all", param="max_tokens"
        )
