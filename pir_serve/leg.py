"""One leg: a single uninterrupted generation, what of it a client may see, and its place in the trajectory."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from pir_serve.engines.base import Engine, FinishReason, LegRequest, SamplingParams, TokenChunk, Usage
from pir_serve.errors import EngineUnavailable
from pir_serve.markup import TAGS, AnswerText, AskDone, Event, Malformed, ReasoningText, State, StreamParser
from pir_serve.policy import AskPolicy
from pir_serve.prompt import IncrementalDecoder, PromptCodec
from pir_serve.trajectory import Author, Segment, Status, Trajectory
from pir_serve.uncertainty import Step, StepScorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    text: str


@dataclass(frozen=True, slots=True)
class StepScored:
    """One reasoning step and its predictive entropy."""

    leg: int
    """Which leg of this run the step's offsets count in."""
    step: Step


LegEvent = ReasoningDelta | AnswerDelta | StepScored


@dataclass(frozen=True, slots=True)
class RunParams:
    """What a request decides about its run."""

    policy: AskPolicy = field(default_factory=AskPolicy)
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    """Budget over all tokens that the model writes in this run; None: what the context holds."""
    stop: tuple[str, ...] = ()
    """The user's stop strings: they end the visible answer and are not part of it."""
    uncertainty: bool = False
    """Whether reasoning steps are scored as they stream."""
    max_asks: int = 16
    """Loop guard over asks of the trajectory, whoever answers them."""
    auto_response: str = "Use your best judgment."
    request_id: str = ""
    tenant: str = ""


