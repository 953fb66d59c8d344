"""What a model that was never trained to ask gets wrong in the markup, and how it is mended in `prompted` mode.

Three faults leave nothing usable, though what was meant is plain. Each is recorded in `Trajectory.malformed`, whatever
becomes of it:

late_ask            the answer begins with `<asking>`: the leg is cut before `</think>`, an ask is opened there, and the
                    model writes its question anew
unclosed_ask        it stopped behind a question of one line: `</asking>` is written for it
missing_think_close it stopped inside the think block: `</think>` is written for it, and it goes on with the answer

What the model sampled stays, but for the token that ended its turn; what is written for it is a segment of the
template's. A trained model's faults are results, and are left as they are.
"""

from __future__ import annotations

from pir_serve.markup import TAGS

LATE_ASK = "late_ask"


class AnswerStart:
    """Watches for an ask at the beginning of an answer, whose text it holds back while it may yet be one."""

    def __init__(self) -> None:
        self.is_ask = False
        self._held = ""
        self._is_open = True

    def feed(self, text: str, *, last: bool = False) -> str:
        """What is safe to show, now that `text` has come; `last`: nothing follows."""
        if not self._is_open:
            return text
        self._held += text
        said = self._held.lstrip()
        if said.startswith(TAGS.ask_open):
            self.is_ask = True
            return ""
        if not last and TAGS.ask_open.startswith(said):
            return ""
        self._is_open = False
        return self._held


def is_open_question(text: str) -> bool:
    """Whether a leg's `text`, which ended inside an ask, ends with a question and no more."""
    question = text.rpartition(TAGS.ask_open)[2].strip()
    return bool(question) and "\n" not in question


def closing_of_thought(text: str) -> str:
    """What is written behind reasoning that the model stopped in, as reasoning models write it themselves."""
    return f"{'' if text.endswith(chr(10)) else chr(10)}{TAGS.think_close}\n\n"
