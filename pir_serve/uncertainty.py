"""Reasoning steps and the predictive entropy of each, whole or as they stream.

Predictive entropy of a step: the mean negative natural log-probability of the tokens sampled in it, in nats
(arXiv 2601.22139; the paper's code does not contain it). It is no full-vocabulary entropy, so the logprobs of any
server will do. The paper's step splitter is not released; ours:

- A step is a line of the think block; blank lines belong to the step before, or where there is none to the step after.
- A line of more than `MAX_STEP_CHARS` characters ends at its next sentence end, and the rest of it begins a new step.
- Tags, asks and responses are no steps and end the step before them. Nothing after `</think>` is a step.
- A token belongs to the step in which it begins. A step in which no token begins has no entropy and is left out.

Training and live serving share this file. Standard library only, no I/O.
"""

from __future__ import annotations

import codecs
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, TypeGuard

from pir_serve.markup import TAGS, Tags, held_back

MAX_STEP_CHARS = 240
"""About three lines of prose: longer lines are paragraphs, whose sentences differ in what they are unsure of."""

FLOOR = -100.0
"""Log-probabilities below count as this: engines write -inf or -9999 for what their sampler had ruled out."""

_SENTENCE_ENDS = ".!?…"
_FULL_WIDTH_ENDS = "。！？"
_CLOSERS = "\"'”’)]»*」』》）"


@dataclass(frozen=True, slots=True)
class Step:
    """One reasoning step."""

    text: str
    start: int
    """Of the text that was fed, in characters; `text` is what stands from `start` to `end`."""
    end: int
    entropy: float
    """Predictive entropy in nats, >= 0."""
    num_tokens: int
    """Tokens that begin in the step and have a log-probability."""
    peak: float = 0.0
    """The largest negative log-probability among them, in nats: how unlikely was the least likely token."""


def split_steps(text: str, tags: Tags = TAGS) -> list[tuple[int, int]]:
    """(start, end) of each step in `text`, which begins inside the think block; asks and responses are left out."""
    splitter = _Splitter(tags)
    return splitter.feed(text) + splitter.finish()


class StepScorer:
    """Scores the steps of one leg as its tokens arrive.

    Exact where each `feed` brings one token, or where `decode` is given: a fresh `IncrementalDecoder.feed` of the
    model's codec, which tells the tokens of larger chunks apart. Else a chunk's tokens are taken to be of equal length.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str] | None = None, tags: Tags = TAGS, *, in_ask: bool = False
    ) -> None:
        """`in_ask`: the leg begins inside an ask, which is no step."""
        self._decode = decode
        self._splitter = _Splitter(tags, until=tags.ask_close if in_ask else "")
        self._text = ""
        """What has been fed from `_offset` on: the steps before have been scored."""
        self._offset = 0
        self._waiting: list[tuple[int, float]] = []
        """(where it begins, log-probability) of each token not yet in a finished step."""

    def feed(self, text: str, token_ids: Sequence[int] = (), logprobs: Sequence[float | None] = ()) -> list[Step]:
        """The steps that this chunk completes. Without `logprobs` (or with a None) its tokens count for nothing."""
        if self._decode is not None and token_ids:
            pieces = [self._decode([i]) for i in token_ids]
            text = "".join(pieces)
        else:
            pieces = _even_pieces(text, len(logprobs))
        at = self._offset + len(self._text)
        for piece, logprob in zip(pieces, logprobs, strict=False):
            if _is_known(logprob):
                self._waiting.append((at, logprob))
            at += len(piece)
        self._text += text
        return self._score(self._splitter.feed(text))

    def finish(self) -> list[Step]:
        """The step that was still open, if it has a token."""
        return self._score(self._splitter.finish())

    def _score(self, spans: list[tuple[int, int]]) -> list[Step]:
        steps = []
        for start, end in spans:
            inside = [logprob for at, logprob in self._waiting if start <= at < end]
            self._waiting = [token for token in self._waiting if token[0] >= end]
            if inside:
                text = self._text[start - self._offset : end - self._offset]
                steps.append(_step(text, start, end, inside))
            self._text = self._text[end - self._offset :]
            self._offset = end
        return steps


def steps_from_logprobs(tokens: Sequence[str], logprobs: Sequence[float | None], tags: Tags = TAGS) -> list[Step]:
    """The steps of a whole text given as its tokens' texts, which must spell it when joined."""
    if len(tokens) != len(logprobs):
        raise ValueError(f"{len(tokens)} tokens but {len(logprobs)} log-probabilities")
    text = "".join(tokens)
    spans = split_steps(text, tags)
    starts = [start for start, _ in spans]
    inside: list[list[float]] = [[] for _ in spans]
    at = 0
    for token, logprob in zip(tokens, logprobs, strict=True):
        k = bisect_right(starts, at) - 1
        if _is_known(logprob) and k >= 0 and at < spans[k][1]:
            inside[k].append(logprob)
        at += len(token)
    return [
        _step(text[start:end], start, end, values) for (start, end), values in zip(spans, inside, strict=True) if values
    ]


