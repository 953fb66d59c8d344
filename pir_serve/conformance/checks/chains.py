"""Rules of the Responses API alone: its metadata, its chains, and what it keeps."""

from __future__ import annotations

from pir_serve.conformance.bench import Bench, own_words, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Turn
from pir_serve.conformance.wire import Raw


@check(
    109,
    "metadata tells question from answer",
    "`metadata` keeps what the client gave and adds `pir_status`, and with a question `pir_session`: every SDK has this "
    "field in its types.",
    on="responses",
)
async def metadata(bench: Bench) -> None:
    asked = await bench.ask(fields={"metadata": {"mine": "7"}})
    found = asked.reply.metadata
    wanted = {"mine": "7", "pir_status": "awaiting_user", "pir_session": asked.session}
    require(dict(found) == wanted, f"the metadata of a question is {dict(found)}")
    reply = await bench.answer(asked)
    if not reply.asks:
        require(reply.metadata.get("pir_status") == reply.pir.get("status"), f"the metadata is {dict(reply.metadata)}")
        require("pir_session" not in reply.metadata, "the metadata of an answer names a question that waits")


@check(
    313,
    "nothing is stored",
    "With `store: false` the reasoning is in the client's hands alone: its echoed items resume, and the id leads nowhere.",
    on=("responses", "http"),
)
async def not_stored(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words(), fields={"store": False})
    require(asked.reply.state, "the question has no encrypted_content to send back")
    reply = await bench.answer(asked, carry="state", fields={"store": False})
    bench.require_resumed(asked, reply, "state")
    gone = await bench.send(asked.and_then(asked.problem.answer), carry="previous")
    is_not_found(gone.raw, "previous_response_not_found", 400)


@check(314, "by previous_response_id", "The id of the response that asked, and the answer alone.", on="previous")
async def by_previous(bench: Bench) -> None:
    asked = await bench.ask()
    bench.require_resumed(asked, await bench.answer(asked, carry="previous"), "previous")


@check(
    419,
    "what is stored can be read and deleted",
    "GET gives the response that was sent, question and `pir` included; after DELETE both it and an answer to it are "
    "refused.",
    on="responses",
)
async def read_and_delete(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words())
    where = f"{bench.surface.path}/{asked.reply.id}"
    read = bench.surface.read(await bench.http.get(where))
    require(read.ok, f"GET {where}: HTTP {read.raw.status}")
    for name in ("text", "pir", "metadata", "usage", "calls"):
        sent, kept = getattr(asked.reply, name), getattr(read, name)
        require(sent == kept, f"{name} was {sent!r:.200} when it was sent, and is {kept!r:.200} now")
    deleted = await bench.http.delete(where)
    require(deleted.status == 200, f"DELETE {where}: HTTP {deleted.status}")
    is_not_found(await bench.http.get(where), "response_not_found", 404)
    answer = await bench.send(asked.and_then(asked.problem.answer), carry="previous")
    is_not_found(answer.raw, "previous_response_not_found", 400)


@check(
    420,
    "instructions are of one request",
    "`instructions` are not inherited along a chain, and a response that ended in an answer is gone on from as an ordinary "
    "conversation.",
    on="previous",
)
async def chains_on(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words(), fields={"instructions": "You help with sums."})
    answer = await bench.answer(asked, fields={"instructions": None})
    given = answer.raw.json if not answer.raw.is_stream else None
    if given is not None:
        require(given.get("instructions") is None, f"instructions came along: {given.get('instructions')!r}")
    if answer.asks:
        return
    turns = (*asked.and_then(asked.problem.answer), Turn("assistant", answer.text, answer), Turn("user", "Thank you."))
    reply = await bench.send(turns, carry="previous")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(reply.resume == "new", f"X-PIR-Resume is {reply.resume or 'missing'}, not new")


def is_not_found(raw: Raw, code: str, status: int) -> None:
    """That a reply says so, in this code."""
    require(raw.status == status, f"HTTP {raw.status}, not {status}: {raw.text[:200]}")
    error = raw.json.get("error") if isinstance(raw.json, dict) else None
    found = error.get("code") if isinstance(error, dict) else None
    require(found == code, f"the error's code is {found!r}, not {code!r}")
