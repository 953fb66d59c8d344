"""The replies that a question itself offers: "Is it each day or each week that ..."."""

from __future__ import annotations

import re

_MAX_WORDS = 4
_LEAD = re.compile(
    r"^(?:is (?:it|that|this)|are they|do you mean|did you mean|does it mean|should (?:i|it|that) (?:be|use)"
    r"|which(?: is it| one)?[:,])\s+",
    re.IGNORECASE,
)
_PARALLEL = re.compile(r"\b((for|per|each|every|in|by|from|at)\b[\w ]{2,25}?),? or (\2\b[\w ]{2,25})$", re.IGNORECASE)
"""Both begin with the same small word: "... for one day or for all the days"."""
_CLAUSE = re.compile(r"\s+(?:that|which|who|when|for|in which)\s+", re.IGNORECASE)
_YES_NO = re.compile(r"^(?:is|are|was|were|do|does|did|can|could|should|has|have|will|would)\b", re.IGNORECASE)


def quick_replies(question: str) -> tuple[str, ...]:
    """Two to four short replies, or none where the question spells none out: wrong ones are worse than none."""
    sentence = re.split(r"(?<=[.!?])\s+", question.strip())[-1]
    if not sentence.endswith("?") or len(sentence) > 200:
        return ()
    body = sentence.rstrip("? ")
    if not re.search(r"\bor\b", body):
        return ("Yes", "No") if _YES_NO.match(body) and not _LEAD.match(body) else ()
    lead = _LEAD.match(body)
    if both := _PARALLEL.search(body):
        body = f"{both[1]} or {both[3]}"
        lead = lead or both
    elif lead:
        body = _CLAUSE.split(body[lead.end() :])[0]
    elif ":" in body:
        body = body.rsplit(":", 1)[1]
    parts = [part.strip() for part in re.split(r",?\s+or\s+|,\s+", body)]
    fits = all(0 < len(part.split()) <= _MAX_WORDS for part in parts)
    if not fits or not 2 <= len(parts) <= 4 or len({part.lower() for part in parts}) < len(parts):
        return ()
    if not lead and ":" not in sentence and any(len(part.split()) > 2 for part in parts):
        return ()
    return tuple(part[0].upper() + part[1:] for part in parts)