class Leg:
    """One uninterrupted generation: collects ids and text as they come, and says what in them a client may see."""

    def __init__(self, trajectory: Trajectory, codec: PromptCodec, params: RunParams, index: int) -> None:
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
        self._parser = StreamParser()
        self._scorer = StepScorer(codec.incremental().feed) if params.uncertainty else None
        self._stop = StopStrings(params.stop)
        self._answering = False
        self._said_reasoning = index > 0
        self._said_answer = False

    async def events(self, engine: Engine, max_tokens: int) -> AsyncGenerator[LegEvent, None]:
        async with aclosing(self._chunks(engine, max_tokens)) as chunks:
            async for chunk in chunks:
                for event in self._take(chunk):
                    yield event
                if self.ask is not None or self.stopped:
                    break
        for event in self._finish():
            yield event

    async def _chunks(self, engine: Engine, max_tokens: int) -> AsyncGenerator[TokenChunk, None]:
        """The engine's chunks; if it dies, once more from the ids received so far."""
        try:
            async with aclosing(_generator(engine.generate(self._request(max_tokens)))) as chunks:
                async for chunk in chunks:
                    if chunk.finish_reason == "abort":
                        raise EngineUnavailable("the engine aborted the generation")
                    yield chunk
                    if chunk.finish_reason is not None:
                        return
            raise EngineUnavailable("the engine's stream ended without a finish reason")
        except EngineUnavailable as error:
            if len(self.ids) >= max_tokens:
                raise
            logger.warning("%s: %s after %d tokens; going on from there", engine.name, error, len(self.ids))
        decoder = self.codec.incremental()
        text = decoder.feed(self.ids)
        said = "".join(self.texts)
        if text.startswith(said) and text != said:  # the text of the last ids was lost with the engine
            yield TokenChunk(text=text[len(said) :])
        async with aclosing(_generator(engine.generate(self._request(max_tokens)))) as chunks:
            async for chunk in chunks:
                if chunk.finish_reason == "abort":
                    raise EngineUnavailable("the engine aborted the generation")
                yield _redecoded(chunk, decoder)
                if chunk.finish_reason is not None:
                    return
        raise EngineUnavailable("the engine's stream ended without a finish reason")

    def _request(self, max_tokens: int) -> LegRequest:
        sampling = self.params.sampling
        # A leg taken up again draws from its own seed: the first draws are spent.
        number = len(self.start.exchanges) + (1_000 if self.ids else 0)
        return LegRequest(
            prompt_ids=[*self.prompt_ids, *self.ids],
            max_tokens=max_tokens - len(self.ids),
            sampling=replace(sampling, seed=leg_seed(sampling.seed, number)),
            stop=(TAGS.ask_close,),
            stop_token_ids=self.codec.ask_stop_ids,
            logprobs=self.params.uncertainty,
            session=self.start.session,
            request_id=f"{self.params.request_id}-{self.index}",
            tenant=self.params.tenant,
        )

    def _take(self, chunk: TokenChunk) -> list[LegEvent]:
        self.ids += chunk.token_ids
        self.logprobs += chunk.logprobs
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            self.usage = chunk.usage
        out: list[LegEvent] = []
        was_answering = self._answering
        if chunk.text:
            self.texts.append(chunk.text)
            self._see(self._parser.feed(chunk.text), out)
            if self._answering and not was_answering:
                self.reasoning_tokens = self._tokens_before_answer(len(chunk.token_ids))
        if self._scorer is not None and not was_answering:
            steps = self._scorer.feed(chunk.text, chunk.token_ids, chunk.logprobs)
            out += [StepScored(self.index, step) for step in steps]
        return out

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

    def _say(self, text: str, out: list[LegEvent]) -> None:
        """Answer text, without the blank lines before it and from no further than a stop string of the user."""
        if self.stopped:
            return
        text, self.stopped = self._stop.feed(text if self._said_answer else text.lstrip())
        if text:
            self._said_answer = True
            out.append(AnswerDelta(text))

    def _finish(self) -> list[LegEvent]:
        out: list[LegEvent] = []
        if self.ask is None:
            so_far = len(self.malformed)
            self._see(self._parser.finish(), out)
            self.end_fault = next(iter(self.malformed[so_far:]), None)
            if self.finish_reason == "length":
                del self.malformed[so_far:]  # cut short by a limit: no fault of the model
            if rest := "" if self.stopped else self._stop.rest():
                out.append(AnswerDelta(rest))
        if self._scorer is not None:
            out += [StepScored(self.index, step) for step in self._scorer.finish()]
        if not self._answering:
            self.reasoning_tokens = len(self.ids)
        return out

    def close(self) -> Trajectory:
        """The trajectory with this leg's tokens, cut at the ask's end."""
        segment = Segment(Author.MODEL, "".join(self.texts), tuple(self.ids), tuple(self.logprobs))
        if self.ask is not None:
            segment = self.codec.close_ask(segment, self.ask.end)
        grown = self.start.append(segment)
        return replace(grown, malformed=(*grown.malformed, *self.malformed))

    def conclude(self, trajectory: Trajectory, limit: str) -> Trajectory:
        """How a leg without an ask leaves the trajectory; `limit` names the length limit that applied."""
        if self.finish_reason == "length" and not self.stopped:
            return trajectory.end(Status.INCOMPLETE, limit)
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


def leg_seed(seed: int | None, leg: int) -> int | None:
    """The seed of a trajectory's leg: the request's own for the first, then numbers derived from it.

    One seed for all legs would make each leg draw the same random numbers.
    """
    if seed is None or leg == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}:{leg}".encode()).digest()[:4]) & 0x7FFF_FFFF


class StopStrings:
    """Cuts streamed text before the first stop string, holding back what may yet become one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """(text that is safe to show, whether a stop string was met)."""
        if not self._stop:
            return text, False
        text = self._held + text
        self._held = ""
        hits = [at for s in self._stop if (at := text.find(s)) >= 0]
        if hits:
            return text[: min(hits)], True
        longest = max(len(s) for s in self._stop) - 1
        for n in range(min(longest, len(text)), 0, -1):
            tail = text[-n:]
            if any(s.startswith(tail) for s in self._stop):
                self._held = tail
                return text[:-n], False
        return text, False

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held


def _redecoded(chunk: TokenChunk, decoder: IncrementalDecoder) -> TokenChunk:
    """The chunk with its text spelled by us: after a change of engines a character may straddle the break."""
    text = decoder.feed(chunk.token_ids)
    if chunk.finish_reason is not None:
        text += decoder.finish()
    return replace(chunk, text=text)


def _generator(chunks: AsyncIterator[TokenChunk]) -> AsyncGenerator[TokenChunk, None]:
    """Engines are async generators; the protocol's wider type spares them from saying so."""
    assert isinstance(chunks, AsyncGenerator)
    return chunks
