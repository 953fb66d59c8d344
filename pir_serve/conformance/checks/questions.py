"""1xx: what a question looks like."""

from __future__ import annotations

import time

from pir_serve.conformance.bench import Bench, NotTestable, has_tags, names, require
from pir_serve.conformance.checks.check import check


@check(
    101,
    "a question is an ordinary reply",
    "HTTP 200 and `finish_reason: stop`, or `tool_calls` for a call; `status: completed` in the Responses API: no client has "
    "to know anything of us.",
)
async def ordinary(bench: Bench) -> None:
    reply = (await bench.ask()).reply
    require(reply.raw.status == 200, f"HTTP {reply.raw.status}")
    require(
        reply.finish == bench.surface.finish,
        f"it ends with {reply.finish!r}, not {bench.surface.finish!r}; typed clients know only OpenAI's words",
    )


@check(
    102,
    "the question is the text",
    "The visible text, that of a question tool's call included, is the question and nothing else, the same as "
    "`pir.question`.",
)
async def question_is_text(bench: Bench) -> None:
    reply = (await bench.ask()).reply
    require(reply.text.strip(), "the visible text of a question is empty")
    question = reply.pir.get("question")
    require(reply.text == question, f"the visible text is {reply.text!r}, pir.question is {question!r}")


@check(
    103,
    "the pir object is complete",
    "`pir` says `status: awaiting_user`, `session`, `question`, `expires_at` in the future (Unix seconds), `num_asks` of 1 "
    "or more, and `auto_answers`.",
)
async def pir_object(bench: Bench) -> None:
    pir = (await bench.ask()).reply.pir
    missing = names(pir, "status", "session", "question", "expires_at", "num_asks", "auto_answers")
    require(not missing, f"pir has no {', '.join(missing)}")
    require(isinstance(pir["session"], str) and pir["session"], "pir.session is no text")
    expires = pir["expires_at"]
    require(isinstance(expires, int) and expires > time.time() - 60, f"pir.expires_at is {expires!r}")
    require(isinstance(pir["num_asks"], int) and pir["num_asks"] >= 1, f"pir.num_asks is {pir['num_asks']!r}")
    require(isinstance(pir["auto_answers"], list), "pir.auto_answers is no list")


@check(104, "a fresh start says so", "`X-PIR-Resume: new` where nothing is resumed, on whole replies and on streams.")
async def says_new(bench: Bench) -> None:
    reply = (await bench.ask()).reply
    require(reply.resume == "new", f"X-PIR-Resume is {reply.resume or 'missing'} on a first message")


@check(
    105,
    "headers tell question from answer",
    "`X-PIR-Status: awaiting_user` and `X-PIR-Session` with a question, `X-PIR-Status: final` with an answer: for clients "
    "that drop fields they do not know.",
    mode="whole",
    on="http",
)
async def status_headers(bench: Bench) -> None:
    asked = await bench.ask()
    headers = asked.reply.raw.headers
    require(headers.get("x-pir-status") == "awaiting_user", f"X-PIR-Status is {headers.get('x-pir-status')!r}")
    require(
        headers.get("x-pir-session") == asked.session,
        f"X-PIR-Session is {headers.get('x-pir-session')!r}, pir.session {asked.session!r}",
    )
    reply = await bench.answer(asked)
    wanted = "awaiting_user" if reply.asks else "final"
    status = reply.raw.headers.get("x-pir-status")
    require(status == wanted, f"X-PIR-Status of the reply to an answer is {status!r}, not {wanted!r}")


@check(106, "no tags are shown", "Control tags are in neither the text nor the reasoning that clients get.")
async def no_tags(bench: Bench) -> None:
    asked = await bench.ask()
    for reply in (asked.reply, await bench.answer(asked)):
        for where, text in (("text", reply.text), ("reasoning", reply.reasoning)):
            tag = has_tags(text)
            require(tag is None, f"the {where} shows {tag}: {text[:200]!r}")


@check(
    107,
    "usage adds up",
    "`total_tokens` is prompt and completion; reasoning tokens are part of the completion; a question costs tokens.",
)
async def usage(bench: Bench) -> None:
    asked = await bench.ask()
    for reply in (asked.reply, await bench.answer(asked)):
        used = reply.usage
        require(used is not None, "there is no usage")
        assert used is not None
        missing = names(used, "prompt_tokens", "completion_tokens", "total_tokens")
        require(not missing, f"usage has no {', '.join(missing)}")
        prompt, completion = used["prompt_tokens"], used["completion_tokens"]
        require(prompt > 0 and completion > 0, f"usage is {prompt} and {completion} tokens")
        require(used["total_tokens"] == prompt + completion, f"usage does not add up: {dict(used)}")
        details = used.get("completion_tokens_details") or {}
        reasoning = details.get("reasoning_tokens")
        require(
            reasoning is None or 0 <= reasoning <= completion, f"{reasoning} reasoning tokens of {completion} in all"
        )


@check(
    110,
    "what is kept has an id",
    "`pir.node` is the id of what is kept of a reply, in the reply to an answer too: that of a question is its session, and "
    "no two replies share one. (Skipped where a gateway names none.)",
)
async def node(bench: Bench) -> None:
    asked = await bench.ask()
    first = asked.reply.pir.get("node")
    if first is None:
        raise NotTestable("the gateway does not say under which id a question is kept")
    require(first == asked.session, f"pir.node of a question is {first!r}, its session {asked.session!r}")
    replies = [await bench.answer(asked) for _ in range(2)]
    ids = [first, *(reply.pir.get("node") for reply in replies)]
    require(
        all(isinstance(one, str) and one for one in ids), f"pir.node is {ids!r} of a question and two answers to it"
    )
    require(len(set(ids)) == len(ids), f"pir.node is {ids!r}: replies share an id")
