"""Whether the gateway's tokenizer is the engine's: the same strings encoded on both sides, at start and by `pir doctor`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pir_serve.engines.base import Engine
from pir_serve.errors import ConfigError, EngineError
from pir_serve.trajectory import Segment

logger = logging.getLogger(__name__)

SAMPLES = (
    "Mia buys 12 pens at 3 dollars each.\nHow much does she pay in all?",
    "\n\n  Spaces,\ttabs and  blank lines \n",
    "naïve café, 数学题, Ελληνικά, 🙂👩‍👩‍👧",
    "1234567890 3.14 -7e5 $x^2 \\boxed{42}",
)
"""Runs of spaces, scripts beyond Latin, emoji with joiners, digits: where tokenizers that look alike part ways."""


class Codec(Protocol):
    """The part of `pir_serve.prompt.PromptCodec` that is compared."""

    def encode_response(self, text: str) -> Segment: ...


@runtime_checkable
class Tokenizes(Protocol):
    async def tokenize(self, text: str) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that the two sides encode differently."""

    text: str
    ours: tuple[int, ...]
    engines: tuple[int, ...]

    def __str__(self) -> str:
        place = next(
            (k for k, (a, b) in enumerate(zip(self.ours, self.engines, strict=False)) if a != b),
            min(len(self.ours), len(self.engines)),
        )
        return (
            f"{self.text[:40]!r} is {len(self.ours)} tokens here and {len(self.engines)} at the engine; "
            f"from token {place} on: {list(self.ours[place : place + 5])} and {list(self.engines[place : place + 5])}"
        )


async def verify(engine: Tokenizes, codec: Codec, samples: Sequence[str] = SAMPLES) -> list[Difference]:
    """Every sample, as a response in its tags, that engine and codec encode differently; empty if they agree.

    Raises:
        EngineError: the engine cannot be asked (some routers do not pass /tokenize on).
    """
    differences = []
    for sample in samples:
        segment = codec.encode_response(sample)
        theirs = tuple(await engine.tokenize(segment.text))
        if theirs != segment.token_ids:
            differences.append(Difference(segment.text, segment.token_ids, theirs))
    return differences


async def check_tokenizer(engine: Engine, codec: Codec) -> None:
    """Raises: ConfigError, where the engine encodes a text otherwise than we do: every prompt would be wrong."""
    if not isinstance(engine, Tokenizes):
        return
    try:
        differences = await verify(engine, codec)
    except EngineError as error:
        logger.warning("%s does not tell how it tokenises, so that could not be checked: %s", engine.name, error)
        return
    if differences:
        raise ConfigError(
            f"{engine.name} tokenises otherwise than the tokenizer given here: {differences[0]}. "
            "Point --tokenizer at the folder of the model that the engine serves"
        )
