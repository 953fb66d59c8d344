"""Where a leg may be interrupted: at a line's end inside the reasoning, or before the tag that would end it."""

from __future__ import annotations

from dataclasses import replace

from pir_serve.engines.base import TokenChunk
from pir_serve.markup import TAGS, Event, Malformed, State, StreamParser
from pir_serve.policy import Gate
from pir_serve.prompt import IncrementalDecoder
from pir_serve.trajectory import Author, Trajectory
from pir_serve.uncertainty import Step, split_steps


def single_tokens(chunk: TokenChunk, decoder: IncrementalDecoder) -> list[TokenChunk]:
    """The chunk's tokens, a chunk each, with the text that `decoder` gives them."""
    logprobs = chunk.logprobs or (None,) * len(chunk.token_ids)
    parts = [
        TokenChunk((token,), decoder.feed([token]), () if logprob is None else (logprob,))
        for token, logprob in zip(chunk.token_ids, logprobs, strict=True)
    ]
    if chunk.finish_reason is not None and (rest := decoder.finish()):
        parts.append(TokenChunk(text=rest))
    return parts


def redecoded(chunk: TokenChunk, decoder: IncrementalDecoder) -> TokenChunk:
    """The chunk with its text spelled by us: after a change of engines a character may straddle the break."""
    text = decoder.feed(chunk.token_ids)
    if chunk.finish_reason is not None:
        text += decoder.finish()
    return replace(chunk, text=text)


def steer_cut(parser: StreamParser, length: int, *, at_line_end: bool, text: str) -> int | None:
    """Where the leg is to be cut for what the user has said, in characters of its text; None: not yet.

    `length` characters were fed to `parser`, and the next token spells `text`. In an ask only the end of the think
    block is a place to cut: whole asks end the leg by themselves.
    """
    if parser.state not in (State.THINK, State.ASK):
        return None
    in_ask = parser.state is State.ASK
    if at_line_end and not in_ask:
        return length
    unread = parser.held + text
    enders = (TAGS.think_close,) if in_ask else (TAGS.think_close, TAGS.ask_open)
    if tags := [at for tag in enders if (at := unread.find(tag)) >= 0]:
        return parser.consumed + min(tags)
    return length + len(text) if text.endswith("\n") and not in_ask else None


def is_missing_close(event: Event) -> bool:
    return isinstance(event, Malformed) and event.kind == "missing_think_close"


class StepGate:
    """The uncertainty gate over one leg."""

    def __init__(self, gate: Gate, trajectory: Trajectory) -> None:
        self._gate = gate
        openings = [k for k, s in enumerate(trajectory.segments) if is_opening(trajectory, k)]
        self._left = gate.max_openings - len(openings)
        self._since = gate.min_steps
        """Steps since the last opening."""
        if openings:
            later = [s.text for s in trajectory.segments[openings[-1] + 2 :] if s.author is Author.MODEL]
            self._since = sum(len(split_steps(text)) for text in later)

    def opens_at(self, steps: list[Step], text: str) -> int | None:
        """The end of the first of the finished `steps` that is to be followed by an ask; `text` is the leg's so far."""
        for step in steps:
            self._since += 1
            if self._left <= 0 or step.entropy <= self._gate.nats or self._since <= self._gate.min_steps:
                continue
            if not text.startswith(TAGS.ask_open, step.end):  # it asks by itself
                return step.end
        return None


def is_opening(trajectory: Trajectory, k: int) -> bool:
    """Whether the gate wrote segment `k`."""
    segment = trajectory.segments[k]
    return segment.author is Author.TEMPLATE and segment.text == TAGS.ask_open
