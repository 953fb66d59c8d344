"""The visible conversation, as far as clients keep it, and the keyed hashes by which it is found again. No I/O."""

from __future__ import annotations

import base64
import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Turn = tuple[str, str]
"""Role (system, developer, user, assistant, tool) and text of one message as the client sees it."""
_SYSTEM_ROLES = ("system", "developer")
_MAX_LINES = 256


class SuspensionKeys(NamedTuple):
    """The keyed hashes of a suspension, in the fields of `Suspension` that have these names."""

    transcript_key: str
    question_key: str
    message_keys: tuple[str, ...]
    system_key: str


def canonical(text: str) -> str:
    """`text` as far as clients leave it alone: NFC, each run of whitespace one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Visible(NamedTuple):
    """A message that counts: one with text, not from the system."""

    role: str
    text: str
    """As written."""
    canonical: str


class Keys:
    """Keyed hashes of visible text: equal text gives equal keys, and without the secret they tell nothing.

    128 bits each in base64url; 64 for single messages, which only ever confirm what another key has found.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"pir transcript keys", "sha256")

    def for_suspension(self, messages_before: Sequence[Turn], question_text: str, system: str = "") -> SuspensionKeys:
        """The keys of a question asked in reply to `messages_before`; `system` is system text that is not among them.

        `message_keys` are those of the visible messages and, if the last has several lines, of each, marked `~`.
        """
        before = visible(messages_before)
        lines = self.lines(before)
        return SuspensionKeys(
            transcript_key=self.transcript([*before, *visible([("assistant", question_text)])]),
            question_key=self.question(question_text),
            message_keys=(*self.messages(before), *(f"~{key}" for key in lines if len(lines) > 1)),
            system_key=self.system(messages_before, system),
        )

    def transcript(self, turns: Iterable[Visible]) -> str:
        return self._hash("transcript", (part for turn in turns for part in (turn.role, turn.canonical)))

    def question(self, text: str) -> str:
        return self._hash("question", [canonical(text)])

    def system(self, messages: Iterable[Turn], system: str = "") -> str:
        """Of all system text, wherever it stands; "" if there is none."""
        texts = [system, *(text for role, text in messages if role in _SYSTEM_ROLES)]
        given = [text for text in map(canonical, texts) if text]
        return self._hash("system", given) if given else ""

    def messages(self, turns: Iterable[Visible]) -> tuple[str, ...]:
        return tuple(self._message(turn.role, turn.canonical) for turn in turns)

    def lines(self, turns: Sequence[Visible]) -> tuple[str, ...]:
        """Of each line of the last message, as if it were a message of its own."""
        if not turns:
            return ()
        lines = [line for line in map(canonical, turns[-1].text.splitlines()) if line]
        return tuple(self._message(turns[-1].role, line) for line in lines[-_MAX_LINES:])

    def _message(self, role: str, canonical_text: str) -> str:
        return self._hash("message", (role, canonical_text))[:11]

    def _hash(self, what: str, parts: Iterable[str]) -> str:
        mac = hmac.new(self._key, what.encode(), "sha256")
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            mac.update(len(data).to_bytes(8, "big") + data)
        return base64.urlsafe_b64encode(mac.digest()[:16]).decode().rstrip("=")


def visible(messages: Iterable[Turn]) -> list[Visible]:
    """Without system messages, nor those without text, which some clients drop."""
    turns = (Visible(role, text, canonical(text)) for role, text in messages if role not in _SYSTEM_ROLES)
    return [turn for turn in turns if turn.canonical]
