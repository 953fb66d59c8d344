"""A leg that outlives its engine: where a stream breaks off, it goes on from the ids received, on whatever engine there
is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from pir_serve.engines.base import Engine, LegRequest, TokenChunk
from pir_serve.errors import EngineBusy, EngineUnavailable
from pir_serve.interruption import redecoded
from pir_serve.prompt import IncrementalDecoder, PromptCodec

logger = logging.getLogger(__name__)

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before a leg that broke off is taken up again, time after time: another engine can go on at once, one that is started
anew or has a full queue needs a while."""


async def unbroken(
    engine: Engine,
    codec: PromptCodec,
    request: LegRequest,
    *,
    seed: Callable[[int], int | None],
    is_underway: bool,
) -> AsyncGenerator[TokenChunk, None]:
    """The leg's chunks, the last of which says how it finished; closing the generator aborts it.

    `seed` of the rest, after so many breaks. `is_underway`: the user has seen something of the run already.

    Raises:
        EngineUnavailable: it broke off too often, or before the user got anything of it.
        EngineError, ContextLengthExceeded: as the engine does.
    """
    ids: list[int] = []
    said: list[str] = []
    decoder: IncrementalDecoder | None = None
    """From the first break on texts are spelled by us: a character may straddle it."""
    breaks = 0
    rest = request
    while True:
        try:
            async with aclosing(_generator(engine, rest)) as chunks:
                async for chunk in chunks:
                    if chunk.finish_reason == "abort":
                        raise EngineUnavailable("the engine aborted the generation")
                    whole = chunk if decoder is None else redecoded(chunk, decoder)
                    ids += whole.token_ids
                    said.append(whole.text)
                    yield whole
                    if chunk.finish_reason is not None:
                        return
            raise EngineUnavailable("the engine's stream ended without a finish reason")
        except EngineUnavailable as error:
            if breaks >= _most_breaks(error, is_underway=is_underway or bool(ids)) or len(ids) >= request.max_tokens:
                raise
            logger.warning("%s: %s after %d tokens; going on from there", engine.name, error, len(ids))
        await asyncio.sleep(PAUSES_S[breaks])
        breaks += 1
        rest = replace(
            request,
            prompt_ids=[*request.prompt_ids, *ids],
            max_tokens=request.max_tokens - len(ids),
            sampling=replace(request.sampling, seed=seed(breaks) if ids else request.sampling.seed),
        )
        decoder = codec.incremental()
        text, so_far = decoder.feed(ids), "".join(said)
        if text.startswith(so_far) and text != so_far:  # the text of the last ids was lost with the engine
            said.append(text[len(so_far) :])
            yield TokenChunk(text=said[-1])


def _most_breaks(error: EngineUnavailable, *, is_underway: bool) -> int:
    """How often it is worth going on: where the user has got nothing yet, an error at once serves them better."""
    if is_underway:
        return len(PAUSES_S)
    return 0 if isinstance(error, EngineBusy) else 1


def _generator(engine: Engine, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
    """Engines are async generators; the protocol's wider type spares them from saying so."""
    chunks = engine.generate(request)
    assert isinstance(chunks, AsyncGenerator)
    return chunks
