"""The tags of one reasoning turn: write them, read them as they stream, and keep them out of what users write.

    <think> reasoning <asking>question</asking>\\n<response>reply</response> reasoning </think> answer

Standard library only, no I/O. A parser reads one leg: it begins inside the think block (the prompt opened it) and ends
at the ask or at the end of the text. What the model gets wrong becomes a `Malformed` event; its text is not lost.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass, fields
from functools import cache


@dataclass(frozen=True, slots=True)
class Tags:
    """The six tag strings of a model, exactly as it writes them."""

    think_open: str = "<think>"
    think_close: str = "</think>"
    ask_open: str = "<asking>"
    ask_close: str = "</asking>"
    response_open: str = "<response>"
    response_close: str = "</response>"

    def all(self) -> tuple[str, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))


TAGS = Tags()


@dataclass(frozen=True, slots=True)
class ReasoningText:
    """Text inside the think block that is safe to show."""

    text: str


@dataclass(frozen=True, slots=True)
class AskStarted:
    """`<asking>` was read. The question itself comes whole, in `AskDone`: it is screened before anybody sees it."""


@dataclass(frozen=True, slots=True)
class AskDone:
    """The leg ends here."""

    text: str
    """The question, stripped, without tags. Empty after `Malformed("empty_ask")`: nothing to show, the leg is over."""
    end: int
    """Characters of this leg's text up to and including `</asking>`: where its ids are to be cut."""


@dataclass(frozen=True, slots=True)
class AnswerText:
    """Text after `</think>`, literally: tags have no meaning there."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A fault in the model's markup, to be recorded. Names:

    empty_ask          `<asking>` and `</asking>` with nothing between
    nested_ask         `<asking>` inside an ask; the tag is dropped, the text stays in the question
    unopened_ask_close `</asking>` outside an ask; the tag is dropped
    unclosed_ask       the text or the think block ended inside an ask; its text follows as reasoning
    response_by_model  `<response>` or `</response>` written by the model; the tag is dropped, the text stays
    missing_think_close the text ended inside the think block
    reopened_think     `<think>` inside the think block (dropped) or in the answer (stays: answers are literal)
    """

    kind: str


Event = ReasoningText | AskStarted | AskDone | AnswerText | Malformed


class State(enum.Enum):
    """Where a parser stands."""

    THINK = "think"
    ASK = "ask"
    ANSWER = "answer"
    ASKED = "asked"
    """After an ask: the leg is over, and whatever else is fed is ignored."""


THINK = State.THINK
_START = "<"
"""Of every tag."""


class StreamParser:
    """Turns the text of one leg, cut anywhere, into events.

    Only a possible beginning of a tag is held back from one `feed` to the next. How the text is cut never changes the
    events, but for where neighbouring texts of one kind are divided.
    """

    def __init__(self, tags: Tags = TAGS, state: State = State.THINK) -> None:
        self.state = state
        self._tags = tags
        self._all_tags = tags.all()
        self._any_tag = any_tag(tags)
        assert all(tag.startswith(_START) for tag in self._all_tags)
        self._consumed = 0
        """Characters of the leg that events have been made of, tags included."""
        self._pending = ""
        """A possible beginning of a tag."""
        self._ask: list[str] = []

    @property
    def consumed(self) -> int:
        """Characters of the leg up to `held`."""
        return self._consumed

    @property
    def held(self) -> str:
        """What was fed last and may yet become a tag; no event was made of it."""
        return self._pending

    def feed(self, text: str) -> list[Event]:
        """The events that `text` completes, in order."""
        if not self._pending and self.state is THINK and _START not in text:  # most bursts; they need no search
            self._consumed += len(text)
            return [ReasoningText(text)] if text else []
        events: list[Event] = []
        if self._is(State.ANSWER):
            self._answer(text, events)
            return events
        buffer, at = self._pending + text, 0
        self._pending = ""
        while self._is(State.THINK, State.ASK):
            found = self._any_tag.search(buffer, at)
            if found is None:
                safe = len(buffer) - held_back(buffer[at:], self._all_tags)
                self._text(buffer[at:safe], events)
                self._pending = buffer[safe:]
                return events
            self._text(buffer[at : found.start()], events)
            self._tag(found[0], events)
            at = found.end()
        if self._is(State.ANSWER):
            self._answer(buffer[at:], events)
        return events

    def finish(self) -> list[Event]:
        """The events of the text's end: what was held back, and the faults that only the end shows."""
        events: list[Event] = []
        pending, self._pending = self._pending, ""
        if self.state is State.ANSWER:
            return events  # what an answer remembers has been shown already
        self._text(pending, events)
        if self.state is State.ASK:
            self._abandon_ask(events)
            self.state = State.THINK
        if self.state is State.THINK:
            events.append(Malformed("missing_think_close"))
        return events

    def _is(self, *states: State) -> bool:
        return self.state in states

    def _text(self, text: str, events: list[Event]) -> None:
        self._consumed += len(text)
        if self.state is State.ASK:
            self._ask.append(text)
        elif text and self.state is State.THINK:
            events.append(ReasoningText(text))

    def _tag(self, tag: str, events: list[Event]) -> None:
        self._consumed += len(tag)
        tags, in_ask = self._tags, self.state is State.ASK
        if tag == tags.think_close:
            if in_ask:
                self._abandon_ask(events)
            self.state = State.ANSWER
        elif tag == tags.think_open:
            events.append(Malformed("reopened_think"))
        elif tag in (tags.response_open, tags.response_close):
            events.append(Malformed("response_by_model"))
        elif tag == tags.ask_open and in_ask:
            events.append(Malformed("nested_ask"))
        elif tag == tags.ask_open:
            self.state = State.ASK
            events.append(AskStarted())
        elif in_ask:
            question = "".join(self._ask).strip()
            if not question:
                events.append(Malformed("empty_ask"))
            events.append(AskDone(question, self._consumed))
            self.state = State.ASKED
        else:
            events.append(Malformed("unopened_ask_close"))

    def _abandon_ask(self, events: list[Event]) -> None:
        events.append(Malformed("unclosed_ask"))
        text = "".join(self._ask)
        self._ask.clear()
        if text:
            events.append(ReasoningText(text))

    def _answer(self, text: str, events: list[Event]) -> None:
        """Answers are shown at once and whole; `_pending` only remembers a possible beginning of `<think>`."""
        tag = self._tags.think_open
        seen, shown = self._pending + text, len(self._pending)
        while (at := seen.find(tag)) >= 0:
            end = at + len(tag)
            events += [AnswerText(seen[shown:end]), Malformed("reopened_think")]
            seen, shown = seen[end:], 0
        if seen[shown:]:
            events.append(AnswerText(seen[shown:]))
        self._pending = seen[len(seen) - held_back(seen, (tag,)) :]


