"""What a request of the Responses API goes on from: the response before it, found by its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pir_serve.api.conversation import Conversation, Said, read_conversation
from pir_serve.api.gateway import Gateway
from pir_serve.api.request import TurnRequest
from pir_serve.api.responses.body import ResponsesRequest
from pir_serve.api.responses.items import Item, kept, said_of, sealed_of
from pir_serve.errors import RequestError, SuspensionNotFound
from pir_serve.resume import CALL_PREFIX
from pir_serve.store.responses import ResponseStatus


@dataclass(frozen=True, slots=True)
class Past:
    """A response as later ones see it."""

    conversation: tuple[Item, ...]
    """All that is visible up to its end."""
    sid: str | None = None
    """The suspension that it ended in, if that is in the store."""
    sealed: str | None = None
    """The suspension itself, where nothing is stored: within a connection."""


async def link(
    gateway: Gateway, request: ResponsesRequest, *, tenant: str, known: Mapping[str, Past] | None = None
) -> tuple[TurnRequest, tuple[Item, ...]]:
    """The neutral request, and the visible conversation up to its end. `known`: responses of this connection.

    Raises:
        SuspensionNotFound: there is no such response before it.
        RequestError: that one has not ended, or in no reply; the output of a call that nothing before it made.
    """
    past = await _past(gateway, request.body.previous_response_id, tenant, known or {})
    _refuse_answers_to_nothing(request.items, past.conversation if past else ())
    conversation = (*(past.conversation if past else ()), *kept(request.items))
    sealed = sealed_of(request.items)
    pir = request.pir
    if past and past.sid and not pir.session:
        pir = pir.model_copy(update={"session": past.sid})
    if past and past.sealed:
        sealed = (past.sealed, *sealed)
    turn = TurnRequest(
        model=request.body.model,
        conversation=visible(request, conversation),
        pir=pir,
        options=request.options,
        sealed=sealed,
        tools=request.tools,
        never_ask=request.never_ask,
        begins_new=past is not None and not past.sid and not past.sealed and not pir.session,
        is_kept=request.is_stored,
    )
    return turn, conversation


def _refuse_answers_to_nothing(items: Iterable[Item], before: Iterable[Item]) -> None:
    """Raises: RequestError, where an output follows no call: the client has lost something."""
    known = {item["call_id"] for item in before if item["type"] == "function_call"}
    for k, item in enumerate(items):
        if item["type"] == "function_call":
            known.add(item["call_id"])
        elif item["type"] == "function_call_output":
            call_id = item["call_id"]
            if call_id not in known and not call_id.startswith(CALL_PREFIX):
                raise RequestError(
                    f"input[{k}] is the output of the call {call_id[:80]!r}, which no item before it has",
                    param=f"input[{k}].call_id",
                )


def visible(request: ResponsesRequest, conversation: Iterable[Item]) -> Conversation:
    """With the request's own instructions, which later ones do not inherit."""
    instructions = [Said("system", request.body.instructions)] if request.body.instructions else []
    return read_conversation([*instructions, *said_of(conversation)], request.tools.ask)


async def _past(gateway: Gateway, response_id: str | None, tenant: str, known: Mapping[str, Past]) -> Past | None:
    if response_id is None:
        return None
    if response_id in known:
        return known[response_id]
    record = await gateway.store.responses.get(tenant, response_id)
    if record is None:
        raise SuspensionNotFound(
            f"there is no response {response_id[:80]!r}: it has expired, was deleted or not stored",
            param="previous_response_id",
        )
    if record.status not in (ResponseStatus.COMPLETED, ResponseStatus.INCOMPLETE):
        raise RequestError(
            f"response {response_id} is {record.status.value}; only one that has ended in a reply can be continued",
            param="previous_response_id",
        )
    return Past(record.conversation, record.sid)
