"""The two parts that tests replace: an engine that plays scripts instead of sampling, and a user who answers by
rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from pir_serve.engines.base import LegRequest, TokenChunk, Usage
from pir_serve.errors import EngineError, EngineUnavailable

End = Literal["eos", "die", "silent_end", "abort"]


@dataclass(frozen=True)
class Line:
    """What the engine says in one leg, and how that goes."""

    text: str
    end: End = "eos"
    """`die`: EngineUnavailable after the text; `silent_end`: the stream ends without a finish reason."""
    first_delay_s: float = 0.0
    delay_s: float = 0.0
    """Before every chunk."""
    error: EngineError | None = None
    """Raised before the first chunk."""


class ScriptedEngine:
    """Plays lines, token by token of a real tokenizer, with an engine's manners: stops, limits, EOS, usage, aborts.

    `script` is the lines of the legs to come, or a function from the prompt's text (special tokens shown) to a line.
    A leg that goes on from one that died plays the rest of its `spare` line: the text that was to come.
    """

    name = "scripted"

    def __init__(
        self,
        tokenizer: Path,
        script: Sequence[str | Line] | Callable[[str], str | Line],
        *,
        chunk_tokens: int = 3,
        max_model_len: int = 4096,
        eos: str = "<|im_end|>",
        honours_stop: bool = True,
    ) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        self.max_model_len = max_model_len
        self.requests: list[LegRequest] = []
        self.aborted = 0
        self.finished = 0
        self.running = 0
        self.is_healthy = True
        self._script = script
        self._played = 0
        self._chunk_tokens = chunk_tokens
        self._eos = self.tokenizer.token_to_id(eos)
        self._honours_stop = honours_stop
        self._known: list[list[int]] = []

    async def start(self) -> None: ...

    async def healthy(self) -> bool:
        return self.is_healthy

    async def aclose(self) -> None: ...

    def prompt_text(self, number: int = -1) -> str:
        return str(self.tokenizer.decode(self.requests[number].prompt_ids, skip_special_tokens=False))

    def _line(self, request: LegRequest) -> Line:
        if callable(self._script):
            line = self._script(self.tokenizer.decode(request.prompt_ids, skip_special_tokens=False))
        else:
            last = self._script[self._played - 1] if self._played else ""
            if self._played == len(self._script) and isinstance(last, Line) and last.end != "eos":
                raise EngineUnavailable("the scripted engine died")  # and stays dead
            line = self._script[self._played]
            self._played += 1
        return Line(line) if isinstance(line, str) else line

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        self.requests.append(request)
        line = self._line(request)
        self.running += 1
        done = False
        try:
            async for chunk in self._play(line, request):
                done = chunk.finish_reason is not None
                yield chunk
        except EngineError:
            done = True
            raise
        finally:
            self.running -= 1
            if done:
                self.finished += 1
            else:
                self.aborted += 1

    async def _play(self, line: Line, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        if line.error is not None:
            raise line.error
        await asyncio.sleep(line.first_delay_s)
        ids = self.tokenizer.encode(line.text, add_special_tokens=False).ids
        async for chunk in self._play_ids(ids, line, request):
            yield chunk

    async def _play_ids(self, ids: list[int], line: Line, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        if line.end == "eos":
            ids.append(self._eos)
        decoder = DecodeStream(skip_special_tokens=False)
        sent: list[int] = []
        said = ""
        while len(sent) < len(ids):
            if line.delay_s:
                await asyncio.sleep(line.delay_s)
            text, taken, reason = "", [], None
            for token in ids[len(sent) : len(sent) + self._chunk_tokens]:
                taken.append(token)
                text += "" if token == self._eos else decoder.step(self.tokenizer, token) or ""
                stops = any(s in said + text for s in request.stop) or token in request.stop_token_ids
                if token == self._eos or (stops and self._honours_stop):
                    reason = "stop"
                    break
                if len(sent) + len(taken) >= request.max_tokens:
                    reason = "length"
                    break
            sent += taken
            said += text
            yield TokenChunk(
                tuple(taken),
                text,
                tuple(-0.125 * (i % 5 + 1) for i in taken) if request.logprobs else (),
                reason,
                self._usage(request, sent) if reason else None,
            )
            if reason:
                return
        if line.end == "die":
            raise EngineUnavailable("the scripted engine died")
        if line.end == "abort":
            yield TokenChunk(finish_reason="abort")

    def _usage(self, request: LegRequest, sent: list[int]) -> Usage:
        """Prompt tokens are cached as far as an earlier leg had them."""
        prompt = request.prompt_ids
        cached = max((_common(prompt, known) for known in self._known), default=0)
        self._known.append([*prompt, *sent])
        return Usage(len(prompt), cached, len(sent))


def _common(a: list[int], b: list[int]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n
