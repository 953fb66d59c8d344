"""Continuous batching for the local engine: which legs read their prompts, which decode, what is remembered of them.

Synchronous and single-threaded; `local.py` runs it in its worker thread. One `step` reads a bounded number of prompt
tokens and then decodes one token for every running leg, so a long prompt delays the others by one bounded piece at a
time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from pir_serve.engines.base import TokenChunk
from pir_serve.engines.decoder import Decoder
from pir_serve.engines.kv import BatchRows, Reading, attend_readings, new_strip
from pir_serve.engines.legs import Leg
from pir_serve.engines.prefixes import PrefixTree
from pir_serve.engines.sampling import sample

_SHARED_RUN = 16
"""Legs that would read the same this many tokens in one step wait for the first of them, then find its work in the
tree.
"""


_IDLE_BYTES = 64 * 2**20
"""Rows above this are given back when the last leg has left; a burst of long legs should not cost memory for good."""


@dataclass(slots=True)
class _Reader:
    """A leg whose prompt is being read into its strip."""

    leg: Leg
    strip: Tensor


class Scheduler:
    def __init__(self, decoder: Decoder, *, max_batch: int, prefill_tokens: int, cache_tokens: int) -> None:
        """Args:
        max_batch: most legs in the batch; more wait their turn, interactive ones first.
        prefill_tokens: most prompt tokens read in one step.
        cache_tokens: bound of the prefix tree.
        """
        self._decoder = decoder
        self._max_batch = max_batch
        self._prefill_tokens = prefill_tokens
        self._tree = PrefixTree(cache_tokens)
        self._waiting: dict[bool, deque[Leg]] = {True: deque(), False: deque()}
        self._readers: list[_Reader] = []
        self._legs: list[Leg] = []
        """By row of `_rows`."""
        self._rows = BatchRows(decoder.config)

    @property
    def num_running(self) -> int:
        return len(self._legs) + len(self._readers)

    @property
    def num_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, leg: Leg) -> None:
        self._waiting[leg.request.interactive].append(leg)

    def reset(self) -> None:
        """Forget every leg and prefix, after a failure that may have left tensors half written."""
        self._waiting = {True: deque(), False: deque()}
        self._readers.clear()
        self._legs.clear()
        self._tree.clear()
        self._rows = BatchRows(self._decoder.config)

    def step(self) -> list[tuple[Leg, TokenChunk]]:
        """One round for all legs; the chunks that are due."""
        self._drop_cancelled()
        self._admit()
        touched = [*self._read(), *self._decode()]
        due = [(leg, chunk) for leg in touched if (chunk := leg.take()) is not None]
        for row in reversed(range(len(self._legs))):
            if self._legs[row].finish_reason is not None:
                self._retire(row)
        return due

    def _drop_cancelled(self) -> None:
        for row in reversed(range(len(self._legs))):
            if self._legs[row].is_cancelled:
                self._retire(row)
        self._readers = [reader for reader in self._readers if not reader.leg.is_cancelled]

    def _admit(self) -> None:
        """Move waiting legs to the readers while there is room, with what the tree remembers of their prompts."""
        begun: set[tuple[str, int, tuple[int, ...]]] = set()
        for queue in (self._waiting[True], self._waiting[False]):
            postponed: list[Leg] = []
            while queue and self.num_running < self._max_batch:
                leg = queue.popleft()
                if leg.is_cancelled:
                    continue
                ids, tenant = leg.request.prompt_ids, leg.request.tenant
                matched, strips = self._tree.find(tenant, ids[:-1])  # the last token is always read, for its logits
                run = (tenant, matched, tuple(ids[matched : matched + _SHARED_RUN]))
                if len(ids) - matched > _SHARED_RUN and run in begun:
                    postponed.append(leg)
                    continue
                begun.add(run)
                strip = new_strip(self._decoder.config, len(ids))
                if strips:
                    strip[:, :, :, :matched] = torch.cat(strips, dim=3) if len(strips) > 1 else strips[0]
                leg.num_kv = leg.num_cached = matched
                self._readers.append(_Reader(leg, strip))
            queue.extendleft(reversed(postponed))

    def _read(self) -> list[Leg]:
        """Read up to `prefill_tokens` prompt tokens; legs whose prompt is done get their first token and a row."""
        if not self._readers:
            return []
        budget = self._prefill_tokens
        readings: list[Reading] = []
        done: list[_Reader] = []
        ids: list[int] = []
        positions: list[int] = []
        last: list[int] = []
        for reader in self._readers:
            leg = reader.leg
            prompt = leg.request.prompt_ids
            num = min(budget, len(prompt) - leg.num_kv)
            if num == 0:
                break
            budget -= num
            readings.append(Reading(reader.strip, leg.num_kv, num))
            ids += prompt[leg.num_kv : leg.num_kv + num]
            positions += range(leg.num_kv, leg.num_kv + num)
            leg.num_kv += num
            if leg.num_kv == len(prompt):
                done.append(reader)
                last.append(len(ids) - 1)
        attend = attend_readings(self._decoder.config, readings)
        ends = torch.tensor(last, dtype=torch.long)
        logits = self._decoder.forward(torch.tensor(ids), torch.tensor(positions), attend, ends)
        self._readers = self._readers[len(done) :]
        self._feed([reader.leg for reader in done], logits)
        for reader in done:
            leg = reader.leg
            self._tree.add(leg.request.tenant, leg.request.prompt_ids, reader.strip, 0)
            if leg.finish_reason is None:
                self._rows.reserve(len(self._legs) + 1, leg.num_kv + 1)
                self._rows.load(len(self._legs), reader.strip, leg.num_kv)
                self._legs.append(leg)
        return [reader.leg for reader in done]

    def _decode(self) -> list[Leg]:
        if not self._legs:
            return []
        positions = [leg.num_kv for leg in self._legs]
        self._rows.reserve(len(self._legs), max(positions) + 1)
        ids = torch.tensor([leg.generated[-1] for leg in self._legs])
        logits = self._decoder.forward(ids, torch.tensor(positions), self._rows.attend(positions))
        for leg in self._legs:
            leg.num_kv += 1
        self._feed(self._legs, logits)
        return list(self._legs)

    def _feed(self, legs: list[Leg], logits: Tensor) -> None:
        """Sample a token for each leg and let the leg take it."""
        if not legs:
            return
        wanted = any(leg.request.logprobs for leg in legs)
        tokens, logprobs = sample(logits, [leg.sampler for leg in legs], logprobs=wanted)
        for i, leg in enumerate(legs):
            leg.accept(tokens[i], logprobs[i] if leg.request.logprobs else None)

    def _retire(self, row: int) -> None:
        """Remember a leg's tokens and close the gap that it leaves."""
        leg = self._legs[row]
        start = len(leg.request.prompt_ids)
        if leg.num_kv > start:
            strip = self._rows.read(row, start, leg.num_kv)
            self._tree.add(leg.request.tenant, leg.token_ids[: leg.num_kv], strip, start)
        final = self._legs.pop()
        if row < len(self._legs):
            self._rows.move(len(self._legs), row, final.num_kv)
            self._legs[row] = final
        if not self._legs and self._rows.num_bytes > _IDLE_BYTES:
            self._rows = BatchRows(self._decoder.config)
