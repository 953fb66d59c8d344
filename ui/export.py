"""A conversation to take away: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import re
from typing import Any

import gradio as gr

from ui.conversation import Asked, Conversation, Said, Step
from ui.desk import Desk

FORMATS = ("Markdown", "JSON")


def exported(kind: str, desk: Desk) -> dict[str, str]:
    """Name and text of the file that the browser saves. Raises: gr.Error, which the page shows."""
    if desk.session is None or desk.shown is None:
        raise gr.Error("There is nothing to save yet.", print_exception=False)
    name = re.sub(r"\W+", "-", desk.shown.title.lower())[:48].strip("-") or "conversation"
    if kind == "JSON":
        return {"name": f"{name}.json", "text": as_json(desk.session, desk.shown)}
    return {"name": f"{name}.md", "text": as_markdown(desk.shown)}


def as_markdown(shown: Conversation) -> str:
    """One branch, with the reasoning quoted and the entropy of its steps."""
    lines = [f"# {shown.title or shown.problem}", ""]
    for role, text in (*shown.earlier, ("user", shown.problem)):
        lines += ["**You**" if role == "user" else "**Model**", "", text, ""]
    lines += ["**Reasoning**", ""]
    for part in shown.parts:
        match part:
            case Step():
                doubt = "" if part.entropy is None else f" *({part.entropy:.2f} nats)*"
                lines.append(f"> {part.text}{doubt}")
            case Said():
                lines += [">", f"> **You added:** {part.text}"]
            case Asked():
                who = "You" if part.by == "user" else f"In your place ({part.reason})"
                told = "*(waits for an answer)*" if part.response is None else part.response
                lines += [">", f"> **Asked:** {part.question}", ">", f"> **{who}:** {_quoted(told)}", ">"]
    if shown.answer:
        lines += ["", "**Answer**", "", shown.answer]
    return "\n".join(lines) + "\n"


def as_json(session: dict[str, Any], shown: Conversation) -> str:
    """The session as the gateway has it, every branch, and the leaf that is on the page."""
    return json.dumps({"shown": shown.leaf, "session": session}, ensure_ascii=False, indent=1) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\n", "\n> ")
