"""API keys: what a caller proves itself with, whose tenant it is, and what it may use. Only hashes are ever kept."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from pir_serve.errors import RequestError
from pir_serve.policy import AskPolicy

LOCAL_TENANT = "local"
"""Everybody, where no key is set (loopback only)."""
_PREFIX = "sk-pir-"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is None is as the server is set."""

    requests_per_minute: int | None = None
    """POST requests, and `response.create` over a WebSocket."""
    tokens_per_minute: int | None = None
    """Prompt and completion together, as `usage` counts them."""
    max_streams: int | None = None
    """Replies being generated at a time, streamed or not."""
    max_stored: int | None = None
    """Trajectories kept of the tenant: beyond it the oldest go, finished ones first."""
    ask: str | None = None
    """The most that requests may be asked: `auto`, `never` or `max=N`."""

    def __post_init__(self) -> None:
        """Raises: RequestError."""
        for name in ("requests_per_minute", "tokens_per_minute", "max_streams", "max_stored"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1_000_000_000:
                raise RequestError(f"{name} is {value}; it must be 1 or more", param=name)
        if self.ask is not None:
            AskPolicy.parse(self.ask, param="ask")

    def over(self, defaults: Limits) -> Limits:
        """These, and what they leave open from `defaults`."""
        mine = {name: value for name, value in asdict(self).items() if value is not None}
        return Limits(**{**asdict(defaults), **mine})

    @classmethod
    def read(cls, document: dict[str, Any]) -> Limits:
        """From what `asdict` made; a newer version's fields are left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: without the key."""

    id: str
    """`key_...`: names it in lists and logs; of no use to a caller."""
    hash: str
    tenant: str
    """Whose conversations it reaches; several keys may share one, so that a key can be replaced."""
    name: str = ""
    limits: Limits = field(default_factory=Limits)
    created: float = 0.0
    """Unix seconds."""
    revoked: float | None = None
    """Unix seconds; None: it is good."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from."""

    tenant: str = LOCAL_TENANT
    key: str = ""
    """Id of its key; "" where none is needed."""
    limits: Limits = field(default_factory=Limits)


def make_key(tenant: str | None = None, *, name: str = "", limits: Limits | None = None) -> tuple[str, ApiKey]:
    """A new key, to be shown once, and what is kept of it. Without a tenant it is one of its own.

    A key has 256 random bits, so that a plain hash of it tells nothing: no guess comes near it.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    key_id = f"key_{secrets.token_hex(6)}"
    kept = ApiKey(key_id, hash_of(secret), tenant or key_id, name, limits or Limits(), created=time.time())
    return secret, kept


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class ApiKeys(Protocol):
    """The part of a store that keeps keys. All methods raise StoreError when the database cannot be used."""

    async def put(self, key: ApiKey) -> None: ...

    async def find(self, hash: str) -> ApiKey | None:
        """One that is good."""

    async def list(self) -> list[ApiKey]:
        """Oldest first, revoked ones included."""

    async def revoke(self, key_id: str, now: float) -> bool:
        """Whether there was such a key, and good."""

    async def any(self) -> bool:
        """Whether there is a key or has ever been one."""
