"""How a response looks: brief, mistyped, casual, or written by somebody who is still learning the language.

Each function takes a level from 0 to 3, changes nothing at 0 and more at each level, and keeps the given facts
recoverable: a change after which a fact could no longer be read is not made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from evals.problems.model import Fact
from evals.problems.numbers import WORDS
from evals.simulators.disclosure import gives

_COURTESY = re.compile(
    r"^(?:(?:sure|oh|sorry|of course|good question|thank you[^.!?]*|let me see|well|as i said|i forgot[^.!?:]*|"
    r"i am happy[^.!?]*|that is my mistake)[,.!:]\s*)+",
    re.IGNORECASE,
)
_CONTRACTIONS = {
    r"\bI am\b": "I'm", r"\bIt is\b": "It's", r"\bit is\b": "it's", r"\bThat is\b": "That's", r"\bthat is\b": "that's",
    r"\bdo not\b": "don't", r"\bdoes not\b": "doesn't", r"\bis not\b": "isn't", r"\bcan not\b|\bcannot\b": "can't",
    r"\bI would\b": "I'd", r"\bthey are\b": "they're", r"\bThey are\b": "They're", r"\bthere is\b": "there's",
    r"\bThere is\b": "There's", r"\bhe is\b": "he's", r"\bshe is\b": "she's", r"\bHe is\b": "He's", r"\bShe is\b": "She's",
}  # fmt: skip
_SLANG = {
    r"\bgoing to\b": "gonna", r"\bwant to\b": "wanna", r"\bdon't know\b": "dunno", r"\bI dunno\b": "dunno",
    r"\byou\b": "u", r"\byour\b": "ur", r"\bbecause\b": "cuz", r"\bplease\b": "pls", r"\bthanks?\b": "thx",
    r"ing\b": "in'", r"\bthe\b": "da", r"\bare\b": "r", r"\band\b": "n",
}  # fmt: skip
_SENTENCE_GAP = re.compile(r"(?<=[.!?])\s+")
_CLAUSE_GAP = re.compile(r"[,;:]\s+|\s+(?=and\b|but\b|because\b)")
_ARTICLES = re.compile(r"\b(?:the|an?) (?=[a-z])", re.IGNORECASE)
_BE = re.compile(r"\b(?:is|are|was|were|am) (?=\w)|'(?:s|m|re)\b(?= \w)", re.IGNORECASE)
_PLURAL = re.compile(r"\b([a-z]{3,}[^su\W\d])s\b")
_PAST = re.compile(r"\b([a-z]{3,})ed\b")


def terse(text: str, facts: Sequence[Fact], level: int) -> str:
    """Without courtesies (1), without the sentences that give nothing (2), only the clause that gives (3)."""
    if not level:
        return text
    kept = _keeping(text, _COURTESY.sub("", text) or text, facts)
    if level >= 2 and facts:
        kept = _shrunk(kept, _SENTENCE_GAP, facts)
    if level >= 3:
        kept = (_shrunk(kept, _CLAUSE_GAP, facts) if facts else kept).rstrip(".")
        kept = _keeping(kept, re.sub(r"^(?:it|that|there) (?:is|are) ", "", kept, flags=re.IGNORECASE), facts)
    return kept


def _shrunk(text: str, gap: re.Pattern[str], facts: Sequence[Fact]) -> str:
    """The text without all the pieces between gaps that can go, last ones first."""
    ends = [match.end() for match in gap.finditer(text)]
    pieces = [text[i:j] for i, j in zip((0, *ends), (*ends, len(text)), strict=True)]
    for number in reversed(range(len(pieces))):
        rest = pieces[:number] + pieces[number + 1 :]
        if rest and _all_given("".join(rest), facts):
            pieces = rest
    return "".join(pieces).rstrip(" ,;:")


def casual(text: str, level: int) -> str:
    """Contractions (1), then small letters and no final stop (2), then slang spellings (3)."""
    if not level:
        return text
    text = _replace_all(text, _CONTRACTIONS)
    if level >= 2:
        text = text[:1].lower() + text[1:].rstrip(".")
        text = f"yeah {text}" if re.match(r"[a-z]+'s|\d|the\b", text) else f"ok so {text}"
    return _replace_all(text, _SLANG) if level >= 3 else text


def _replace_all(text: str, table: dict[str, str]) -> str:
    for pattern, word in table.items():
        text = re.sub(pattern, word, text)
    return text


def nonnative(text: str, facts: Sequence[Fact], level: int) -> str:
    """No articles (1), no forms of be (2), no plurals and past tenses (3)."""
    steps: tuple[Callable[[str], str], ...] = (
        lambda t: _ARTICLES.sub("", t),
        lambda t: _BE.sub("", t),
        lambda t: _PAST.sub(r"\1", _PLURAL.sub(r"\1", t)),
    )
    for step in steps[:level]:
        changed = step(text)
        text = _keeping(text, changed[:1].upper() + changed[1:], facts)
    return text


def typos(text: str, facts: Sequence[Fact], level: int, rng: Random) -> str:
    """1, 2 or 4 slips in words of four letters or more, and no capitals from level 2. Digits and number words stay."""
    if level >= 2:
        text = _keeping(text, text.lower(), facts)
    for _ in range((0, 1, 2, 4)[level]):
        words = [m for m in re.finditer(r"[A-Za-z]{4,}", text) if m.group().lower() not in WORDS]
        if not words:
            break
        word = rng.choice(words)
        at = word.start() + 1 + int(rng.random() * (len(word.group()) - 2))
        text = _keeping(text, _slip(text, at, rng), facts)
    return text


def _slip(text: str, at: int, rng: Random) -> str:
    """Two letters swapped, one left out or one doubled."""
    kind = int(rng.random() * 3)
    if kind == 0 and text[at] != text[at + 1]:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + (text[at + 1 :] if kind == 1 else text[at] + text[at:])


def _all_given(text: str, facts: Sequence[Fact]) -> bool:
    return all(gives(text, fact) for fact in facts)


def _keeping(before: str, after: str, facts: Sequence[Fact]) -> str:
    """`after`, unless it loses a fact that `before` gives."""
    return after if _all_given(after, [fact for fact in facts if gives(before, fact)]) else before
