"""GET /ready: whether requests can be served, and of each model which of its servers can."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from pir_serve.api.exchange import json_reply
from pir_serve.api.gateway import Gateway
from pir_serve.engines.base import Engine
from pir_serve.engines.member import State
from pir_serve.engines.pool import EnginePool
from pir_serve.errors import StoreError


async def ready(request: Request) -> HttpResponse:
    """Needs no key: it tells of servers' addresses (without credentials) and states, of nobody's texts."""
    gateway: Gateway = request.app.state.gateway
    engines = {name: await served.engine.healthy() for name, served in gateway.models.items()}
    servers = {name: _servers(served.engine, engines[name]) for name, served in gateway.models.items()}
    for engine, name in gateway.retiring.items():
        servers.setdefault(name, []).extend({**each, "state": State.DRAINING} for each in _servers(engine, True))
    try:
        await gateway.store.count()
        store = True
    except StoreError:
        store = False
    is_draining = gateway.presence.is_draining
    good = store and all(engines.values()) and not is_draining
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    word = "draining" if is_draining else "ready" if good else "not_ready"
    return json_reply({"status": word, "engines": engines, "servers": servers, "store": store}, status=status)


def _servers(engine: Engine, is_healthy: bool) -> list[dict[str, Any]]:
    if isinstance(engine, EnginePool):
        return [{"name": each.name, "state": each.condition, "legs": each.num_legs} for each in engine.members]
    return [{"name": engine.name, "state": State.UP if is_healthy else State.DOWN}]
