"""5xx: when a question must not come."""

from __future__ import annotations

from typing import Any

from pir_serve.conformance.bench import Bench, own_words, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Reply, Turn


async def _never_asks(bench: Bench, **options: Any) -> Reply:
    """The reply to a problem about which the model asks where it may."""
    asked = await bench.ask()
    reply = await bench.send(asked.turns[:-1], **options)
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(not reply.asks, f"a question came all the same: {reply.text[:200]!r}")
    return reply


def _lists_answers(reply: Reply) -> None:
    for entry in reply.pir.get("auto_answers") or ():
        require(isinstance(entry, dict), f"an entry of auto_answers is {entry!r}")
        require(entry.get("question") and entry.get("response"), f"an entry of auto_answers is {entry!r}")
    count = reply.pir.get("num_asks")
    answered = len(reply.pir.get("auto_answers") or ())
    require(count == answered, f"num_asks is {count}, but auto_answers lists {answered}: nobody else could answer")


@check(
    501, "ask never", '`"pir": {"ask": "never"}`: no question comes; what the gateway answered is in `auto_answers`.'
)
async def never(bench: Bench) -> None:
    _lists_answers(await _never_asks(bench, pir={"ask": "never"}))


@check(502, "ask never by header", "`X-PIR-Ask: never`; where both are given, the body wins.")
async def never_by_header(bench: Bench) -> None:
    await _never_asks(bench, headers={"X-PIR-Ask": "never"})
    await bench.ask(headers={"X-PIR-Ask": "never"}, pir={"ask": "auto"})


@check(503, "the :no-ask alias", "`<model>:no-ask` never asks, whatever the body says, and is listed among the models.")
async def alias(bench: Bench) -> None:
    name = bench.setup.model + bench.setup.no_ask_suffix
    _lists_answers(await _never_asks(bench, model=name))
    await _never_asks(bench, model=name, pir={"ask": "auto"})
    listed = (await bench.http.get("/v1/models")).json
    known = [m.get("id") for m in listed.get("data", ())] if isinstance(listed, dict) else []
    require({bench.setup.model, name} <= set(known), f"GET /v1/models lists {', '.join(map(str, known)) or 'nothing'}")


@check(504, "at most N questions", '`"ask": "max=1"`: after one question that reached the user, no other does.')
async def at_most(bench: Bench) -> None:
    asked = await bench.ask(pir={"ask": "max=1"})
    for text in ("I do not know.", "What do you mean?", asked.problem.answer):
        reply = await bench.answer(asked, text, pir={"ask": "max=1"})
        require(not reply.asks, f"a second question came: {reply.text[:200]!r}")


@check(
    505,
    "the policy outlives the pause",
    "What the first request said of asking holds for its answer, which says nothing: no second question.",
)
async def policy_is_kept(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words(), pir={"ask": "max=1"})
    for text in ("I do not know.", "What do you mean?"):
        reply = await bench.answer(asked, text)
        require(not reply.asks, f"a second question came: {reply.text[:200]!r}")


@check(
    506,
    "JSON wanted",
    "A JSON `response_format` (`text.format`) is read by a program, which cannot answer: no question.",
)
async def json_wanted(bench: Bench) -> None:
    await _never_asks(bench, fields=bench.surface.json_wanted)


@check(507, "several choices wanted", "`n` above 1: refused (400), or served without a question.", on="chat")
async def several(bench: Bench) -> None:
    asked = await bench.ask()
    reply = await bench.send(asked.turns[:-1], fields={"n": 2})
    require(reply.raw.status in (200, 400), f"HTTP {reply.raw.status}")
    require(not reply.asks, "a question came among several choices")


@check(
    508,
    "titles and tags",
    'Open WebUI\'s side calls ("### Task:" with a <chat_history>) never get a question, though nothing marks them.',
)
async def housekeeping(bench: Bench) -> None:
    asked = await bench.ask()
    text = (
        "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
        f"### Chat History:\n<chat_history>\nUSER: {asked.problem.text}\nASSISTANT: {asked.question}\n</chat_history>"
    )
    reply = await bench.send((Turn("user", text),))
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(not reply.asks, f"a question came as a title: {reply.text[:200]!r}")


@check(
    509,
    "retrieval is no side call",
    "Open WebUI's retrieval template (\"### Task:\" with a <context>) holds a user's real message: questions may come, and the "
    "bare message on the next turn is still the same conversation by opaque state.",
)
async def retrieval(bench: Bench) -> None:
    wrap = (
        "### Task:\nRespond to the user query using the provided context.\n\n<context>\n"
        '<source id="1" name="notes.txt">Pens are blue.</source>\n</context>\n\n{}'
    )
    reply = await bench.send((Turn("user", wrap.replace("{}", bench.setup.problems[0].text)),))
    auto = reply.pir.get("auto_answers")
    require(not auto, "the model wanted to ask, and was not let: the message was taken for a side call")
    asked = await bench.ask(wrap=wrap)
    bare = (Turn("user", asked.problem.text), asked.turns[-1], Turn("user", asked.problem.answer))
    reply = await bench.send(bare, carry="state")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    bench.require_resumed(asked, reply, "state")
