"""Real client packages against a real gateway process: asked, answering, regenerating, editing, racing, repeating.

`make test-clients` installs the packages. What each client sends back decides the rung of `X-PIR-Resume` on which its
answer lands; that the reasoning is the same one is read from the token ids which the engine was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.conftest import Front, Player, Proxy, playing
from tests.clients.recorder import Exchange
from tests.serve.brains import PROBLEM, QUESTION

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


class Client(NamedTuple):
    """How a client is started, and what its answers are found by: whole reply, streamed reply."""

    command: list[str]
    whole: str
    streamed: str
    path: str = "/v1/chat/completions"
    through: str = ""
    """A proxy between it and the gateway."""


RESPONSES = "/v1/responses"


CLIENTS = {
    "openai-py": Client(["openai_py.py", "object"], "sealed", "hash"),
    "openai-py-dict": Client(["openai_py.py", "dict"], "hash", "hash"),
    "openai-py-async": Client(["openai_py.py", "async"], "hash", "hash"),
    "openai-py-helper": Client(["openai_py.py", "helper"], "sealed", "sealed"),
    "openai-js-7": Client(["openai.mjs", "openai"], "sealed", "sealed"),
    "openai-js-6": Client(["openai.mjs", "openai6"], "sealed", "sealed"),
    "langchain-openai": Client(["langchain.py", "chat"], "hash", "hash"),
    "langchain-openai-tool": Client(["langchain.py", "chat", "tool"], "exact", "exact"),
    "langchain-openai-responses": Client(["langchain.py", "responses"], "sealed", "sealed", RESPONSES),
    "langchain-openai-responses-tool": Client(["langchain.py", "responses", "tool"], "exact", "exact", RESPONSES),
    "langchain-openai-previous": Client(["langchain.py", "previous"], "exact", "exact", RESPONSES),
    "openai-agents": Client(["openai_agents.py", "chat"], "hash", "hash"),
    "openai-agents-tool": Client(["openai_agents.py", "chat", "tool"], "exact", "exact"),
    "openai-agents-responses": Client(["openai_agents.py", "responses"], "sealed", "sealed", RESPONSES),
    "openai-agents-responses-tool": Client(["openai_agents.py", "responses", "tool"], "exact", "exact", RESPONSES),
    "openai-agents-previous": Client(["openai_agents.py", "previous"], "exact", "exact", RESPONSES),
    "openai-agents-previous-tool": Client(["openai_agents.py", "previous", "tool"], "exact", "exact", RESPONSES),
    "vercel-ai": Client(["vercel.mjs"], "hash", "hash"),
    "litellm": Client(["litellm_sdk.py"], "sealed", "hash"),
    "litellm-proxy": Client(["openai_py.py", "helper"], "sealed", "hash", through="litellm"),
    "litellm-proxy-tool": Client(["langchain.py", "chat", "tool"], "exact", "exact", through="litellm"),
    "litellm-proxy-responses": Client(["langchain.py", "responses"], "sealed", "sealed", RESPONSES, "litellm"),
    "litellm-proxy-previous": Client(["openai_agents.py", "previous"], "exact", "exact", RESPONSES, "litellm"),
}


@dataclass
class Scene:
    """A client that has been asked, in a conversation of its own words."""

    client: Client
    player: Player
    front: Front
    stream: bool
    problem: str
    asked: int
    """The node at which the question stands."""
    prompt: list[int]
    """Of the leg that asked."""

    @property
    def rung(self) -> str:
        """On which its answers land."""
        return self.client.streamed if self.stream else self.client.whole

    def answer(self, text: str) -> str:
        return str(self.player.say(text, after=self.asked, stream=self.stream)["text"])

    def resumed(self, number: int) -> list[Exchange]:
        """The last exchanges, of which `number` must have gone on with the reasoning that asked."""
        exchanges, prompts = self.front.recorder.take(), self.front.take_prompts()
        assert [e.resume for e in exchanges] == [self.rung] * number
        assert len(prompts) == number
        # What was read and thought before the question is the beginning of what the engine reads now.
        assert all(p[: len(self.prompt)] == self.prompt and len(p) > len(self.prompt) + 20 for p in prompts)
        assert all(e.body.get("stream", False) == self.stream and e.path == self.client.path for e in exchanges)
        return exchanges


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest, front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    chosen = CLIENTS[request.param]
    errors: Path = tmp_path_factory.mktemp(request.param) / "stderr"
    url, key = front.url, "unused"
    if chosen.through:
        proxy: Proxy = request.getfixturevalue(chosen.through)
        url, key = proxy.url, proxy.key
    with playing(chosen.command, url, errors, key) as player:
        yield chosen, player


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def scene(request: pytest.FixtureRequest, client: tuple[Client, Player], front: Front) -> Scene:
    chosen, player = client
    stream: bool = request.param
    problem = f"{PROBLEM} ({request.node.name})"
    front.recorder.take()
    front.take_prompts()
    reply = player.say(problem, stream=stream)
    assert reply["text"] == QUESTION
    (exchange,) = front.recorder.take()
    assert exchange.resume == "new" and exchange.asks
    (prompt,) = front.take_prompts()
    return Scene(chosen, player, front, stream, problem, reply["node"], prompt)


def test_an_answer_resumes_and_a_follow_up_is_an_ordinary_turn(scene: Scene) -> None:
    reply = scene.player.say("4 dollars", after=scene.asked, stream=scene.stream)
    assert reply["text"] == "Six pens at 4 dollars each."
    (answered,) = scene.resumed(1)
    again = scene.player.say("And 7 pens?", after=reply["node"], stream=scene.stream)
    assert again["text"] == QUESTION
    (exchange,) = scene.front.recorder.take()
    assert exchange.resume == "new"
    chained = "previous_response_id" in exchange.body
    assert exchange.turns == (["user"] if chained else [*_conversation(answered), "assistant", "user"])


def _conversation(answered: Exchange) -> list[str]:
    """The whole of it, up to the answer, in the shape in which this client's questions come."""
    return ["user", "call", "output"] if "output" in answered.turns else ["user", "assistant", "user"]


