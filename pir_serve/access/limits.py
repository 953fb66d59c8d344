"""How much a key has used of what it may: requests and tokens a minute, replies at a time.

Each process counts for itself, so that no request waits for anybody, and learns from time to time what the others that
share its store have counted (`sharing`).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pir_serve.access.keys import Caller
from pir_serve.access.tally import Spent, Tally
from pir_serve.errors import RateLimited, RequestError

_MINUTE_S = 60.0
_STREAM_RETRY_S = 1.0
"""When one of the running replies may have ended is not known."""


_LEASE_S = 5.0
"""Without a sign of life, after which a process' replies have died with it."""
_FORGOTTEN_S = 600.0
"""Without one, after which a process whose tally is gone is forgotten."""


_NOTHING = Spent(0.0, 0.0)


@dataclass(slots=True)
class _Bucket:
    """Holds what a minute grants at most, and refills evenly; below zero it is in debt."""

    level: float
    limit: int
    since: float
    total: float = 0.0
    """Taken out here."""

    def refilled(self, now: float) -> float:
        self.level = min(self.limit, self.level + (now - self.since) * self.limit / _MINUTE_S)
        self.since = now
        return self.level

    def spend(self, amount: int) -> None:
        self.level -= amount
        self.total += amount


@dataclass(slots=True)
class _Used:
    """By one key, here."""

    buckets: dict[str, _Bucket] = field(default_factory=dict)
    num_streams: int = 0
    is_told: bool = False
    """Whether the other processes need to know of its streams."""


@dataclass(slots=True)
class _Heard:
    """What another process has told."""

    tally: Tally
    at: float
    """When that was new here."""
    age_s: float
    """That it had then."""


class Limiter:
    """`now` tells seconds of a clock that never jumps."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.refused: Counter[str] = Counter()
        """How often, by the kind of limit."""
        self.is_used = False
        """Whether there was ever anything to count."""
        self._used: dict[str, _Used] = {}
        self._heard: dict[str, _Heard] = {}
        """By the id of the process."""

    def request(self, caller: Caller) -> None:
        """One more request. Raises: RateLimited."""
        limit = caller.limits.requests_per_minute
        if limit is None:
            return
        bucket, level = self._level(caller, "requests", limit)
        if level < 1:
            raise self._over("requests", limit, (1 - level) * _MINUTE_S / limit)
        bucket.spend(1)

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
        if most is not None:
            self.is_used = used.is_told = True
            running = used.num_streams + self._streams_elsewhere(caller.key)
            if running + count > most:
                self.refused["streams"] += 1
                raise RateLimited(
                    f"{running} replies are being generated for this key, and it may have {most} at a time; "
                    "wait for one to end",
                    kind="streams",
                    retry_after_s=_STREAM_RETRY_S,
                )
        used.num_streams += count

    def end_stream(self, caller: Caller, count: int = 1) -> None:
        self._of(caller).num_streams -= count

    def spend(self, caller: Caller, num_tokens: int) -> None:
        if (limit := caller.limits.tokens_per_minute) is not None:
            self._level(caller, "tokens", limit)[0].spend(num_tokens)

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

    def tally(self) -> tuple[dict[str, dict[str, Spent]], dict[str, int]]:
        """What the others need to know, as in `Tally`. What is refilled is forgotten here, too."""
        spent: dict[str, dict[str, Spent]] = {}
        now = self._now()
        for key, used in [*self._used.items()]:
            for kind, bucket in [*used.buckets.items()]:
                if bucket.refilled(now) >= bucket.limit:
                    del used.buckets[kind]
                else:
                    spent.setdefault(kind, {})[key] = Spent(bucket.total, bucket.limit - bucket.level)
            if not used.buckets and not used.num_streams:
                del self._used[key]
        streams = {key: used.num_streams for key, used in self._used.items() if used.is_told and used.num_streams}
        return spent, streams

    def learn(self, tallies: Iterable[Tally], *, wall_s: float) -> None:
        """What all others have told by now; `wall_s`, Unix seconds, ages what is from before our time."""
        now, present = self._now(), set()
        for tally in tallies:
            present.add(tally.owner)
            before = self._heard.get(tally.owner)
            if before is not None and before.tally.beat == tally.beat:
                continue
            self._take(tally, None if before is None else before.tally)
            self._heard[tally.owner] = _Heard(tally, now, max(0.0, wall_s - tally.at))
        for owner, heard in [*self._heard.items()]:
            if owner not in present and now - heard.at > _FORGOTTEN_S:
                del self._heard[owner]

    def _take(self, tally: Tally, before: Tally | None) -> None:
        """Out of our buckets what it has used since, or as much of that as has not been refilled."""
        for kind, keys in tally.spent.items():
            for key, (total, missing) in keys.items():
                if key not in self._used or kind not in self._used[key].buckets:
                    continue  # made when it is needed, from what has been heard
                known = before.spent.get(kind, {}).get(key, _NOTHING).total if before is not None else 0.0
                new = total - known if total >= known else total  # less: it has forgotten, and begun anew
                self._used[key].buckets[kind].level -= min(new, max(0.0, missing))

    def _streams_elsewhere(self, key: str) -> int:
        now = self._now()
        return sum(heard.tally.streams.get(key, 0) for heard in self._heard.values() if now - heard.at < _LEASE_S)

    def _level(self, caller: Caller, kind: str, limit: int) -> tuple[_Bucket, float]:
        self.is_used = True
        buckets, now = self._of(caller).buckets, self._now()
        if kind not in buckets:
            buckets[kind] = _Bucket(limit - self._missing(caller.key, kind, limit, now), limit, now)
        buckets[kind].limit = limit  # which may have changed
        return buckets[kind], buckets[kind].refilled(now)

    def _missing(self, key: str, kind: str, limit: int, now: float) -> float:
        """From a full minute's worth, as those know who have used it."""
        told = [(heard, heard.tally.spent.get(kind, {}).get(key, _NOTHING)) for heard in self._heard.values()]
        aged = [spent.missing - (now - heard.at + heard.age_s) * limit / _MINUTE_S for heard, spent in told]
        return max([0.0, *aged])

    def _of(self, caller: Caller) -> _Used:
        return self._used.setdefault(caller.key, _Used())

    def _over(self, kind: str, limit: int, retry_after_s: float) -> RateLimited:
        self.refused[kind] += 1
        return RateLimited(
            f"this key may use {limit} {kind} a minute, and has; try again in {math.ceil(retry_after_s)} s",
            kind=kind,
            retry_after_s=retry_after_s,
        )
