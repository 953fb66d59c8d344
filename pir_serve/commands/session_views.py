"""Sessions as people read them in a terminal: a table of many, a tree of one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pir_serve.markup import TAGS

_STYLES = {"awaiting_user": "yellow", "completed": "green", "incomplete": "magenta", "failed": "red"}
_ASK = re.compile(f"{re.escape(TAGS.ask_open)}.*?(?:{re.escape(TAGS.ask_close)}|$)", re.DOTALL)


def sessions_table(sessions: Sequence[dict[str, Any]], *, numbered: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    if numbered:
        table.add_column("", justify="right")
    for name in ("SESSION", "STATUS", "UPDATED"):
        table.add_column(name, no_wrap=True)
    table.add_column("TITLE, AND WHAT THE MODEL ASKS", overflow="fold")
    for number, session in enumerate(sessions, 1):
        said = Text(readable(session["title"]) or "(no title)")
        if session["question"]:
            said.append(f"\n? {readable(session['question'])}", style="bold")
        cells = (session["id"], _status(session["status"]), age(session["updated_at"]), said)
        table.add_row(*((str(number), *cells) if numbered else cells))
    return table


def session_tree(session: dict[str, Any]) -> RenderableType:
    """What was asked, answered and reasoned on each branch, with the entropy of each step where it was recorded."""
    head = Text(readable(session["title"]) or "(no title)", style="bold")
    facts = f"{session['id']}  {session['model']}  {session['num_nodes']} nodes, {session['num_waiting']} waiting"
    tree = Tree(Group(head, Text(facts)))
    for node in session["branches"]:
        _grow(tree, node, num_known=0, is_answer=False)
    return tree


def _grow(tree: Tree, node: dict[str, Any], *, num_known: int, is_answer: bool) -> None:
    """`num_known`: exchanges that the parent's branch has shown; `is_answer`: the node begins with the answer to it."""
    head = Text.assemble(node["id"], "  ", _status(node["status"]), f"  {age(node['created_at'])}")
    if node["detail"]:
        head.append(f"  {node['detail']}")
    exchanges = node["exchanges"]
    if "segments" in node:
        lines = list(_told(node["segments"], iter(exchanges[num_known:]), is_answer=is_answer))
    else:  # the gateway does not show reasoning
        lines = [line for e in exchanges[num_known:] for line in (_question(e["question"]), _response(e))]
    if node["question"]:
        lines.append(_question(node["question"]))
    if node["answer"]:
        lines.append(Text(f"= {readable(node['answer'])}", style="bold green"))
    branch = tree.add(Group(head, *lines))
    for child in node["children"]:
        _grow(branch, child, num_known=len(exchanges), is_answer=bool(node["question"]))


def _told(segments: Sequence[dict[str, Any]], exchanges: Iterator[Any], *, is_answer: bool) -> Iterator[Text]:
    """Lines for what the model wrote, and for what was put in between: answers, and what the user said unasked."""
    has_asked, in_sight, began = is_answer, is_answer, is_answer
    for segment in segments:
        text = segment["text"]
        if segment["author"] == "model":
            yield from _thoughts(segment)
            has_asked, in_sight, began = text.endswith(TAGS.ask_close), False, True
        elif TAGS.response_open in text and began:
            exchange = next(exchanges, None) if has_asked else None
            if exchange is None:
                said = text.partition(TAGS.response_open)[2].partition(TAGS.response_close)[0]
                yield Text(f"+ {readable(said)} (unasked)", style="cyan")
            else:
                if not in_sight:
                    yield _question(exchange["question"])
                yield _response(exchange)
            has_asked = False


def _thoughts(segment: dict[str, Any]) -> Iterator[Text]:
    if segment["uncertainty"] is not None:
        for step in segment["uncertainty"]:
            line = Text(f"{step['entropy']:5.2f} ", style="cyan")
            yield line.append(readable(step["text"].strip()), style="dim")
        return
    reasoning = _ASK.sub("", segment["text"].partition(TAGS.think_close)[0]).strip()
    if reasoning:
        yield Text(readable(reasoning), style="dim")


def _question(text: str) -> Text:
    return Text(f"? {readable(text)}", style="bold yellow")


def _response(exchange: dict[str, Any]) -> Text:
    who = "" if exchange["by"] == "user" and not exchange["reason"] else f" ({exchange['by']}: {exchange['reason']})"
    return Text(f"> {readable(exchange['response'])}{who}", style="cyan")


def _status(status: str) -> Text:
    return Text(status, style=_STYLES.get(status, ""))


def readable(text: str) -> str:
    """Without what would steer the terminal: people and models may write anything."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def age(unix_s: float) -> str:
    """`5 min ago`; of what lies ahead, a clock being wrong, `now`."""
    seconds = time.time() - unix_s
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "now"
