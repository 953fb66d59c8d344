"""Legs: generate to an ask or to the end, answer where the policy says so, then go on.

`run` takes a trajectory that ends with a prompt or a response and yields what a client may see, as it comes, and last the
trajectory as it then stands. Storing a suspension and putting events on the wire is done by others.
"""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from pir_serve.engines.base import Engine, FinishReason, LegRequest, SamplingParams, TokenChunk, Usage
from pir_serve.errors import ContextLengthExceeded, EngineUnavailable
from pir_serve.markup import TAGS, AnswerText, AskDone, Malformed, ReasoningText, StreamParser
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


@dataclass(frozen=True, slots=True)
class RunUsage:
    """Tokens of one run, summed over its legs. A leg taken up again after an engine died counts its prompt once."""

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    """None while no engine has told."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the completion: up to and including `</think>`, asks included."""
    legs: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event: `trajectory.status` says how it stands; `trajectory.pending` is the question, if it awaits the user."""

    trajectory: Trajectory
    usage: RunUsage
    finish_reason: FinishReason = "stop"


LoopEvent = ReasoningDelta | AnswerDelta | StepScored | Ended


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


async def run(
    trajectory: Trajectory, *, engine: Engine, codec: PromptCodec, params: RunParams
) -> AsyncGenerator[LoopEvent, None]:
    """Generate from where `trajectory` ends; the last event is `Ended`. Closing the generator aborts the engine.

    Raises:
        ContextLengthExceeded: not even one token fits behind what is there (only before the first event).
        EngineError: the engine failed, and going on from the ids received so far failed as well.
    """
    assert trajectory.status is Status.IN_PROGRESS
    room = engine.max_model_len - len(trajectory.token_ids)
    if room <= 0:
        raise ContextLengthExceeded(
            f"the conversation is {len(trajectory.token_ids)} tokens long; this model reads {engine.max_model_len} in all, "
            "the reply included. Shorten the messages",
            param="messages",
        )
    usage = RunUsage()
    written = 0
    while True:
        room = engine.max_model_len - len(trajectory.token_ids)
        left = room if params.max_tokens is None else params.max_tokens - written
        if min(room, left) <= 0:
            detail = "max_tokens" if left <= 0 else "context_length"
            yield Ended(trajectory.end(Status.INCOMPLETE, detail), usage, "length")
            return
        leg = _Leg(trajectory, codec, params, index=usage.legs)
        async with aclosing(leg.events(engine, min(room, left))) as events:
            async for event in events:
                yield event
        usage = _add(usage, leg)
        written += len(leg.ids)
        trajectory = leg.close()
        if trajectory.status is not Status.IN_PROGRESS or leg.ask is None:
            yield Ended(leg.conclude(trajectory, "max_tokens" if left <= room else "context_length"), usage, leg.finish_reason)
            return
        if trajectory.num_asks >= params.max_asks:
            yield Ended(trajectory.end(Status.INCOMPLETE, "max_asks"), usage, "stop")
            return
        shown = sum(exchange.by is Author.USER for exchange in trajectory.exchanges)
        trajectory = trajectory.suspend(leg.ask.text)
        if params.policy.allows(shown):
            yield Ended(trajectory, usage, "stop")
            return
        response = codec.encode_response(params.auto_response, Author.TEMPLATE)
        trajectory = trajectory.respond(params.auto_response, response, by=Author.TEMPLATE)


def leg_seed(seed: int | None, leg: int) -> int | None:
    """The seed of a trajectory's leg: the request's own for the first, then numbers derived from it.

    One seed for all legs would make each leg draw the same random numbers.
    """
    if seed is None or leg == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}:{leg}".encode()).digest()[:4]) & 0x7FFF_FFFF


class _Leg:
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
        self.finish_reason: FinishReason = "stop"
        self.usage: Usage | None = None
        self.reasoning_tokens = 0
        self.stopped = False
        self._parser = StreamParser()
        self._scorer = StepScorer() if params.uncertainty else None
        self._stop = StopStrings(params.stop)
        self._answering = False
        self._said_reasoning = bool(trajectory.exchanges) or index > 0
        self._said_answer = False

    async def events(self, engine: Engine, max_tokens: int) -> AsyncGenerator[LoopEvent, None]:
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
            yield TokenChunk(text=text[len(said):])
        async with aclosing(_generator(engine.generate(self._request(max_tokens)))) as chunks:
            async for chunk in chunks:
                if chunk.finish_reason == "abort":
                    raise EngineUnavailable("the engine aborted the generation")
                yield _redecoded(chunk, decoder, self.codec)
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

    def _take(self, chunk: TokenChunk) -> list[LoopEvent]:
        self.ids += chunk.token_ids
        self.logprobs += chunk.logprobs
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            self.usage = chunk.usage
        out: list[LoopEvent] = []
        if chunk.text:
            self.texts.append(chunk.text)
            was_answering = self._answering
            self._see(self._parser.feed(chunk.text), out)
            if self._answering and not was_answering:
                self.reasoning_tokens = self._tokens_before_answer(len(chunk.token_ids))
        if self._scorer is not None and not self._said_answer:
            steps = self._scorer.feed(chunk.text, chunk.token_ids, chunk.logprobs)
            out += [StepScored(self.index, step) for step in steps]
        return out

    def _see(self, events: list[object], out: list[LoopEvent]) -> None:
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
        self._answering = self._answering or self._parser.state.name == "ANSWER"

    def _say(self, text: str, out: list[LoopEvent]) -> None:
        """Answer text, without the blank lines before it and from no further than a stop string of the user."""
        if self.stopped:
            return
        text, self.stopped = self._stop.feed(text if self._said_answer else text.lstrip())
        if text:
            self._said_answer = True
            out.append(AnswerDelta(text))

    def _finish(self) -> list[LoopEvent]:
        out: list[LoopEvent] = []
        if self.ask is None:
            self._see(self._parser.finish(), out)
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
            return trajectory.end(Status.FAILED, self.malformed[-1] if self.malformed else "missing_think_close")
        return trajectory.end(Status.COMPLETED)

    def _tokens_before_answer(self, chunk_len: int) -> int:
        """How many of the leg's ids it takes to spell `</think>`; only the last chunk's are in question."""
        before = len(self.ids) - chunk_len
        if chunk_len <= 1:
            return len(self.ids)
        tail = max(0, before - 16)  # the tag may have begun in earlier chunks
        closes = bisect_left(
            range(before, len(self.ids)), True, key=lambda k: TAGS.think_close in self.codec.decode(self.ids[tail : k + 1])
        )
        return min(before + closes + 1, len(self.ids))


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


def _redecoded(chunk: TokenChunk, decoder: IncrementalDecoder, codec: PromptCodec) -> TokenChunk:
    """The chunk with its text spelled by us: after a change of engines a character may straddle the break."""
    text = decoder.feed([i for i in chunk.token_ids if i not in codec.eos_ids])
    if chunk.finish_reason is not None:
        text += decoder.finish()
    return replace(chunk, text=text)


def _add(usage: RunUsage, leg: _Leg) -> RunUsage:
    cached = usage.cached_tokens
    if leg.usage is not None and leg.usage.cached_tokens is not None:
        cached = (cached or 0) + min(leg.usage.cached_tokens, len(leg.prompt_ids))
    return RunUsage(
        prompt_tokens=usage.prompt_tokens + len(leg.prompt_ids),
        cached_tokens=cached,
        completion_tokens=usage.completion_tokens + len(leg.ids),
        reasoning_tokens=usage.reasoning_tokens + leg.reasoning_tokens,
        legs=usage.legs + 1,
    )


def _generator(chunks: AsyncIterator[TokenChunk]) -> AsyncGenerator[TokenChunk, None]:
    """Engines are async generators; the protocol's wider type spares them from saying so."""
    assert isinstance(chunks, AsyncGenerator)
    return chunks
