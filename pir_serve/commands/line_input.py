"""What a user types: an editable line in a terminal, of several lines where wanted, or lines of a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

Read = Callable[[str, str], str]
"""Takes the prompt, and the text to begin with; raises EOFError at the end."""


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def read_piped(prompt: str, begin: str) -> str:
    """The next line without its end; a line that ends in a backslash goes on with the next one."""
    text = ""
    while True:
        line = sys.stdin.readline()
        if not line and not text:
            raise EOFError
        text += line.rstrip("\n")
        if not (line and goes_on(text)):
            return text
        text = text[:-1] + "\n"


def terminal(commands: Sequence[str]) -> Read:
    """Enter sends; Alt-Enter, or Enter behind a backslash, begins a new line; pasted lines stay together; Ctrl-C empties
    the line. KeyboardInterrupt is for Ctrl-C in an empty one."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.shortcuts import CompleteStyle

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if goes_on(buffer.document.current_line_before_cursor):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    session: PromptSession[str] = PromptSession(
        multiline=True,
        key_bindings=keys,
        completer=WordCompleter(list(commands), sentence=True),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        enable_suspend=True,
    )

    def read(prompt: str, begin: str) -> str:
        return session.prompt(
            [("ansicyan", prompt)],
            default=begin,
            prompt_continuation=" " * len(prompt),
            placeholder=[("ansibrightblack", "Alt-Enter: new line   /help")],
        )

    return read


def goes_on(text: str) -> bool:
    """A backslash at the end, that is not itself behind one."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1
