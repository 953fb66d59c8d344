"""What the native API shows of stored trajectories: sessions, their nodes as a tree of branches, rows of an export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from pir_serve.interruption import is_opening
from pir_serve.prompt import PromptCodec
from pir_serve.store.base import Node, Session
from pir_serve.store.brief import answer
from pir_serve.trajectory import Author, Exchange, Segment, Status, Trajectory
from pir_serve.uncertainty import StepScorer


def session_object(session: Session) -> dict[str, Any]:
    return {
        "id": session.session,
        "object": "pir.session",
        "title": session.title,
        "status": session.status.value,
        "question": session.question,
        "model": session.model,
        "newest": session.newest,
        "num_nodes": session.num_nodes,
        "num_waiting": session.num_waiting,
        "created_at": int(session.created),
        "updated_at": int(session.updated),
        "expires_at": int(session.expires),
    }


class NodeWriter:
    """Nodes as JSON objects, each with the codec of the model that wrote it, where that is served here."""

    def __init__(self, codecs: dict[str, PromptCodec], *, show_reasoning: bool, with_ids: bool) -> None:
        """`codecs`: by digest of the model."""
        self._codecs = codecs
        self._show_reasoning = show_reasoning
        self._with_ids = with_ids

    def tree(self, nodes: Iterable[Node]) -> list[dict[str, Any]]:
        """The nodes that have no parent among `nodes`, each with its `children`, oldest first.

        A child's segments are those that it adds to its parent's.
        """
        by_sid = {node.sid: node for node in sorted(nodes, key=lambda node: node.created)}
        written = {sid: self._node(node, by_sid.get(node.parent or "")) for sid, node in by_sid.items()}
        roots: list[dict[str, Any]] = []
        for sid, node in by_sid.items():
            siblings = written[node.parent]["children"] if node.parent in written else roots
            siblings.append(written[sid])
        return roots

    def _node(self, node: Node, parent: Node | None) -> dict[str, Any]:
        trajectory = node.trajectory
        out = {
            "id": node.sid,
            "object": "pir.node",
            "parent": node.parent,
            "status": trajectory.status.value,
            "detail": trajectory.detail,
            "malformed": list(trajectory.malformed),
            "model": node.model,
            "question": trajectory.pending.text if trajectory.pending else None,
            "answer": answer(trajectory) or None,
            "created_at": int(node.created),
            "expires_at": int(node.expires),
            "num_tokens": len(trajectory.token_ids),
            "num_asks": trajectory.num_asks,
            "exchanges": [_exchange(exchange) for exchange in trajectory.exchanges],
            "volunteered": [said.text for said in trajectory.volunteered],
            "resume": self._resume(node),
        }
        if self._show_reasoning:
            codec = self._codecs.get(node.digest)
            first = _num_shared(trajectory, parent.trajectory if parent else None)
            out["segments"] = [self._segment(trajectory, k, codec) for k in range(first, len(trajectory.segments))]
        return out | {"children": []}

    def _resume(self, node: Node) -> dict[str, Any] | None:
        """How to answer, and whether that can work; None of what does not wait."""
        if node.status is not Status.AWAITING_USER:
            return None
        return {
            "path": f"/v1/pir/sessions/{quote(node.sid, safe='')}/resume",
            "possible": node.digest in self._codecs,
            "options": node.request,
        }

    def _segment(self, trajectory: Trajectory, k: int, codec: PromptCodec | None) -> dict[str, Any]:
        segment = trajectory.segments[k]
        out: dict[str, Any] = {
            "author": segment.author.value,
            "text": segment.text,
            "num_tokens": len(segment.token_ids),
        }
        if self._with_ids:
            out |= _ids(segment)
        if segment.author is Author.MODEL:
            in_ask = k > 0 and is_opening(trajectory, k - 1)
            out["uncertainty"] = _steps(segment, codec, in_ask=in_ask) if codec and segment.logprobs else None
        return out


def export_row(node: Node, codec: PromptCodec | None) -> dict[str, Any]:
    """One line of an export: what training reads (`parts`), and what it takes to tell good rows from bad ones.

    The prompt is one part, as in the rows that training makes itself; `user_texts` are what it holds of the conversation's
    own messages, oldest first. With the `codec` of its model the token that ended a turn is written out in the text, so
    that a model trained on it learns to stop.
    """
    trajectory = node.trajectory
    prompt, *rest = _parts(trajectory)
    first_rest = len(trajectory.prompt_segments)
    parts = [_part(prompt, codec), *(_part(segment, codec) for segment in rest)]
    return {
        "id": node.sid,
        "session": trajectory.session,
        "parent": node.parent,
        "model": node.model,
        "digest": node.digest,
        "status": trajectory.status.value,
        "detail": trajectory.detail,
        "malformed": list(trajectory.malformed),
        "created_at": int(node.created),
        "question": trajectory.pending.text if trajectory.pending else None,
        "answer": answer(trajectory) or None,
        "exchanges": [_exchange(exchange) for exchange in trajectory.exchanges],
        "volunteered": [{"text": v.text, "part": v.segment - first_rest + 1} for v in trajectory.volunteered],
        "options": node.request,
        "user_texts": [s.text.strip() for s in trajectory.prompt_segments if s.author is Author.USER],
        "parts": parts,
    }


def _parts(trajectory: Trajectory) -> list[Segment]:
    prompt = trajectory.prompt_segments
    ids = tuple(i for segment in prompt for i in segment.token_ids)
    whole = Segment(Author.TEMPLATE, "".join(segment.text for segment in prompt), ids)
    return [whole, *trajectory.segments[len(prompt) :]]


def _part(segment: Segment, codec: PromptCodec | None) -> dict[str, Any]:
    text = segment.text
    if segment.author is Author.MODEL and codec is not None and segment.token_ids:
        text += codec.eos_texts.get(segment.token_ids[-1], "")
    return {"author": segment.author.value, "text": text, **_ids(segment)}


def _ids(segment: Segment) -> dict[str, Any]:
    sampled = segment.sampled_ids
    return {
        "token_ids": list(segment.token_ids),
        "sampled_ids": None if sampled is None else list(sampled),
        "logprobs": list(segment.logprobs) or None,
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    ask = exchange.ask
    return {
        "question": ask.text,
        "original": ask.original,
        "opened_by": ask.opened_by.value,
        "response": exchange.response,
        "by": exchange.by.value,
        "reason": exchange.reason,
    }


def _num_shared(trajectory: Trajectory, parent: Trajectory | None) -> int:
    """How many segments it has from its parent: all of that one's, as a trajectory only grows."""
    before: Sequence[Segment] = parent.segments if parent else ()
    return len(before) if trajectory.segments[: len(before)] == before else 0


def _steps(segment: Segment, codec: PromptCodec, *, in_ask: bool) -> list[dict[str, Any]]:
    """The steps of a leg; `start` and `end` count in the segment's text."""
    scorer = StepScorer(codec.incremental().feed, in_ask=in_ask)
    # Log-probabilities are those of what was sampled, which may go on behind the place where the leg was cut.
    steps = scorer.feed("", segment.sampled_ids or segment.token_ids, segment.logprobs) + scorer.finish()
    return [
        {
            "text": s.text,
            "start": s.start,
            "end": s.end,
            "entropy": s.entropy,
            "num_tokens": s.num_tokens,
            "peak": s.peak,
        }
        for s in steps
        if s.end <= len(segment.text)
    ]
