"""Who is calling: a static API key, or anybody where none is set. Each key is a tenant; nothing is ever shared across
tenants."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pir_serve.errors import Unauthorized

LOCAL_TENANT = "local"
"""Everybody, where no key is set (loopback only)."""


class Authenticator:
    """Knows keys by their hashes only, so that comparing tells nothing about how much of a key was right."""

    def __init__(self, api_keys: tuple[str, ...]) -> None:
        self._tenants = {_digest(key): _digest(key).hex()[:16] for key in api_keys}

    def tenant(self, headers: Mapping[str, str]) -> str:
        """Raises: Unauthorized, when a key is needed and the request has none that we know."""
        if not self._tenants:
            return LOCAL_TENANT
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized("no API key: send it as `Authorization: Bearer <key>`")
        tenant = self._tenants.get(_digest(key.strip()))
        if tenant is None:
            raise Unauthorized("this API key is not known here")
        return tenant


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
