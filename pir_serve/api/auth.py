"""Who is calling: a key from the settings or from the store, or anybody where there is none. Nothing is ever shared
across tenants."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from pir_serve.access.keys import ApiKeys, Caller, Limits, hash_of
from pir_serve.errors import StoreError, Unauthorized

logger = logging.getLogger(__name__)

_FRESH_S = 2.0
"""A key that was revoked, or made, elsewhere counts from then on."""
_MAX_KNOWN = 10_000


class Authenticator:
    """Keys are compared by their hashes, so that it tells nothing how much of one was right.

    `keys` are those of the store, asked about a key at most every two seconds, and not at all while the store is out
    of order: who was let in is let in until it works again.
    """

    def __init__(
        self,
        configured: tuple[str, ...],
        keys: ApiKeys,
        *,
        defaults: Limits,
        may_be_open: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`may_be_open`: whether anybody may come in where no key has ever been made."""
        self._configured = {
            hash_of(key): Caller(hash_of(key)[:16], f"key_{hash_of(key)[:12]}", defaults) for key in configured
        }
        self._keys = keys
        self._defaults = defaults
        self._may_be_open = may_be_open and not configured
        self._anybody = Caller(limits=defaults)
        self._now = now
        self._known: OrderedDict[str, tuple[Caller | None, float]] = OrderedDict()
        self._is_open = False  # until the store has told
        self._asked = float("-inf")

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises: Unauthorized, when a key is needed and the request has none that is good; StoreError."""
        if await self.is_open():
            return self._anybody
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized("no API key: send it as `Authorization: Bearer <key>`")
        hashed = hash_of(key.strip())
        found = self._configured.get(hashed) or await self._from_store(hashed)
        if found is None:
            raise Unauthorized("this API key is not known here")
        return found

    @property
    def is_open_now(self) -> bool:
        """As it was when last looked."""
        return self._is_open

    async def is_open(self) -> bool:
        """Whether anybody may come in. A key that was ever made closes it, even where it has been revoked since."""
        if self._may_be_open and self._now() - self._asked > _FRESH_S:
            try:
                self._is_open = not await self._keys.any()
            except StoreError as error:
                logger.warning("the store does not tell whether there are keys: %s", error)
            self._asked = self._now()
        return self._is_open

    async def _from_store(self, hashed: str) -> Caller | None:
        known = self._known.get(hashed)
        if known is not None and self._now() - known[1] <= _FRESH_S:
            return known[0]
        try:
            key = await self._keys.find(hashed)
        except StoreError:
            if known is None:
                raise
            return known[0]
        found = None if key is None else Caller(key.tenant, key.id, key.limits.over(self._defaults))
        self._known[hashed] = (found, self._now())
        self._known.move_to_end(hashed)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return found
