"""`pir chat`: a conversation in the terminal, over the gateway's public API and the OpenAI SDK, as any client has
it."""

from __future__ import annotations

import os
import sys
from typing import Any, cast

import click
from openai import APIConnectionError, APIError, APIStatusError, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk
from rich.console import Console
from rich.text import Text

from pir_serve.commands.printing import Printer

Messages = list[dict[str, Any]]


@click.command()
@click.argument("message", required=False)
@click.option("--base-url", default="http://127.0.0.1:8000/v1", show_default=True, help="The gateway.")
@click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
@click.option("--model", default=None, help="Model name; the gateway's first if not given.")
@click.option("--hide-reasoning", is_flag=True, help="Show questions and answers only.")
def chat(message: str | None, base_url: str, api_key: str | None, model: str | None, hide_reasoning: bool) -> None:
    """Chat with a model that asks.

    What you type goes to the model; when it asks, your next line is the answer, and its reasoning goes on where it
    stopped. /new starts over, /quit or Ctrl-D leaves. Input may be piped: one message a line.

    \b
      pir chat "Nora buys some pens. Each pen costs 4 dollars. How much does she pay?"
      printf 'Nora buys some pens at 4 dollars. What does she pay?\\n6 pens\\n' | pir chat
    """
    console = Console(highlight=False, soft_wrap=True)
    client = OpenAI(base_url=_with_v1(base_url), api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none")
    try:
        name = model or client.models.list().data[0].id
        _converse(client, name, console, first=message, hide_reasoning=hide_reasoning)
    except (KeyboardInterrupt, EOFError):
        console.print()
    except APIConnectionError:
        raise click.ClickException(f"nothing answers at {base_url}; start the gateway with `pir serve`") from None
    except APIStatusError as error:
        raise click.ClickException(_reason(error)) from None
    except APIError as error:  # the stream broke off
        raise click.ClickException(f"the reply broke off: {error.message}") from None
    finally:
        client.close()


def _converse(client: OpenAI, model: str, console: Console, *, first: str | None, hide_reasoning: bool) -> None:
    messages: Messages = []
    line = first
    asked = False
    while True:
        if line is None:
            line = _read_line(console, "your answer> " if asked else "you> ")
        text, line = line.strip(), None
        if text == "/quit":
            return
        if text == "/new":
            messages, asked = [], False
            continue
        if not text:
            continue
        messages.append({"role": "user", "content": text})
        try:
            reply = _stream(client, model, messages, console, hide_reasoning=hide_reasoning)
        except APIStatusError as error:
            if not sys.stdin.isatty():
                raise
            console.print(Text(_reason(error), style="red"))
            messages.pop()
            continue
        messages.append(reply)
        asked = reply.get("pir", {}).get("status") == "awaiting_user"


def _stream(
    client: OpenAI, model: str, messages: Messages, console: Console, *, hide_reasoning: bool
) -> dict[str, Any]:
    """Print one reply as it comes; returns the assistant message to append, our opaque fields included."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    printer = Printer(console, hide_reasoning=hide_reasoning)
    stream: Stream[ChatCompletionChunk] = client.chat.completions.create(
        model=model, messages=cast(Any, messages), stream=True
    )
    with stream:
        for chunk in stream:
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            extra = delta.model_extra or {}
            message |= {field: extra[field] for field in ("reasoning_details", "pir") if field in extra}
            message["content"] += delta.content or ""
            printer.show(extra.get("reasoning_content") or extra.get("reasoning"), delta.content, extra.get("pir"))
    return message


def _read_line(console: Console, prompt: str) -> str:
    """Raises: EOFError at the end of the input."""
    if sys.stdin.isatty():
        return console.input(Text(prompt, style="cyan"))
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _with_v1(base_url: str) -> str:
    """People paste the address that `pir serve` prints, with or without /v1."""
    base_url = base_url.rstrip("/")
    return base_url if base_url.endswith("/v1") else f"{base_url}/v1"


def _reason(error: APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return f"the gateway refused ({error.status_code}): {message or error.message}"
