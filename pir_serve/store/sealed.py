"""What leaves our hands and comes back: handles of suspensions or whole ones, which a client may echo, and rows sealed
at rest.

AES-256-GCM under a ring of keys: the first seals, all open, so a key is replaced by putting the new one in front and
dropping the old one when all it sealed has expired. Whatever is wrong with a sealed thing (forged, damaged, expired,
of another tenant or another key) opens as None: a chat must not fail because of an opaque field it echoes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import logging
import os
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pir_serve.errors import ConfigError

logger = logging.getLogger(__name__)

FORMAT = "pir-v1"
"""`format` of the `reasoning_details` entry that carries a handle."""
SECRET_BYTES = 32
_VERSION = 1
_HANDLE, _STATE = 1, 2
"""Kind of claims: a handle, the suspension itself being in the store; or with the suspension behind them. Others may
follow within the same version."""
_PREFIX = struct.Struct("<B4s12s")
"""Version, key id, nonce."""
_CLAIMS = struct.Struct("<BQ8sBB")
"""Kind, expiry (Unix seconds), digest fingerprint, lengths of sid and transcript key."""
_MAX_HANDLE_CHARS = 1024
MAX_STATE_CHARS = 1 << 20
"""Longest sealed state: some 150,000 tokens with log-probabilities, or 40 times what a long reasoning takes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a handle says, once it has proved to be ours and this tenant's."""

    sid: str
    transcript_key: str
    """Of the visible text up to the question, as it was when we asked: tells an edited history."""
    expires: float
    """Unix seconds; sealed with a resolution of one second."""


class State(NamedTuple):
    """What sealed state says, once it has proved to be ours and this tenant's."""

    claims: Claims
    data: bytes


class Sealer:
    """Seals and opens with keys derived from `secrets` (32 bytes or more each; the first seals, all open).

    Raises:
        ConfigError: no secret, or one that is too short.
    """

    def __init__(self, secrets: Sequence[bytes], *, now: Callable[[], float] = time.time) -> None:
        if not secrets or any(len(secret) < SECRET_BYTES for secret in secrets):
            raise ConfigError(f"sealing needs at least one secret of {SECRET_BYTES} bytes or more")
        ring = [(_derive(s, b"pir key id", 4), AESGCM(_derive(s, b"pir seal", 32))) for s in secrets]
        self._current_id, self._current = ring[0]
        # Reversed, so that of two secrets whose ids collide the earlier one wins, as it does when sealing.
        self._ring = dict(reversed(ring))
        self._now = now

    def seal(self, sid: str, *, tenant: str, digest: str, transcript_key: str, expires: float) -> str:
        """A handle of about 140 base64url characters that only `tenant` can use, until `expires`, for this model."""
        head = _head(_HANDLE, sid, digest, transcript_key, expires)
        return _encode(self.wrap(head, _audience("handle", tenant)))

    def open(self, handle: object, *, tenant: str, digest: str, even_expired: bool = False) -> Claims | None:
        """The claims of a handle that is ours, this tenant's and this model's and has not expired; else None."""
        data = self.unwrap(_decode(handle, _MAX_HANDLE_CHARS), _audience("handle", tenant))
        opened = self._claims(_HANDLE, data, digest, even_expired)
        return opened and opened[0]

    def seal_state(
        self, data: bytes, *, sid: str, tenant: str, digest: str, transcript_key: str, expires: float
    ) -> str | None:
        """A whole suspension (`state.dump_state`) as base64url text, with what a handle says; a third longer than
        `data`. None where that is more than `MAX_STATE_CHARS`."""
        head = _head(_STATE, sid, digest, transcript_key, expires)
        if 4 * (len(head) + len(data) + _PREFIX.size + 16) > 3 * MAX_STATE_CHARS:
            return None
        return _encode(self.wrap(head + data, _audience("state", tenant)))

    def open_state(self, sealed: object, *, tenant: str, digest: str, even_expired: bool = False) -> State | None:
        """What `seal_state` was given, if it is ours, this tenant's and this model's and has not expired; else None."""
        data = self.unwrap(_decode(sealed, MAX_STATE_CHARS), _audience("state", tenant))
        opened = self._claims(_STATE, data, digest, even_expired)
        return opened and State(*opened)

    def _claims(self, kind: int, data: bytes | None, digest: str, even_expired: bool) -> tuple[Claims, bytes] | None:
        """The claims that `data` begins with, and what comes behind them."""
        if data is None:
            return None
        its_kind, expires, fingerprint, sid_size, key_size = _CLAIMS.unpack_from(data)
        if its_kind != kind:
            logger.info("sealed state ignored: kind %d is of a newer version", its_kind)
            return None
        if fingerprint != _fingerprint(digest):
            logger.info("sealed state ignored: of another model")
            return None
        if expires <= self._now() and not even_expired:
            logger.info("sealed state ignored: expired")
            return None
        sid, transcript_key = struct.unpack_from(f"{sid_size}s{key_size}s", data, _CLAIMS.size)
        claims = Claims(sid.decode(), transcript_key.decode(), float(expires))
        return claims, data[_CLAIMS.size + sid_size + key_size :]

    def wrap(self, data: bytes, context: bytes) -> bytes:
        """`data` encrypted; only `unwrap` with the same `context` opens it."""
        prefix = _PREFIX.pack(_VERSION, self._current_id, os.urandom(12))
        return prefix + self._current.encrypt(prefix[5:], data, prefix[:5] + context)

    def is_current(self, sealed: bytes) -> bool:
        """Whether `wrap` with the key that seals now has made it, or says so."""
        return sealed[:5] == _PREFIX.pack(_VERSION, self._current_id, b"")[:5]

    def unwrap(self, sealed: bytes, context: bytes) -> bytes | None:
        """What `wrap` was given, or None."""
        if len(sealed) < _PREFIX.size:
            return None
        version, key_id, nonce = _PREFIX.unpack_from(sealed)
        key = self._ring.get(key_id)
        if version != _VERSION or key is None:
            return None
        try:
            return key.decrypt(nonce, sealed[_PREFIX.size :], sealed[:5] + context)
        except InvalidTag:
            return None


