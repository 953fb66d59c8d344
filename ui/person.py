"""`python -m ui.person`: the page on which a person answers the questions of an evaluation run.

The run starts it: cards come as JSON lines by standard input, and go back answered by standard output, after the page's
address. When the input ends, so does the page.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ui.conversation import Asked
from ui.launch import end_with_input, launch
from ui.pieces import QUIET, html
from ui.render import answered_html, ask_html, user_html

_POLL_S = 0.4
_FAREWELL_S = 3 * _POLL_S
"""How long the page that says that the run is over can be had."""


@dataclass
class Table:
    """What lies between the run and the person."""

    card: dict[str, Any] | None = None
    """The question that waits."""
    number: int = 0
    """Goes up with everything that changes what is to be seen."""
    is_over: bool = False

    def lay(self, line: str) -> None:
        self.card, self.number = json.loads(line), self.number + 1

    def clear(self) -> None:
        self.card, self.number = None, self.number + 1

    def end(self) -> None:
        self.card, self.is_over, self.number = None, True, self.number + 1
        time.sleep(_FAREWELL_S)

    def look(self, seen: int) -> tuple[Any, int]:
        """What is new to somebody who saw `seen`, and the number to come back with.

        The run lays cards meanwhile: the number is taken first, so that a card that comes now is shown next time.
        """
        number = self.number
        return (gr.skip() if seen == number else self.html()), number

    def html(self) -> str:
        if self.card is not None:
            return card_html(self.card)
        said = "The run is over. You may close this page." if self.is_over else "The model reasons …"
        return f'<div class="welcome" role="status"><div class="mark" aria-hidden="true">?</div><p>{said}</p></div>'


def card_html(card: dict[str, Any]) -> str:
    """What the person wrote, what else they know, what was said before, and the question."""
    knows = "".join(f"<li>{escape(fact)}</li>" for fact in card["knows"])
    known = f"<b>Only you know</b><ul>{knows}</ul>" if knows else "<p>You have told all that you know.</p>"
    before = "".join(answered_html(Asked(ask, response)) for ask, response in card["history"])
    earlier = f'<ol class="steps">{before}</ol>' if before else ""
    question = ask_html(Asked(card["ask"], None), can_act=True, can_guess=False, has_box=True)
    return f'{user_html(card["told"])}<div class="whole">{known}</div>{earlier}{question}'


def build(table: Table, answered: Any) -> gr.Blocks:
    """The page; `answered` is a stream that takes what the person says."""
    page: gr.Blocks
    with gr.Blocks(title="PIR · you are the user", analytics_enabled=False) as page:
        seen = gr.State(-1)
        with gr.Column(elem_id="chat-tab"):
            shown = html(table.html(), elem_id="log")

        def answer(seen: int, event: gr.EventData) -> tuple[Any, int]:
            data = event._data or {}
            # Of two tabs the first one answers; the other still shows an older card.
            if data.get("act") == "reply" and table.card is not None and seen == table.number:
                table.clear()
                answered.write(json.dumps(str(data.get("text", ""))[:20_000]) + "\n")
                answered.flush()
            return table.look(-1)

        gr.Timer(_POLL_S).tick(table.look, seen, [shown, seen], **QUIET)
        shown.click(answer, seen, [shown, seen], **QUIET)
    return page


def main() -> None:
    answered, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    table = Table()
    page = build(table, answered)
    url = launch(page, "127.0.0.1", None)
    print(json.dumps(url), file=answered, flush=True)
    end_with_input(table.lay, table.end)
    page.block_thread()


if __name__ == "__main__":
    main()
