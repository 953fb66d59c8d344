"""Facts of a problem given as two texts, a full one and one that lacks something: what a word diff finds missing.

On MiP-GSM8K a word diff of the two texts gives one contiguous span in 568 of the 573 rows that are degraded at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from evals.problems.model import Fact
from evals.simulators.told import stems, told_fact

_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')]*\s+(?=[\"'(]*[A-Z0-9$`>])|\n\s*\n|\n(?=\s*[-*•>])")
_CLAUSE_END = re.compile(r"[,;:]\s+|\s+(?=and\s)")
_MAX_GAP = 1
"""Words between two missing runs that still make one span: a run that merely shares an "a" with the shown text."""

_ENOUGH_WORDS = 4
"""A span of a question with as many words is said by itself."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of the full text, by character, that the shown text lacks."""

    start: int
    end: int


def sentences(text: str) -> list[Span]:
    """Where each sentence (or list item) of a text stands, blanks around it left out."""
    found, start = [], 0
    for end in (*(match.start() for match in _SENTENCE_END.finditer(text)), len(text)):
        piece = text[start:end]
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            found.append(Span(left, left + len(piece.strip())))
        start = end
    return found


def missing(full: str, shown: str) -> list[Span]:
    """Contiguous runs of words of `full` that `shown` lacks or says otherwise, in order.

    Case, blanks and punctuation around words make no difference; runs without a content word are left out.
    """
    words = [(match.start(), match.end()) for match in re.finditer(r"\S+", full)]
    ours = [_key(full[start:end]) for start, end in words]
    theirs = [_key(word) for word in shown.split()]
    runs: list[tuple[int, int]] = []
    ends = [word_end > 0 and full[word_end - 1] in ".?!" for _, word_end in words]
    for tag, i, j, _, _ in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag not in ("delete", "replace"):
            continue
        start, end = _settled(ours, ends, i, j) if tag == "delete" else (i, j)
        if runs and start - runs[-1][1] <= _MAX_GAP:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    spans = [Span(words[i][0], words[j - 1][1]) for i, j in runs]
    return [span for span in spans if stems(full[span.start : span.end])]


def _settled(ours: list[str], ends: list[bool], i: int, j: int) -> tuple[int, int]:
    """The same deletion, moved to where whole sentences are missing, if it can be.

    "[rolls. Each tray holds 18] rolls." is the same deletion as "rolls. [Each tray holds 18 rolls.]"
    """
    places, left, right = [(i, j)], (i, j), (i, j)
    while left[0] > 0 and ours[left[0] - 1] == ours[left[1] - 1]:
        left = (left[0] - 1, left[1] - 1)
        places.append(left)
    while right[1] < len(ours) and ours[right[0]] == ours[right[1]]:
        right = (right[0] + 1, right[1] + 1)
        places.append(right)
    whole = [(a, b) for a, b in places if (a == 0 or ends[a - 1]) and ends[b - 1]]
    return whole[0] if whole else (i, j)


def _key(word: str) -> str:
    return re.sub(r"^[^\w$%]+|[^\w$%]+$", "", word.lower())


def facts_of(full: str, shown: str) -> tuple[Fact, ...]:
    """The facts of a full text: what `shown` lacks, span by span, then the sentences that both have.

    A span inside a sentence is said with its clause, one inside a question with the words next to it. The sentences that ask
    (those that end in a question mark) are no facts.
    """
    gaps = missing(full, shown)
    whole = sentences(full)
    hidden = [
        told_fact(number, _utterance(full, gap, whole), about=_around(full, gap, whole), kind="span")
        for number, gap in enumerate(gaps)
    ]
    kept = list(_untouched(full, gaps, whole))
    return (*hidden, *(_shown(number, text) for number, text in enumerate(kept, start=len(hidden))))


def sentence_facts(full: str, shown: str) -> tuple[Fact, ...]:
    """Every sentence of a full text that asks nothing as a fact; hidden unless `shown` has it word for word.

    For texts whose shown version was written anew, so that a diff says little."""
    known = " ".join(shown.split()).lower()
    texts = [full[span.start : span.end] for span in sentences(full)]
    facts = [text for text in texts if not text.rstrip().endswith("?")]
    return tuple(
        told_fact(number, text, about=text, kind="sentence", hidden=" ".join(text.split()).lower() not in known)
        for number, text in enumerate(facts)
    )


def _shown(number: int, text: str) -> Fact:
    return told_fact(number, text, about=text, kind="sentence", hidden=False)


def _untouched(full: str, gaps: list[Span], whole: list[Span]) -> Iterator[str]:
    for span in whole:
        text = full[span.start : span.end]
        if not text.endswith("?") and not any(gap.start < span.end and span.start < gap.end for gap in gaps):
            yield text


def _around(full: str, gap: Span, whole: list[Span]) -> str:
    return " ".join(full[s.start : s.end] for s in whole if gap.start < s.end and s.start < gap.end)


def _utterance(full: str, gap: Span, whole: list[Span]) -> str:
    """What a user says to give the span: at least a clause, so that "forty" is "forty customers came in"."""
    first = next(span for span in whole if gap.start < span.end)
    last = next(span for span in reversed(whole) if span.start < gap.end)
    if full[last.start : last.end].endswith("?"):
        return _with_neighbours(full[first.start : last.end], gap.start - first.start, gap.end - first.start)
    start, end = gap.start, gap.end
    before = [match.end() for match in _CLAUSE_END.finditer(full, first.start, start)]
    start = before[-1] if before else first.start
    after = _CLAUSE_END.search(full, end, last.end)
    end = after.start() if after else last.end
    return " ".join(full[start:end].split())


def _with_neighbours(question: str, start: int, end: int) -> str:
    """A span of a question, with a few words around it if it says little by itself: "5" is "total of 5 blue marbles"."""
    inside = question[start:end].split()
    room = max(0, _ENOUGH_WORDS - len(inside))
    before, after = question[:start].split(), question[end:].split()
    words = [*before[len(before) - min(room, len(before)) :], *inside, *after[:room]]
    return " ".join(words).rstrip("?")
