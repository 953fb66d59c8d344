"""Tables and progress bars of commands: drawn for a terminal, plain lines for a file or a pipe."""

from __future__ import annotations

import click
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn

PLAIN_WIDTH = 160
"""Columns where there is no terminal to ask."""


def put(shown: RenderableType) -> None:
    """Prints to stdout, and where that is no terminal without blanks at the ends of lines."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(shown)
        return
    console.width = PLAIN_WIDTH
    with console.capture() as captured:
        console.print(shown)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def progress_bar(*columns: str | ProgressColumn, transient: bool = False) -> Progress:
    """A bar on stderr, and nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)
