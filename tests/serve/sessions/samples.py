"""Sessions in a desk's store, made by its own engine: trajectories that ask or end, in branches."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import replace

from pir_serve.access.keys import LOCAL_TENANT
from pir_serve.loop import Ended, run
from pir_serve.params import RunParams
from pir_serve.policy import AskPolicy, Gate
from pir_serve.prompt import Message
from pir_serve.store.base import Node
from pir_serve.trajectory import Author, Status, Trajectory
from tests.serve.brains import PROBLEM
from tests.serve.conftest import Desk

BEGAN = int(time.time()) - 5000
"""Unix seconds; node `n` of a test was made `n` seconds later, so that none has expired."""


async def keep(
    desk: Desk,
    n: int,
    said: str,
    *,
    parent: Node | None = None,
    session: str = "s_pens",
    tenant: str = LOCAL_TENANT,
    params: RunParams | None = None,
) -> Node:
    """Node `pir_<n>`: what came of `said`, a problem or, with `parent`, a response. The desk's gateway is running."""
    served = desk.gateway.models["scripted"]
    if parent is None:
        begun = Trajectory(session, served.name, served.codec.encode_prompt([Message("user", said)]))
    else:
        begun = parent.trajectory.respond(said, served.codec.encode_response(said), by=Author.USER)
    params = params or RunParams(policy=AskPolicy(), uncertainty=True)
    async with aclosing(run(begun, engine=served.engine, codec=served.codec, params=params)) as events:
        (ended,) = [event async for event in events if isinstance(event, Ended)]
    node = Node(
        sid=f"pir_{n}",
        tenant=tenant,
        scope="",
        model=served.name,
        digest=served.digest,
        trajectory=ended.trajectory,
        request={"ask": "auto", "temperature": 0.5},
        transcript_key=f"tk{n}",
        question_key=f"qk{n}",
        message_keys=(),
        system_key="",
        parent=parent.sid if parent else None,
        created=float(BEGAN + n),
        expires=float(BEGAN + n + 86_400),
    )
    await desk.gateway.store.put(node)
    return node


async def keep_volunteered(desk: Desk, n: int) -> Node:
    """A node whose user said unasked what the model was missing, at the end of its first line of reasoning."""
    node = await keep(desk, n, PROBLEM)
    await desk.gateway.store.delete(node.tenant, node.sid)
    codec = desk.gateway.models["scripted"].codec
    begun = Trajectory("s_pens", "scripted", node.trajectory.prompt_segments)
    told = begun.append(codec.encode_model("\nI lack the price.\n")).volunteer(
        "It is 4.", codec.encode_response("It is 4.")
    )
    ended = told.append(codec.encode_model("\nSo.\n</think>\nTwenty-four.")).end(Status.COMPLETED)
    node = replace(node, trajectory=ended)
    await desk.gateway.store.put(node)
    return node


GATED = RunParams(policy=AskPolicy(), uncertainty=True, gate=Gate(nats=0.01, max_openings=1, min_steps=0))
"""Any step makes the model ask."""
