"""4xx: what happens when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from pir_serve.conformance.bench import Asked, Bench, NotTestable, edited, nonce, own_words, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Carrier, Reply, Turn


@check(401, "regenerate the answer", "The same question and answer again: resumed again. A question is never used up.")
async def regenerate(bench: Bench) -> None:
    asked = await bench.ask()
    for _ in range(3):
        bench.require_resumed(asked, await bench.answer(asked))


@check(402, "edit the answer", "The same question with another answer: a second branch of the same reasoning.")
async def edit_answer(bench: Bench) -> None:
    asked = await bench.ask()
    for text in (asked.problem.answer, f"Sorry, I was wrong. {asked.problem.answer} Now I am sure."):
        bench.require_resumed(asked, await bench.answer(asked, text))


@check(403, "racing tabs", "Several answers at once: each a branch of its own. No lock, no 409.")
async def race(bench: Bench) -> None:
    asked = await bench.ask()
    texts = [f"{asked.problem.answer}{' Really.' * k}" for k in range(4)]
    # All of them are waited for: one that is refused must not leave others behind.
    for reply in await asyncio.gather(*(bench.answer(asked, text) for text in texts), return_exceptions=True):
        if isinstance(reply, BaseException):
            raise reply
        bench.require_resumed(asked, reply)


@check(
    404,
    "a request repeated by an SDK",
    "The same request again, as after a broken connection (`x-stainless-retry-count: 1`): served, never 409.",
)
async def retry(bench: Bench) -> None:
    asked = await bench.ask()
    await bench.answer(asked)
    again = await bench.answer(asked, headers={"x-stainless-retry-count": "1"})
    bench.require_resumed(asked, again)


@check(
    405,
    "regenerate the question",
    "The first message again is a fresh start; the earlier question still waits under its id.",
)
async def regenerate_question(bench: Bench) -> None:
    asked = await bench.ask()
    again = await bench.send(asked.turns[:-1])
    require(again.ok and again.resume == "new", f"X-PIR-Resume is {again.resume or 'missing'}, not new")
    require(not again.asks or again.pir.get("session") != asked.session, "both questions have the same session")
    bench.require_resumed(asked, await bench.answer(asked, carry="session"), "session")


@check(
    406,
    "edit an earlier message",
    "No longer the same conversation, opaque state or not: the reasoning is not resumed, and `X-PIR-Resume: rebuilt` says "
    "so.",
)
async def edit_earlier(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words())
    at = len(asked.turns) - 2
    turns = edited(asked.and_then(asked.problem.answer), at, f"{asked.turns[at].text} ({nonce()})")
    carriers: tuple[Carrier, ...] = ("text", "state")
    for carry in carriers:
        reply = await bench.send(turns, carry=carry)
        require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
        require(reply.resume == "rebuilt", f"X-PIR-Resume is {reply.resume or 'missing'} by {carry}, not rebuilt")


@check(
    407,
    "disconnect while resuming",
    "The client goes away in the middle of the reply to its answer: the question still waits.",
)
async def disconnect(bench: Bench) -> None:
    asked = await bench.ask()
    for _ in range(2):
        await bench.send_and_leave(asked.and_then(asked.problem.answer))
    bench.require_resumed(asked, await bench.answer(asked))


@check(
    408, "change of topic", "Whatever follows a question is the response to it; the model decides what to make of it."
)
async def topic(bench: Bench) -> None:
    asked = await bench.ask()
    reply = await bench.answer(asked, "Never mind that. What can you do for me?")
    bench.require_resumed(asked, reply)


def _starts_afresh(asked: Asked, reply: Reply) -> None:
    require(reply.resume == "new", f"X-PIR-Resume is {reply.resume or 'missing'}, not new")
    count = reply.pir.get("num_asks")
    require(count is None or count == int(reply.asks), f"num_asks is {count}: this is no fresh reasoning")
    require(reply.pir.get("session") != asked.session, "the question has the old session")


@check(409, "action new", '`"pir": {"action": "new"}` starts afresh, whatever waits; the question goes on waiting.')
async def action_new(bench: Bench) -> None:
    asked = await bench.ask()
    _starts_afresh(asked, await bench.answer(asked, pir={"action": "new"}))
    bench.require_resumed(asked, await bench.answer(asked))


@check(410, "action new by header", "`X-PIR-Action: new`, for clients that can set headers only.", on="header")
async def action_new_header(bench: Bench) -> None:
    asked = await bench.ask()
    _starts_afresh(asked, await bench.answer(asked, headers={"X-PIR-Action": "new"}))


@check(
    411,
    "an unknown session and nothing else",
    "400 `previous_response_not_found`, and `X-Should-Retry: false`, so that SDKs do not repeat it.",
)
async def unknown_session(bench: Bench) -> None:
    _is_not_found(bench, await bench.send((Turn("user", "Seven."),), pir={"session": f"pir_{nonce()}"}))
    if "previous" in bench.surface.carriers:
        fields = {"previous_response_id": f"resp_{nonce()}"}
        _is_not_found(bench, await bench.send((Turn("user", "Seven."),), fields=fields))


@check(
    412,
    "an unknown session with the conversation",
    "Rebuilt: question and answer become ordinary turns, the model reasons afresh, `X-PIR-Resume: rebuilt` says so.",
)
async def unknown_session_rebuilt(bench: Bench) -> None:
    asked = await bench.ask()
    reply = await bench.answer(asked, carry="text", pir={"session": f"pir_{nonce()}"})
    require(reply.resume == "rebuilt", f"X-PIR-Resume is {reply.resume or 'missing'}, not rebuilt")


@check(413, "strict", '`"pir": {"strict": true}`: a session that is gone is refused (400), not rebuilt.')
async def strict(bench: Bench) -> None:
    asked = await bench.ask()
    turns = asked.and_then(asked.problem.answer)
    _is_not_found(bench, await bench.send(turns, carry="text", pir={"session": f"pir_{nonce()}", "strict": True}))


@check(
    414,
    "a question that is not known here",
    "A conversation with a question that this gateway never asked (or lost) is rebuilt, and said so; strict, it is refused.",
)
async def lost_question(bench: Bench) -> None:
    problem = bench.setup.problems[0]
    opening = (*own_words(), Turn("user", problem.text), Turn("assistant", f"Which {nonce()} do you mean?"))
    turns = (*opening, Turn("user", problem.answer))
    reply = await bench.send(turns)
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(reply.resume == "rebuilt", f"X-PIR-Resume is {reply.resume or 'missing'}, not rebuilt")
    _is_not_found(bench, await bench.send(turns, pir={"strict": True}))


@check(
    415,
    "an expired question",
    "After `expires_at`: rebuilt with a conversation, 400 by its id alone. (Skipped where questions live longer than "
    "--max-wait.)",
)
async def expired(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words())
    wait_s = float(asked.reply.pir.get("expires_at") or 0) - time.time()
    if wait_s > bench.setup.max_wait_s:
        raise NotTestable(
            f"questions live {wait_s:.0f} s here; give the gateway a short life time, or raise --max-wait"
        )
    await asyncio.sleep(max(wait_s, 0) + 1.5)  # `expires_at` is in whole seconds
    reply = await bench.answer(asked, carry="text")
    require(reply.resume == "rebuilt", f"X-PIR-Resume is {reply.resume or 'missing'}, not rebuilt")
    if "session" in bench.surface.carriers:
        _is_not_found(bench, await bench.send(asked.and_then(asked.problem.answer), carry="session"))


@check(416, "an ordinary follow-up", "After an answer, the next message is an ordinary turn: `X-PIR-Resume: new`.")
async def follow_up(bench: Bench) -> None:
    for _ in range(bench.setup.tries):
        asked = await bench.ask(opening=own_words())
        answer = await bench.answer(asked)
        if not answer.asks and answer.text.strip() and not answer.text.rstrip().endswith("?"):
            break
    else:
        raise NotTestable("the model never came to an answer")
    turns = (*asked.and_then(asked.problem.answer), Turn("assistant", answer.text, answer), Turn("user", "Thank you."))
    reply = await bench.send(turns)
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
    require(reply.resume == "new", f"X-PIR-Resume is {reply.resume or 'missing'}, not new")


@check(
    417,
    "forged opaque state",
    "State that is made up or damaged is ignored, never an error: the conversation's text still leads to the question.",
    on="state",
)
async def forged(bench: Bench) -> None:
    asked = await bench.ask()
    for state in bench.surface.forgeries(asked.reply):
        turns = (*asked.turns[:-1], replace(asked.turns[-1], reply=replace(asked.reply, state=state)))
        reply = await bench.send((*turns, Turn("user", asked.problem.answer)), carry="state")
        require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
        bench.require_resumed(asked, reply, "text")


def _is_not_found(bench: Bench, reply: Reply) -> None:
    require(reply.raw.status == 400, f"HTTP {reply.raw.status}, not 400")
    code = (reply.error or {}).get("code")
    require(code == "previous_response_not_found", f"the error's code is {code!r}, not 'previous_response_not_found'")
    header = reply.raw.headers.get("x-should-retry")
    told = header == "false" or "socket" in bench.surface.traits
    require(told, f"X-Should-Retry is {header!r}: SDKs may repeat what cannot succeed")
