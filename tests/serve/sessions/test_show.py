"""GET /v1/pir/sessions/{id}: branches, who wrote what, how sure the model was, and what can be answered still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pir_serve.params import RunParams
from pir_serve.policy import AskPolicy
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import BEGAN, GATED, keep

MakeDesk = Callable[..., Desk]
URL = "/v1/pir/sessions"


def shape(branches: list[dict[str, Any]]) -> list[Any]:
    """Ids alone, children behind their parent."""
    return [[branch["id"], *shape(branch["children"])] for branch in branches]


async def test_the_nodes_of_a_session_are_a_tree_of_branches(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        first = await keep(desk, 1, PROBLEM)
        second = await keep(desk, 2, "4", parent=first)
        await keep(desk, 3, "5", parent=first)
        await keep(desk, 4, "dollars", parent=second)
        await keep(desk, 5, "euros", parent=second)
        session = (await client.get(f"{URL}/s_pens")).json()
        assert shape(session["branches"]) == [["pir_1", ["pir_2", ["pir_4"], ["pir_5"]], ["pir_3"]]]
        listed = (await client.get(URL)).json()["data"][0]
        assert session.items() >= listed.items()
        await client.delete(f"{URL}/pir_2")
        session = (await client.get(f"{URL}/s_pens")).json()
        assert shape(session["branches"]) == [["pir_1", ["pir_3"]], ["pir_4"], ["pir_5"]]


async def test_a_node_tells_all_that_is_known_of_it(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4 dollars", parent=asked)
        (root,) = (await client.get(f"{URL}/s_pens")).json()["branches"]
        (leaf,) = root["children"]
        segments, added = root.pop("segments"), leaf.pop("segments")
        num_tokens = {node["id"]: node.pop("num_tokens") for node in (root, leaf)}
        assert leaf == {
            "id": "pir_2",
            "object": "pir.node",
            "parent": "pir_1",
            "status": "completed",
            "detail": None,
            "malformed": [],
            "model": "scripted",
            "question": None,
            "answer": "Six pens at 4 dollars each.",
            "created_at": BEGAN + 2,
            "expires_at": BEGAN + 2 + 86_400,
            "num_asks": 1,
            "exchanges": [
                {
                    "question": QUESTION,
                    "original": None,
                    "opened_by": "model",
                    "response": "4 dollars",
                    "by": "user",
                    "reason": "",
                }
            ],
            "volunteered": [],
            "resume": None,
            "children": [],
        }
        assert (root["status"], root["question"], root["answer"]) == ("awaiting_user", QUESTION, None)
        assert root["resume"] == {
            "path": "/v1/pir/sessions/pir_1/resume",
            "possible": True,
            "options": {"ask": "auto", "temperature": 0.5},
        }
        assert [s["author"] for s in segments] == ["template", "user", "template", "model"]
        assert PROBLEM in segments[1]["text"] and segments[3]["text"].endswith(f"<asking>{QUESTION}</asking>")
        # What the parent has is not told again.
        assert [s["author"] for s in added] == ["user", "model"]
        assert "<response>4 dollars</response>" in added[0]["text"]
        assert num_tokens["pir_1"] == sum(s["num_tokens"] for s in segments)
        assert num_tokens["pir_2"] == sum(s["num_tokens"] for s in segments + added)
        assert not any({"token_ids", "logprobs"} & s.keys() for s in segments + added)


async def test_token_ids_come_on_request_and_are_those_that_were_sampled(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        done = await keep(desk, 2, "4", parent=asked)
        (root,) = (await client.get(f"{URL}/s_pens", params={"ids": 1})).json()["branches"]
        told = [i for part in (root, *root["children"]) for s in part["segments"] for i in s["token_ids"]]
        assert told == done.trajectory.token_ids
        written = root["children"][0]["segments"][1]
        assert written["logprobs"] == list(done.trajectory.segments[-1].logprobs)
        assert len(written["logprobs"]) == len(written["token_ids"]) == written["num_tokens"]
        assert root["segments"][0]["logprobs"] is None


async def test_a_nodes_own_id_shows_it_alone_and_whole(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        done = await keep(desk, 2, "4", parent=asked)
        session = (await client.get(f"{URL}/pir_2")).json()
        assert (session["id"], session["num_nodes"], shape(session["branches"])) == ("s_pens", 2, [["pir_2"]])
        texts = [s["text"] for s in session["branches"][0]["segments"]]
        assert texts == [s.text for s in done.trajectory.segments]


async def test_uncertainty_is_what_the_reply_reported(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        body = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        reported = await client.post("/v1/chat/completions", json=body | {"pir": {"uncertainty": True}})
        pir = reported.json()["choices"][0]["message"]["pir"]
        (node,) = (await client.get(f"{URL}/{pir['session']}")).json()["branches"]
        steps = [step for s in node["segments"] for step in s.get("uncertainty") or []]
        assert steps and steps == [{k: v for k, v in step.items() if k != "leg"} for step in pir["uncertainty"]]
        text = node["segments"][-1]["text"]
        assert all(text[step["start"] : step["end"]] == step["text"] for step in steps)
        # Nobody asked for log-probabilities here, so none were recorded.
        plain = await client.post("/v1/chat/completions", json=body)
        sid = plain.json()["choices"][0]["message"]["pir"]["session"]
        (node,) = (await client.get(f"{URL}/{sid}")).json()["branches"]
        assert node["segments"][-1]["uncertainty"] is None and "uncertainty" not in node["segments"][0]


async def test_who_answered_and_why_is_told(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM, params=RunParams(policy=AskPolicy(1)))
        await keep(desk, 2, "4", parent=asked, params=RunParams(policy=AskPolicy(1), auto_response="Guess."))
        await keep(desk, 3, PROBLEM, session="s_never", params=RunParams(policy=AskPolicy(0)))
        (node,) = (await client.get(f"{URL}/pir_2")).json()["branches"]
        assert [(e["response"], e["by"], e["reason"]) for e in node["exchanges"]] == [
            ("4", "user", ""),
            ("Guess.", "template", "max"),
        ]
        (node,) = (await client.get(f"{URL}/s_never")).json()["branches"]
        assert [(e["by"], e["reason"]) for e in node["exchanges"]] == [("template", "never")] * 2


async def test_an_ask_that_the_gate_opened_has_no_steps_in_its_question(make_desk: MakeDesk) -> None:
    desk = make_desk(["\nThe number of pens is 6.\nSo.", f"{QUESTION}</asking>"])
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM, params=GATED)
        (node,) = (await client.get(f"{URL}/pir_1")).json()["branches"]
        assert node["question"] == QUESTION
        *_, thought, opening, question = node["segments"]
        assert (opening["author"], opening["text"]) == ("template", "<asking>")
        assert [step["text"] for step in thought["uncertainty"]] == ["\nThe number of pens is 6.\n"]
        assert question["uncertainty"] == []


async def test_failures_are_told_as_they_are(make_desk: MakeDesk) -> None:
    desk = make_desk(["\nNo end of thought.", Line("\nA long thought that goes on and on.")])
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        await keep(desk, 2, PROBLEM, params=RunParams(max_tokens=4))
        branches = (await client.get(f"{URL}/s_pens")).json()["branches"]
        told = [(b["status"], b["detail"], b["malformed"], b["answer"], b["resume"]) for b in branches]
        assert told == [
            ("failed", "missing_think_close", ["missing_think_close"], None, None),
            ("incomplete", "max_tokens", [], None, None),
        ]


async def test_a_question_of_another_model_is_shown_but_cannot_be_answered_here(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
    served = desk.gateway.models["scripted"]
    object.__setattr__(served, "name", "scripted-2")  # as after a change of --model-name
    served.__dict__.pop("digest", None)
    async with in_process(desk) as client:
        (shown,) = (await client.get(f"{URL}/{node.sid}")).json()["branches"]
        assert shown["resume"]["possible"] is False
        assert shown["segments"][-1]["uncertainty"] is None  # nobody here knows its tokens


async def test_where_reasoning_is_hidden_it_is_hidden_here_too(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, show_reasoning="none")
    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4", parent=asked)
        shown = await client.get(f"{URL}/s_pens", params={"ids": "true"})
        assert "I need the price" not in shown.text and "segments" not in shown.text and "token_ids" not in shown.text
        (root,) = shown.json()["branches"]
        assert (root["question"], root["children"][0]["answer"]) == (QUESTION, "Six pens at 4 each.")
        refused = await client.get(f"{URL}/export")
        assert refused.status_code == 403 and refused.json()["error"]["code"] == "reasoning_hidden"


async def test_long_sessions_come_in_pages_and_as_deep_trees(make_desk: MakeDesk) -> None:
    desk = make_desk(lambda prompt: f"\nMore.\n<asking>And {prompt.count('<response>')}?</asking>")
    params = RunParams(max_asks=1000)
    async with in_process(desk) as client:
        node = await keep(desk, 0, PROBLEM, params=params)
        for n in range(1, 120):
            node = await keep(desk, n, "5", parent=node, params=params)
        first = (await client.get(f"{URL}/s_pens", params={"limit": 100})).json()
        second = (await client.get(f"{URL}/s_pens", params={"cursor": first["next_cursor"]})).json()
        (deep,) = first["branches"]
        assert deep["id"] == "pir_20" and deep["parent"] == "pir_19"
        for _ in range(99):
            (deep,) = deep["children"]
        assert deep["id"] == "pir_119" and len(deep["segments"]) == 2
        assert second["branches"][0]["id"] == "pir_0" and not second["has_more"]


@pytest.mark.parametrize("query", [{"ids": "perhaps"}, {"limit": "0"}, {"cursor": "é"}, {"id": "1"}])
async def test_a_wrong_query_is_told(make_desk: MakeDesk, query: dict[str, str]) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await client.get(f"{URL}/s_pens", params=query)
        assert reply.status_code == 400 and reply.json()["error"]["param"] == next(iter(query))
