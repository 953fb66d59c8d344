"""Which suspension a request continues, and how it was found.

Clients of the plain chat API send text and hardly anything else, so the visible conversation itself has to lead back to
the hidden reasoning. First hit wins: an id the client names, a tool call id, sealed state it echoes, the keyed hash of
the whole visible transcript, the question alone where the rest of the history agrees. Only ever within one tenant, for
one model. This module finds; whether a miss starts afresh or is refused is the caller's policy.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pir_serve.errors import RequestError, SuspensionNotFound
from pir_serve.store.base import Store, Suspension
from pir_serve.store.sealed import Claims, Sealer
from pir_serve.store.state import open_suspension
from pir_serve.trajectory import Status
from pir_serve.transcript import Keys, SuspensionKeys, Turn, Visible, visible

__all__ = ["Keys", "Lookup", "Resumption", "SuspensionKeys", "find", "was_asked"]

logger = logging.getLogger(__name__)

How = Literal["exact", "sealed", "hash", "heuristic"]
CALL_PREFIX = "call_pir_"
"""A tool call that asks has the id `call_<sid>`, and a sid begins with `pir_`."""
_CANDIDATES = 32


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a request tells about the suspension it may continue."""

    tenant: str
    digest: str
    """Of the model it is for; a suspension of another is never resumed."""
    messages: Sequence[Turn]
    """The whole visible conversation, the response last."""
    model: str = ""
    """Its name, for messages to people."""
    scope: str = ""
    system: str = ""
    """System text that is not among the messages."""
    explicit_sid: str | None = None
    tool_call_id: str | None = None
    sealed: Sequence[str] = ()
    """Sealed states echoed by the client, newest first: handles, or whole suspensions."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """The suspension to continue, and with what."""

    suspension: Suspension
    how: How
    response_text: str
    """What the user said after the question, as it was written."""


async def find(lookup: Lookup, store: Store, keys: Keys, sealer: Sealer) -> Resumption | None:
    """The suspension that the last message responds to, or None: the request begins something new.

    Raises:
        SuspensionNotFound: the client named an id that this tenant has not, or not any more, or for another model.
        RequestError: it named an id, and no message of the user to go on with.
        StoreError: the store cannot be used.
    """
    request = _Request.of(lookup, keys)
    if lookup.explicit_sid is not None:
        if not request.replies:
            raise RequestError("to resume, the last message must be the user's response", param="messages")
        suspension = await _by_id(lookup, store)
        return Resumption(suspension, "exact", request.response_to(suspension))
    if not request.replies:
        return None
    for how, rung in _RUNGS:
        if found := await rung(request, store, sealer):
            return Resumption(found, how, request.response_to(found))
    return None


def was_asked(lookup: Lookup, keys: Keys, sealer: Sealer) -> bool:
    """Whether the last message demonstrably responds to a question of ours: if `find` has missed it, it is lost.

    Only what the client echoes can prove that (our call id, or a handle, expired or not, for exactly this visible
    conversation), so False means "not known": such a request is rebuilt from its visible text all the same.
    """
    if (lookup.tool_call_id or "").startswith(CALL_PREFIX):
        return True
    request = _Request.of(lookup, keys)
    claims = request.claims(sealer, even_expired=True)
    return request.question is not None and any(c.transcript_key == request.transcript_key for c in claims)


@dataclass(frozen=True, slots=True)
class _Request:
    """A lookup, taken apart around the question that it may answer: the last message of the assistant."""

    lookup: Lookup
    keys: Keys
    before: Sequence[Visible]
    before_keys: Sequence[str]
    question: str | None
    replies: Sequence[Visible]
    """What follows the question: several messages where a first attempt at responding failed."""
    transcript_key: str
    system_key: str

    @classmethod
    def of(cls, lookup: Lookup, keys: Keys) -> _Request:
        turns = visible(lookup.messages)
        asked = max((k for k, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
        return cls(
            lookup=lookup,
            keys=keys,
            before=turns[: max(asked, 0)],
            before_keys=keys.messages(turns[: max(asked, 0)]),
            question=turns[asked].text if asked >= 0 else None,
            replies=turns[asked + 1 :],
            transcript_key=keys.transcript(turns[: asked + 1]),
            system_key=keys.system(lookup.messages, lookup.system),
        )

    def response_to(self, suspension: Suspension) -> str:
        """All that was said since its question, or the last message where the question is not in sight."""
        asked_here = self.question is not None and self.keys.question(self.question) == suspension.question_key
        return "\n\n".join(turn.text for turn in (self.replies if asked_here else self.replies[-1:]))

    def claims(self, sealer: Sealer, *, even_expired: bool = False) -> list[Claims]:
        """Of the newest sealed states; a long conversation echoes many, of which the first is the likely one."""
        tenant, digest = self.lookup.tenant, self.lookup.digest
        found = []
        for sealed in self.lookup.sealed[:_CANDIDATES]:
            claims = sealer.open(sealed, tenant=tenant, digest=digest, even_expired=even_expired)
            if claims is None:
                state = sealer.open_state(sealed, tenant=tenant, digest=digest, even_expired=even_expired)
                claims = state and state.claims
            if claims is not None:
                found.append(claims)
        return found

    def fits(self, suspension: Suspension) -> bool:
        """Whether it may be resumed from here at all: the same model, and no sign of another conversation.

        Equal visible text is not enough: behind one front end's key, another user's system text (with what it
        remembers of them) makes another conversation. Some front ends send the system text on the first turn only.
        """
        if suspension.digest != self.lookup.digest:
            return False
        if self.lookup.scope and suspension.scope:
            return suspension.scope == self.lookup.scope
        return self.system_key in ("", suspension.system_key)

    def agrees(self, suspension: Suspension) -> bool:
        """Whether the history before the question can be the suspension's, its beginning dropped or its last message
        unwrapped.

        Front ends truncate from the front; and those that wrap the last user message in retrieved text send it bare
        on the next turn, where it is a run of lines of the wrapped one. A message that was never there is an edit.
        """
        ours, theirs = self.before_keys, _message_keys(suspension)
        if not ours:
            return True
        if len(ours) > len(theirs) or list(ours[:-1]) != theirs[len(theirs) - len(ours) : -1]:
            return False
        lines = [key[1:] for key in suspension.message_keys if key.startswith("~")]
        return ours[-1] == theirs[-1] or _has_run(lines, self.keys.lines(self.before))


async def _by_id(lookup: Lookup, store: Store) -> Suspension:
    sid = lookup.explicit_sid or ""
    suspension = await store.get(lookup.tenant, sid)
    if suspension is None:
        raise SuspensionNotFound(
            f"no question waits under {sid[:80]!r}: it has expired or was never asked; "
            "leave the id out and send the whole conversation to go on from its text"
        )
    if suspension.digest != lookup.digest:
        raise SuspensionNotFound(
            f"{sid[:80]!r} was asked by {suspension.model}, whose reasoning {lookup.model or 'this model'} cannot "
            "continue; ask the same model, as it was then"
        )
    return suspension


async def _by_call(request: _Request, store: Store, _: Sealer) -> Suspension | None:
    call = request.lookup.tool_call_id or ""
    if not call.startswith(CALL_PREFIX):
        return None
    suspension = await store.get(request.lookup.tenant, call.removeprefix("call_"))
    return suspension if suspension is not None and _waits_for(request, suspension) else None


async def _by_seal(request: _Request, store: Store, sealer: Sealer) -> Suspension | None:
    """The state proves that this client was asked; the history must still be the one it was asked in."""
    if request.question is None:
        return None
    for sealed in request.lookup.sealed[:_CANDIDATES]:
        suspension = await _unsealed(request, sealed, store, sealer)
        if suspension is None or not _waits_for(request, suspension):
            continue
        if suspension.transcript_key == request.transcript_key:
            return suspension
        if suspension.question_key == request.keys.question(request.question) and request.agrees(suspension):
            return suspension
        logger.info("sealed state of %s ignored: the history has changed", suspension.sid)
    return None


async def _unsealed(request: _Request, sealed: str, store: Store, sealer: Sealer) -> Suspension | None:
    """The suspension that a handle names, or that is in the sealed state itself."""
    tenant, digest = request.lookup.tenant, request.lookup.digest
    claims = sealer.open(sealed, tenant=tenant, digest=digest)
    if claims is not None:
        return await store.get(tenant, claims.sid)
    return open_suspension(sealer, sealed, tenant=tenant, digest=digest)


def _waits_for(request: _Request, suspension: Suspension) -> bool:
    return suspension.digest == request.lookup.digest and suspension.status is Status.AWAITING_USER


async def _by_transcript(request: _Request, store: Store, _: Sealer) -> Suspension | None:
    """The newest one asked after exactly this visible text, of this scope rather than of another or none."""
    if request.question is None:
        return None
    tenant, key, scope = request.lookup.tenant, request.transcript_key, request.lookup.scope
    for wanted in (scope, None):
        for suspension in await store.find_by_transcript(tenant, key, scope=wanted, limit=_CANDIDATES):
            if request.fits(suspension):
                return suspension
    return None


async def _by_question(request: _Request, store: Store, _: Sealer) -> Suspension | None:
    """One that asked this and whose history agrees, if there is no doubt which."""
    if request.question is None:
        return None
    lookup, key = request.lookup, request.keys.question(request.question)
    found = await store.find_by_question(lookup.tenant, key, scope=lookup.scope, limit=_CANDIDATES)
    agreeing = [s for s in found if request.fits(s) and request.agrees(s)]
    if not agreeing:
        return None
    if lookup.scope:
        # One conversation: the least dropped, then the newest.
        return min(agreeing, key=lambda s: len(_message_keys(s)))
    # Without a scope others' questions may read the same. Siblings of one conversation have the same transcript; more
    # questions than we look at, or no history at all and another system text, leave a doubt.
    is_certain = len({s.transcript_key for s in agreeing}) == 1 and len(found) < _CANDIDATES
    if not request.before:
        is_certain = is_certain and agreeing[0].system_key == request.system_key
    logger.info("%d of %d suspensions with this question agree: %s", len(agreeing), len(found), is_certain)
    return agreeing[0] if is_certain else None


_Rung = Callable[[_Request, Store, Sealer], Awaitable[Suspension | None]]
_RUNGS: tuple[tuple[How, _Rung], ...] = (
    ("exact", _by_call),
    ("sealed", _by_seal),
    ("hash", _by_transcript),
    ("heuristic", _by_question),
)


def _message_keys(suspension: Suspension) -> list[str]:
    return [key for key in suspension.message_keys if not key.startswith("~")]


def _has_run(lines: Sequence[str], run: Sequence[str]) -> bool:
    """Whether `run` is a contiguous part of `lines`."""
    starts = range(len(lines) - len(run) + 1) if run else ()
    return any(list(lines[k : k + len(run)]) == list(run) for k in starts)
