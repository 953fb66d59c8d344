"""Server-sent events as engines send them: bytes in, payloads of complete events out, wherever reads are cut."""

from __future__ import annotations

from pir_serve.errors import EngineProtocolError

_MAX_PENDING = 64 * 2**20
"""Bytes of one unfinished event; a reply beyond this is no event stream."""


class SseParser:
    """Only `data` matters to us: comments (keep-alives), ids, event names and unknown fields are skipped."""

    def __init__(self) -> None:
        self._partial_line = b""
        self._data: list[bytes] = []

    def feed(self, read: bytes) -> list[bytes]:
        """The payloads that this read completes.

        Raises:
            EngineProtocolError: an event that never ends.
        """
        if read.startswith(b"data: ") and read.endswith(b"\n\n") and not (self._partial_line or self._data):
            payloads = read[6:-2].split(b"\n\ndata: ")
            if read.count(b"\n") == 2 * len(payloads) and b"\r" not in read:
                return payloads  # whole events of one line each: most reads, and all that is below comes to the same
        lines = (self._partial_line + read).split(b"\n")
        self._partial_line = lines.pop()
        if len(self._partial_line) > _MAX_PENDING:
            raise EngineProtocolError("the engine's event stream holds a line that never ends")
        payloads = []
        for raw in lines:
            line = raw.removesuffix(b"\r")  # the specification allows CR LF
            if not line:
                if self._data:
                    payloads.append(b"\n".join(self._data))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        return payloads
