"""The same words, however they are dressed up: views of a question in which patterns find what a reader would."""

from __future__ import annotations

import re
import unicodedata

# Letters of Cyrillic, Greek and other scripts that look like Latin ones and survive NFKD as they are.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕвкмнтԁԛԝһӏгзьпѡѵαβεικνορτυχηγδıɩɡɑøłđħօսհոցլ",
    "aeopcyxijsbkmhtdqwhlr3bnwvabeikvoptuxnydiigaoldhouhngl",
)
_LEET = str.maketrans("013457@$!|€", "oieastasile")
_LEETED = re.compile(r"(?=[\w@$!|€]*[a-z])(?=[\w@$!|€]*[0-9@$!|€])[\w@$!|€]{3,}")
_SPACED = re.compile(r"(?<![a-z0-9@$])(?:[a-z0-9@$](?: |[.\-_*/|]{1,3})){2,}[a-z0-9@$](?![a-z0-9@$])")
_INNER = re.compile(r"(?<=[a-z0-9])[._*|~\-]+(?=[a-z0-9])")
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Mn"})
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_GAPS = re.compile(r"\s+")
_DASHES = re.compile(r"[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_QUOTES = re.compile(r"[\u2018\u2019\u02bc\u00b4`\u2032]")


def fold(text: str) -> str:
    """Lower case, without accents and invisible characters; look-alikes, full-width and other forms made plain.

    White space becomes one space, or two where there was more: among s p a c e d  l e t t e r s that parts the words.
    """
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c for c in unicodedata.normalize("NFKD", decomposed) if _is_seen(c))
    plain = _QUOTES.sub("'", _DASHES.sub("-", plain.translate(_LOOKALIKES)))
    return _GAPS.sub(lambda gap: "  " if len(gap[0]) > 1 else " ", plain.strip())


def views(folded: str) -> tuple[str, ...]:
    """Folded text in one line, with digits read as letters, and with what splits up words taken out; each once."""
    line = folded.replace("  ", " ")
    letters = _LEETED.sub(lambda found: found[0].translate(_LEET), line)
    whole = _SPACED.sub(lambda found: re.sub(r"[ .\-_*/|]", "", found[0]), folded)
    whole = _LEETED.sub(lambda found: found[0].translate(_LEET), _INNER.sub("", whole.replace("  ", " ")))
    return tuple(dict.fromkeys((line, letters, whole)))


def _is_seen(c: str) -> bool:
    return c.isspace() or not (unicodedata.category(c) in _UNSEEN or c in _BLANKS)
