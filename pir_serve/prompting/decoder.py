"""Token ids to text, all at once or as they arrive: ids are taken to continue something, as those of a leg do."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Set
from typing import Any

from pir_serve.prompting.encoder import make_tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class Spelling:
    """What each token spells, as bytes: a character may be spread over several tokens."""

    def __init__(self, spec: dict[str, Any], hidden: Set[int]) -> None:
        """`spec`: a parsed tokenizer.json; tokens in `hidden` (EOS and other control) spell nothing."""
        kinds = _decoder_kinds(spec.get("decoder"))
        self._tokenizer = make_tokenizer(spec)
        self._hidden = hidden
        self._byte_level = "ByteLevel" in kinds
        self._byte_fallback = "ByteFallback" in kinds
        self._added = {token["id"] for token in spec.get("added_tokens") or []}
        self._known: dict[int, bytes] = {}
        self._anchor = next((i for i in range(2048) if self._plain([i]).isalpha()), None)

    def bytes_of(self, token_id: int) -> bytes:
        """Empty for hidden tokens and for ids that the tokenizer does not have (models pad their vocabulary)."""
        known = self._known.get(token_id)
        if known is None:
            known = self._known[token_id] = self._spell(token_id)
        return known

    def _spell(self, token_id: int) -> bytes:
        token = self._tokenizer.id_to_token(token_id) if token_id >= 0 else None
        if token is None or token_id in self._hidden:
            return b""
        if self._byte_level:
            raw = [_BYTE_OF.get(c) for c in token]
            return token.encode() if None in raw else bytes(b for b in raw if b is not None)
        if token_id in self._added:
            return token.encode()
        if self._byte_fallback and (byte := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        # Decoders treat the first token of a text apart (a leading space goes): look at it behind another one.
        if self._anchor is None:
            return self._plain([token_id]).encode()
        return self._plain([self._anchor, token_id]).removeprefix(self._plain([self._anchor])).encode()

    def _plain(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


class IncrementalDecoder:
    """Text of ids as they arrive. A character is given out once whole; bytes that never make one become U+FFFD."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        return self._utf8.decode(b"".join(map(self._spelling.bytes_of, token_ids)))

    @property
    def is_mid_character(self) -> bool:
        """Whether the ids so far end inside a character."""
        return bool(self._utf8.getstate()[0])

    def finish(self) -> str:
        """What is left: U+FFFD if the ids ended inside a character, else nothing."""
        return self._utf8.decode(b"", final=True)


def _decoder_kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    kinds = {decoder["type"]}
    for part in decoder.get("decoders", ()):
        kinds |= _decoder_kinds(part)
    return kinds


def _byte_of() -> dict[str, int]:
    """ByteLevel's alphabet: printable Latin-1 stands for itself, each other byte for a character from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    others = (b for b in range(256) if b not in table.values())
    return table | {chr(0x100 + k): b for k, b in enumerate(others)}


_BYTE_OF = _byte_of()