def steps_from_chat(content: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Of OpenAI chat `logprobs.content` ({token, logprob, bytes} each); `bytes` tell the parts of a character apart."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tokens: list[str] = []
    logprobs: list[float | None] = []
    for entry in content:
        raw = entry.get("bytes")
        tokens.append(entry["token"] if raw is None else decoder.decode(bytes(raw)))
        logprobs.append(entry["logprob"])
    return steps_from_logprobs(tokens, logprobs)


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The chance that a positive scores above a negative, ties counting half (Mann-Whitney U over both sizes).

    Raises:
        ValueError: the lengths differ, or there is no positive or no negative.
    """
    if len(scores) != len(labels):
        raise ValueError(f"{len(scores)} scores but {len(labels)} labels")
    positives = sum(map(bool, labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise ValueError(f"{positives} positives and {negatives} negatives; one of each is needed")
    wins, below = 0.0, 0
    for _, tied in groupby(sorted(zip(scores, map(bool, labels), strict=True)), key=lambda pair: pair[0]):
        group = [label for _, label in tied]
        hits = sum(group)
        wins += hits * (below + (len(group) - hits) / 2)
        below += len(group) - hits
    return wins / (positives * negatives)


def _is_known(logprob: float | None) -> TypeGuard[float]:
    return logprob is not None and not math.isnan(logprob)


def _step(text: str, start: int, end: int, logprobs: list[float]) -> Step:
    # Rounding can lift a log-probability just above 0.
    surprisals = [-min(max(logprob, FLOOR), 0.0) for logprob in logprobs]
    mean, peak = sum(surprisals) / len(surprisals), max(surprisals)
    return Step(text, start, end, abs(mean), len(surprisals), abs(peak))


def _even_pieces(text: str, count: int) -> list[str]:
    cuts = [len(text) * k // count for k in range(count + 1)] if count else []
    return [text[a:b] for a, b in pairwise(cuts)]


class _Splitter:
    """Finds the steps of a text that arrives in pieces. A step is final once its next character has been seen."""

    def __init__(self, tags: Tags, until: str | None = "") -> None:
        self._tags = tags
        self._any_tag = re.compile("|".join(map(re.escape, sorted(tags.all(), key=len, reverse=True))))
        self._pending = ""
        self._at = 0
        """Position of the next character to look at."""
        self._until = until
        """Outside the reasoning: the tag that ends this stretch, None for never; "" within the reasoning."""
        self._step = _Open(0)

    def feed(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        buffer, self._pending = self._pending + text, ""
        begin = 0
        while (found := self._any_tag.search(buffer, begin)) is not None:
            self._plain(buffer[begin : found.start()], spans)
            self._tag(found[0], spans)
            begin = found.end()
        safe = len(buffer) - held_back(buffer[begin:], self._tags.all())
        self._plain(buffer[begin:safe], spans)
        self._pending = buffer[safe:]
        return spans

    def finish(self) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        self._plain(self._pending, spans)
        self._pending = ""
        if self._until == "":
            self._close(spans)
        return spans

    def _tag(self, tag: str, spans: list[tuple[int, int]]) -> None:
        if self._until == "":
            self._close(spans)
            closers = {
                self._tags.ask_open: self._tags.ask_close,
                self._tags.response_open: self._tags.response_close,
                self._tags.think_close: None,
            }
            self._until = closers.get(tag, "")
        elif tag == self._tags.think_close:
            self._until = None  # the think block ended inside an ask
        elif tag == self._until:
            self._until = ""
        self._at += len(tag)
        self._step = _Open(self._at)

    def _plain(self, text: str, spans: list[tuple[int, int]]) -> None:
        if self._until == "":
            for c in text:
                if not c.isspace() and self._step.is_over(c):
                    self._close(spans)
                    self._step = _Open(self._at)
                self._step.take(c)
                self._at += 1
        else:
            self._at += len(text)

    def _close(self, spans: list[tuple[int, int]]) -> None:
        if not self._step.is_blank:
            spans.append((self._step.start, self._at))


class _Open:
    """The step that is being read."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.is_blank = True
        self._size = 0
        """Characters since the first that is no white space."""
        self._line_ended = False
        self._sentence_end = ""
        """The stop that was read last, if nothing but closing quotes and white space came after it."""
        self._space_after = False

    def take(self, c: str) -> None:
        if self.is_blank and c.isspace():
            return
        self.is_blank = False
        self._size += 1
        if c.isspace():
            self._line_ended = self._line_ended or c == "\n"
            self._space_after = True
            return
        self._space_after = False
        if c in _SENTENCE_ENDS or c in _FULL_WIDTH_ENDS:
            self._sentence_end = c
        elif c not in _CLOSERS:
            self._sentence_end = ""

    def is_over(self, following: str) -> bool:
        """Whether `following`, which is no white space, begins another step."""
        if self.is_blank:
            return False
        if self._line_ended:
            return True
        if self._size <= MAX_STEP_CHARS or not self._sentence_end:
            return False
        # "3.5" and "x.y" go on; full-width stops have no space behind them, but may have a closing quote.
        return self._space_after or (self._sentence_end in _FULL_WIDTH_ENDS and following not in _CLOSERS)
