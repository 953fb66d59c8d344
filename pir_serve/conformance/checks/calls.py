"""Rules for clients that offer a question tool: questions are its calls, answers their results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pir_serve.conformance.bench import Asked, Bench, nonce, own_words, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import QUESTION_TOOL, Reply

_ID_CHARS = 40
"""The most that OpenAI's API lets the id of a call have."""
_DECLINED = {
    "declined": ('{"action": "decline"}', '{"action": "cancel"}'),
    "timed_out": ('{"status": "cancelled", "timed_out": true}',),
}
"""What clients' question tools bring back where there is no answer: MCP's elicitation, Open WebUI."""


@check(
    108,
    "a call in the tool's own schema",
    "A client's question tool is called once, with arguments that fit its schema and hold the question, under an id of at "
    "most 40 characters; nothing else is shown.",
    on="tool",
)
async def one_call(bench: Bench) -> None:
    reply = (await bench.ask()).reply
    require(len(reply.calls) == 1, f"the question has {len(reply.calls)} calls")
    call = reply.calls[0]
    require(call.name == QUESTION_TOOL["name"], f"the call is of {call.name!r}")
    require(0 < len(call.id) <= _ID_CHARS, f"the call's id has {len(call.id)} characters: {call.id[:60]!r}")
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = None
    wanted = {"question": reply.pir.get("question")}
    require(arguments == wanted, f"the arguments are {call.arguments[:200]}, not {json.dumps(wanted)}")
    require(not reply.content, f"beside the call there is text: {reply.content[:200]!r}")


@check(
    312,
    "a plain message behind the call",
    "A user who writes on instead of using the tool has answered: an ordinary message behind the call is its answer.",
    on="plain",
)
async def plain_message(bench: Bench) -> None:
    asked = await bench.ask()
    bench.require_resumed(asked, await bench.answer(asked, carry="plain"), "plain")


@check(
    418,
    "a call that is not known here",
    "The result of a call that has the shape of ours and was never made (or is lost) is rebuilt from, and said so; strict, "
    "it is refused.",
    on="call",
)
async def unknown_call(bench: Bench) -> None:
    asked = await bench.ask(opening=own_words())
    calls = (replace(asked.reply.calls[0], id=f"call_pir_{nonce()}"),)
    reply = replace(asked.reply, calls=calls)
    question = replace(asked.turns[-1], reply=reply, text=f"Which {nonce()} do you mean?")
    lost = replace(asked, turns=(*asked.turns[:-1], question), reply=reply)
    answer = await bench.answer(lost, carry="call")
    require(answer.ok, f"HTTP {answer.raw.status}: {answer.raw.text[:200]}")
    require(answer.resume == "rebuilt", f"X-PIR-Resume is {answer.resume or 'missing'}, not rebuilt")
    refused = await bench.send(lost.and_then(asked.problem.answer), carry="call", pir={"strict": True})
    require(refused.raw.status == 400, f"HTTP {refused.raw.status}, not 400, where only the real question will do")


@check(
    510,
    "questions as text on request",
    '`"pir": {"ask_via": "content"}` or `tool_choice: none`: the question is text, the tool is not called, and the '
    "conversation leads back to it.",
    on="tool",
)
async def as_text(bench: Bench) -> None:
    ways: tuple[dict[str, Any], ...] = ({"pir": {"ask_via": "content"}}, {"fields": {"tool_choice": "none"}})
    for way in ways:
        asked = await bench.ask(opening=own_words(), **way)
        _is_text(asked)
        bench.require_resumed(asked, await bench.answer(asked, carry="text", **way), "text")


@check(
    511,
    "a tool that cannot carry the question",
    "A tool whose schema demands what the model did not say, such as options to choose from, is not called: the question "
    "is text.",
    on="tool",
)
async def too_demanding(bench: Bench) -> None:
    options = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    parameters = {
        "type": "object",
        "properties": {"question": {"type": "string"}, "options": options},
        "required": ["question", "options"],
    }
    tool = {**QUESTION_TOOL, "parameters": parameters}
    shaped = {"type": "function", "function": tool} if "chat" in bench.surface.traits else {"type": "function", **tool}
    _is_text(await bench.ask(opening=own_words(), fields={"tools": [shaped]}))


@check(
    512,
    "a question that is not answered",
    "A result that says that the user declined, or did not answer in time, is no answer: the model is told to go on without "
    "one, and `auto_answers` says why.",
    on="call",
)
async def declined(bench: Bench) -> None:
    for reason, results in _DECLINED.items():
        for result in results:
            asked = await bench.ask()
            reply = await bench.answer(asked, result, carry="call")
            bench.require_resumed(asked, reply, "call")
            _lists(reply, reason, result)


def _is_text(asked: Asked) -> None:
    reply = asked.reply
    require(not reply.calls, f"the tool was called: {reply.calls[:1]}")
    require(reply.content == reply.pir.get("question"), f"the text is {reply.content!r}, not the question")


def _lists(reply: Reply, reason: str, result: str) -> None:
    answers = reply.pir.get("auto_answers") or []
    reasons = [entry.get("reason") for entry in answers if isinstance(entry, dict)]
    require(reason in reasons, f"after {result} auto_answers has the reasons {reasons}, not {reason}")
