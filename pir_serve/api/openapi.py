"""GET /openapi.json: our API in OpenAPI 3.1, for tools. Requests are described by the models that read them, so that the
page cannot say otherwise than the code; replies by `replies`. For people there is docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from pir_serve import __version__
from pir_serve.api.chat_request import ChatBody
from pir_serve.api.replies import SCHEMAS, Schema, nullable
from pir_serve.api.responses.body import ResponsesBody
from pir_serve.api.sessions import ExportQuery, ListQuery, RenameBody, ResumeBody, ShowQuery

_REF = "#/components/schemas/{model}"
_BODIES: tuple[type[BaseModel], ...] = (ChatBody, ResponsesBody, ResumeBody, RenameBody)
_OPTION_HEADERS = {
    "X-PIR-Ask": "Like `pir.ask`.",
    "X-PIR-Session": "Like `pir.session`.",
    "X-PIR-Action": "Like `pir.action`: `new` or `resume`.",
    "X-PIR-Conversation": "Like `pir.conversation`.",
}
_REPLY_HEADERS = {
    "X-PIR-Resume": "Whether reasoning was resumed, and how it was found.",
    "X-PIR-Status": "`awaiting_user` with a question, else `final`; not on streams.",
    "X-PIR-Session": "The question's id; not on streams.",
}
_STREAM = {"type": "string", "description": "Server-sent events; see docs/protocol.md."}
_TEXT: Schema = {"type": "string"}
_PAGE: Schema = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}


async def openapi(_: Request) -> HttpResponse:
    return HttpResponse(_as_json(), media_type="application/json")


@cache
def _as_json() -> bytes:
    return orjson.dumps(document())


def document() -> dict[str, Any]:
    """The description as one JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pir-serve",
            "version": __version__,
            "description": "An OpenAI-compatible gateway for reasoning models that ask: it pauses for the user and resumes "
            "the same reasoning.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"key": []}],
        "paths": _paths(),
        "components": {
            "schemas": {**_request_schemas(), **SCHEMAS},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "Where the server has keys."}
            },
        },
    }


def _paths() -> dict[str, Any]:
    one = {"response_id": _TEXT}
    return {
        "/v1/chat/completions": {
            "post": _generation("chat_completions", "A reply, or the model's question", "ChatBody", "ChatCompletion")
        },
        "/v1/responses": {
            "post": _generation("create_response", "A response, or the model's question", "ResponsesBody", "Response")
        },
        "/v1/responses/compact": {"post": _operation("compact_response", "Not supported: always refused", "Error")},
        "/v1/responses/{response_id}": {
            "get": _operation(
                "get_response",
                "A stored response",
                "Response",
                path=one,
                query={
                    "stream": {"type": "string", "enum": ["true", "false"]},
                    "starting_after": {"type": "integer", "minimum": -1},
                },
                stream=True,
            ),
            "delete": _operation("delete_response", "Delete a stored response", "ResponseDeleted", path=one),
        },
        "/v1/responses/{response_id}/cancel": {
            "post": _operation("cancel_response", "Stop a background response", "Response", path=one)
        },
        "/v1/responses/{response_id}/input_items": {
            "get": _operation(
                "list_input_items",
                "What a response was made from",
                "InputItems",
                path=one,
                query={"limit": _PAGE, "order": {"type": "string", "enum": ["asc", "desc"]}, "after": _TEXT},
            )
        },
        "/v1/models": {"get": _operation("list_models", "The models, each with its :no-ask alias", "Models")},
        "/v1/models/{name}": {"get": _operation("get_model", "A model", "Model", path={"name": _TEXT})},
        "/v1/pir/examples": {
            "get": _operation("list_examples", "Problems to try a model with", "Examples", query={"model": _TEXT})
        },
        **_session_paths(),
        "/health": {"get": _operation("health", "The process answers", "Health")},
        "/ready": {
            "get": _operation("ready", "It can serve; 503 if it cannot", "Ready", errors={"503": _reply("Ready")})
        },
        "/metrics": {
            "get": {
                **_operation("metrics", "What is counted, for Prometheus", {}),
                "responses": {"200": _content({"text/plain": _TEXT}), "default": _reply("Error")},
            }
        },
        "/openapi.json": {
            "get": _operation("openapi", "This description", {"type": "object", "required": ["openapi", "paths"]})
        },
    }


