"""What the properties of question tools are called, and the short title that many of them want."""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def plain(key: str) -> str:
    """A name as names are compared: `follow_up` and `followUp` are one."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


QUESTION_KEYS = ("question", "message", "prompt", "text", "query", "questiontext", "inquire", "ask", "content", "body")
"""The property that holds the question, likeliest first."""
LIST_KEYS = words("questions prompts queries")
"""A list of questions."""
OPTION_KEYS = words("options choices suggestions followup followups alternatives answeroptions")
LABEL_KEYS = words("label name title text value id key option content answer")
"""An option's own words."""
HEADER_KEYS = words("header title heading topic label category subject")
ID_KEYS = words("id key name questionid")
KIND_KEYS = words("type kind inputtype questiontype responsetype answertype mode")
"""Whether the question is open or one of choice ..."""
OPEN_KINDS = words("text freetext freeform open openended input string textarea longtext")
CHOICE_KINDS = words("choice singlechoice select singleselect single radio options choices")
"""... and how that is said."""
OTHER_ALLOWED = words("allowother allowcustom allowfreeform allowfreetext custom freeform")
"""Switches for an answer that is none of the options: always on."""

HEADER_CHARS = 12
"""Claude Code's and codex's limit, the lowest known."""
_SMALL_WORDS = words(
    "how many much what which who whom whose where when why is are was were do does did can could should would will a "
    "an the of to in on for at i you we they he she it and or please tell me my your want need give know have has"
)


def header(question: str) -> str:
    """A few words of the question, at most `HEADER_CHARS` characters."""
    found: list[str] = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", question)
    telling = [word for word in found if word.lower() not in _SMALL_WORDS] or found or ["Question"]
    text = telling[0][:HEADER_CHARS]
    for word in telling[1:]:
        if len(text) + 1 + len(word) > HEADER_CHARS:
            break
        text += f" {word}"
    return text[:1].upper() + text[1:]
