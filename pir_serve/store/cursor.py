"""Cursors of pages: the place of the last row seen, as a text that clients hand back."""

from __future__ import annotations

import base64
import struct

from pir_serve.errors import RequestError

_PLACE = struct.Struct(">q")
END = (1 << 63) - 1
"""Above every row id: pages run from the newest to the oldest."""


def write_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(_PLACE.pack(seq)).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int:
    """The row id that the next page lies below. Raises: RequestError."""
    if cursor is None:
        return END
    try:
        (seq,) = _PLACE.unpack(base64.b64decode(cursor + "=", altchars=b"-_", validate=True))
    except (ValueError, struct.error):
        raise RequestError("the cursor is none that a list has given out", param="cursor") from None
    assert isinstance(seq, int)
    return seq
