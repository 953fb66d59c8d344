"""What lists and searches show of a trajectory, small enough to be read without the trajectory."""

from __future__ import annotations

from typing import NamedTuple

from pir_serve.markup import TAGS
from pir_serve.trajectory import Author, Status, Trajectory

TITLE_CHARS = 80
_PART_CHARS = 1000
"""Of each thing that was said, so much is kept for searches: beyond it people hardly look for a conversation."""
_TEXT_CHARS = 4000


class Brief(NamedTuple):
    title: str
    """The beginning of the message that the trajectory began with."""
    question: str | None
    """The ask that waits for a response."""
    text: str
    """What was said: that message, asks and responses, what was volunteered, the answer; not the reasoning, nor the
    history before it."""


def brief(trajectory: Trajectory) -> Brief:
    began = _last_message(trajectory)
    said = [began]
    for exchange in trajectory.exchanges:
        if exchange.by is Author.USER and not exchange.reason:  # nobody has seen the others
            said += [exchange.ask.text, exchange.response]
    said += [volunteered.text for volunteered in trajectory.volunteered]
    question = trajectory.pending.text if trajectory.pending else None
    said += [question or "", answer(trajectory)]
    text = "\n".join(part[:_PART_CHARS] for part in said if part)
    return Brief(_title(began), question, text[:_TEXT_CHARS])


def _last_message(trajectory: Trajectory) -> str:
    """The last run of the user's segments in the prompt. Earlier messages are the user's text too, whoever wrote them,
    and the prompt ends with a message of the user."""
    texts: list[str] = []
    for segment in reversed(trajectory.prompt_segments):
        if segment.author is Author.USER:
            texts.append(segment.text)
        elif texts:
            break
    return "".join(reversed(texts)).strip()


def answer(trajectory: Trajectory) -> str:
    """What follows the reasoning; "" where the trajectory has not got so far."""
    if trajectory.status is Status.AWAITING_USER or not trajectory.segments:
        return ""
    last = trajectory.segments[-1]
    return last.text.rpartition(TAGS.think_close)[2].strip() if TAGS.think_close in last.text else ""


def _title(text: str) -> str:
    line = " ".join(text[: 8 * TITLE_CHARS].split())
    if len(line) <= TITLE_CHARS:
        return line
    cut = line[:TITLE_CHARS]
    return f"{cut.rpartition(' ')[0] or cut}…"
