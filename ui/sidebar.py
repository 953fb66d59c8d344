"""The list of sessions: what waits for the user, what has ended; search, rename, delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from ui.client import Gateway, GatewayAway, GatewayError

_FILTERS = {"All": None, "Waiting for you": "awaiting_user", "Finished": "finished"}
FILTERS = list(_FILTERS)


class Sidebar:
    """The callbacks of the list."""

    def __init__(self, gateway_of: Callable[[gr.Request], Gateway]) -> None:
        self._gateway_of = gateway_of

    async def look(self, search: str, shown: str, current: str, request: gr.Request) -> tuple[str, str]:
        """The list, and the banner that says that the gateway is away: empty while it is there."""
        status = _FILTERS.get(shown)
        try:
            page = await self._gateway_of(request).sessions(status=status, search=search.strip()[:200])
        except GatewayAway:
            return gr.skip(), banner_html("The gateway does not answer. What you typed stays here; trying again …")
        except GatewayError as error:
            return gr.skip(), banner_html(str(error))
        listing = sessions_html(page["data"], current=current, is_filtered=bool(search.strip() or status))
        return listing + ('<p class="empty">Older ones: search.</p>' if page["has_more"] else ""), ""

    async def change(self, act: str, session: str, text: str, request: gr.Request) -> None:
        """Rename or delete. Raises: gr.Error, which the page shows."""
        gateway = self._gateway_of(request)
        try:
            if act == "rename":
                await gateway.rename(session, text)
            elif act == "delete":
                await gateway.delete(session)
        except GatewayError as error:
            raise gr.Error(str(error), print_exception=False) from None


def banner_html(text: str) -> str:
    return f'<div class="away" role="alert"><span class="dot" aria-hidden="true"></span>{escape(text)}</div>'


def sessions_html(sessions: Sequence[Mapping[str, Any]], *, current: str | None, is_filtered: bool) -> str:
    if not sessions:
        text = "Nothing like that." if is_filtered else "Your conversations will be here."
        return f'<p class="empty">{text}</p>'
    items = "".join(_item(session, is_current=session["id"] == current) for session in sessions)
    return f'<ul class="sessions" aria-label="Conversations">{items}</ul>'


def _item(session: Mapping[str, Any], *, is_current: bool) -> str:
    name, title = escape(str(session["id"])), escape(str(session["title"]))
    waits = session["status"] == "awaiting_user"
    state = "waiting for you" if waits else {"completed": "finished"}.get(session["status"], str(session["status"]))
    mark = ' aria-current="page"' if is_current else ""
    line = escape(str(session["question"])) if waits else f"{state} {_ago(int(session['updated_at']))}"
    return f"""<li class="{"waits" if waits else "ended"}">
<a href="?session={name}" data-act="open" data-id="{name}"{mark}><span class="title">{title}</span><span class="line"
><span class="sr">{state}: </span>{line}</span></a>
<details class="more" data-fold="more-{name}"><summary aria-label="Rename or delete: {title}">⋯</summary><div class="menu">
<form data-act="rename" data-id="{name}" data-empty><input name="text" value="{title}" maxlength="200" aria-label="Title"
><button type="submit">Rename</button></form>
<button type="button" class="danger" data-act="delete" data-id="{name}" data-confirm="Delete this conversation for good?"
>Delete</button></div></details></li>"""


def _ago(unix: int) -> str:
    seconds = max(0, int(time.time()) - unix)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"
