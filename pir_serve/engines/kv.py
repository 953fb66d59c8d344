"""Keys and values of the local engine: rows of the running batch, prompts being read, and the tree of finished
prefixes.

All tensors are float32 on the CPU and carry both keys and values in one: `(2, layers, kv_heads, tokens, head_dim)`
for one sequence ("strip"), `(2, layers, rows, kv_heads, tokens, head_dim)` for the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pir_serve.engines.decoder import Attend, DecoderConfig


def new_strip(config: DecoderConfig, length: int) -> Tensor:
    return torch.empty(2, config.num_layers, config.num_kv_heads, length, config.head_dim)


class BatchRows:
    """The running sequences, one row each, always packed into the first rows so that a step reads one contiguous
    block.
    """

    def __init__(self, config: DecoderConfig) -> None:
        self._config = config
        self._kv = self._allocate(1, 128)

    def _allocate(self, rows: int, length: int) -> Tensor:
        c = self._config
        # Zeros, not empty: masked places still meet the values, and 0 * NaN is NaN.
        return torch.zeros(2, c.num_layers, rows, c.num_kv_heads, length, c.head_dim)

    def reserve(self, rows: int, length: int) -> None:
        """Room for `rows` sequences of `length` tokens; grows by doubling and keeps what is there."""
        old_rows, old_length = self._kv.shape[2], self._kv.shape[4]
        if rows <= old_rows and length <= old_length:
            return
        new_rows, new_length = old_rows, old_length
        while new_rows < rows:
            new_rows *= 2
        while new_length < length:
            new_length *= 2
        grown = self._allocate(new_rows, min(new_length, max(length, self._config.max_len)))
        grown[:, :, :old_rows, :, :old_length] = self._kv
        self._kv = grown

    @property
    def num_bytes(self) -> int:
        return int(self._kv.nbytes)

    def load(self, row: int, strip: Tensor, length: int) -> None:
        self._kv[:, :, row, :, :length] = strip[:, :, :, :length]

    def read(self, row: int, start: int, end: int) -> Tensor:
        """A copy of tokens [start, end)."""
        return self._kv[:, :, row, :, start:end].clone()

    def move(self, source: int, target: int, length: int) -> None:
        self._kv[:, :, target, :, :length] = self._kv[:, :, source, :, :length]

    def attend(self, positions: Sequence[int]) -> Attend:
        """One new token for each of the first rows; row r writes place positions[r] and sees all up to it."""
        c = self._config
        num_rows, longest, capacity = len(positions), max(positions) + 1, self._kv.shape[4]
        place = torch.tensor(positions)
        lanes = torch.arange(num_rows * c.num_kv_heads)
        targets = lanes * capacity + place.repeat_interleave(c.num_kv_heads)
        mask = None
        if min(positions) + 1 < longest:
            unseen = torch.arange(longest) > place.unsqueeze(1)
            mask = torch.zeros(unseen.shape).masked_fill_(unseen, -torch.inf)
            mask = mask.repeat_interleave(c.num_kv_heads, dim=0).unsqueeze(1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._kv[0, layer], self._kv[1, layer]
            keys.view(-1, c.head_dim).index_copy_(0, targets, k.reshape(-1, c.head_dim))
            values.view(-1, c.head_dim).index_copy_(0, targets, v.reshape(-1, c.head_dim))
            keys = keys[:num_rows, :, :longest].flatten(0, 1)
            values = values[:num_rows, :, :longest].flatten(0, 1)
            q = q.reshape(num_rows * c.num_kv_heads, -1, c.head_dim)
            scores = q @ keys.mT if mask is None else torch.baddbmm(mask, q, keys.mT)
            return torch.bmm(scores.softmax(dim=-1), values).view(num_rows, -1)

        return attend


@dataclass(slots=True)
class Reading:
    """A prompt on its way into a strip: the next `num` tokens go to places [start, start + num)."""

    strip: Tensor
    start: int
    num: int


def attend_readings(config: DecoderConfig, readings: Sequence[Reading]) -> Attend:
    """Attention for pieces of several prompts laid end to end, each over its own strip."""
    masks = [
        torch.full((r.num, r.start + r.num), -torch.inf).triu_(r.start + 1) if r.num > 1 else None for r in readings
    ]
    group = config.num_heads // config.num_kv_heads

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        outputs = []
        first = 0
        for reading, mask in zip(readings, masks, strict=True):
            piece = slice(first, first + reading.num)
            first += reading.num
            end = reading.start + reading.num
            keys, values = reading.strip[0, layer, :, :end], reading.strip[1, layer, :, :end]
            keys[:, reading.start :] = k[piece].transpose(0, 1)
            values[:, reading.start :] = v[piece].transpose(0, 1)
            grouped = q[piece].unflatten(1, (-1, group)).permute(1, 2, 0, 3)  # (kv_heads, group, num, head_dim)
            scores = grouped.reshape(config.num_kv_heads, -1, config.head_dim) @ keys.mT
            if mask is not None:
                scores = (scores.unflatten(1, (group, -1)) + mask).flatten(1, 2)
            mixed = (scores.softmax(dim=-1) @ values).unflatten(1, (group, -1))
            outputs.append(mixed.permute(2, 0, 1, 3).reshape(reading.num, -1))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    return attend
