"""What comes back from a question tool: the question out of a call's arguments, and the user's words out of its output.

Nothing here raises: whatever a client sends is data. A shape that we do not know is what the user said, word for word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pir_serve.ask_tools.names import LIST_KEYS, OPTION_KEYS, QUESTION_KEYS, plain

Declined = Literal["declined", "timed_out", "failed", "empty"]
"""Why there is no answer: the user would not, did not in time, never saw the question, or said nothing."""
_MAX_DEPTH = 8
_OUTCOMES: dict[str, Declined] = {
    **dict.fromkeys(("cancel", "cancelled", "canceled", "decline", "declined", "reject", "rejected"), "declined"),
    **dict.fromkeys(("dismiss", "dismissed", "skip", "skipped", "deny", "denied", "aborted"), "declined"),
    **dict.fromkeys(("timeout", "timedout", "expired"), "timed_out"),
    **dict.fromkeys(("error", "failed", "failure"), "failed"),
}
"""Values of `status` or `action`, and flags, that say that no answer came."""
_OUTCOME_KEYS = ("action", "status", "outcome")
_HOLDERS = (
    "answers", "answer", "response", "reply", "userresponse", "userinput", "userreply", "text", "label", "value",
    "result", "output", "content", "selected", "custom",
)  # fmt: skip
"""Properties that hold what was said, compared without case and punctuation."""
_ENVELOPE = frozenset({
    *_HOLDERS, *_OUTCOME_KEYS, *_OUTCOMES, "ok", "success", "type", "id", "callid", "toolcallid", "question",
    "questions", "annotations", "message", "reason", "iserror", "afktimeoutms", "autoresolved", "optionindex",
    "description", "meta", "metadata",
})  # fmt: skip
"""Properties of answers of known clients. An object with another one is something that the user wrote."""
_SILENCE = frozenset({"", "unanswered", "(no answer)", "(no answer provided)", "(no option selected)"})
_REFUSALS: tuple[tuple[str, Declined], ...] = (
    ("tool call rejected by user", "declined"),  # Open WebUI
    ("tool call was not approved", "declined"),
    ("ask_user requires", "failed"),
    ("ask_user must be", "failed"),
    ("ask_user questions must be", "failed"),
    ("ask_user arguments must be", "failed"),
    ("only one ask_user call", "failed"),
    ("each question ", "failed"),
    ("each option ", "failed"),
    ("duplicate question id", "failed"),
    ("user declined to answer questions", "declined"),  # Claude Code
    ("the user doesn't want to proceed with this tool use", "declined"),
    ("the user doesn't want to take this action right now", "declined"),
    ("the user wants to clarify these questions", "declined"),
    ("[request interrupted by user", "declined"),
    ("<tool_use_error>", "failed"),
    ("request_user_input was cancelled", "declined"),  # codex
    ("request_user_input is unavailable", "failed"),
    ("request_user_input requires", "failed"),
    ("the user dismissed this question", "declined"),  # opencode
    ("user dismissed ask_user dialog", "declined"),  # gemini-cli
)
_NEEDS_ERROR = ("tool call ", "ask_user ", "only one ", "each ", "duplicate ")
"""Open WebUI's own, always after "Error: ": without it they could be anybody's words."""
_PROSE = re.compile(r"(?:user has answered your questions|your questions have been answered):\s*", re.IGNORECASE)
_PROSE_END = "You can now continue with "
_PREVIEW, _NOTES = '" selected preview:', '" user notes: '
"""What Claude Code puts between an answer's closing quote and the end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question tool brought back."""

    text: str | None
    """The user's words; None if there are none, and then `declined` says why."""
    declined: Declined | None = None


def question_of(arguments: object) -> str | None:
    """The question in a call's arguments (JSON text or parsed), ours or as a client wrote them anew; None if none."""
    return _question(_parsed(arguments), 0)


def unwrap(content: object, question: str = "") -> Answer:
    """The user's words in a tool message's `content` or a `function_call_output`'s `output`.

    `question` is what was asked: answers that are listed by question or quoted beside it are recognised by it.
    """
    try:
        return _unwrap(content, question.strip(), 0)
    except RecursionError:
        return Answer(content) if isinstance(content, str) else Answer(None, "empty")


def _question(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value or None
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list):
        return "\n".join(text for item in value if (text := _question(item, depth + 1))) or None
    if not isinstance(value, dict):
        return None
    by_name = {plain(key): key for key in value}
    for name in (*sorted(LIST_KEYS), *QUESTION_KEYS):
        if name not in by_name:
            continue
        item = value[by_name[name]]
        if name in LIST_KEYS:
            item = _parsed(item)  # a list as JSON text is a common slip of clients
        if found := _question(item, depth + 1):
            return found
    texts = [item for key, item in value.items() if isinstance(item, str) and plain(key) not in OPTION_KEYS]
    return max(texts, key=len, default=None) or None


def _unwrap(content: Any, question: str, depth: int) -> Answer:
    if depth > _MAX_DEPTH:
        return Answer(None, "empty")
    if isinstance(content, str):
        text = content.strip()
        data = _parsed(text) if text[:1] in ("{", "[", '"') else None
        if isinstance(data, str) and data != text:
            return _unwrap(data, question, depth + 1)
        return _from_data(data, question, depth) or _from_prose(text, question)
    if isinstance(content, dict | list):
        if known := _from_data(content, question, depth):
            return known
        is_media = isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content)
        return Answer(None, "empty") if is_media else _answer(json.dumps(content, ensure_ascii=False))
    return Answer(None, "empty") if content is None else _answer(_said(content, 0))


