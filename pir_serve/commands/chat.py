"""`pir chat`: a conversation in the terminal, over the gateway's public API."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from pir_serve.commands.chat_desk import COMMANDS, ChatDesk
from pir_serve.commands.conversation import Conversation, first_model, reopen
from pir_serve.commands.line_input import is_interactive, read_piped, terminal
from pir_serve.commands.remote import Remote


@click.command()
@click.argument("message", required=False)
@click.option("--base-url", default="http://127.0.0.1:8000/v1", show_default=True, help="The gateway.")
@click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
@click.option("--model", default=None, help="Model name; the gateway's first, or the session's, if not given.")
@click.option("--session", default=None, metavar="ID", help="Go on with this session (s_...) or question (pir_...).")
@click.option("--hide-reasoning", is_flag=True, help="Show questions and answers only.")
@click.option("--json", "as_json", is_flag=True, help="Print each reply as one line of JSON: the message, and usage.")
def chat(
    message: str | None,
    base_url: str,
    api_key: str | None,
    model: str | None,
    session: str | None,
    hide_reasoning: bool,
    as_json: bool,
) -> None:
    """Chat with a model that asks.

    What you type goes to the model; when it asks, your next message is the answer, and its reasoning goes on where it
    stopped. Enter sends, Alt-Enter begins a new line, Ctrl-C stops a reply, Ctrl-D leaves. /help lists what else can be
    typed: /new /retry /edit /sessions /export. A question that is left open waits: --session goes on with it, days
    later too.

    \b
      pir chat "Nora buys some pens. Each pen costs 4 dollars. How much does she pay?"
      pir chat --session s_8AQGhA1P5kg_UL9jQRScyg
      pir sessions list --status awaiting_user        # what waits

    Input may be piped: one message a line; a line that ends in a backslash goes on with the next.

    \b
      printf 'Nora buys some pens at 4 dollars. What does she pay?\\n6 pens\\n' | pir chat
      echo 'Nora buys some pens at 4 dollars. What does she pay?' | pir chat --json
      echo '6 pens' | pir chat --json --session pir_m-ZzdZ2AR8zm8ZWSP7Yxu38b
    """
    gateway = Remote(base_url, api_key)
    conversation = reopen(gateway, session) if session else Conversation(gateway, model or first_model(gateway))
    if model:
        conversation.model = model
    in_terminal = is_interactive() and not as_json
    desk = ChatDesk(
        conversation,
        terminal(list(COMMANDS)) if in_terminal else read_piped,
        Console(highlight=False, soft_wrap=True),
        in_terminal=in_terminal,
        hide_reasoning=hide_reasoning,
        as_json=as_json,
    )
    try:
        desk.run(message)
    except KeyboardInterrupt:
        sys.exit(130)
