"""GET /metrics: what is counted, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from pir_serve.api.gateway import Gateway
from pir_serve.engines.member import State
from pir_serve.engines.pool import EnginePool
from pir_serve.errors import StoreError
from pir_serve.telemetry.metrics import CONTENT_TYPE, Metric, gauge


async def metrics(request: Request) -> HttpResponse:
    """Needs no key, like /health: it tells of models and numbers, of nobody's texts."""
    gateway: Gateway = request.app.state.gateway
    read = [*_of_process(gateway), *await _of_store(gateway)]
    return HttpResponse(gateway.metrics.page(read), headers={"content-type": CONTENT_TYPE})


def _of_process(gateway: Gateway) -> Iterator[Metric]:
    metrics = gateway.metrics
    metrics.catch_up(metrics.screened, list(gateway.screening.counts.items()))
    metrics.catch_up(metrics.limited, [((kind,), n) for kind, n in gateway.limiter.refused.items()])
    members = [
        (served.name, member.name, member)
        for served in gateway.models.values()
        if isinstance(served.engine, EnginePool)
        for member in served.engine.members
    ]
    states = [
        ((model, name, state.value), member.condition is state) for model, name, member in members for state in State
    ]
    yield gauge("engine_state", "1 for the state that an engine of a pool is in.", states, "model", "engine", "state")
    legs = [((model, name), member.num_legs) for model, name, member in members]
    yield gauge("engine_legs", "Legs running on an engine of a pool.", legs, "model", "engine")


async def _of_store(gateway: Gateway) -> list[Metric]:
    """Of a store that is out of order, only that."""
    try:
        stats = await gateway.store.stats()
    except StoreError:
        return [gauge("store_up", "Whether the store can be used.", [((), 0)])]
    nodes = [((status,), n) for status, n in stats.nodes.items()]
    gateway.metrics.catch_up(gateway.metrics.evicted, [((kind,), n) for kind, n in stats.evicted.items()])
    return [
        gauge("store_up", "Whether the store can be used.", [((), 1)]),
        gauge("stored_trajectories", "That the store holds, by status.", nodes, "status"),
        gauge("stored_responses", "Objects of the Responses API in the store.", [((), sum(stats.responses.values()))]),
        gauge("store_bytes", "Of the store on disk.", [((), stats.num_bytes or 0)]),
    ]