def _session_paths() -> dict[str, Any]:
    one = {"id": _TEXT}
    root = "/v1/pir/sessions"
    return {
        root: {"get": _operation("list_sessions", "Stored conversations", "Sessions", query=_fields(ListQuery))},
        f"{root}/export": {
            "get": {
                **_operation("export_sessions", "A JSON line for each node", {}, query=_fields(ExportQuery)),
                "responses": {"200": _content({"application/jsonl": _TEXT}), "default": _reply("Error")},
            }
        },
        f"{root}/{{id}}": {
            "get": _operation(
                "show_session", "A session, or a node", "SessionTree", path=one, query=_fields(ShowQuery)
            ),
            "patch": _operation("rename_session", "Name a session", "Session", path=one, body="RenameBody"),
            "delete": _operation("delete_session", "Delete a session, or a node", "SessionDeleted", path=one),
        },
        f"{root}/{{id}}/resume": {
            "post": _generation("resume_session", "Answer a question", "ResumeBody", "ChatCompletion", path=one)
        },
    }


def _generation(
    name: str, summary: str, body: str, reply: str, path: Mapping[str, Schema] | None = None
) -> dict[str, Any]:
    """An operation in which the model writes."""
    operation = _operation(name, summary, reply, path=path or {}, body=body, stream=True)
    operation["parameters"] += [
        {"name": header, "in": "header", "schema": _TEXT, "description": text}
        for header, text in _OPTION_HEADERS.items()
    ]
    operation["responses"]["200"]["headers"] = {
        header: {"schema": _TEXT, "description": text} for header, text in _REPLY_HEADERS.items()
    }
    return operation


def _operation(
    name: str,
    summary: str,
    reply: str | Schema,
    *,
    path: Mapping[str, Schema] | None = None,
    query: Mapping[str, Schema] | None = None,
    body: str | None = None,
    stream: bool = False,
    errors: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`reply` and `body` are names of schemas; `stream`: the reply may be server-sent events."""
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": [
            *({"name": n, "in": "path", "required": True, "schema": s} for n, s in (path or {}).items()),
            *({"name": n, "in": "query", "schema": s} for n, s in (query or {}).items()),
        ],
        "responses": {"200": _reply(reply, stream=stream), **(errors or {}), "default": _reply("Error")},
    }
    if body is not None:
        schema = {"$ref": _REF.format(model=body)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _reply(schema: str | Schema, *, stream: bool = False) -> dict[str, Any]:
    found: Schema = {"$ref": _REF.format(model=schema)} if isinstance(schema, str) else schema
    return _content({"application/json": found, **({"text/event-stream": _STREAM} if stream else {})})


def _content(kinds: Mapping[str, Schema]) -> dict[str, Any]:
    return {"description": "", "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}


def _fields(query: type[BaseModel]) -> dict[str, Schema]:
    """Of a query's model, each as a parameter."""
    return dict(query.model_json_schema()["properties"])


def _request_schemas() -> dict[str, Schema]:
    _, found = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_REF)
    schemas: dict[str, Schema] = found["$defs"]
    ask = [
        {"enum": ["auto", "never"]},
        {"type": "string", "pattern": "^max=[0-9]+$"},
        {"type": "integer", "minimum": 0},
    ]
    counted = {"type": "object", "properties": {"max": {"type": "integer", "minimum": 0}}, "required": ["max"]}
    schemas["PirOptions"]["properties"]["ask"] = nullable({"anyOf": [*ask, counted]})  # read by hand, not by its type
    return schemas
