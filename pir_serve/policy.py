"""When the model may ask the user, and what answers in the user's place when it may not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pir_serve.errors import RequestError

NO_ASK_SUFFIX = ":no-ask"
"""Model alias for clients that cannot answer: evaluations, title and tag generators."""
_MAX = re.compile(r"(?:max(?:_questions)?\s*[=:]\s*)?(\d{1,4})", re.ASCII)
_FORMS = 'must be "auto", "never", "max=N", a number, or {"max": N}'


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """How many asks of one trajectory may reach the user."""

    max_asks: int | None = None
    """None: as many as the model wants (the loop's own guard still counts). 0: never."""

    @classmethod
    def parse(cls, value: object, *, param: str | None = None) -> AskPolicy:
        """Read `auto`, `never`, `max=N`, N, or `{"max": N}`.

        Raises:
            RequestError: none of these; `param` names the field in the error.
        """
        if isinstance(value, dict) and len(value) == 1:
            value = next((value[k] for k in ("max", "max_questions") if k in value), None)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000:
            return cls(value)
        if isinstance(value, str):
            word = value.strip().lower()
            if word == "auto":
                return cls()
            if word == "never":
                return cls(0)
            if match := _MAX.fullmatch(word):
                return cls(int(match.group(1)))
        raise RequestError(f"ask is {_short(value)}; it {_FORMS}", param=param)

    def allows(self, num_shown: int) -> bool:
        """Whether one more ask may reach the user after `num_shown` that did."""
        return self.max_asks is None or num_shown < self.max_asks

    def within(self, bound: AskPolicy) -> AskPolicy:
        """This one, or `bound` where that allows less."""
        limits = [policy.max_asks for policy in (self, bound) if policy.max_asks is not None]
        return AskPolicy(min(limits, default=None))

    def refusal(self, num_shown: int) -> str:
        """`never` or `max`, as an exchange names it, where one more ask may not reach the user; else ""."""
        return "" if self.allows(num_shown) else "max" if self.max_asks else "never"

    def __str__(self) -> str:
        if self.max_asks is None:
            return "auto"
        return f"max={self.max_asks}" if self.max_asks else "never"


NEVER = AskPolicy(0)


@dataclass(frozen=True, slots=True)
class Gate:
    """When an uncertain step of reasoning becomes an ask, for models that seldom ask by themselves."""

    nats: float
    """A step of more predictive entropy than this opens an ask. What is much differs from model to model: measure."""
    max_openings: int = 2
    """Of one trajectory."""
    min_steps: int = 3
    """Steps between one opening and the next: what follows a response is often unsure too."""

    def __post_init__(self) -> None:
        if not self.nats >= 0 or self.max_openings < 0 or self.min_steps < 0:
            raise ValueError(f"{self}: none of these may be negative")


def choose(
    default: AskPolicy,
    *,
    body: Any = None,
    header: str | None = None,
    alias_never: bool = False,
    forced_never: bool = False,
    suspended: AskPolicy | None = None,
) -> AskPolicy:
    """The policy of one request: what must be, then the model alias, the body, the header, what the resumed
    trajectory began with, the server.

    `forced_never`: a reply that a program parses (`response_format` JSON) or a housekeeping call, where a question
    would be garbage.

    Raises:
        RequestError: the body's or header's value cannot be read, even where something stronger decides.
    """
    from_body = None if body is None else AskPolicy.parse(body, param="pir.ask")
    from_header = None if header is None else AskPolicy.parse(header, param="X-PIR-Ask")
    if forced_never or alias_never:
        return NEVER
    return from_body or from_header or suspended or default


def is_housekeeping(last_user_text: str) -> bool:
    """Whether a chat front end (Open WebUI) asks for a title, tags or follow-ups of a chat.

    Both marks are needed: its RAG template opens with the same words but wraps real user messages (in `<context>`).
    """
    return last_user_text.lstrip().startswith("### Task:") and "<chat_history>" in last_user_text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
