"""What `pir chat` does with each line: a message to the model, or a command of the user's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from pir_serve.commands.chat_export import write
from pir_serve.commands.conversation import Conversation, Message, reopen
from pir_serve.commands.line_input import Read
from pir_serve.commands.printing import Printer, print_question
from pir_serve.commands.session_views import readable, sessions_table

COMMANDS = {
    "/new": "start over; the question that waits stays with the gateway",
    "/retry": "have the last reply made once more",
    "/edit": "change your last message; /edit TEXT replaces it",
    "/sessions": "list what the gateway keeps; /sessions 2, or an id, goes on with one",
    "/export": "write this conversation down; /export FILE (.md or .json)",
    "/help": "show this",
    "/quit": "leave, as Ctrl-D does",
}
_NUM_LISTED = 20


class ChatDesk:
    """One conversation at a time, and the terminal or pipe that it is held over."""

    def __init__(
        self,
        conversation: Conversation,
        read: Read,
        console: Console,
        *,
        in_terminal: bool,
        hide_reasoning: bool,
        as_json: bool,
    ) -> None:
        """`as_json`: standard output gets one JSON object for each reply, and all else goes to standard error."""
        self._conversation = conversation
        self._read = read
        self._console = console
        self._notes = Console(highlight=False, soft_wrap=True, stderr=True) if as_json else console
        self._in_terminal = in_terminal
        self._hide_reasoning = hide_reasoning
        self._as_json = as_json
        self._draft = ""
        self._replaces = False
        self._listed: list[str] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/new": self._new,
            "/retry": self._retry,
            "/edit": self._edit,
            "/sessions": self._sessions,
            "/export": self._export,
            "/help": self._help,
        }

    def run(self, first: str | None) -> None:
        """Until the end of the input or /quit.

        Raises:
            click.ClickException: something went wrong and nobody is there to try again.
            KeyboardInterrupt: Ctrl-C, where nobody is at a terminal.
        """
        self._greet()
        line = first if first is not None else self._next_line()
        while line is not None and line.strip() != "/quit":
            try:
                self._take(line.rstrip())
            except click.ClickException as error:
                if not self._in_terminal:
                    raise
                self._notes.print(Text(readable(error.format_message()), style="red"))
            line = self._next_line()
        if self._in_terminal and (node := self._conversation.waiting):
            self._note(f"the question waits: pir chat --session {node}")

    def _next_line(self) -> str | None:
        """None at the end of the input."""
        draft, self._draft = self._draft, ""
        prompt = "edit> " if self._replaces else "your answer> " if self._conversation.waiting else "you> "
        try:
            return self._read(prompt, draft)
        except EOFError:
            return None
        except KeyboardInterrupt:
            if not self._in_terminal:
                raise
            return None

    def _take(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        replaces, self._replaces = self._replaces, False
        if name in self._commands:
            self._commands[name](rest.strip())
        elif re.fullmatch(r"/[a-z]+", name):
            raise click.ClickException(f"{name} is no command; /help lists them. A space in front sends it as it is")
        elif text := line.strip():
            self._say(text, in_place_of_last=replaces)

    def _say(self, text: str, *, in_place_of_last: bool = False) -> None:
        try:
            reply = self._stream(text, in_place_of_last=in_place_of_last)
        except (KeyboardInterrupt, click.ClickException) as error:
            self._draft, self._replaces = text, in_place_of_last  # nothing typed is lost
            if isinstance(error, KeyboardInterrupt) and self._in_terminal:
                self._console.print()
                self._note("stopped; nothing of this reply is kept")
                return
            raise
        if self._as_json:
            kept = {name: value for name, value in reply.items() if name != "reasoning_details"}
            click.echo(json.dumps(kept, ensure_ascii=False))

    def _stream(self, text: str, *, in_place_of_last: bool) -> Message:
        if self._as_json:
            return self._conversation.send(text, lambda *_: None, in_place_of_last=in_place_of_last)
        printer = Printer(self._console, hide_reasoning=self._hide_reasoning)
        waiting = self._console.status(Text("...", style="dim")) if self._in_terminal else None

        def show(reasoning: str | None, content: str | None, pir: dict[str, Any] | None) -> None:
            if waiting and (reasoning or content or pir):
                waiting.stop()
            printer.show(reasoning, content, pir)

        with waiting or nullcontext():
            return self._conversation.send(text, show, in_place_of_last=in_place_of_last)

    def _new(self, _: str) -> None:
        self._conversation = Conversation(self._conversation.gateway, self._conversation.model)

    def _retry(self, _: str) -> None:
        self._say(self._last_said(), in_place_of_last=True)

    def _edit(self, text: str) -> None:
        last = self._last_said()
        if text:
            self._say(text, in_place_of_last=True)
        elif self._in_terminal:
            self._draft, self._replaces = last, True
        else:
            raise click.ClickException("/edit needs the new text behind it here")

    def _last_said(self) -> str:
        last = self._conversation.last_said
        if last is None:
            raise click.ClickException("nothing has been said yet")
        return last

    def _sessions(self, name: str) -> None:
        gateway = self._conversation.gateway
        if name:
            known = name.isdigit() and 0 < int(name) <= len(self._listed)
            self._conversation = reopen(gateway, self._listed[int(name) - 1] if known else name)
            self._greet()
            return
        found = gateway.call("GET", "pir", "sessions", query={"limit": _NUM_LISTED})["data"]
        self._listed = [session["id"] for session in found]
        if not found:
            self._note("the gateway keeps nothing yet")
        else:
            self._notes.print(sessions_table(found, numbered=True), soft_wrap=False)

    def _export(self, name: str) -> None:
        path = write(self._conversation, Path(name) if name else None)
        self._note(f"written to {path}")

    def _help(self, _: str) -> None:
        for name, what in COMMANDS.items():
            self._notes.print(f"  {name:10} {what}")
        self._note("Alt-Enter, or a backslash before Enter, begins a new line. Ctrl-C stops a reply.")

    def _greet(self) -> None:
        """What was said before, of a conversation that is gone on with."""
        talk = self._conversation
        if self._in_terminal:
            self._note(f"{talk.model} at {talk.gateway.base_url}   /help lists what can be typed, Ctrl-D leaves")
        if self._as_json:
            return
        for message in talk.messages[:-1]:
            mark = "> " if message["role"] == "user" else ""
            self._notes.print(Text(mark + readable(message["content"]), style="cyan" if mark else ""))
        if talk.waiting:
            print_question(self._notes, talk.messages[-1]["content"])
        elif talk.messages:
            self._notes.print(Text(readable(talk.messages[-1]["content"]), style="bold"))

    def _note(self, text: str) -> None:
        self._notes.print(Text(text, style="dim"))
