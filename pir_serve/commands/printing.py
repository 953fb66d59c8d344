"""A reply in the terminal, as it streams."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from pir_serve.commands.session_views import readable


class Printer:
    """Reasoning dimmed, answers as they come, questions in a box.

    A question is content too, and what it is comes in the chunk behind it: the first content waits for that.
    """

    def __init__(self, console: Console, *, hide_reasoning: bool) -> None:
        self._console = console
        self._hide_reasoning = hide_reasoning
        self._reasoning_end = ""
        self._first: str | None = ""

    def show(self, reasoning: str | None, content: str | None, pir: dict[str, Any] | None) -> None:
        if reasoning and not self._hide_reasoning:
            self._console.print(Text(readable(reasoning), style="dim"), end="")
            self._reasoning_end = reasoning[-1]
        if pir and pir.get("status") == "awaiting_user":
            self._close_reasoning()
            print_question(self._console, self._first or "")
            return
        if self._first and (content or pir):
            self._say(self._first)
            self._first = None
        if content:
            if self._first is None:
                self._say(content)
            else:
                self._first = content
        if pir:
            self._end(pir)

    def _say(self, text: str) -> None:
        self._close_reasoning()
        self._console.print(Text(readable(text), style="bold" if self._console.is_terminal else ""), end="")

    def _end(self, pir: dict[str, Any]) -> None:
        self._close_reasoning()
        self._console.print()
        if pir.get("status") != "completed":
            self._console.print(Text(f"[{pir.get('status')}: {pir.get('detail', '')}]", style="red"))

    def _close_reasoning(self) -> None:
        if self._reasoning_end:
            self._console.print("" if self._reasoning_end == "\n" else "\n")
        self._reasoning_end = ""


def print_question(console: Console, text: str) -> None:
    if console.is_terminal:
        box = Panel(Text(readable(text), style="bold"), title="The model asks", border_style="yellow", expand=False)
        console.print(box, soft_wrap=False)
    else:
        console.print(Text(f"? {readable(text)}"))
