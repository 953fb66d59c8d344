"""A reply in the terminal, as it streams."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text


class Printer:
    """Reasoning dimmed, answers as they come, questions in a box.

    A question is content too, and what it is comes in the chunk behind it: the first content waits for that.
    """

    def __init__(self, console: Console, *, hide_reasoning: bool) -> None:
        self._console = console
        self._hide_reasoning = hide_reasoning
        self._in_reasoning = False
        self._first: str | None = ""

    def show(self, reasoning: str | None, content: str | None, pir: dict[str, Any] | None) -> None:
        if reasoning and not self._hide_reasoning:
            self._console.print(Text(reasoning, style="dim"), end="")
            self._in_reasoning = True
        if pir and pir.get("status") == "awaiting_user":
            self._question(self._first or "")
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
        self._console.print(Text(text, style="bold" if self._console.is_terminal else ""), end="")

    def _question(self, text: str) -> None:
        self._close_reasoning()
        if self._console.is_terminal:
            box = Panel(Text(text, style="bold"), title="The model asks", border_style="yellow", expand=False)
            self._console.print(box)
        else:
            self._console.print(Text(f"? {text}"))

    def _end(self, pir: dict[str, Any]) -> None:
        self._close_reasoning()
        self._console.print()
        if pir.get("status") != "completed":
            self._console.print(Text(f"[{pir.get('status')}: {pir.get('detail', '')}]", style="red"))

    def _close_reasoning(self) -> None:
        if self._in_reasoning:
            self._console.print("\n")
        self._in_reasoning = False
