"""A conversation as a client of the gateway has it: messages sent and kept, replies as they stream, and one that the
gateway has kept from before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from pir_serve.commands.remote import Remote

Message = dict[str, Any]
Show = Callable[[str | None, str | None, dict[str, Any] | None], None]
"""Takes what has come of the reasoning, of the text, and the `pir` object."""
_KEPT = ("reasoning_details", "pir")
"""Fields of ours that go back with the message, as the OpenAI SDKs send them."""


@dataclass
class Conversation:
    """Messages of user and model in turn. A reply that broke off is not among them."""

    gateway: Remote
    model: str
    messages: list[Message] = field(default_factory=list)

    @property
    def waiting(self) -> str | None:
        """Id of the question that the next message answers."""
        pir = self.messages[-1].get("pir", {}) if self.messages else {}
        return pir.get("session") if pir.get("status") == "awaiting_user" else None

    @property
    def last_said(self) -> str | None:
        """The user's last message."""
        return str(self.messages[-2]["content"]) if self.messages else None

    def send(self, text: str, show: Show, *, in_place_of_last: bool = False) -> Message:
        """The reply, which is kept with `text` once it is whole.

        `in_place_of_last`: the last message and its reply are dropped then; where it answered a question, the gateway
        keeps the other answer as a branch.

        Raises:
            click.ClickException: the gateway refused, or the reply broke off; nothing has changed then.
        """
        before = Conversation(self.gateway, self.model, self.messages[:-2] if in_place_of_last else self.messages)
        messages = [*before.messages, {"role": "user", "content": text}]
        body: dict[str, Any] = {"model": self.model, "messages": [_without_reasoning(m) for m in messages]}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if before.waiting:
            body["pir"] = {"session": before.waiting}
        reply = _collect(self.gateway.events("chat", "completions", body=body), show)
        self.messages = [*messages, reply]
        return reply


def _without_reasoning(message: Message) -> Message:
    return {name: message[name] for name in ("role", "content", *_KEPT) if name in message}


def _collect(events: Iterator[dict[str, Any]], show: Show) -> Message:
    message: Message = {"role": "assistant", "content": "", "reasoning_content": ""}
    for event in events:
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            message["reasoning_content"] += reasoning or ""
            message["content"] += delta.get("content") or ""
            message |= {name: delta[name] for name in _KEPT if name in delta}
            show(reasoning, delta.get("content"), delta.get("pir"))
        if event.get("usage"):
            message["usage"] = event["usage"]
    return message


def first_model(gateway: Remote) -> str:
    """Raises: click.ClickException, also where it serves none to this key."""
    models = gateway.call("GET", "models").get("data") or []
    if not models:
        raise click.ClickException(f"{gateway.base_url} serves no model to this key")
    return str(models[0]["id"])


def reopen(gateway: Remote, name: str) -> Conversation:
    """The visible conversation of a session, up to its newest question that nothing has come of, else to its newest node;
    or up to the node that is named.

    Raises:
        click.ClickException: it is gone, or was another key's, or has ended without an answer.
    """
    found = gateway.call("GET", "pir", "sessions", name)
    if found["id"] == name:  # else a node's id was given, and that node alone has come
        found = gateway.call("GET", "pir", "sessions", _where_to_go_on(found))
    (node,) = found["branches"]
    if not (node["question"] or node["answer"]):
        raise click.ClickException(f"{node['id']} ended without an answer ({node['detail'] or node['status']})")
    return Conversation(gateway, str(node["model"]), list(_messages(node, str(found["title"]))))


def _where_to_go_on(session: Mapping[str, Any]) -> str:
    """A question keeps waiting when it has been answered, for another answer; here it is one of the past then."""
    waiting = [
        node
        for node in _all(session["branches"])
        if node["status"] == "awaiting_user" and not any(c["question"] or c["answer"] for c in node["children"])
    ]
    newest = max(waiting, key=lambda node: (node["created_at"], node["id"] == session["newest"]), default=None)
    return str(newest["id"] if newest else session["newest"])


def _all(nodes: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _all(node["children"])


def _messages(node: Mapping[str, Any], title: str) -> Iterator[Message]:
    """What user and model said to each other. Without the first messages, where the gateway hides reasoning, the title
    stands for them."""
    prompt = []
    for segment in node.get("segments", ()):
        if segment["author"] == "model":
            break
        if segment["author"] == "user":
            prompt.append(segment["text"].strip())
    said = prompt if len(prompt) % 2 else prompt[1:]  # an even number: the first is a system message
    for number, text in enumerate(said or [title]):
        yield {"role": "assistant" if number % 2 else "user", "content": text}
    for exchange in node["exchanges"]:
        if exchange["by"] == "user":
            yield {"role": "assistant", "content": exchange["question"]}
            yield {"role": "user", "content": exchange["response"]}
    pir = {"status": node["status"], "session": node["id"]}
    yield {"role": "assistant", "content": node["question"] or node["answer"], "pir": pir}
