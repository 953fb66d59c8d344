"""Open WebUI itself before the gateway, driven over its own HTTP API as its page does it: a saved chat.

Not installed by `make test-clients`, as it needs gigabytes: docs/clients.md says how, and OPEN_WEBUI_VENV where.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Front, free_port, serving
from tests.clients.recorder import Exchange
from tests.serve.brains import PROBLEM, QUESTION

VENV = os.environ.get("OPEN_WEBUI_VENV", "")
pytestmark = [
    pytest.mark.clients,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not VENV, reason="OPEN_WEBUI_VENV names no virtual environment with Open WebUI"),
]
TASKS = {"title_generation": True, "tags_generation": True, "follow_up_generation": True}


@dataclass
class Page:
    """What its web page sends."""

    http: httpx.Client
    chat_id: str | None = None
    last: str | None = None
    """Id of the message at the end of the chat."""

    def say(self, text: str, **more: Any) -> dict[str, Any]:
        """The assistant's message, when it is whole."""
        user_id, reply_id = str(uuid.uuid4()), str(uuid.uuid4())
        message = {"id": user_id, "parentId": self.last, "childrenIds": [reply_id], "role": "user", "content": text}
        message |= {"timestamp": int(time.time()), "models": ["scripted"]}
        return self._reply(message, reply_id, **more)

    def regenerate(self, reply: dict[str, Any]) -> dict[str, Any]:
        asked = self._messages()[reply["parentId"]]
        return self._reply(asked, str(uuid.uuid4()))

    def title(self) -> str:
        return str(self.http.get(f"/api/v1/chats/{self.chat_id}").json()["title"])

    def _reply(self, user_message: dict[str, Any], reply_id: str, **more: Any) -> dict[str, Any]:
        content = {"role": "user", "content": user_message["content"]}
        body = {
            "model": "scripted",
            "stream": True,
            "messages": [content],
            "params": {},
            "features": {},
            "id": reply_id,
        }
        body |= {"session_id": "page", "parent_id": user_message["parentId"], "user_message": user_message, **more}
        body |= {"chat_id": self.chat_id} if self.chat_id else {}
        posted = self.http.post("/api/chat/completions", json=body)
        assert posted.status_code == 200, posted.text
        self.chat_id = posted.json()["chat_id"]
        deadline = time.monotonic() + 60
        while not (reply := self._messages().get(reply_id, {})).get("done"):
            assert time.monotonic() < deadline, reply
            time.sleep(0.2)
        self.last = reply_id
        return dict(reply)

    def _messages(self) -> dict[str, Any]:
        chat = self.http.get(f"/api/v1/chats/{self.chat_id}").json()["chat"]
        return dict(chat["history"]["messages"])


@pytest.fixture(scope="module")
def http(front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Signed up, with the gateway as its only connection."""
    folder, port = tmp_path_factory.mktemp("webui"), free_port()
    settings = {
        "DATA_DIR": str(folder),
        "WEBUI_SECRET_KEY": "of-a-test",
        "OPENAI_API_BASE_URL": front.url,
        "OPENAI_API_KEY": "unused",
        "ENABLE_OLLAMA_API": "false",
        "RAG_EMBEDDING_ENGINE": "openai",  # else it wants to download a model
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
    }
    command = [str(Path(VENV) / "bin" / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}", "/health", folder, settings, start_s=300) as url:
        account = {"name": "Ann", "email": "ann@example.com", "password": "Correct-horse-7", "profile_image_url": ""}
        token = httpx.post(f"{url}/api/v1/auths/signup", json=account, timeout=60).json()["token"]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            models = client.get("/api/models").json()["data"]
            assert {"scripted", "scripted:no-ask"} <= {model["id"] for model in models}
            yield client


def chats(exchanges: list[Exchange]) -> list[Exchange]:
    """Those that are no side calls: they stream."""
    return [e for e in exchanges if e.body.get("stream")]


def test_a_saved_chat_is_asked_answers_and_regenerates(http: httpx.Client, front: Front) -> None:
    page = Page(http)
    front.recorder.take()
    front.take_prompts()
    assert page.say(f"{PROBLEM} (web page)")["content"] == QUESTION
    (exchange,) = chats(front.recorder.take())
    assert exchange.asks and exchange.resume == "new"
    assert "ask_user" in [tool["function"]["name"] for tool in exchange.body["tools"]]  # and still it is text
    (asked,) = front.take_prompts()
    reply = page.say("4 dollars")
    assert reply["content"] == "Six pens at 4 dollars each."
    assert page.regenerate(reply)["content"] == "Six pens at 4 dollars each."
    answers = chats(front.recorder.take())
    assert [e.resume for e in answers] == ["sealed", "sealed"]
    assert all("reasoning_details" in e.body["messages"][1] for e in answers)
    assert all(prompt[: len(asked)] == asked for prompt in front.take_prompts())


def test_titles_tags_and_follow_ups_are_never_questions(http: httpx.Client, front: Front) -> None:
    page = Page(http)
    front.recorder.take()
    assert page.say(f"{PROBLEM} (side calls)", background_tasks=TASKS)["content"] == QUESTION
    side: list[Exchange] = []
    deadline = time.monotonic() + 60
    while len(side) < len(TASKS):
        assert time.monotonic() < deadline, [e.body for e in side]
        time.sleep(0.2)
        side += [e for e in front.recorder.take() if e.body and not e.body.get("stream") and e.status]
    assert not any(e.asks for e in side)
    assert all('"auto_answers":[{' in e.text for e in side)  # the model wanted to, and was not let
    assert page.say("4 dollars")["content"] == "Six pens at 4 dollars each."