def test_regenerating_the_answer_resumes_the_same_question(scene: Scene) -> None:
    assert [scene.answer("4 dollars") for _ in range(2)] == ["Six pens at 4 dollars each."] * 2
    first, second = scene.resumed(2)
    assert first.body == second.body


def test_an_edited_answer_is_a_branch_of_the_same_question(scene: Scene) -> None:
    texts = ["4 dollars", "5 euros"]
    assert [scene.answer(text) for text in texts] == [f"Six pens at {text} each." for text in texts]
    scene.resumed(2)


def test_an_edited_earlier_message_is_not_resumed_unless_an_id_names_the_question(scene: Scene) -> None:
    edited = scene.problem.replace("Nora", "Dora")
    reply = scene.player.say("4 dollars", after=scene.asked, stream=scene.stream, first=edited)
    if scene.rung == "exact":
        assert reply["text"] == "Six pens at 4 dollars each."
        scene.resumed(1)
        return
    assert reply["text"] == QUESTION  # reasoned afresh, as an ordinary conversation of which the price is a part
    (exchange,) = scene.front.recorder.take()
    assert exchange.resume == "rebuilt"
    (prompt,) = scene.front.take_prompts()
    assert prompt[: len(scene.prompt)] != scene.prompt


def test_racing_tabs_with_different_answers_each_get_their_own(scene: Scene) -> None:
    texts = ["4 dollars", "5 euros", "6 francs"]
    replies = scene.player.race(texts, after=scene.asked, stream=scene.stream)
    assert [r["text"] for r in replies] == [f"Six pens at {text} each." for text in texts]
    scene.resumed(3)


def test_a_reply_that_is_lost_on_the_way_is_fetched_again(scene: Scene) -> None:
    scene.front.recorder.lose_next = True
    assert scene.answer("4 dollars") == "Six pens at 4 dollars each."
    first, second = scene.resumed(2)
    assert first.lost and not second.lost and first.body == second.body
