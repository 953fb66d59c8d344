"""The user's stop strings: where they end an answer that streams."""

from __future__ import annotations


class StopStrings:
    """Cuts streamed text before the first stop string, holding back what may yet become one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """(text that is safe to show, whether a stop string was met)."""
        if not self._stop:
            return text, False
        text = self._held + text
        self._held = ""
        hits = [at for s in self._stop if (at := text.find(s)) >= 0]
        if hits:
            return text[: min(hits)], True
        longest = max(len(s) for s in self._stop) - 1
        for n in range(min(longest, len(text)), 0, -1):
            tail = text[-n:]
            if any(s.startswith(tail) for s in self._stop):
                self._held = tail
                return text[:-n], False
        return text, False

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held
