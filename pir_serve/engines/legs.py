"""One leg inside the local engine: what was asked for, what has been sampled, its text, and when it ends."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from pir_serve.engines.base import FinishReason, LegRequest, TokenChunk, Usage
from pir_serve.engines.sampling import RowSampler


class TextStream:
    """Text of token ids as they come. Added and special tokens spell themselves; part characters are held back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)
        self._held: list[int] = []

    def feed(self, token: int) -> str:
        text = self._stream.step(self._tokenizer, token)
        if text is None:
            self._held.append(token)
            return ""
        self._held.clear()
        return str(text)

    def finish(self) -> str:
        """What was held back; broken characters become U+FFFD."""
        held = self._tokenizer.decode(self._held, skip_special_tokens=False) if self._held else ""
        self._held.clear()
        return str(held)


class StopMatcher:
    """Finds the first stop string in text that arrives in pieces."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._keep = max((len(stop) for stop in self._stops), default=1) - 1
        self._tail = ""

    def feed(self, text: str) -> int | None:
        """How many characters of `text` run up to and including the stop string that ends first; None if none does."""
        if not text or not self._stops:
            return None
        window = self._tail + text
        ends = [window.find(stop) + len(stop) for stop in self._stops if stop in window]
        if ends:
            return min(ends) - len(self._tail)
        self._tail = window[-self._keep :] if self._keep else ""
        return None


class Leg:
    """The worker feeds it tokens; `take` hands out what should travel now."""

    def __init__(self, request: LegRequest, tokenizer: Tokenizer, *, eos_ids: frozenset[int], max_tokens: int) -> None:
        """Args:
        max_tokens: the request's, clamped to the room that the context leaves.
        """
        self.request = request
        self.sampler = RowSampler(request.sampling)
        self.generated: list[int] = []
        self.num_kv = 0
        """Tokens whose keys and values are stored; always one less than all tokens once decoding."""
        self.num_cached = 0
        """Prompt tokens found in the prefix tree."""
        self.finish_reason: FinishReason | None = None
        self.is_cancelled = False
        """Set by the consumer's thread, read by the worker between steps."""
        self._max_tokens = max_tokens
        self._eos_ids = eos_ids
        self._text = TextStream(tokenizer)
        self._stop = StopMatcher(request.stop)
        self._sent = 0
        self._logprobs: list[float] = []
        self._pending_text: list[str] = []

    @property
    def token_ids(self) -> list[int]:
        """Prompt and what has been generated."""
        return [*self.request.prompt_ids, *self.generated]

    def accept(self, token: int, logprob: float | None) -> None:
        """Take the next sampled token; sets `finish_reason` if the leg ends with it."""
        self.generated.append(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        if token in self._eos_ids and token not in self.request.stop_token_ids:
            self._finish("stop")  # EOS spells no text
            return
        text = self._text.feed(token)
        end = self._stop.feed(text)
        if end is not None:
            self._pending_text.append(text[:end])
            self.finish_reason = "stop"
            return
        self._pending_text.append(text)
        if token in self.request.stop_token_ids:
            self._finish("stop")
        elif len(self.generated) >= self._max_tokens:
            self._finish("length")

    def _finish(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        self._pending_text.append(self._text.finish())

    def take(self) -> TokenChunk | None:
        """The next chunk if one is due: at once for the first and the last, else every `stream_interval` tokens."""
        num_new = len(self.generated) - self._sent
        is_due = self.finish_reason is not None or self._sent == 0 or num_new >= self.request.stream_interval
        if not is_due or num_new == 0:
            return None
        chunk = TokenChunk(
            token_ids=tuple(self.generated[self._sent :]),
            text="".join(self._pending_text),
            logprobs=tuple(self._logprobs),
            finish_reason=self.finish_reason,
            usage=self._usage() if self.finish_reason is not None else None,
        )
        self._sent = len(self.generated)
        self._logprobs.clear()
        self._pending_text.clear()
        return chunk

    def _usage(self) -> Usage:
        return Usage(len(self.request.prompt_ids), self.num_cached, len(self.generated))
