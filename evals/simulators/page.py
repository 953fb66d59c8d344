"""A page in the browser on which a person answers: a program of `ui/`, spoken to through its standard input and output.

Cards go to it and answers come back as JSON, one a line. It ends when its input does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from types import TracebackType

from evals.runs import RunError
from evals.simulators.human import Card

HOW = "pip install 'pir-serve[ui]' (in a clone: make setup-ui)"


class AnswerPage:
    """`converse` is for `HumanUser`; the page lives as long as the context."""

    def __enter__(self) -> AnswerPage:
        """Raises: RunError, where there is no web app, or it cannot start."""
        if any(find_spec(name) is None for name in ("gradio", "ui")):
            raise RunError(f"a person in the browser needs the web app: {HOW}")
        command = [sys.executable, "-m", "ui.person"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        url = self._read()
        if url is None:
            raise RunError("the page for the person could not start; the reason stands above")
        self.url = url
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """The page says that the run is over, and ends."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def converse(self, card: Card) -> str:
        """The answer, with its end of line; empty if the page has gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asdict(card)) + "\n")
            self._process.stdin.flush()
        except OSError:
            return ""
        said = self._read()
        return "" if said is None else f"{said}\n"

    def _read(self) -> str | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return str(json.loads(line)) if line else None
