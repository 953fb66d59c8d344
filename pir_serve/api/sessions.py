"""/v1/pir/sessions: what is stored of this tenant's conversations, to be looked at, gone on with, named, deleted, taken
away.

A session is a question of the user and all that came of it; its nodes are the places where the model asked or ended. Both
kinds of id are taken everywhere: a node's stands for that node, a session's for all of its nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from pir_serve.api.chat import chat_completions
from pir_serve.api.exchange import json_reply, read_body, visit_of
from pir_serve.api.gateway import Gateway
from pir_serve.api.request import read_body_as, read_object
from pir_serve.api.session_views import NodeWriter, export_row, session_object
from pir_serve.errors import NotAwaitingUser, ReasoningHidden, RequestError, SessionNotFound
from pir_serve.store.base import FINISHED, Node, Page
from pir_serve.trajectory import Status

MAX_PAGE = 100
"""Sessions of a list, or nodes of a session. JSON writers nest some 250 deep, and a tree of nodes takes two levels for
each."""
_EXPORTED_AT_ONCE = 32
"""Nodes read and written in one go; about a megabyte of JSON with long reasoning."""

Model = TypeVar("Model", bound=BaseModel)
_QUERY = ConfigDict(extra="forbid", frozen=True)
"""Unknown parameters are errors: a misspelt filter would show, or export, everything."""
StatusFilter = Literal["awaiting_user", "finished", "completed", "incomplete", "failed"]


class _Query(BaseModel):
    model_config = _QUERY


class ListQuery(_Query):
    status: StatusFilter | None = None
    search: str = Field(default="", max_length=1000)
    limit: int = Field(default=20, ge=1, le=MAX_PAGE)
    cursor: str | None = None


class ShowQuery(_Query):
    ids: bool = False
    limit: int = Field(default=20, ge=1, le=MAX_PAGE)
    """Scoring the steps of a long reasoning takes some 30 ms."""
    cursor: str | None = None


def _as_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class ExportQuery(_Query):
    status: StatusFilter | None = None
    since: Annotated[datetime, AfterValidator(_as_utc)] | None = None
    """A date or time as in ISO 8601, in UTC if it names no zone, or Unix seconds."""
    model: str | None = None
    session: str | None = None


class ResumeBody(BaseModel):
    """What is ours; all else is as in a chat completion, and checked there."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    response: str | None = None
    action: Literal["respond", "decline"] = "respond"
    """`decline`: the user does not say; the model is told to use its best judgment, in the server's words."""
    model: StrictStr | None = None
    messages: None = None
    pir: Any = None


class RenameBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    title: str | None = Field(max_length=200)
    """None or "": the one that it has by itself."""


async def list_sessions(request: Request) -> HttpResponse:
    gateway, tenant = _enter(request)
    query = _query(ListQuery, request)
    page = await gateway.store.sessions(
        tenant, status=_statuses(query.status), search=query.search, limit=query.limit, cursor=query.cursor
    )
    return json_reply({"object": "list", "data": [session_object(s) for s in page.items], **_more(page)})


async def show_session(request: Request) -> HttpResponse:
    """A session with its newest nodes as a tree, or a node alone with all its segments."""
    gateway, tenant = _enter(request)
    query = _query(ShowQuery, request)
    name = request.path_params["id"]
    node = await gateway.store.get(tenant, name)
    if node is not None:
        page = Page((node,), None)
        name = node.trajectory.session
    else:
        page = await gateway.store.list(tenant, session=name, limit=query.limit, cursor=query.cursor)
    session = await gateway.store.session(tenant, name)
    if session is None:
        raise _not_found(request)
    writer = NodeWriter(
        {served.digest: served.codec for served in gateway.models.values()},
        show_reasoning=gateway.settings.show_reasoning == "full",
        with_ids=query.ids,
    )
    # In a thread: scoring the steps of long reasoning takes a while, in which others' streams would stand still.
    branches = await asyncio.to_thread(writer.tree, page.items)
    return json_reply({**session_object(session), "branches": branches, **_more(page)})


async def resume_session(request: Request) -> ASGIApp:
    """Answer a question: the reply is a chat completion's, streamed or not."""
    gateway, tenant = _enter(request)
    body = await _body(ResumeBody, request)
    if body.action == "decline" and body.response is not None:
        raise RequestError("a decline has no response; leave one of the two out", param="response")
    if body.action == "respond" and not (body.response or "").strip():
        raise RequestError('say what to tell the model, or {"action": "decline"}', param="response")
    node = await _waiting_node(gateway, tenant, request)
    answer = {"role": "user", "content": body.response}
    if body.action == "decline":  # as a client's question tool says it
        answer = {"role": "tool", "tool_call_id": f"call_{node.sid}", "content": '{"action": "decline"}'}
    pir = {} if body.pir is None else body.pir
    if isinstance(pir, dict):  # else chat says what is wrong with it
        if known := {"session", "action"} & pir.keys():
            raise RequestError("the path says what is resumed", param=f"pir.{min(known)}")
        pir = {**pir, "session": node.sid, "action": "resume"}
    chat = {
        **(body.model_extra or {}),
        "model": node.model if body.model is None else body.model,
        "messages": [answer],
        "pir": pir,
    }
    try:
        raw = orjson.dumps(chat)
    except orjson.JSONEncodeError:
        raise RequestError("the body is nested too deeply") from None
    return await chat_completions(_with_body(request, raw))


