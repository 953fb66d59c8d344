"""2xx: what every stock client can read of a stream."""

from __future__ import annotations

from pir_serve.conformance.bench import Bench, NotTestable, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Rule


async def both_replies(bench: Bench, rule: Rule) -> None:
    """That the streams of a question and of the reply to its answer break nothing of a rule."""
    asked = await bench.ask()
    for what, reply in (("question", asked.reply), ("reply to an answer", await bench.answer(asked))):
        require(reply.raw.is_stream, f"the {what} is no text/event-stream")
        faults = bench.surface.faults(rule, reply.raw, wants_usage=True)
        require(not faults, f"{what}: {'; '.join(faults[:3])}")


@check(
    201,
    "framing",
    "Data lines and comments only. An `id:` line breaks the OpenAI Python SDK at the next comment, an `event:` line hands "
    "applications a chunk without choices. One id throughout.",
    mode="stream",
    on="chat",
)
async def framing(bench: Bench) -> None:
    await both_replies(bench, "framing")


@check(
    202,
    "order",
    "Role, reasoning, text or a call, `pir`, finish reason, usage, `[DONE]`; role, `pir`, finish and `[DONE]` once each.",
    mode="stream",
    on="chat",
)
async def order(bench: Bench) -> None:
    await both_replies(bench, "order")


@check(
    203,
    "one pir object, whole, in one delta",
    "The JavaScript helper overwrites fragments of fields that it does not know; the Python helper drops unknown fields of "
    "a chunk's top level.",
    mode="stream",
    on="chat",
)
async def extension(bench: Bench) -> None:
    await both_replies(bench, "extension")


@check(
    204,
    "usage on request only",
    "With `stream_options.include_usage`, in the last chunk, which has no choices; without it, nowhere.",
    mode="stream",
    on="chat",
)
async def usage(bench: Bench) -> None:
    await both_replies(bench, "usage")
    plain = (await bench.ask(wants_usage=False)).reply
    faults = bench.surface.faults("usage", plain.raw, wants_usage=False)
    require(not faults, "; ".join(faults))


@check(
    205,
    "stream and whole reply have the same fields",
    "`pir` has the same keys, and opaque state comes, or does not, in both.",
    mode="stream",
)
async def same_fields(bench: Bench) -> None:
    streamed, whole = await bench.ask(), await bench.ask(stream=False)
    there, here = set(whole.reply.pir), set(streamed.reply.pir)
    require(there == here, f"only one of them has {', '.join(sorted(there ^ here))} in pir")
    states = [a.reply.state is not None for a in (streamed, whole)]
    require(states[0] == states[1], "only one of them has opaque state")


@check(
    206,
    "a question can be answered the moment it is seen",
    "It is stored before the chunk that tells of it leaves: an answer sent while that stream is still open resumes.",
    mode="stream",
)
async def at_once(bench: Bench) -> None:
    asked = await bench.ask()
    answer = asked.and_then(asked.problem.answer)[-1:]
    for _ in range(bench.setup.tries):
        async with bench.still_streaming(asked.turns[:-1]) as reply:
            if not reply.asks:
                continue
            fresh = await bench.send(answer, pir={"session": reply.pir.get("session")})
        require(fresh.ok, f"the answer got HTTP {fresh.raw.status}: {fresh.raw.text[:200]}")
        require(fresh.resume == "exact", f"X-PIR-Resume is {fresh.resume or 'missing'}, not exact")
        return
    raise NotTestable("the model asked once and then no more")


@check(
    207,
    "framing of events",
    "An `event:` line that is the event's type, `data:` and comments, no `id:` line; `sequence_number` counts from 0 without "
    "gaps; `[DONE]` ends the stream. Over a WebSocket: one event a message, numbered so.",
    mode="stream",
    on="responses",
)
async def event_framing(bench: Bench) -> None:
    await both_replies(bench, "framing")


@check(
    208,
    "order of events",
    "Created, in progress, then each output item added, filled and done before the next one, then the end, once.",
    mode="stream",
    on="responses",
)
async def event_order(bench: Bench) -> None:
    await both_replies(bench, "order")


@check(
    209,
    "the events tell the response",
    "Fragments make the whole text, items that were done are the output, and `pir` is in the last event only, whose status "
    "is final.",
    mode="stream",
    on="responses",
)
async def event_content(bench: Bench) -> None:
    await both_replies(bench, "content")
