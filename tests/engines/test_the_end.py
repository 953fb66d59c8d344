"""The last test of each target, and so in the last module: it leaves no server behind."""

from __future__ import annotations

import asyncio

import pytest

from pir_serve.engines.base import Engine, LegRequest
from pir_serve.errors import EngineUnavailable
from tests.engines.conftest import Oracle, Target
from tests.engines.test_contract import endless, leg_of

pytestmark = pytest.mark.timeout(1500)


async def test_an_engine_killed_midway_is_unavailable_and_the_ids_so_far_stand(
    target: Target, engine: Engine, oracle: Oracle
) -> None:
    if target.kind != "local" and target.server is None:
        pytest.skip("this server is not ours to kill")
    received: list[int] = []
    with pytest.raises(EngineUnavailable):
        async for chunk in engine.generate(endless(oracle)):
            received += chunk.token_ids
            if len(received) >= 5:
                await engine.aclose() if target.server is None else await asyncio.to_thread(target.server.kill)
    assert len(received) >= 5
    assert not await engine.healthy()
    with pytest.raises(EngineUnavailable):
        await leg_of(engine, LegRequest([5], 5))
