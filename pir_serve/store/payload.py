"""The bytes in a row: JSON documents made small, and what is encrypted at rest when there is a key."""

from __future__ import annotations

import json
import zlib
from typing import Any

from pir_serve.store.codec import CodecError
from pir_serve.store.sealed import Sealer

_SEALED = b"PE"
"""Begins what is encrypted. Plain payloads begin with the codec's magic or zlib's."""


class Payloads:
    """Encrypts with `sealer` what it is given, and opens that as well as what was written before there was a key."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def seal(self, data: bytes, kind: str, *names: str) -> bytes:
        """`kind` and `names` say which column and row it is for, so that nothing can be put in another's place."""
        if self._sealer is None:
            return data
        return _SEALED + self._sealer.wrap(data, _context(kind, names))

    def open(self, data: object, kind: str, *names: str) -> bytes:
        """Raises: CodecError, where it is sealed with a key that we do not have, or for another place."""
        if not isinstance(data, bytes):
            raise CodecError("damaged: no bytes")
        if data[:2] != _SEALED:
            return data
        opened = None if self._sealer is None else self._sealer.unwrap(data[2:], _context(kind, names))
        if opened is None:
            raise CodecError("it is encrypted, and with none of the keys given")
        return opened

    def is_current(self, data: bytes) -> bool:
        """Whether `seal` would encrypt it with the same key, or as little."""
        if self._sealer is None:
            return True
        return data[:2] == _SEALED and self._sealer.is_current(data[2:])

    def seal_json(self, document: Any, kind: str, *names: str) -> bytes:
        return self.seal(pack(document), kind, *names)

    def open_json(self, data: object, kind: str, *names: str) -> Any:
        """Raises: CodecError."""
        return unpack(self.open(data, kind, *names))


def pack(document: Any) -> bytes:
    """JSON types as bytes; lone surrogates, which a JSON request can smuggle in, are no obstacle."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)


def unpack(data: bytes) -> Any:
    """Raises: CodecError."""
    try:
        return json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
    except (zlib.error, ValueError) as error:
        raise CodecError(f"damaged: {error}") from error


def _context(kind: str, names: tuple[str, ...]) -> bytes:
    return "\0".join((f"pir {kind}", *names)).encode("utf-8", "surrogatepass")