async def rename_session(request: Request) -> HttpResponse:
    gateway, tenant = _enter(request)
    body = await _body(RenameBody, request)
    name = request.path_params["id"]
    node = await gateway.store.get(tenant, name)
    name = name if node is None else node.trajectory.session
    await gateway.store.rename(tenant, name, (body.title or "").strip())
    session = await gateway.store.session(tenant, name)
    if session is None:
        raise _not_found(request)
    return json_reply(session_object(session))


async def delete_session(request: Request) -> HttpResponse:
    """A node, whose children stay, or a session with all its nodes."""
    gateway, tenant = _enter(request)
    name = request.path_params["id"]
    kind, num_nodes = "node", int(await gateway.store.delete(tenant, name))
    if not num_nodes:
        kind, num_nodes = "session", await gateway.store.delete_session(tenant, name)
    if not num_nodes:
        raise _not_found(request)
    return json_reply({"id": name, "object": f"pir.{kind}.deleted", "deleted": True, "num_nodes": num_nodes})


async def export_sessions(request: Request) -> HttpResponse:
    """A JSON line for each node, newest first, written as they are read."""
    gateway, tenant = _enter(request)
    query = _query(ExportQuery, request)
    if gateway.settings.show_reasoning != "full":
        raise ReasoningHidden(
            "this gateway does not show reasoning (PIR_SHOW_REASONING), which is what an export holds"
        )
    first = await _exported(gateway, tenant, query, None)  # an error can still be a proper HTTP status

    async def lines() -> AsyncIterator[bytes]:
        page = first
        while True:
            yield await asyncio.to_thread(_rows, gateway, query, page.items)
            if page.cursor is None:
                return
            page = await _exported(gateway, tenant, query, page.cursor)

    return StreamingResponse(lines(), media_type="application/jsonl")


def _rows(gateway: Gateway, query: ExportQuery, nodes: tuple[Node, ...]) -> bytes:
    codecs = {served.digest: served.codec for served in gateway.models.values()}
    since = query.since.timestamp() if query.since else float("-inf")
    wanted = (node for node in nodes if node.created >= since and query.model in (None, node.model))
    return b"".join(orjson.dumps(export_row(node, codecs.get(node.digest))) + b"\n" for node in wanted)


async def _exported(gateway: Gateway, tenant: str, query: ExportQuery, cursor: str | None) -> Page[Node]:
    return await gateway.store.list(
        tenant, session=query.session, status=_statuses(query.status), limit=_EXPORTED_AT_ONCE, cursor=cursor
    )


async def _waiting_node(gateway: Gateway, tenant: str, request: Request) -> Node:
    """The node of the path's id, or the newest one of that session that waits. Raises: SessionNotFound,
    NotAwaitingUser."""
    name = request.path_params["id"]
    node = await gateway.store.get(tenant, name)
    if node is not None and node.status is not Status.AWAITING_USER:
        raise NotAwaitingUser(f"{name} is {node.status.value} and waits for no answer; resume the node that asked")
    if node is not None:
        return node
    page = await gateway.store.list(tenant, session=name, status=Status.AWAITING_USER, limit=1)
    if page.items:
        return page.items[0]
    if await gateway.store.session(tenant, name) is None:
        raise _not_found(request)
    raise NotAwaitingUser(f"no question of {name[:80]} waits for an answer")


def _enter(request: Request) -> tuple[Gateway, str]:
    """The gateway and the caller's tenant."""
    gateway: Gateway = request.app.state.gateway
    return gateway, visit_of(request).caller.tenant


def _not_found(request: Request) -> SessionNotFound:
    name = request.path_params["id"]
    return SessionNotFound(f"there is no session or node {name[:80]!r}: it has expired, was deleted, or never was")


def _more(page: Page[Any]) -> dict[str, Any]:
    return {"has_more": page.cursor is not None, "next_cursor": page.cursor}


def _statuses(wanted: StatusFilter | None) -> Status | frozenset[Status] | None:
    if wanted is None:
        return None
    return FINISHED if wanted == "finished" else Status(wanted)


def _query(kind: type[Model], request: Request) -> Model:
    """Raises: RequestError."""
    return read_body_as(kind, dict(request.query_params))


async def _body(kind: type[Model], request: Request) -> Model:
    """Raises: RequestError."""
    gateway: Gateway = request.app.state.gateway
    return read_body_as(kind, read_object(await read_body(request, gateway.settings.max_body_bytes)))


def _with_body(request: Request, raw: bytes) -> Request:
    """The request as if `raw` had been its body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request(request.scope, receive)


ROUTES = [
    Route("/v1/pir/sessions", list_sessions, methods=["GET"]),
    Route("/v1/pir/sessions/export", export_sessions, methods=["GET"]),
    Route("/v1/pir/sessions/{id}", show_session, methods=["GET"]),
    Route("/v1/pir/sessions/{id}", rename_session, methods=["PATCH"]),
    Route("/v1/pir/sessions/{id}", delete_session, methods=["DELETE"]),
    Route("/v1/pir/sessions/{id}/resume", resume_session, methods=["POST"]),
]
