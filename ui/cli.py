"""`pir ui`: the web app over a gateway."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any

import click

from evals.commands.grading_options import grading_options
from evals.grading import GradingOptions
from evals.runs import RunError

HOW = "pip install 'pir-serve[ui]' (in a clone: make setup-ui)"
SHOWN = ("chat", "compare", "explore", "runs")


@click.command(
    epilog="""\b
Examples:
  pir ui                                             over the gateway of `pir serve`, on http://127.0.0.1:7860
  pir ui --base-url http://10.0.0.5:8000 --api-key KEY
  pir ui --run out/a --run out/b                     with two evaluation runs to read; pir eval view opens them
  pir ui --host 0.0.0.0 --users users.toml           people log in, each with a key of their own
"""
)
@click.option("--base-url", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need --users.")
@click.option("--port", type=click.IntRange(1, 65535), help="7860 if not given, or the next that is free.")
@click.option(
    "--users",
    "users_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of who may log in: [ann], password, api_key (a key of the gateway).",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A run of `pir eval` to read in it; repeat it to read two side by side.",
)
@click.option("--show", type=click.Choice(SHOWN), default=SHOWN[0], show_default=True, help="Where the page begins.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@click.option("--while-input", is_flag=True, hidden=True, help="End when standard input does.")
@grading_options
def ui(
    base_url: str,
    api_key: str | None,
    host: str,
    port: int | None,
    users_file: Path | None,
    runs: tuple[Path, ...],
    show: str,
    open_it: bool,
    while_input: bool,
    options: GradingOptions,
) -> None:
    """Start the web app over a gateway, which may be anywhere and need not run yet.

    Conversations are the gateway's own: reload, restart, another device, they are still there. All who use one
    gateway key see the same ones, so an address that others can reach needs --users.
    """
    try:
        from ui.app import build
        from ui.explore import read_runs
        from ui.launch import end_with_input, launch
        from ui.users import Users, UsersError, read_accounts
    except ModuleNotFoundError as error:
        raise click.ClickException(f"the web app needs {error.name}: {HOW}") from None

    if users_file is None and not _is_loopback(host):
        raise click.UsageError(f"others can reach {host}, and would see your conversations: give --users")
    try:
        accounts = read_accounts(users_file) if users_file else None
        read = read_runs(runs, options)
    except (UsersError, RunError) as error:
        raise click.ClickException(str(error)) from None
    users = Users(base_url, api_key or os.environ.get("OPENAI_API_KEY"), accounts)
    page = build(users, read).queue(default_concurrency_limit=64)
    login: dict[str, Any] = {"auth": users.knows} if users.must_log_in else {}
    url = launch(page, host, port, **login) + ("" if show == SHOWN[0] else f"/?tab={show}")
    click.echo(f"PIR web app: {url}   gateway {base_url}")
    click.echo("  Ctrl-C stops.")
    if open_it:
        click.launch(url)
    if while_input:
        end_with_input()
    page.block_thread()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
