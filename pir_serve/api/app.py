"""The HTTP application: routes, start and end, and one body for every error."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route, WebSocketRoute

from pir_serve.api import sessions
from pir_serve.api.chat import chat_completions
from pir_serve.api.door import Door
from pir_serve.api.exchange import error_reply, json_reply, request_id
from pir_serve.api.gateway import Gateway
from pir_serve.api.metrics import metrics
from pir_serve.api.openapi import openapi
from pir_serve.api.readiness import ready
from pir_serve.api.responses import http as responses
from pir_serve.api.responses.jobs import Jobs
from pir_serve.api.responses.socket import connect
from pir_serve.errors import PirError
from pir_serve.policy import NEVER, NO_ASK_SUFFIX, AskPolicy

logger = logging.getLogger(__name__)


def create_app(gateway: Gateway, *, manage: bool = True) -> Starlette:
    """The ASGI application over `gateway`. `manage`: starting and ending the app starts and ends its engines and
    store."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/responses", responses.create, methods=["POST"]),
            WebSocketRoute("/v1/responses", connect),
            Route("/v1/responses/compact", responses.compact, methods=["POST"]),
            Route("/v1/responses/{response_id}", responses.retrieve, methods=["GET"]),
            Route("/v1/responses/{response_id}", responses.delete, methods=["DELETE"]),
            Route("/v1/responses/{response_id}/cancel", responses.cancel, methods=["POST"]),
            Route("/v1/responses/{response_id}/input_items", responses.input_items, methods=["GET"]),
            Route("/v1/models", list_models, methods=["GET"]),
            Route("/v1/models/{name:path}", get_model, methods=["GET"]),
            Route("/v1/pir/examples", examples, methods=["GET"]),
            *sessions.ROUTES,
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/openapi.json", openapi, methods=["GET"]),
        ],
        lifespan=lifespan if manage else None,
        middleware=[Middleware(Door, gateway=gateway)],
        exception_handlers={
            PirError: _on_pir_error,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_client_gone,
            Exception: _on_mistake,
        },
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.jobs = Jobs(gateway)
    return app


async def list_models(request: Request) -> HttpResponse:
    gateway: Gateway = request.app.state.gateway
    names = [name + suffix for name in gateway.models for suffix in ("", NO_ASK_SUFFIX)]
    return json_reply({"object": "list", "data": [_model_object(gateway, name) for name in names]})


async def get_model(request: Request) -> HttpResponse:
    gateway: Gateway = request.app.state.gateway
    name = request.path_params["name"]
    gateway.served(name)
    return json_reply(_model_object(gateway, name))


async def examples(request: Request) -> HttpResponse:
    """Example problems from the model's folder: what a newcomer may ask a small model. `?model=` names one of
    several."""
    gateway: Gateway = request.app.state.gateway
    served, _ = gateway.served(request.query_params.get("model") or next(iter(gateway.models)))
    return json_reply({"object": "list", "model": served.name, "data": served.examples})


async def health(_: Request) -> HttpResponse:
    """The process answers. Whether it can serve is `ready`."""
    return json_reply({"status": "ok"})


def _model_object(gateway: Gateway, name: str) -> dict[str, Any]:
    served, never_asks = gateway.served(name)
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "pir",
        "max_model_len": served.engine.max_model_len,
        "pir": {
            "ask": str(NEVER if never_asks else AskPolicy.parse(gateway.settings_of(served).ask)),
            "revision": served.revision,
        },
    }


async def _on_pir_error(request: Request, error: Exception) -> HttpResponse:
    assert isinstance(error, PirError)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s %s: %d %s", request_id(request), request.url.path, error.status, error)
    return error_reply(error, request)


async def _on_http_error(request: Request, error: Exception) -> HttpResponse:
    """Unknown paths and wrong methods, in the same body as all else."""
    assert isinstance(error, HTTPException)
    message = {
        HTTPStatus.NOT_FOUND: f"there is no {request.method} {request.url.path} here",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}",
    }.get(HTTPStatus(error.status_code), error.detail)
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return json_reply(body, status=error.status_code, headers=dict(error.headers or {}))


async def _on_client_gone(request: Request, _: Exception) -> HttpResponse:
    """Gone before its request was whole: there is nobody to answer, and nothing was begun."""
    logger.info("%s: the client has gone", request_id(request))
    return HttpResponse(status_code=HTTPStatus.BAD_REQUEST)


async def _on_mistake(request: Request, error: Exception) -> HttpResponse:
    """Our own mistake: the edge of a request, where the traceback is logged (by the server, which gets it re-
    raised)."""
    logger.error("%s %s: internal error %s", request_id(request), request.url.path, type(error).__name__)
    message = f"internal error; the log says more of {request_id(request)}"
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": "internal_error"}}
    headers = {"x-request-id": request_id(request)}
    return json_reply(body, status=HTTPStatus.INTERNAL_SERVER_ERROR, headers=headers)
