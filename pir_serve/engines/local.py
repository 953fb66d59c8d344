"""The in-process engine: a small Llama-family checkpoint on the CPU, batched, prefix-reusing; the embedded default.

One worker thread owns the model and everything in `scheduler.py`; coroutines hand it legs and wait for chunks. A leg
that its consumer has abandoned leaves the batch before the next step. Needs the `local` extra (torch, safetensors).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer

from pir_serve.engines.base import LegRequest, TokenChunk
from pir_serve.engines.decoder import Decoder, DecoderConfig
from pir_serve.engines.legs import Leg
from pir_serve.engines.scheduler import Scheduler
from pir_serve.errors import ConfigError, ContextLengthExceeded, EngineError, EngineRejected, EngineUnavailable

log = logging.getLogger(__name__)


class _Mailbox:
    """Chunks of one leg on their way from the worker to the coroutine that waits for them."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.loop = asyncio.get_running_loop()
        self._items: deque[TokenChunk | EngineError] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: TokenChunk | EngineError) -> None:
        """In the loop's thread."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> TokenChunk:
        """All chunks that have arrived, as one. Raises: EngineError: the leg has failed."""
        if not self._items:
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks: list[TokenChunk] = []
        while self._items and isinstance(self._items[0], TokenChunk):
            chunk = self._items.popleft()
            assert isinstance(chunk, TokenChunk)
            chunks.append(chunk)
        if not chunks:
            item = self._items[0]
            assert isinstance(item, EngineError)
            raise item
        return chunks[0] if len(chunks) == 1 else join_chunks(chunks)


def join_chunks(chunks: list[TokenChunk]) -> TokenChunk:
    return TokenChunk(
        token_ids=tuple(i for chunk in chunks for i in chunk.token_ids),
        text="".join(chunk.text for chunk in chunks),
        logprobs=tuple(p for chunk in chunks for p in chunk.logprobs),
        finish_reason=chunks[-1].finish_reason,
        usage=chunks[-1].usage,
    )


def _deliver(items: list[tuple[_Mailbox, TokenChunk | EngineError]]) -> None:
    for mailbox, item in items:
        mailbox.put(item)


class LocalEngine:
    """Serves one checkpoint directory: config.json, model.safetensors, tokenizer.json, optional
    generation_config.json.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        threads: int = 1,
        max_batch: int = 64,
        prefill_tokens: int = 512,
        cache_tokens: int = 32_768,
        max_model_len: int | None = None,
        stream_interval: int = 1,
    ) -> None:
        """Args:
        threads: torch threads of the worker. More than one is slower at these sizes when the cores are shared.
        max_batch: legs decoded together; throughput saturates near 64, training rollouts may use 256.
        prefill_tokens: prompt tokens read between two decoding steps; a bound on how long one prompt stalls the
            rest.
        cache_tokens: remembered prefix tokens (4 KB each for the built-in model).
        max_model_len: below the checkpoint's own limit, or None for that limit.
        stream_interval: least tokens a chunk (a request may ask for more); first and last come at once.
        """
        self.model_dir = Path(model_dir)
        self.name = f"local {self.model_dir.name}"
        config = DecoderConfig.load(self.model_dir)
        self.vocab_size = config.vocab_size
        self.max_model_len = min(max_model_len or config.max_len, config.max_len)
        self._eos_ids = frozenset(config.eos_ids)
        self._tokenizer = _load_tokenizer(self.model_dir)
        self._threads = threads
        self._stream_interval = stream_interval
        self._limits = {"max_batch": max_batch, "prefill_tokens": prefill_tokens, "cache_tokens": cache_tokens}
        self._wake = threading.Condition()
        self._inbox: deque[_Mailbox] = deque()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._num_running = 0

    @property
    def num_running(self) -> int:
        """Legs in the batch after the worker's last step."""
        return self._num_running

    async def start(self) -> None:
        """Load the weights and decode a first token, all in the worker thread. Raises: ConfigError."""
        if self._thread is not None:
            return
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def report(error: Exception | None) -> None:
            if not ready.done():
                ready.set_exception(error) if error is not None else ready.set_result(None)

        def run() -> None:
            try:
                scheduler = self._load()
            except Exception as error:
                loop.call_soon_threadsafe(report, error)
                return
            loop.call_soon_threadsafe(report, None)
            with torch.inference_mode():
                self._work(scheduler)

        self._is_closing = False
        self._thread = threading.Thread(target=run, name="pir-local-engine", daemon=True)
        self._thread.start()
        try:
            await ready
        except BaseException:
            self._thread = None
            raise
        async with contextlib.aclosing(self.generate(LegRequest([0, 0], 2))) as warm_up:
            async for _ in warm_up:
                pass

    def _load(self) -> Scheduler:
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                return Scheduler(Decoder.load(self.model_dir), **self._limits)
        except (OSError, RuntimeError, KeyError, SafetensorError) as error:
            raise ConfigError(f"cannot load {self.model_dir}: {error}") from error

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """See `Engine.generate`. Raises also ContextLengthExceeded: the prompt leaves no room for a token."""
        mailbox = _Mailbox(self._new_leg(request))
        with self._wake:
            self._check_alive()
            self._inbox.append(mailbox)
            self._wake.notify()
        is_finished = False
        try:
            while not is_finished:
                chunk = await mailbox.get()
                is_finished = chunk.finish_reason is not None
                yield chunk
        finally:
            if not is_finished:
                mailbox.leg.is_cancelled = True

    def _new_leg(self, request: LegRequest) -> Leg:
        prompt = request.prompt_ids
        if not prompt or request.max_tokens < 1:
            raise EngineRejected("a leg needs at least one prompt token and max_tokens of at least 1")
        if min(prompt) < 0 or max(prompt) >= self.vocab_size:
            raise EngineRejected(f"token ids must lie in 0..{self.vocab_size - 1}; is this the model's own tokenizer?")
        room = self.max_model_len - len(prompt)
        if room < 1:
            raise ContextLengthExceeded(f"{len(prompt)} prompt tokens; this model's context holds {self.max_model_len}")
        if request.stream_interval < self._stream_interval:
            request = replace(request, stream_interval=self._stream_interval)
        return Leg(request, self._tokenizer, eos_ids=self._eos_ids, max_tokens=min(room, request.max_tokens))

    def _check_alive(self) -> None:
        if self._thread is None or not self._thread.is_alive() or self._is_closing:
            raise EngineUnavailable(f"{self.name} is not running")

    async def tokenize(self, text: str) -> list[int]:
        """`text` as the checkpoint's tokenizer encodes it, no special tokens added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    async def healthy(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._is_closing

    async def aclose(self) -> None:
        """Stop the worker; legs in flight end with EngineUnavailable."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _work(self, scheduler: Scheduler) -> None:
        """The worker's life: take legs, step, deliver."""
        mailboxes: dict[Leg, _Mailbox] = {}
        while True:
            with self._wake:
                while not (self._inbox or scheduler.num_running or scheduler.num_waiting or self._is_closing):
                    self._wake.wait()
                arrived = list(self._inbox)
                self._inbox.clear()
            for mailbox in arrived:
                mailboxes[mailbox.leg] = mailbox
                scheduler.add(mailbox.leg)
            if self._is_closing:
                self._fail(mailboxes, EngineUnavailable(f"{self.name} is shutting down"))
                return
            try:
                due = scheduler.step()
            except Exception as error:
                log.exception("the local engine's step failed; its %d legs are lost", len(mailboxes))
                scheduler.reset()
                self._fail(mailboxes, EngineUnavailable(f"{self.name} failed: {error}"))
                mailboxes.clear()
                continue
            self._num_running = scheduler.num_running
            self._send([(mailboxes[leg], chunk) for leg, chunk in due])
            gone = [leg for leg in mailboxes if leg.is_cancelled or leg.finish_reason is not None]
            for leg in gone:
                del mailboxes[leg]

    def _fail(self, mailboxes: dict[Leg, _Mailbox], error: EngineError) -> None:
        self._num_running = 0
        self._send([(mailbox, error) for mailbox in mailboxes.values()])

    def _send(self, items: list[tuple[_Mailbox, TokenChunk]] | list[tuple[_Mailbox, EngineError]]) -> None:
        """Wake each event loop once for all that goes there."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Mailbox, TokenChunk | EngineError]]] = defaultdict(list)
        for mailbox, item in items:
            by_loop[mailbox.loop].append((mailbox, item))
        for loop, group in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver, group)
            except RuntimeError:  # that loop is closed: nobody waits any more
                for mailbox, _ in group:
                    mailbox.leg.is_cancelled = True


def _load_tokenizer(directory: Path) -> Tokenizer:
    path = directory / "tokenizer.json"
    if not path.exists():
        raise ConfigError(f"{path} is missing; the local engine needs the model's tokenizer to find stop strings")
    return Tokenizer.from_file(str(path))
