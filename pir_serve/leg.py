"""One leg: a single uninterrupted generation, what of it a client may see, and its place in the trajectory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from pir_serve.engines.base import Engine, FinishReason, LegRequest, TokenChunk, Usage
from pir_serve.events import AnswerDelta, LegEvent, ReasoningDelta, StepScored
from pir_serve.interruption import StepGate, is_missing_close, redecoded, single_tokens, steer_cut
from pir_serve.markup import TAGS, AnswerText, AskDone, Event, Malformed, ReasoningText, State, StreamParser
from pir_serve.mending import LATE_ASK, AnswerStart, closing_of_thought, is_open_question
from pir_serve.params import RunParams, leg_seed
from pir_serve.policy import Gate
from pir_serve.prompt import PromptCodec
from pir_serve.steering import Mailbox, Phase
from pir_serve.stops import StopStrings
from pir_serve.trajectory import Author, Segment, Status, Trajectory
from pir_serve.unbroken import unbroken
from pir_serve.uncertainty import Step, StepScorer


class Leg:
    """One uninterrupted generation: collects ids and text as they come, and says what in them a client may see.

    It ends by itself, at an ask, or where it is interrupted: for what waits in the mailbox, or by the uncertainty gate.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        codec: PromptCodec,
        params: RunParams,
        index: int,
        *,
        mailbox: Mailbox | None = None,
        gate: Gate | None = None,
        in_ask: bool = False,
        in_answer: bool = False,
        mends_late_ask: bool = False,
    ) -> None:
        """`in_ask`: an ask was opened for the model at the trajectory's end, and the leg is its question and no more.
        `in_answer`: its think block was closed for it.
        """
        self.start = trajectory
        self.codec = codec
        self.params = params
        self.index = index
        self.prompt_ids = trajectory.token_ids
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.texts: list[str] = []
        self.ask: AskDone | None = None
        self.malformed: list[str] = []
        self.end_fault: str | None = None
        self.finish_reason: FinishReason = "stop"
        self.usage: Usage | None = None
        self.reasoning_tokens = 0
        self.stopped = False
        self.in_ask = in_ask
        self.in_answer = in_answer
        self.interrupted: Literal["steer", "gate", "late_ask"] | None = None
        self.cut = 0
        """Characters of the leg's text that are kept, if it was interrupted."""
        self.closing = ""
        """What is written behind the leg in the model's place (`pir_serve.mending`)."""
        self._mailbox = mailbox
        self._gate = StepGate(gate, trajectory) if gate is not None and not in_ask else None
        self._decoder = codec.incremental() if mailbox is not None or self._gate is not None else None
        """Where cuts may be needed the text is spelled by us: they are then exact."""
        self._parser = StreamParser(state=State.ASK if in_ask else State.ANSWER if in_answer else State.THINK)
        scored = params.uncertainty or self._gate is not None
        self._scorer = StepScorer(codec.incremental().feed, in_ask=in_ask) if scored else None
        self._length = 0
        """Characters of text so far."""
        self._at_line_end = not in_ask
        """Legs begin behind `<think>`, a response or a finished step."""
        self._stop = StopStrings(params.stop)
        self._answer_start = AnswerStart() if mends_late_ask else None
        self._answering = in_answer
        self._said_reasoning = index > 0
        self._said_answer = False

    async def events(self, engine: Engine, max_tokens: int) -> AsyncGenerator[LegEvent, None]:
        async with aclosing(self._chunks(engine, max_tokens)) as chunks:
            async for chunk in chunks:
                for event in self._take(chunk):
                    yield event
                if self.ask is not None or self.stopped or self.interrupted:
                    break
        for event in self._finish():
            yield event

    def _chunks(self, engine: Engine, max_tokens: int) -> AsyncGenerator[TokenChunk, None]:
        sampling = self.params.sampling
        number = sum(s.author is Author.MODEL for s in self.start.segments)
        request = LegRequest(
            prompt_ids=self.prompt_ids,
            max_tokens=max_tokens,
            sampling=replace(sampling, seed=leg_seed(sampling.seed, number)),
            stop=(TAGS.ask_close,),
            stop_token_ids=self.codec.ask_stop_ids,
            logprobs=self._scorer is not None,
            session=self.start.session,
            request_id=f"{self.params.request_id}-{self.index}",
            tenant=self.params.tenant,
        )

        def seed(breaks: int) -> int | None:
            """A leg taken up again draws from its own seed: the first draws are spent."""
            return leg_seed(sampling.seed, number + 1_000 * breaks)

        return unbroken(engine, self.codec, request, seed=seed, is_underway=self.index > 0)

    def _take(self, chunk: TokenChunk) -> list[LegEvent]:
        self.ids += chunk.token_ids
        self.logprobs += chunk.logprobs
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            self.usage = chunk.usage
        out: list[LegEvent] = []
        for part in self._parts(chunk):
            self._hear(part, out)
            if self.interrupted or self.stopped:
                break
        if self.in_ask:
            self.stopped = self.stopped or self._answering  # it should have closed the ask
            return []  # nothing of it is for the user, unless it closes the ask
        return out

    def _parts(self, chunk: TokenChunk) -> list[TokenChunk]:
        """The chunk; its tokens one by one where it matters after which of them the leg is cut."""
        if self._decoder is None:
            return [chunk]
        if self._mailbox is not None and self._mailbox.is_waiting and not self._answering:
            return single_tokens(chunk, self._decoder)
        return [redecoded(chunk, self._decoder)]

    def _hear(self, part: TokenChunk, out: list[LegEvent]) -> None:
        was_answering = self._answering
        steer = None
        if self._mailbox is not None and self._mailbox.is_waiting:
            steer = steer_cut(self._parser, self._length, at_line_end=self._at_line_end, text=part.text)
            if steer == self._length and not self._parser.held:
                self._interrupt("steer", steer)
                return
        steps = []
        if self._scorer is not None and not was_answering:
            steps = self._scorer.feed(part.text, part.token_ids, part.logprobs)
        text = part.text
        if steer is not None:
            self._interrupt("steer", steer)
        elif self._gate is not None and steps:
            opens = self._gate.opens_at(steps, "".join(self.texts) + text)
            if opens is not None:
                self._interrupt("gate", opens)
        if self.interrupted:
            text = text[: max(0, self.cut - self._length)]
        if text:
            self._length += len(text)
            self._at_line_end = text.endswith("\n")
            self.texts.append(text)
            self._see(self._parser.feed(text), out)
            if self._answering and not was_answering:
                self.reasoning_tokens = self._tokens_before_answer(len(part.token_ids))
                if self._mailbox is not None and not self.in_ask:
                    self._mailbox.phase = Phase.ANSWERING
        if self._answer_start is not None and self._answer_start.is_ask and not self.in_ask:
            self._reopen()
        if self.interrupted and self.cut > self._parser.consumed:
            # What the parser holds back is text, now that nothing follows; unless it began the tag we cut before.
            self._see([e for e in self._parser.finish() if not is_missing_close(e)], out)
        self._report(steps, out)

    def _interrupt(self, by: Literal["steer", "gate", "late_ask"], at: int) -> None:
        self.interrupted = by
        self.cut = at

    def _reopen(self) -> None:
        """The answer begins with an ask: the leg is to end where the reasoning did."""
        self.malformed.append(LATE_ASK)
        self._interrupt("late_ask", "".join(self.texts).index(TAGS.think_close))
        if self._mailbox is not None:
            self._mailbox.phase = Phase.REASONING

    def _report(self, steps: list[Step], out: list[LegEvent]) -> None:
        if self.params.uncertainty:
            out += [StepScored(self.index, s) for s in steps if not self.interrupted or s.end <= self.cut]

    def _see(self, events: list[Event], out: list[LegEvent]) -> None:
        for event in events:
            if isinstance(event, ReasoningText):
                text = event.text if self._said_reasoning else event.text.lstrip()
                if text:
                    self._said_reasoning = True
                    out.append(ReasoningDelta(text))
            elif isinstance(event, AnswerText):
                self._answering = True
                self._say(event.text, out)
            elif isinstance(event, AskDone):
                self.ask = event
            elif isinstance(event, Malformed):
                self.malformed.append(event.kind)
        self._answering = self._answering or self._parser.state is State.ANSWER

    def _say(self, text: str, out: list[LegEvent], *, last: bool = False) -> None:
        """Answer text, without the blank lines before it and from no further than a stop string of the user."""
        if self.stopped:
            return
        if self._answer_start is not None:
            text = self._answer_start.feed(text, last=last)
        text, self.stopped = self._stop.feed(text if self._said_answer else text.lstrip())
        if text:
            self._said_answer = True
            out.append(AnswerDelta(text))

    def _finish(self) -> list[LegEvent]:
        out: list[LegEvent] = []
        if self.ask is None and not self.interrupted:
            so_far = len(self.malformed)
            self._see(self._end_events(), out)
            self._say("", out, last=True)
            self.end_fault = next(iter(self.malformed[so_far:]), None)
            self._close_thought()
            if self.finish_reason == "length":
                del self.malformed[so_far:]  # cut short by a limit: no fault of the model
            if rest := "" if self.stopped else self._stop.rest():
                out.append(AnswerDelta(rest))
        if self._scorer is not None:
            self._report(self._scorer.finish(), out)
        if not self._answering:
            self.reasoning_tokens = len(self.ids)
        return [] if self.in_ask else out

    def _end_events(self) -> list[Event]:
        """Of the text's end, a question that was left open being closed."""
        ended = self.params.mends_markup and self.finish_reason == "stop"
        if not (ended and self._parser.state is State.ASK and is_open_question("".join(self.texts))):
            return self._parser.finish()
        self.closing = TAGS.ask_close
        return [Malformed("unclosed_ask"), *self._parser.feed(self.closing)]

    def _close_thought(self) -> None:
        """Where the model stopped in its reasoning, and nothing of the user's waits to go in there."""
        text = "".join(self.texts)
        ended = self.params.mends_markup and self.finish_reason == "stop" and not (self.in_ask or self.in_answer)
        waits = self._mailbox is not None and self._mailbox.is_waiting
        if ended and not waits and self.end_fault == "missing_think_close" and text.strip():
            self.closing = closing_of_thought(text)

    def close(self) -> Trajectory:
        """The trajectory with this leg's tokens, cut at the ask's end or where it was interrupted."""
        segment = Segment(Author.MODEL, "".join(self.texts), tuple(self.ids), tuple(self.logprobs))
        written: tuple[Segment, ...] = ()
        if self.closing:
            segment = self.codec.cut(segment, len(segment.text))  # without the token that ended the turn
            written = (self.codec.encode_closing(self.closing),)
        elif self.ask is not None:
            segment = self.codec.close_ask(segment, self.ask.end)
        elif self.interrupted:
            segment = self.codec.cut(segment, self.cut)
        grown = self.start.append(segment, *written)
        return replace(grown, malformed=(*grown.malformed, *self.malformed))

    def conclude(self, trajectory: Trajectory, limit: str) -> Trajectory:
        """How a leg without an ask leaves the trajectory; `limit` names the length limit that applied."""
        if self.finish_reason == "length" and not self.stopped:
            return trajectory.end(Status.INCOMPLETE, limit)
        if self.in_answer and not self._said_answer and not self.stopped:
            return trajectory.end(Status.FAILED, "missing_think_close")
        if not self._answering:
            return trajectory.end(Status.FAILED, self.end_fault)
        return trajectory.end(Status.COMPLETED)

    def _tokens_before_answer(self, chunk_len: int) -> int:
        """How many of the leg's ids it takes to spell `</think>`; only the last chunk's are in question."""
        before = len(self.ids) - chunk_len
        if chunk_len <= 1:
            return len(self.ids)
        tail = max(0, before - 16)  # the tag may have begun in earlier chunks
        closes = bisect_left(
            range(before, len(self.ids)),
            True,
            key=lambda k: TAGS.think_close in self.codec.decode(self.ids[tail : k + 1]),
        )
        return min(before + closes + 1, len(self.ids))
