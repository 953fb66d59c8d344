"""Rules of background responses alone: their events can be read again, they can be cancelled, and must be stored."""

from __future__ import annotations

from typing import Any

from pir_serve.conformance.bench import Bench, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Turn, mapping
from pir_serve.conformance.wire import Raw


async def _begun(bench: Bench, **fields: Any) -> Raw:
    """The reply to the request itself."""
    bench.requests += 1
    call = bench.call(bench.problem(own=True), stream=False, fields=fields)
    return await bench.http.post(bench.surface.path, bench.surface.body(call))


@check(
    425,
    "begun at once",
    "The reply to the request is a response that is `queued` or `in_progress`, whose id can be read at once.",
    mode="whole",
    on="background",
)
async def at_once(bench: Bench) -> None:
    begun = mapping((await _begun(bench)).json)
    require(begun.get("status") in ("queued", "in_progress"), f"the status is {begun.get('status')!r}")
    read = await bench.http.get(f"{bench.surface.path}/{begun.get('id')}")
    require(read.status == 200, f"GET of it: HTTP {read.status}")


@check(
    426,
    "events can be read again",
    "`GET ?stream=true` gives the same events as were sent, and `starting_after` those behind a number, to `[DONE]`.",
    mode="stream",
    on="background",
)
async def replay(bench: Bench) -> None:
    asked = await bench.ask()
    sent = [frame.data for frame in asked.reply.raw.frames if frame.data is not None]
    for after in (-1, 0, len(sent) // 2, len(sent) - 2):
        query = "stream=true" if after < 0 else f"stream=true&starting_after={after}"
        again = await bench.http.get(f"{bench.surface.path}/{asked.reply.id}?{query}")
        found = [frame.data for frame in again.frames if frame.data is not None]
        require(
            found == sent[after + 1 :], f"after event {after} of {len(sent)} there come {len(found)}: {found!r:.200}"
        )


@check(
    427,
    "cancelled",
    "A response that is cancelled while it is made becomes `cancelled` and stays so, and cannot be gone on from; one that "
    "has ended stays as it is.",
    mode="whole",
    on="background",
)
async def cancelled(bench: Bench) -> None:
    begun = mapping((await _begun(bench)).json)
    where = f"{bench.surface.path}/{begun.get('id')}"
    ended = await bench.http.post(f"{where}/cancel", {})
    require(ended.status == 200, f"POST {where}/cancel: HTTP {ended.status}")
    status = mapping(ended.json).get("status")
    require(status in ("cancelled", "completed", "incomplete"), f"the status is {status!r}")
    for again in (await bench.http.post(f"{where}/cancel", {}), await bench.http.get(where)):
        now = mapping(again.json).get("status")
        require(now == status, f"the status was {status!r} and is {now!r}")
    if status == "cancelled":
        fields = {"previous_response_id": begun.get("id")}
        reply = await bench.send((Turn("user", "Seven."),), fields=fields)
        require(reply.raw.status == 400, f"going on from it got HTTP {reply.raw.status}, not 400")


@check(
    428,
    "kept by nobody",
    "`background: true` with `store: false` is refused (400): there would be no way back to it.",
    mode="whole",
    on="background",
)
async def not_stored(bench: Bench) -> None:
    begun = await _begun(bench, store=False)
    require(begun.status == 400, f"HTTP {begun.status}, not 400")