def _from_data(data: Any, question: str, depth: int) -> Answer | None:
    """None for a shape that no client is known to send."""
    if isinstance(data, list):
        texts = [part["text"] for part in data if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if texts and all(isinstance(part, dict) and ("type" in part or "text" in part) for part in data):
            return _unwrap("\n".join(texts), question, depth + 1)  # an image or a file says nothing
        if all(isinstance(part, str) for part in data) or all(isinstance(part, list) for part in data):
            return _answer(_said(data, 0))
        return None
    if not isinstance(data, dict) or not data:
        return None
    named = {plain(key): value for key, value in data.items()}
    if not (isinstance(named.get("answers"), dict | list) or _ENVELOPE.issuperset(named)):
        return None
    if (outcome := _outcome(named)) is not None:
        return Answer(None, outcome)
    if named.keys().isdisjoint(_HOLDERS):
        return None if named.keys().isdisjoint(_OUTCOME_KEYS) else Answer(None, "empty")
    nothing: Declined = "timed_out" if named.get("afktimeoutms") else "empty"
    content = named.get("content")
    if isinstance(content, list):
        return _unwrap(content, question, depth + 1)
    return _answer(_held(named, question), nothing)


def _outcome(named: Mapping[str, Any]) -> Declined | None:
    for key in _OUTCOME_KEYS:
        if isinstance(word := named.get(key), str) and plain(word) in _OUTCOMES:
            timed_out = named.get("timedout") is True
            return "timed_out" if timed_out else _OUTCOMES[plain(word)]
    for key, reason in _OUTCOMES.items():
        if named.get(key) is True:
            return reason
    if named.get("iserror") is True or named.get("error"):
        return "failed"
    return None


def _held(named: Mapping[str, Any], question: str) -> str:
    """The text of all that an answer object holds, free text first."""
    answers = named.get("answers")
    if not isinstance(answers, dict):
        keys = [key for key in _HOLDERS if key in named]
        if answers is None and isinstance(named.get("content"), dict):
            return _by_key(named["content"], question)
        return _said({key: named[key] for key in keys}, 0)
    response = named.get("response")
    notes = named.get("annotations")
    said = {key: _said(value, 0) for key, value in answers.items()}
    for key, note in notes.items() if isinstance(notes, dict) else ():
        if isinstance(note, dict) and isinstance(text := note.get("notes"), str) and text.strip():
            said[key] = " ".join(filter(None, (said.get(key, ""), f"({text.strip()})")))
    return "\n".join(filter(None, (_said(response, 0), _by_key(said, question))))


def _by_key(said: Mapping[str, Any], question: str) -> str:
    """One answer as it is; several each behind its key, which is an id or the question itself."""
    texts = {key: text for key, value in said.items() if (text := _said(value, 0)).strip().lower() not in _SILENCE}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(text if key.strip() == question else f"{key}: {text}" for key, text in texts.items())


def _said(value: Any, depth: int) -> str:
    """A value as a person would write it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return _joined(_said(item, depth + 1) for item in value)
    if isinstance(value, dict):
        named = {plain(key): item for key, item in value.items()}
        if _ENVELOPE.issuperset(named) and not named.keys().isdisjoint(_HOLDERS):
            held = (_said(named[key], depth + 1) for key in _HOLDERS[:-2] if key in named)
            picked = _joined(_said(named.get(key), depth + 1) for key in _HOLDERS[-2:])
            return next(filter(None, held), "") or picked
        return _joined(f"{key}: {_said(item, depth + 1)}" for key, item in value.items())
    return str(value)


def _joined(texts: Iterable[str]) -> str:
    """Separated by commas. codex marks what was typed beside an option, and says that no option was chosen."""
    given = [text for text in texts if text]
    noted = [text.removeprefix("user_note: ") for text in given]
    if noted != given:
        noted = [text for text in noted if text not in ("None of the above", "Other")] or noted
    return ", ".join(noted)


def _from_prose(text: str, question: str) -> Answer:
    """Words that clients wrap around an answer, or say in the place of one."""
    if match := _PROSE.match(text):
        end = text.rfind(_PROSE_END)
        return _answer(_quoted(text[match.end() : end if end > 0 else None], question))
    bare = text.removeprefix("Error: ")
    start = bare[:60].lower().replace("’", "'")
    for words, reason in _REFUSALS:
        if start.startswith(words) and (bare != text or not words.startswith(_NEEDS_ERROR)):
            if reason == "declined" and (said := _said_besides(text)):
                return Answer(said)
            return Answer(None, reason)
    return _answer(text)


def _said_besides(refusal: str) -> str:
    """What the user wrote while refusing: Claude Code reports it below the refusal."""
    _, _, told = refusal.partition("the user said:")
    if told.strip():
        return told.strip() if "The user wants to clarify" not in told else _said_besides(told)
    lines = re.findall(r"^[ \t]*(?:Answer|User notes): (.+)$", refusal, re.MULTILINE)
    return _joined(line.strip() for line in lines)


def _quoted(body: str, question: str) -> str:
    """The answer of `"question"="answer"`; either may hold quotes."""
    body = body.strip().removesuffix(".")
    lead = f'"{question}"="'
    if not question or not body.startswith(lead):
        pairs = re.findall(r'"([^"]*)"="([^"]*)"', body)
        return _by_key(dict(pairs), question) if pairs else body
    answer, _, notes = body[len(lead) :].partition(_NOTES)
    answer = answer.partition(_PREVIEW)[0].removesuffix('"').strip()
    if answer.lower() in _SILENCE:
        return notes.strip()
    return f"{answer} ({notes.strip()})" if notes.strip() else answer


def _answer(text: str, nothing: Declined = "empty") -> Answer:
    text = text.strip()
    return Answer(text) if text else Answer(None, nothing)


def _parsed(value: Any) -> Any:
    """JSON text parsed; anything else, and text that is no JSON, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None if value.lstrip()[:1] in ("{", "[") else value
