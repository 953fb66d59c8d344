"""3xx: the ways in which an answer finds its question."""

from __future__ import annotations

from dataclasses import replace

from pir_serve.conformance.bench import Bench, NotTestable, nonce, own_words, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Carrier, Turn


async def _answer_by(bench: Bench, carry: Carrier) -> None:
    asked = await bench.ask()
    bench.require_resumed(asked, await bench.answer(asked, carry=carry), carry)


@check(301, "by the conversation", "The question and the answer appended, text only: what every chat client does.")
async def by_text(bench: Bench) -> None:
    await _answer_by(bench, "text")


@check(302, "by session in the body", "The id of the question and the answer alone, no conversation.", on="session")
async def by_session(bench: Bench) -> None:
    await _answer_by(bench, "session")


@check(303, "by session header", "`X-PIR-Session` and the answer alone.", on="header")
async def by_header(bench: Bench) -> None:
    await _answer_by(bench, "header")


@check(
    304,
    "by opaque state",
    "The state of the question echoed on the assistant's message, as SDKs and Open WebUI do.",
    on="state",
)
async def by_state(bench: Bench) -> None:
    await _answer_by(bench, "state")


@check(305, "by the id of the call", "The answer as result of the question's tool call.", on="call")
async def by_call(bench: Bench) -> None:
    await _answer_by(bench, "call")


@check(
    306,
    "opaque state where the history is cut",
    "Earlier messages dropped by the client: state still leads to the question.",
    on="state",
)
async def state_cut(bench: Bench) -> None:
    asked = await bench.ask()
    reply = await bench.send(asked.and_then(asked.problem.answer)[-2:], carry="state")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    bench.require_resumed(asked, reply, "state")


@check(
    307,
    "white space does not matter",
    "Clients strip and dedent: text that differs in white space only is the same conversation.",
)
async def white_space(bench: Bench) -> None:
    asked = await bench.ask()
    turns = [replace(t, text=f"  {t.text.replace(' ', '  ', 1)}\n") for t in asked.turns]
    reply = await bench.send((*turns, Turn("user", asked.problem.answer)), carry="text")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    bench.require_resumed(asked, reply, "text")


@check(
    308,
    "a system message on the first turn only",
    "Gradio sends it once and then drops it: still the same conversation.",
)
async def system_dropped(bench: Bench) -> None:
    asked = await bench.ask(opening=(Turn("system", f"You help with sums. ({nonce()})"),))
    reply = await bench.send(asked.and_then(asked.problem.answer)[1:], carry="text")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    bench.require_resumed(asked, reply, "text")


@check(
    309,
    "another system message is another conversation",
    "Behind one front end's key, another system text holds another user's memory: the same words must not lead into their "
    "reasoning.",
)
async def system_changed(bench: Bench) -> None:
    asked = await bench.ask(opening=(Turn("system", f"The user is Ann ({nonce()})."),))
    turns = asked.and_then(asked.problem.answer)
    reply = await bench.send((Turn("system", f"The user is Bob ({nonce()})."), *turns[1:]), carry="text")
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(reply.resume == "rebuilt", f"X-PIR-Resume is {reply.resume or 'missing'}: another user's reasoning went on")


@check(
    310,
    "conversation ids keep equal chats apart",
    "A question asked under one `pir.conversation` is not found by its text from another.",
)
async def conversations(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words(), pir={"conversation": nonce()})
    theirs = await bench.answer(asked, carry="text", pir={"conversation": nonce()})
    require(theirs.resume == "rebuilt", f"X-PIR-Resume is {theirs.resume or 'missing'} from another conversation")
    ours = await bench.answer(asked, carry="text")
    bench.require_resumed(asked, ours, "text")


@check(
    311,
    "keys keep tenants apart",
    "A question asked of one API key cannot be found with another, not even by its id. (Needs --other-api-key.)",
)
async def tenants(bench: Bench) -> None:
    if bench.other_http is None:
        raise NotTestable("no second API key was given (--other-api-key)")
    asked = await bench.ask(opening=own_words())
    turns = asked.and_then(asked.problem.answer)
    for carry in bench.surface.carriers:
        reply = await bench.send(turns, carry=carry, http=bench.other_http)
        if carry in ("session", "header", "previous"):
            require(reply.raw.status == 400, f"by {carry}: another key's question got HTTP {reply.raw.status}")
        else:
            require(reply.ok and reply.resume == "rebuilt", f"by {carry}: another key's question was resumed")
