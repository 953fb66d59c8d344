"""The choices that a question itself offers ("Metric or imperial?"), for tools that cannot ask without them.

Wrong choices are worse than none: a rule applies only where the question spells its alternatives out. Where none does,
the user is asked in plain text.
"""

from __future__ import annotations

import re

from pir_serve.ask_tools.names import words

MAX_CHOICES = 4
"""More are a form, not a question; no known client takes more."""
_MAX_CHARS = 60
_MAX_WORDS = 10
_MAX_QUESTION_CHARS = 2_000
_LINE = re.compile(r"^\s*(?:\(?(?P<mark>[A-Da-d]|[1-9]\d?)[.):]|[-*•–])\s+(?P<text>\S.*)$")
_NEXT = r"[\s,;]+(?:or\s+)?\(?(?:[a-d]|[A-D]|[1-4])\)\s"
_INLINE = re.compile(rf"(?:^|(?<=[\s:,;?]))\(?(?P<mark>[a-d]|[A-D]|[1-4])\)\s+(?P<text>.+?)(?={_NEXT}|$)")
_OTHER = re.compile(r"(?:some(?:thing|one|where)\s+|anything\s+)?else|other|another(?:\s\w+)?", re.IGNORECASE)
_PARALLEL = words("a an the per by in at on for from to with without before after each this every as")
"""Words that both of two alternatives may begin with ("per kilogram or per pound"): then it is clear where the first one
starts."""
_NOT_FIRST = words(
    "is are was were be do does did can could should would will shall may might must has have had am what which who "
    "whom whose where when why how if it he she they we you i that there and but or so then please not no"
)
"""Words that no alternative begins with: the split fell inside a clause."""


def offered(question: str) -> tuple[str, ...]:
    """2 to 4 distinct choices in the order in which the question names them, or none."""
    if len(question) > _MAX_QUESTION_CHARS:
        return ()
    for rule in (_listed, _lettered, _alternatives):
        if found := _clean(rule(question.strip())):
            return found
    return ()


def _listed(question: str) -> list[str]:
    """Lines that begin with a number, a letter or a bullet, below a line that announces them."""
    lines = [line for line in question.splitlines() if line.strip()]
    items = [(k, match) for k, line in enumerate(lines) if (match := _LINE.match(line))]
    if not items or items[0][0] == 0 or items[-1][0] - items[0][0] != len(items) - 1:
        return []
    if not lines[items[0][0] - 1].rstrip().endswith(("?", ":", "？", "：")):
        return []
    marks, texts = [match["mark"] for _, match in items], [match["text"].rstrip() for _, match in items]
    if any(text.endswith(("?", "？")) for text in texts):
        return []  # several questions, not several answers
    return texts if not any(marks) or _in_order(marks) else []


def _lettered(question: str) -> list[str]:
    """Marks in running text: "(a) metric or (b) imperial", "1) metric 2) imperial"."""
    if "\n" in question:
        return []
    items = list(_INLINE.finditer(question))
    return [match["text"] for match in items] if _in_order([match["mark"] for match in items]) else []


def _in_order(marks: list[str | None]) -> bool:
    given = [mark.lower() for mark in marks if mark]
    letters = bool(given) and given[0] == "a"
    wanted = [chr(ord("a") + k) if letters else str(k + 1) for k in range(len(marks))]
    return given == wanted


def _alternatives(question: str) -> list[str]:
    """The last sentence, if it spells out "A or B" or "A, B or C"."""
    sentence = re.split(r"(?<=[.!?])\s+", question)[-1]
    if not sentence.endswith("?") or "\n" in sentence or len(re.findall(r"\bor\b", sentence)) != 1:
        return []
    body = sentence.rstrip("? ")
    if (match := re.search(r"(?::| [—–-]) (.*)$", body)) and (parts := _split(match[1])):
        return parts
    if match := re.match(r"(?:which|what)\b[^,]*, (.*)$", body, re.IGNORECASE):
        parts = _split(match[1])
        # "What did Tom, Ann or Bob buy?": as many words in each, or the last one is more than an alternative
        if len({len(part.split()) for part in parts}) == 1:
            return parts
    if parts := _parallel(body):
        return parts
    parts = _split(body)  # nothing but its alternatives: "Metric or imperial?"
    return parts if all(len(part.split()) <= 2 for part in parts) else []


def _split(text: str) -> list[str]:
    parts = re.split(r",?\s+or\s+|,\s+", text)
    starts = [part.split()[0].lower() for part in parts if part.strip()]
    return [] if len(starts) < len(parts) or not _NOT_FIRST.isdisjoint(starts) else parts


def _parallel(body: str) -> list[str]:
    """Both alternatives begin with the same small word and are as long: "... per kilogram or per pound"."""
    left, _, right = body.partition(" or ")
    words, second = left.rstrip(",").split(), right.split()
    if not second or second[0].lower() not in _PARALLEL or second[0] not in words:
        return []
    start = len(words) - 1 - words[::-1].index(second[0])
    if start > 0 and words[start - 1].endswith(","):
        return []  # "by bus, by car or by train": there are more
    return [" ".join(words[start:]), right] if len(words) - start == len(second) <= 4 else []


def _clean(parts: list[str]) -> tuple[str, ...]:
    texts = [re.sub(r"^(?:either|or)\s+|[\s,;.?!]+(?:or)?$", "", part.strip(), flags=re.IGNORECASE) for part in parts]
    kept = [text for text in texts if not _OTHER.fullmatch(text)]  # clients offer "other" themselves
    if not 2 <= len(kept) <= MAX_CHOICES or len({text.casefold() for text in kept}) < len(kept):
        return ()
    fits = all(0 < len(text) <= _MAX_CHARS and len(text.split()) <= _MAX_WORDS for text in kept)
    return tuple(kept) if fits else ()
