"""`pir sessions`: what a gateway keeps of conversations, over its native API."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pir_serve.commands.printing import Printer
from pir_serve.commands.remote import Remote
from pir_serve.commands.session_views import session_tree, sessions_table
from pir_serve.commands.tables import put

_PATH = ("pir", "sessions")
_MAX_PAGE = 100
_STATUSES = ["awaiting_user", "finished", "completed", "incomplete", "failed"]


def _status_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--status", type=click.Choice(_STATUSES), help="Only these; finished is the last three.")(
        command
    )


def _with_gateway(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that name a gateway, and that gateway first."""

    @click.option("--base-url", default="http://127.0.0.1:8000/v1", show_default=True, help="The gateway.")
    @click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
    @functools.wraps(command)
    def run(base_url: str, api_key: str | None, **given: Any) -> None:
        command(Remote(base_url, api_key), **given)

    return run


@click.group()
def sessions() -> None:
    """Open questions and finished conversations of a gateway: list, read, answer, delete, export.

    A session (s_...) is a question of yours and all that came of it. Its nodes (pir_...) are the places where the model
    asked or ended: answer one question twice, and the session has two branches. Both kinds of id are taken everywhere.

    \b
      pir sessions list --status awaiting_user        # what waits for an answer
      pir sessions show s_4f1                         # the reasoning, branch by branch
      pir sessions resume s_4f1 "She buys 6 pens."    # goes on where it stopped
      pir sessions export --status completed -o rows.jsonl
    """


@sessions.command("list")
@_status_option
@click.option("--search", default=None, help="Words that all occur in the title, questions, responses or answers.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, as the API has them.")
@_with_gateway
def list_sessions(gateway: Remote, status: str | None, search: str | None, limit: int, as_json: bool) -> None:
    """List sessions, newest first."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"status": status, "search": search, "limit": min(limit - len(found), _MAX_PAGE), "cursor": cursor}
        page = gateway.call("GET", *_PATH, query=query)
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None or len(found) >= limit:
            break
    if as_json:
        _print_json(found)
    elif not found:
        click.echo("no sessions" + (" like that" if status or search else ""))
    else:
        put(sessions_table(found))
        if cursor is not None:
            click.echo(f"there are more than these {len(found)}; --limit shows more", err=True)


@sessions.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As the API has it.")
@click.option("--ids", is_flag=True, help="With --json: token ids and log-probabilities too.")
@_with_gateway
def show(gateway: Remote, name: str, as_json: bool, ids: bool) -> None:
    """Show a session as a tree of branches, or one node.

    \b
      ?  what the model asked          0.41  a reasoning step and its entropy in nats a token,
      >  what it was told                    where the request wanted "uncertainty"
      +  what the user said unasked    =     the answer
    """
    if ids and not as_json:
        raise click.UsageError("--ids goes with --json")
    session = gateway.call("GET", *_PATH, name, query={"ids": "1" if ids else None})
    if as_json:
        _print_json(session)
        return
    Console(highlight=False).print(session_tree(session))  # wrapped within its branches
    if session["has_more"]:
        click.echo(f"{session['num_nodes']} nodes in all; these are the newest", err=True)


@sessions.command()
@click.argument("name", metavar="ID")
@click.argument("response", required=False)
@click.option("--decline", is_flag=True, help="Give no answer: the model is to use its best judgment.")
@click.option("--hide-reasoning", is_flag=True, help="Show questions and answers only.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole reply, as the API has it; not streamed.")
@_with_gateway
def resume(
    gateway: Remote, name: str, response: str | None, decline: bool, hide_reasoning: bool, as_json: bool
) -> None:
    """Answer a question: the reasoning goes on where it stopped.

    Of a session, the newest question that waits is answered. Without RESPONSE it is read from the terminal or a pipe.

    \b
      pir sessions resume pir_AbC "She buys 6 pens."
      pir sessions resume pir_AbC --decline
    """
    if decline and response is not None:
        raise click.UsageError("--decline goes without a response")
    if response is None and not decline:
        response = click.prompt("your answer") if sys.stdin.isatty() else sys.stdin.read().strip()
    body: dict[str, Any] = {"action": "decline"} if decline else {"response": response}
    if as_json:
        _print_json(gateway.call("POST", *_PATH, name, "resume", body=body))
        return
    printer = Printer(Console(highlight=False, soft_wrap=True), hide_reasoning=hide_reasoning)
    pir: dict[str, Any] = {}
    for event in gateway.events(*_PATH, name, "resume", body=body | {"stream": True}):
        for choice in event["choices"]:
            delta = choice["delta"]
            pir = delta.get("pir") or pir
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            printer.show(reasoning, delta.get("content"), delta.get("pir"))
    if pir.get("status") == "awaiting_user":
        click.echo(f'to answer: pir sessions resume {pir["session"]} "..."', err=True)


@sessions.command()
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether this is meant.")
@_with_gateway
def delete(gateway: Remote, names: tuple[str, ...], yes: bool) -> None:
    """Delete sessions with all their nodes, or single nodes; a node's children stay.

    It cannot be undone. Open questions that are deleted can no longer be answered.
    """
    if not yes:
        click.confirm(f"delete {', '.join(names)} for good?", abort=True)
    for name in names:
        gone = gateway.call("DELETE", *_PATH, name)
        click.echo(f"deleted {name} ({gone['num_nodes']} node{'s' if gone['num_nodes'] > 1 else ''})")


@sessions.command()
@_status_option
@click.option("--since", default=None, help="Made since then: a date or time (UTC unless it says), or Unix seconds.")
@click.option("--model", default=None, help="Only of this model.")
@click.option("--session", default=None, help="Only of this session.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File; else standard output.")
@_with_gateway
def export(gateway: Remote, output: Path | None, **query: str | None) -> None:
    """Write trajectories as JSON lines: one for each node, newest first.

    The `parts` of a row are what training reads (texts with their authors), with token ids and log-probabilities as
    sampled; `exchanges` say who answered each question and why. A node that waits is the beginning of those that
    answer it, so for training take the completed ones:

    \b
      pir sessions export --status completed --since 2026-11-01 -o rows.jsonl
      python -m training.sft --config training/configs/tiny_sft.yaml --rows rows.jsonl
    """
    with gateway.open("GET", *_PATH, "export", query=query) as lines:
        if output is None:
            for line in lines:
                click.echo(line, nl=False)
            return
        count = _write_whole(output, lines)
    click.echo(f"{count} row{'' if count == 1 else 's'} in {output}", err=True)


def _write_whole(output: Path, lines: Iterator[bytes]) -> int:
    """How many lines; the file is there once it is whole, as a reader of half an export would not notice."""
    part = output.with_name(f"{output.name}.part")
    count = 0
    try:
        with part.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        part.replace(output)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise click.ClickException(f"{output} cannot be written: {error.strerror or error}") from None
        raise
    return count


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
