"""How much a key has used of what it may: requests and tokens a minute, replies at a time. Counted by each process."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pir_serve.access.keys import Caller
from pir_serve.errors import RateLimited, RequestError

_MINUTE_S = 60.0
_STREAM_RETRY_S = 1.0
"""When one of the running replies may have ended is not known."""


@dataclass(slots=True)
class _Bucket:
    """Holds what a minute grants at most, and refills evenly; below zero it is in debt."""

    level: float
    since: float

    def refilled(self, limit: int, now: float) -> float:
        self.level = min(limit, self.level + (now - self.since) * limit / _MINUTE_S)
        self.since = now
        return self.level


@dataclass(slots=True)
class _Used:
    """By one key."""

    buckets: dict[str, _Bucket] = field(default_factory=dict)
    num_streams: int = 0


class Limiter:
    """`now` tells seconds of a clock that never jumps."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.refused: Counter[str] = Counter()
        """How often, by the kind of limit."""
        self._used: dict[str, _Used] = {}

    def request(self, caller: Caller) -> None:
        """One more request. Raises: RateLimited."""
        limit = caller.limits.requests_per_minute
        if limit is None:
            return
        bucket, level = self._level(caller, "requests", limit)
        if level < 1:
            raise self._over("requests", limit, (1 - level) * _MINUTE_S / limit)
        bucket.level -= 1

    def begin_stream(self, caller: Caller, count: int = 1) -> None:
        """Replies that are generated from now on, until `end_stream`.

        Tokens are known afterwards only: who has used more than a minute's worth waits until that is made up for.
        Raises: RateLimited; RequestError, where so many are never allowed.
        """
        if (limit := caller.limits.tokens_per_minute) is not None:
            _, level = self._level(caller, "tokens", limit)
            if level <= 0:
                raise self._over("tokens", limit, (1 - level) * _MINUTE_S / limit)
        used, most = self._of(caller), caller.limits.max_streams
        if most is not None and count > most:
            raise RequestError(f"this key may have {most} replies generated at a time, and the request wants {count}")
        if most is not None and used.num_streams + count > most:
            self.refused["streams"] += 1
            raise RateLimited(
                f"{used.num_streams} replies are being generated for this key, and it may have {most} at a time; "
                "wait for one to end",
                kind="streams",
                retry_after_s=_STREAM_RETRY_S,
            )
        used.num_streams += count

    def end_stream(self, caller: Caller, count: int = 1) -> None:
        self._of(caller).num_streams -= count

    def spend(self, caller: Caller, num_tokens: int) -> None:
        if (limit := caller.limits.tokens_per_minute) is not None:
            self._level(caller, "tokens", limit)[0].level -= num_tokens

    def headers(self, caller: Caller) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*`, of the limits that there are."""
        found: dict[str, str] = {}
        limits = caller.limits
        for kind, limit in (("requests", limits.requests_per_minute), ("tokens", limits.tokens_per_minute)):
            if limit is not None:
                _, level = self._level(caller, kind, limit)
                found[f"x-ratelimit-limit-{kind}"] = str(limit)
                found[f"x-ratelimit-remaining-{kind}"] = str(max(0, math.floor(level)))
                found[f"x-ratelimit-reset-{kind}"] = f"{(limit - level) * _MINUTE_S / limit:.3f}s"
        return found

    def _level(self, caller: Caller, kind: str, limit: int) -> tuple[_Bucket, float]:
        buckets, now = self._of(caller).buckets, self._now()
        if kind not in buckets:
            buckets[kind] = _Bucket(limit, now)
        return buckets[kind], buckets[kind].refilled(limit, now)

    def _of(self, caller: Caller) -> _Used:
        return self._used.setdefault(caller.key, _Used())

    def _over(self, kind: str, limit: int, retry_after_s: float) -> RateLimited:
        self.refused[kind] += 1
        return RateLimited(
            f"this key may use {limit} {kind} a minute, and has; try again in {math.ceil(retry_after_s)} s",
            kind=kind,
            retry_after_s=retry_after_s,
        )
