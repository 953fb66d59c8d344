"""What people complain about with other gateways, where no other test has it; and that the page that lists all of it
(docs/conformance.md) names tests that exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, responses, sure, twice_curious
from tests.serve.chat.test_exchange import chunks
from tests.serve.chat.test_tools import URL as CHAT
from tests.serve.chat.test_tools_passed import BODY as TOOLS
from tests.serve.chat.test_tools_passed import CALL, TEMPLATE
from tests.serve.conftest import Desk, in_process, write_tokenizer
from tests.serve.responses.wire import ASK, URL, checked_response, events_of, output_text

MakeDesk = Callable[..., Desk]
ROOT = Path(__file__).parents[2]
BODY: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}


def test_the_page_names_a_test_for_each_complaint() -> None:
    section = (ROOT / "docs/conformance.md").read_text().split("\n## What people complain about")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", section, re.M)[2:]]
    assert len(rows) >= 18
    for complaint, _, named in rows:
        tests = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", named)
        assert tests, f"{complaint}: no test"
        for file, name in tests:
            source = ast.parse((ROOT / "tests" / file).read_text())
            found = {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert not name or name in found, f"{complaint}: {file} has no {name}"


def test_requests_and_suspensions_leave_nothing_in_memory(tokenizer_dir: Path) -> None:
    """Objects, not bytes: allocators keep what they like. `python -m benchmarks.memory` looks at 50,000 requests."""
    command = [
        sys.executable,
        "-m",
        "tests.serve.process.leftovers",
        str(tokenizer_dir),
    ]  # alone: other tests leave things
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    grown = {name: min(b.get(name, 0) - a.get(name, 0) for a, b in pairwise(counts[1:])) for name in counts[0]}
    assert {name: n for name, n in grown.items() if n >= 7} == {}, "with each second conversation, or more"


async def test_a_chunk_costs_the_same_however_long_the_reply_is(make_desk: MakeDesk) -> None:
    """CPU time, the better of three: a reply eight times as long may cost eight times as much, not sixty-four times."""
    long = {n: "\n" + "One pen costs 4 dollars. " * n + "\n</think>\nThe answer is 24." for n in (150, 1200)}
    desk = make_desk(lambda prompt: long[1200 if "at length" in prompt else 150], engine={"max_model_len": 60_000})
    took: dict[str, float] = {}
    async with in_process(desk) as client:
        for word in ("briefly", "at length") * 3:
            body = {**BODY, "messages": [{"role": "user", "content": word}], "stream": True, "max_tokens": 50_000}
            began = time.process_time()
            reply = await client.post(CHAT, json=body)
            took[word] = min(took.get(word, 1e9), time.process_time() - began)
            said = "".join(c["delta"].get("reasoning_content", "") for e in chunks(reply.text) for c in e["choices"])
            assert said.count("4 dollars") == (1200 if word == "at length" else 150)
    assert took["at length"] < 24 * took["briefly"]


async def test_what_is_stored_of_responses_is_there_after_a_restart(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(twice_curious)) as client:
        first = (await client.post(URL, json={"model": "scripted", "input": PROBLEM, "tools": [ASK]})).json()
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        assert (await client.get(f"{URL}/{first['id']}")).json() == first
        body = {"model": "scripted", "input": "4", "previous_response_id": first["id"], "tools": [ASK]}
        second = await client.post(URL, json=body)
        assert second.headers["x-pir-resume"] == "exact" and second.json()["pir"]["num_asks"] == 2


async def test_calls_and_their_outputs_survive_a_chain_and_no_call_comes_twice(make_desk: MakeDesk) -> None:
    desk = make_desk(lambda prompt: sure(prompt) if "And for 7" in prompt else twice_curious(prompt))
    async with in_process(desk) as client:

        async def respond(to: dict[str, Any], **more: Any) -> dict[str, Any]:
            body = {"model": "scripted", "tools": [ASK], "previous_response_id": to["id"], **more}
            return checked_response((await client.post(URL, json=body)).json())

        first = (await client.post(URL, json={"model": "scripted", "input": PROBLEM, "tools": [ASK]})).json()
        calls = [first["output"][-1]["call_id"]]
        branches = []
        for price in ("4", "5"):  # the same call answered twice: two branches
            second = await respond(first, input=[_output(calls[0], price)])
            calls.append(second["output"][-1]["call_id"])
            third = await respond(second, input=[_output(calls[-1], "euros")])
            assert output_text(third) == f"Six pens at {price} euros."
            branches.append(third)
        assert len(set(calls)) == 3 and len(desk.engine.requests) == 5, "one leg for each answer"
        listed = (await client.get(f"{URL}/{branches[0]['id']}/input_items?order=asc")).json()["data"]
        assert [(item["type"], item["output"]) for item in listed] == [("function_call_output", "euros")]
        await respond(branches[0], input="And for 7?")
        prompt = desk.engine.prompt_text()
        for said in (PROBLEM, QUESTION, "4", "Which currency?", "euros", "Six pens at 4 euros.", "And for 7?"):
            assert said in prompt
        assert prompt.count("Which currency?") == 1


def _output(call_id: str, text: str) -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_max_tokens_cuts_is_no_call(make_desk: MakeDesk, tmp_path: Path, stream: bool) -> None:
    folder = write_tokenizer(tmp_path / "hermes")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    said = f"\n</think>\nOne moment.\n{CALL}\n"
    desk = make_desk([said] * 200, tokenizer=folder, engine={"chunk_tokens": 1})
    ends = Counter[str]()
    async with in_process(desk) as client:
        for limit in range(1, len(desk.engine.tokenizer.encode(said).ids) + 2, 3):
            reply = await client.post(CHAT, json={**TOOLS, "stream": stream, "max_tokens": limit})
            assert reply.status_code == 200
            if stream:
                choices = [choice for event in chunks(reply.text) for choice in event["choices"]]
                finish = choices[-1]["finish_reason"]
                parts = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
                arguments = "".join(part["function"]["arguments"] for part in parts)
            else:
                (choice,) = reply.json()["choices"]
                finish = choice["finish_reason"]
                arguments = "".join(c["function"]["arguments"] for c in choice["message"].get("tool_calls", ()))
            ends[finish] += 1
            assert json.loads(arguments) == {"thing": "pen"} if finish == "tool_calls" else arguments == ""
    assert ends["length"] > 3 and ends["tool_calls"] >= 1 and set(ends) == {"length", "tool_calls"}


async def test_usage_is_the_engines_count_streamed_or_not_and_over_a_resume(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    turns = [*BODY["messages"], {"role": "assistant", "content": QUESTION}, {"role": "user", "content": "4"}]
    async with in_process(desk) as client:
        for messages in (BODY["messages"], turns):
            body = {**BODY, "messages": messages}
            whole = (await client.post(CHAT, json=body)).json()["usage"]
            leg, told = desk.engine.requests[-1], len(desk.engine._known[-1])
            assert whole["prompt_tokens"] == len(leg.prompt_ids)
            assert whole["completion_tokens"] == told - len(leg.prompt_ids)
            assert whole["total_tokens"] == told
            options = {"stream": True, "stream_options": {"include_usage": True}}
            events = chunks((await client.post(CHAT, json={**body, **options})).text)
            assert events[-1]["choices"] == []
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                assert events[-1]["usage"][name] == whole[name]
            silent = chunks((await client.post(CHAT, json={**body, "stream": True})).text)
            assert not any(event.get("usage") for event in silent)


async def test_every_event_has_the_id_that_a_client_can_go_on_from_at_once(make_desk: MakeDesk) -> None:
    desk = make_desk(lambda prompt: Line(curious(prompt)))
    async with in_process(desk) as client:
        for k in range(5):
            body = {"model": "scripted", "input": f"{k}. {PROBLEM}"}
            events = events_of((await client.post(URL, json={**body, "stream": True})).text)
            (made,) = {event["response"]["id"] for event in events if "response" in event}
            body = {"model": "scripted", "input": "4", "previous_response_id": made}
            reply = await client.post(URL, json=body)
            assert reply.headers["x-pir-resume"] == "exact" and output_text(reply.json()) == "Six pens at 4 each."
            chat = chunks((await client.post(CHAT, json={**BODY, "stream": True})).text)
            assert len({event["id"] for event in chat}) == 1


async def test_only_the_reasoning_of_a_turn_asks_and_answers_of_two_questions_stay_apart(make_desk: MakeDesk) -> None:
    """Two questions with the same words wait at once in two chats: each answer goes on with its own."""
    desk = make_desk(
        lambda p: curious(p) if not responses(p) else f"\nI see.\n</think>\n{p.count('Nora')} {p.count('Tim')}."
    )
    chats = [PROBLEM, PROBLEM.replace("Nora", "Tim")]
    async with in_process(desk) as client:
        for text in chats:
            await client.post(CHAT, json={**BODY, "messages": [{"role": "user", "content": text}]})
        for text, wanted in zip(chats, ("1 0.", "0 1."), strict=True):
            turns = [("user", text), ("assistant", QUESTION), ("user", "4")]
            messages = [{"role": role, "content": said} for role, said in turns]
            reply = await client.post(CHAT, json={**BODY, "messages": messages})
            assert reply.json()["choices"][0]["message"]["content"] == wanted


def test_importing_the_gateway_reaches_for_no_network_and_few_packages_are_needed() -> None:
    code = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda name, args: seen.append((name, args)) if name in "
        "('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'urllib.Request') else None)\n"
        "import pir_serve.cli, pir_serve.api.build, pir_serve.engines.vllm, pir_serve.engines.pool\n"
        "print(seen)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {re.split(r"[\s<>=!;\[]", each)[0].lower().replace("_", "-") for each in project["dependencies"]}
    assert len(core) <= 20, "each one more is one more to trust"
    pins = {line.split("==")[0].lower().replace("_", "-") for line in _lines("requirements.txt") if "==" in line}
    assert core <= pins and all("==" in line for line in _lines("requirements.txt"))


def _lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
