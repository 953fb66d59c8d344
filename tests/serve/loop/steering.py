"""A user who speaks unasked while a scripted model reasons, and what the surface then sees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pir_serve.loop import AnswerDelta, Ended, Mailbox, ReasoningDelta, RunParams, Steered, StepScored, run
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author, Trajectory
from tests.fakes import ScriptedEngine

FACT = "A pen costs 4 dollars."
SAID = f"\n<response>{FACT}</response>"
THINKS = "\nThe number of pens is 6.\nNaïve \U0001f600 guess: 3.\n\nSo 18 in all.\n</think>\nThe answer is 18."
ASKS = "\nThe number of pens is 6.\nI need the price.\n<asking>How much is one?</asking>"
REST = "\nSo 24 in all.\n</think>\nThe answer is 24."


@dataclass
class Heard:
    """A run as its surface saw it."""

    mailbox: Mailbox
    shown: str = ""
    """Reasoning, with what was volunteered where its event came, in brackets."""
    answer: str = ""
    steered: list[Steered] = field(default_factory=list)
    steps: list[StepScored] = field(default_factory=list)
    ended: Ended | None = None

    @property
    def trajectory(self) -> Trajectory:
        assert self.ended is not None
        return self.ended.trajectory


def fresh(folder: Path) -> Trajectory:
    return Trajectory("s", "m", PromptCodec.load(folder).encode_prompt([Message("user", "Nora buys 6 pens.")]))


async def listen(
    engine: ScriptedEngine,
    folder: Path,
    *,
    mailbox: Mailbox | None = None,
    on_event: Callable[[Heard], object] = lambda heard: None,
    **params: Any,
) -> Heard:
    """`on_event` is called behind every event, with all that was heard by then."""
    heard = Heard(mailbox or Mailbox())
    start = fresh(folder)
    codec = PromptCodec.load(folder)
    async with aclosing(
        run(start, engine=engine, codec=codec, params=RunParams(**params), mailbox=heard.mailbox)
    ) as events:
        async for event in events:
            if isinstance(event, ReasoningDelta):
                heard.shown += event.text
            elif isinstance(event, AnswerDelta):
                heard.answer += event.text
            elif isinstance(event, Steered):
                heard.steered.append(event)
                heard.shown += f"[{event.text}]"
            elif isinstance(event, StepScored):
                heard.steps.append(event)
            else:
                heard.ended = event
            on_event(heard)
    return heard


class Teller(ScriptedEngine):
    """Has the user speak when so many tokens of the first leg are on their way, whatever the chunks."""

    def __init__(self, folder: Path, script: Any, *, tell_at: int, mailbox: Mailbox, fact: str = FACT, **more: Any):
        super().__init__(folder, script, **more)
        self.accepted: bool | None = None
        self._tell_at = tell_at
        self._mailbox = mailbox
        self._fact = fact

    async def generate(self, request: Any) -> Any:
        first = not self.requests
        sent = 0
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                if first and self.accepted is None and sent + len(chunk.token_ids) > self._tell_at:
                    self.accepted = self._mailbox.steer(self._fact)
                sent += len(chunk.token_ids)
                yield chunk


def check_ids(heard: Heard, engine: ScriptedEngine, folder: Path) -> None:
    """What was sent only ever grew, and no token was encoded twice."""
    codec = PromptCodec.load(folder)
    ids = heard.trajectory.token_ids
    for request in engine.requests:
        assert ids[: len(request.prompt_ids)] == request.prompt_ids
    for segment in heard.trajectory.segments[len(fresh(folder).segments) :]:
        assert codec.decode(segment.token_ids) == segment.text
    for said in heard.trajectory.volunteered:
        segment = heard.trajectory.segments[said.segment]
        assert segment.author is Author.USER and said.text in segment.text
