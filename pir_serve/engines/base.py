"""What the loop needs of an engine: token ids in, token chunks out. Closing the iterator aborts the leg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """OpenAI's meanings and defaults; what is None is left to the engine."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None
    """Of this leg; the loop derives one per leg from the request's seed."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class LegRequest:
    """One uninterrupted generation."""

    prompt_ids: list[int]
    max_tokens: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    """Stop strings over generated text, kept in the output. At most 4 (vLLM's limit)."""
    stop_token_ids: tuple[int, ...] = ()
    logprobs: bool = True
    """Whether each sampled token comes with its natural log-probability."""
    session: str = ""
    """Affinity key: legs of one session should meet the same engine, whose prefix cache holds their past."""
    request_id: str = ""
    trace: str = ""
    """W3C `traceparent` for the engine's own traces; "": none."""
    tenant: str = ""
    """Cache partition: engines must not share prefixes across tenants."""
    interactive: bool = True
    """A person is waiting; engines with priorities may serve these first."""
    stream_interval: int = 1
    """Tokens a chunk where the engine can do that; bulk callers save work with 8 or more. First and last come at
    once.
    """


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    cached_tokens: int | None
    """Prompt tokens served from the engine's prefix cache; None if the engine does not tell."""
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """What has been sampled since the last chunk; `text` may lag behind the ids by an unfinished character.

    The concatenated ids are all that was sampled, in order, the token that completed a stop included (and on some
    engines tokens that overrun the stop string inside their last token: the loop cuts by text). EOS ids are included
    in `token_ids` and spell no text.
    """

    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[float, ...] = ()
    """As long as `token_ids` if asked for and known, else empty."""
    finish_reason: FinishReason | None = None
    """Set on the last chunk only. "stop" covers stop strings, stop ids and EOS."""
    usage: Usage | None = None
    """On the last chunk, where the engine reports it."""


class Engine(Protocol):
    """Adapters are stateless towards the loop: all that a leg needs is in its request."""

    name: str
    """Shown in logs and `pir doctor`, e.g. "vllm http://127.0.0.1:8001"."""
    max_model_len: int
    """Tokens of prompt and completion together. Known after `start`."""

    async def start(self) -> None:
        """Connect, probe, warm up. Raises: EngineUnavailable, ConfigError."""

    def generate(self, request: LegRequest) -> AsyncIterator[TokenChunk]:
        """Stream one leg. `aclose()` of the iterator aborts it upstream at once.

        Raises:
            EngineUnavailable: not reachable, or it died; ids yielded so far are valid.
            EngineRejected: it refused the request.
            ContextLengthExceeded: the prompt leaves no room for a single token (`max_tokens` beyond that is clamped).
            EngineProtocolError: its reply made no sense, or ended without a finish reason.
        """

    async def healthy(self) -> bool:
        """A cheap probe, no generation."""

    async def aclose(self) -> None: ...
