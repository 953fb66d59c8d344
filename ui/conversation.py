"""A session of the gateway as people read it: one branch from the problem to the answer, and a leg as it streams. No I/O.

The gateway's tree is the one truth; what is here is derived from it and from the pieces of a running reply.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ui.client import Piece

_ASK_OPEN, _ASK_CLOSE, _THINK_CLOSE = "<asking>", "</asking>", "</think>"

Node = Mapping[str, Any]
"""A node of the tree, as `GET /v1/pir/sessions/{id}` writes it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the reasoning."""

    text: str
    entropy: float | None
    """Nats a token; None where the gateway did not say."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the model, and what it was told."""

    question: str
    response: str | None
    """None while it waits."""
    by: str = "user"
    """`user`; `template` where the gateway responded in the user's place."""
    reason: str = ""
    """Why the gateway did, e.g. `never`, `declined`."""
    node: str | None = None
    """Id of the node that can be answered, again too; None of a question that reached nobody."""
    branches: tuple[str, ...] = ()
    """Ids of the nodes that answer it, oldest first."""
    chosen: int = 0
    """Which of them this conversation follows."""
    expires: int | None = None
    """Unix seconds until which it can be answered."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the user added unasked."""

    text: str


Part = Step | Asked | Said


@dataclass(frozen=True, slots=True)
class Conversation:
    """One branch."""

    problem: str
    parts: tuple[Part, ...] = ()
    answer: str = ""
    status: str = "in_progress"
    detail: str = ""
    earlier: tuple[tuple[str, str], ...] = ()
    """Role and text of the turns before the problem."""
    session: str | None = None
    title: str = ""
    leaf: str | None = None
    """Id of the branch's last node."""
    tokens: int | None = None
    """Of the model, over the whole reasoning and the answer."""
    seconds: float | None = None
    """Generating, where this page has seen it."""

    @property
    def waiting(self) -> Asked | None:
        """The question that waits for the user."""
        last = self.parts[-1] if self.parts else None
        return last if isinstance(last, Asked) and last.response is None and last.node else None

    @property
    def asks(self) -> list[Asked]:
        return [part for part in self.parts if isinstance(part, Asked)]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The visible conversation, for a follow-up: questions that the user answered are part of it."""
        turns = [*self.earlier, ("user", self.problem)]
        for asked in self.asks:
            if asked.by == "user" and asked.response:
                turns += [("assistant", asked.question), ("user", asked.response)]
        turns.append(("assistant", self.answer))
        return [{"role": role, "content": text} for role, text in turns if text]

    def responded(self, response: str | None) -> Conversation:
        """With the waiting question answered; None declines."""
        waiting = self.waiting
        assert waiting is not None
        told = "Use your best guess." if response is None else response
        by, reason = ("template", "declined") if response is None else ("user", "")
        answered = replace(waiting, response=told, by=by, reason=reason)
        return replace(self, parts=(*self.parts[:-1], answered), status="in_progress", leaf=None)


@dataclass(slots=True)
class Leg:
    """A reply as it streams: pieces in, parts of the conversation out."""

    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    reasoning: str = ""
    answer: str = ""
    pir: Mapping[str, Any] | None = None
    tokens: int | None = None

    def take(self, piece: Piece) -> None:
        self.reasoning += piece.reasoning
        self.answer += piece.content
        self.pir = piece.pir or self.pir
        self.tokens = piece.tokens or self.tokens
        self.tick()

    def tick(self) -> None:
        self.seconds = time.monotonic() - self.began

    def onto(self, before: Conversation) -> Conversation:
        """The conversation with what has come so far."""
        pir = self.pir or {}
        status = str(pir.get("status", "in_progress"))
        told = [Asked(a["question"], a["response"], "template", a["reason"]) for a in pir.get("auto_answers", ())]
        told = told[sum(asked.by == "template" for asked in before.asks) :]
        parts = [*before.parts, *_live_parts(self.reasoning, pir.get("uncertainty"), told)]
        waits = status == "awaiting_user"
        if waits:
            parts.append(Asked(str(pir["question"]), None, node=str(pir["session"]), expires=int(pir["expires_at"])))
        return replace(
            before,
            parts=tuple(parts),
            answer="" if waits else self.answer,
            status=status,
            detail=str(pir.get("detail", "")),
            leaf=pir.get("node"),
            tokens=(before.tokens or 0) + (self.tokens or round((len(self.reasoning) + len(self.answer)) / 4)),
            seconds=(before.seconds or 0.0) + self.seconds,
        )


def _live_parts(reasoning: str, scored: Sequence[Any] | None, told: Sequence[Asked]) -> list[Part]:
    """Steps, with the questions that the gateway answered itself between the legs of one reply."""
    if not scored:
        return [*_lines(reasoning), *told]
    parts: list[Part] = []
    for step in scored:
        while step["leg"] > sum(isinstance(part, Asked) for part in parts) and len(told) > 0:
            parts.append(told[0])
            told = told[1:]
        if step["text"].strip():
            parts.append(Step(step["text"].strip(), step["entropy"]))
    return [*parts, *told]


def _lines(text: str) -> list[Step]:
    return [Step(line.strip(), None) for line in text.splitlines() if line.strip()]


def nodes(session: Mapping[str, Any]) -> Iterator[Node]:
    """All nodes of a session, parents first."""
    rest = list(session["branches"])
    while rest:
        node = rest.pop(0)
        yield node
        rest += node["children"]


def newest_leaf(session: Mapping[str, Any], within: str | None = None) -> str:
    """Id of the newest leaf, of the branch below the node `within` if one is named."""
    below: Mapping[str, Any] = session
    if within is not None:
        (top,) = (node for node in nodes(session) if node["id"] == within)
        below = {"branches": [top]}
    leaves = [node for node in nodes(below) if not node["children"]]
    newest = [node for node in leaves if node["id"] == session["newest"]]
    return str((newest or [max(leaves, key=lambda node: int(node["created_at"]))])[0]["id"])


def _path(session: Mapping[str, Any], leaf: str) -> list[Node]:
    """From the root to the leaf; from its newest one, if that has gone."""
    by_id = {node["id"]: node for node in nodes(session)}
    node: Node | None = by_id.get(leaf) or by_id[newest_leaf(session)]
    path: list[Node] = []
    while node is not None:
        path.insert(0, node)
        node = by_id.get(node["parent"])
    return path


def conversation(session: Mapping[str, Any], leaf: str | None = None) -> Conversation:
    """The branch that ends in `leaf`, else in the newest one."""
    path = _path(session, leaf or newest_leaf(session))
    last = path[-1]
    exchanges = iter(last["exchanges"])
    written = [segment for node in path for segment in node.get("segments", ())]
    first = next((k for k, s in enumerate(written) if s["author"] == "model"), len(written))
    turns = [s["text"].strip() for s in written[:first] if s["author"] == "user"]
    earlier = turns[:-1] if len(turns) % 2 else turns[1:-1]  # an even number: the first is a system message
    parts: list[Part] = []
    for segment in written[first:]:
        if segment["author"] == "model":
            parts += _steps_of(segment)
            if _ASK_OPEN in segment["text"] and (exchange := next(exchanges, None)):
                parts.append(_told(exchange))
    parts += [_told(exchange) for exchange in exchanges] + [Said(text) for text in last["volunteered"]]
    if last["status"] == "awaiting_user":
        parts.append(Asked(str(last["question"]), None, node=str(last["id"]), expires=int(last["expires_at"])))
    return Conversation(
        problem=turns[-1] if turns else str(session["title"]),
        parts=tuple(_with_branches(parts, path)),
        answer=str(last["answer"] or ""),
        status=str(last["status"]),
        detail=str(last["detail"] or ""),
        earlier=tuple(zip(["user", "assistant"] * len(earlier), earlier, strict=False)),
        session=str(session["id"]),
        title=str(session["title"]),
        leaf=str(last["id"]),
        tokens=sum(segment["num_tokens"] for segment in written[first:] if segment["author"] == "model"),
    )


def _told(exchange: Mapping[str, Any]) -> Asked:
    return Asked(exchange["question"], exchange["response"], exchange["by"], exchange["reason"])


def _with_branches(parts: Sequence[Part], path: Sequence[Node]) -> Iterator[Part]:
    """The parts, with the nodes at which people answered: the n-th node of the path asked its own last question."""
    at = {len(node["exchanges"]): k for k, node in enumerate(path[:-1])}
    number = 0
    for part in parts:
        if isinstance(part, Asked):
            if (k := at.get(number)) is not None and part.response is not None:
                siblings = tuple(str(child["id"]) for child in path[k]["children"])
                chosen = siblings.index(str(path[k + 1]["id"]))
                yield replace(part, node=str(path[k]["id"]), branches=siblings, chosen=chosen)
            else:
                yield part
            number += 1
        else:
            yield part


def _steps_of(segment: Mapping[str, Any]) -> list[Step]:
    """Of a model's segment: its reasoning only, with the entropy of each step where there is one."""
    text = segment["text"].partition(_THINK_CLOSE)[0].partition(_ASK_OPEN)[0]
    scored = segment.get("uncertainty")
    if not scored:
        return _lines(text)
    cut = (Step(text[step["start"] : step["end"]].strip(), step["entropy"]) for step in scored)
    return [step for step in cut if step.text]
