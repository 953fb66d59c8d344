"""A conversation of `pir chat` as a file: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from pir_serve.commands.conversation import Conversation


def write(conversation: Conversation, path: Path | None) -> Path:
    """To `path`, by its suffix, or to a Markdown file named by the time; returns which.

    Raises:
        click.ClickException: nothing to write, an unknown suffix, a file that is there already or cannot be written.
    """
    path = path or Path(time.strftime("pir-chat-%Y%m%d-%H%M%S.md"))
    if not conversation.messages:
        raise click.ClickException("nothing has been said yet")
    if path.suffix not in (".md", ".json"):
        raise click.ClickException(f"{path} ends neither in .md nor in .json")
    text = _json(conversation) if path.suffix == ".json" else "\n".join(_markdown(conversation))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; choose another name") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _json(conversation: Conversation) -> str:
    messages = [{k: v for k, v in m.items() if k != "reasoning_details"} for m in conversation.messages]
    return json.dumps({"model": conversation.model, "messages": messages}, ensure_ascii=False, indent=1)


def _markdown(conversation: Conversation) -> Iterator[str]:
    yield f"# {conversation.model}\n"
    for message in conversation.messages:
        if reasoning := message.get("reasoning_content", "").strip():
            yield "\n".join(f"> {line}" for line in ["*Reasoning*", "", *reasoning.splitlines()]) + "\n"
        who = "You" if message["role"] == "user" else "Model"
        if message.get("pir", {}).get("status") == "awaiting_user":
            who = "Model asks"
        yield f"**{who}:** {message['content']}\n"