def load_or_create_secret(path: Path) -> bytes:
    """The secret of this installation, made at the first call: 32 bytes, in hex, in a file only its owner reads.

    Keyed hashes and handles survive a restart because the file does; processes that start together agree on one.

    Raises:
        ConfigError: the file is there but holds no secret, or cannot be read or written.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _create(path)
        mode = path.stat().st_mode
        secret = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the secret in {path}: {error}; give another path or remove the file") from error
    if len(secret) < SECRET_BYTES:
        raise ConfigError(f"{path} holds {len(secret)} bytes, a secret has {SECRET_BYTES} or more; remove the file")
    if mode & 0o077:
        logger.warning("%s can be read by others than its owner; chmod 600 it", path)
    return secret


def _create(path: Path) -> None:
    """Write a new secret whole or not at all; leave the one that another process wrote meanwhile."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _derive(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(secret)


def _fingerprint(digest: str) -> bytes:
    return hashlib.sha256(digest.encode("utf-8", "surrogatepass")).digest()[:8]


def _audience(what: str, tenant: str) -> bytes:
    return f"pir {what}\0{tenant}".encode("utf-8", "surrogatepass")


def _head(kind: int, sid: str, digest: str, transcript_key: str, expires: float) -> bytes:
    names = (sid.encode(), transcript_key.encode())
    return _CLAIMS.pack(kind, max(0, int(expires)), _fingerprint(digest), *map(len, names)) + b"".join(names)


def _encode(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _decode(text: object, max_chars: int) -> bytes:
    """The bytes of a base64url string; none of anything else."""
    if not isinstance(text, str) or len(text) > max_chars:
        return b""
    try:
        data = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4), strict_mode=True)
    except ValueError:
        return b""
