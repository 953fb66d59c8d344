"""Over real sockets: silence, failure in the middle, clients that leave, and a slow reader."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from openai import APIError, InternalServerError, OpenAI

from pir_serve.errors import EngineRejected, EngineUnavailable
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
BODY = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
LONG = "\n" + "The number of pens is 6.\n" * 400
ANSWER = "\nAll is known.\n</think>\nThe answer is 24."


def sdk(desk: Desk) -> OpenAI:
    return OpenAI(base_url=f"{desk.url}/v1", api_key="unused", max_retries=0)


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_silence_is_filled_with_comments_that_the_sdk_skips(make_desk: MakeDesk, on_port: Serve) -> None:
    script = [Line(ANSWER, first_delay_s=0.4), Line(ANSWER, delay_s=0.25)]
    with on_port(make_desk(script, engine={"chunk_tokens": 8}, keepalive_s=0.1)) as desk:
        text = httpx.post(f"{desk.url}/v1/chat/completions", json=BODY | {"stream": True}).text
        assert text.startswith("data: ") and text.count(": keepalive\n\n") >= 2
        with sdk(desk) as client, client.chat.completions.create(**BODY, stream=True) as stream:
            assert "".join(c.choices[0].delta.content or "" for c in stream) == "The answer is 24."


def test_text_arrives_while_it_is_generated(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk([Line(ANSWER, delay_s=0.05)], engine={"chunk_tokens": 1})
    with on_port(desk), httpx.stream("POST", f"{desk.url}/v1/chat/completions", json=BODY | {"stream": True}) as reply:
        arrivals = [time.monotonic() for line in reply.iter_lines() if "reasoning_content" in line]
    assert len(arrivals) > 3 and arrivals[-1] - arrivals[0] > 0.1


def test_a_failure_in_the_middle_is_told_and_raised_by_the_sdk(make_desk: MakeDesk, on_port: Serve) -> None:
    dead = Line("\nThe number of pens is 6.\n", end="die")
    desk = make_desk([dead, dead] * 2)
    with on_port(desk), sdk(desk) as client:
        text = httpx.post(f"{desk.url}/v1/chat/completions", json=BODY | {"stream": True}).text
        last = text.rstrip().rpartition("data: ")[2]
        assert json.loads(last)["error"]["code"] == "engine_unavailable"
        assert "[DONE]" not in text
        with pytest.raises(APIError), client.chat.completions.create(**BODY, stream=True) as stream:
            for _ in stream:
                pass


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_token_is_an_http_status(make_desk: MakeDesk, on_port: Serve, stream: bool) -> None:
    desk = make_desk(
        [Line("", error=EngineUnavailable("nobody there"))] * 2 + [Line("", error=EngineRejected("no such model"))]
    )
    with on_port(desk), sdk(desk) as client:
        with pytest.raises(InternalServerError) as unavailable:
            client.chat.completions.create(**BODY, stream=stream)
        assert (unavailable.value.status_code, unavailable.value.code) == (503, "engine_unavailable")
        with pytest.raises(InternalServerError) as rejected:
            client.chat.completions.create(**BODY, stream=stream)
        assert (rejected.value.status_code, rejected.value.code) == (502, "engine_rejected")


def test_an_engine_that_dies_once_is_not_noticed_by_the_client(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk([Line("\nAll is", end="die"), " known.\n</think>\nThe answer is 24."])
    with on_port(desk), sdk(desk) as client:
        reply: Any = client.chat.completions.create(**BODY)
        assert reply.choices[0].message.content == "The answer is 24."
        assert reply.choices[0].message.reasoning_content == "All is known.\n"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("phase", ["before the first token", "while it streams"])
def test_a_client_that_leaves_aborts_the_engine(make_desk: MakeDesk, on_port: Serve, stream: bool, phase: str) -> None:
    waits = Line(LONG, first_delay_s=30) if phase.startswith("before") else Line(LONG, delay_s=0.02)
    desk = make_desk([waits], engine={"chunk_tokens": 1}, keepalive_s=0.2)

    async def leave() -> None:
        async with httpx.AsyncClient() as client:
            request = client.post(f"{desk.url}/v1/chat/completions", json=BODY | {"stream": stream}, timeout=60)
            task = asyncio.create_task(request)
            assert await asyncio.to_thread(eventually, lambda: desk.engine.running == 1, 30)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with on_port(desk):
        asyncio.run(leave())
        assert eventually(lambda: desk.engine.aborted == 1)
        assert desk.engine.running == 0
        assert desk.num_suspended == 0


def test_leaving_while_resuming_leaves_the_question_open(make_desk: MakeDesk, on_port: Serve) -> None:
    def script(prompt: str) -> Line:
        return Line(curious(prompt), delay_s=0.1 if "<response>slow" in prompt else 0.0)

    desk = make_desk(script, engine={"chunk_tokens": 1})
    with on_port(desk):
        url = f"{desk.url}/v1/chat/completions"
        httpx.post(url, json=BODY)
        messages = [*BODY["messages"], {"role": "assistant", "content": QUESTION}, {"role": "user", "content": "slow"}]
        with httpx.stream("POST", url, json=BODY | {"messages": messages, "stream": True}) as reply:
            next(line for line in reply.iter_lines() if "reasoning_content" in line)
        assert eventually(lambda: desk.engine.aborted == 1)
        messages[-1] = {"role": "user", "content": "4"}
        again = httpx.post(url, json=BODY | {"messages": messages})
        assert again.headers["x-pir-resume"] == "hash"
        assert again.json()["choices"][0]["message"]["content"] == "Six pens at 4 each."
        first, slow, last = desk.engine.requests
        assert last.prompt_ids[: len(first.prompt_ids)] == slow.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids


def test_a_slow_reader_gets_all_of_it(make_desk: MakeDesk, on_port: Serve) -> None:
    text = "".join(f"Line {n} says that the number of pens is {n}.\n" for n in range(800))
    desk = make_desk([f"\n{text}</think>\nDone."], engine={"chunk_tokens": 1, "max_model_len": 200_000})
    with on_port(desk):
        got = []
        body = BODY | {"stream": True, "max_tokens": 150_000}
        with httpx.stream("POST", f"{desk.url}/v1/chat/completions", json=body, timeout=60) as reply:
            for k, line in enumerate(reply.iter_lines()):
                if k < 20:
                    time.sleep(0.02)
                if line.startswith("data: {"):
                    got.append(
                        json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("reasoning_content", "")
                    )
    assert "".join(got) == text


def test_many_at_once_do_not_mix(make_desk: MakeDesk, on_port: Serve) -> None:
    def script(prompt: str) -> Line:
        number = prompt.rpartition("Problem ")[2].partition("<")[0]
        return Line(f"\nThis is {number}.\n</think>\nAnswer {number}.", delay_s=0.001)

    async def ask(client: httpx.AsyncClient, n: int) -> str:
        messages = [{"role": "user", "content": f"Problem {n}"}]
        body = {"model": "scripted", "messages": messages, "stream": n % 2 == 0}
        reply = await client.post(f"{desk.url}/v1/chat/completions", json=body, timeout=60)
        if n % 2:
            return str(reply.json()["choices"][0]["message"]["content"])
        events = [json.loads(e[6:]) for e in reply.text.split("\n\n") if e.startswith("data: {")]
        return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])

    async def all_of_them() -> list[str]:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=64)) as client:
            return await asyncio.gather(*(ask(client, n) for n in range(64)))

    desk = make_desk(script)
    with on_port(desk):
        assert asyncio.run(all_of_them()) == [f"Answer {n}." for n in range(64)]
