"""How a run is going: conversations, time left, errors, tokens, cost. On a terminal a bar; elsewhere a line now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evals.costs import Prices
from evals.rows import Transcript

_LINE_EVERY_S = 20.0


class RunProgress:
    """Shown on stderr while a run lasts. Use as a context manager."""

    def __init__(self, prices: Prices, *, is_quiet: bool = False) -> None:
        """`is_quiet`: nothing is drawn, because a person answers in the same terminal."""
        self._prices, self._is_quiet = prices, is_quiet
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("conversations"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counts]}"),
            console=self._console,
            disable=is_quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, counts="")
        self._done = self._errors = self._tokens = 0
        self._total = 0
        self._cost = 0.0
        self._began = self._last_line = time.monotonic()

    def plan(self, todo: int, kept: int) -> None:
        if kept:
            self._say(f"{kept} conversations are there already; {todo} to play")
        self._total = todo
        self._bar.update(self._task, total=todo)

    def done(self, transcript: Transcript) -> None:
        self._done += 1
        self._errors += transcript.stop == "error"
        self._tokens += transcript.model_tokens
        self._cost += self._prices.so_far(transcript)
        self._bar.update(self._task, advance=1, counts=self._counts())
        is_bar = self._console.is_terminal or self._is_quiet
        if not is_bar and time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            left_s = (self._last_line - self._began) / self._done * (self._total - self._done)
            counts = f"{self._done}/{self._total} conversations, about {left_s:.0f} s left, {self._counts()}"
            self._say(counts)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _counts(self) -> str:
        cost = f", cost {self._cost:.4f}" if self._prices else ""
        return f"{self._errors} errors, {self._tokens} tokens{cost}"

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