@cache
def any_tag(tags: Tags) -> re.Pattern[str]:
    """Matches each of the tags."""
    return re.compile("|".join(map(re.escape, sorted(tags.all(), key=len, reverse=True))))


def held_back(text: str, tags: tuple[str, ...]) -> int:
    """How many characters at the end of `text` may be the beginning of a tag."""
    found = _beginning_at_end(tags).search(text)
    return len(text) - found.start() if found else 0


@cache
def _beginning_at_end(tags: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the longest: this runs for every burst of tokens, and a compiled search costs a tenth of trying each."""
    longest = max(map(len, tags))
    beginnings = {tag[:size] for tag in tags for size in range(1, min(len(tag), longest - 1) + 1)}
    return re.compile(f"(?:{'|'.join(map(re.escape, sorted(beginnings, key=len, reverse=True)))})\\Z")


def render_ask(question: str, tags: Tags = TAGS) -> str:
    return f"{tags.ask_open}{question}{tags.ask_close}"


# Characters that decompose (NFKD) to one with "<" or ">" in it; a test compares these with all of Unicode.
_LESS = "<≮﹤＜"
_GREATER = ">≯﹥＞"
_SLASHES = "/／⁄∕"
# U+2039 and U+203A look alike, survive every normal form as they are, and spell no tag.
_HARMLESS = {"<": "‹", ">": "›"}
# Letters (to Unicode) that show nothing: the Hangul fillers and the blank of Braille.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"})


def neutralise(text: str, tags: Tags = TAGS) -> str:
    """`text` with the brackets of everything that reads like a tag turned into ‹ and ›; other text stays as it is.

    Reads like a tag: brackets around the name of a tag, in any case, with any accents, slashes, white space and
    invisible characters among them, or in characters that a tokenizer's normaliser (NFKC and the like) makes these of.
    """
    if not any(c in text for c in _LESS):
        return text
    names = frozenset(tag.strip("</>").casefold() for tag in tags.all())
    pieces: list[str] = []
    done = at = 0
    while at < len(text):
        end = _tag_like(text, at, names) if text[at] in _LESS else 0
        if end:
            pieces += [text[done:at], _HARMLESS["<"], text[at + 1 : end - 1], _HARMLESS[">"]]
            done = end
        at = max(end, at + 1)
    return "".join(pieces) + text[done:]


def _tag_like(text: str, start: int, names: frozenset[str]) -> int:
    """End of what reads like a tag and begins with the bracket at `start`; 0 if nothing does."""
    name = ""
    for at in range(start + 1, len(text)):
        c = text[at]
        if c in _GREATER:
            return at + 1 if name in names else 0
        if c in _SLASHES or _is_invisible(c):
            continue
        name += _fold(c)
        if not any(n.startswith(name) for n in names):
            return 0
    return 0


def _is_invisible(c: str) -> bool:
    return c in _BLANKS or unicodedata.category(c) in _INVISIBLE_CATEGORIES


def _fold(c: str) -> str:
    """A character's plain letters: decomposed, lower case, accents off."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", c).casefold())
    return "".join(d for d in decomposed if not _is_invisible(d))
