"""`pir ui`: the web app over a gateway."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any

import click

from evals.runs import RunError


@click.command(
    epilog="""\b
Examples:
  pir ui                                             over the gateway of `pir serve`, on http://127.0.0.1:7860
  pir ui --base-url http://10.0.0.5:8000 --api-key KEY
  pir ui --run out/a --run out/b                     two evaluation runs side by side
  pir ui --host 0.0.0.0 --users users.toml           people log in, each with a key of their own
"""
)
@click.option("--base-url", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need --users.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 picks a free one.")
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
def ui(
    base_url: str, api_key: str | None, host: str, port: int, users_file: Path | None, runs: tuple[Path, ...]
) -> None:
    """Start the web app over a gateway, which may be anywhere and need not run yet.

    Conversations are the gateway's own: reload, restart, another device, they are still there. All who use one
    gateway key see the same ones, so an address that others can reach needs --users.
    """
    from ui.app import CSS, HEAD, THEME, build
    from ui.explore import read_runs
    from ui.users import Users, UsersError, read_accounts

    if users_file is None and not _is_loopback(host):
        raise click.UsageError(f"others can reach {host}, and would see your conversations: give --users")
    try:
        accounts = read_accounts(users_file) if users_file else None
        read = read_runs(runs)
    except (UsersError, RunError) as error:
        raise click.ClickException(str(error)) from None
    users = Users(base_url, api_key or os.environ.get("OPENAI_API_KEY"), accounts)
    page = build(users, read).queue(default_concurrency_limit=64)
    login: dict[str, Any] = {"auth": users.knows} if users.must_log_in else {}
    try:
        _, url, _ = page.launch(
            server_name=host, server_port=port, theme=THEME, css_paths=CSS, head=HEAD, quiet=True, share=False,
            footer_links=[], ssr_mode=False, prevent_thread_lock=True, enable_monitoring=False, **login,
        )  # fmt: skip
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error}") from None
    click.echo(f"PIR web app: {url.rstrip('/')}   gateway {base_url}")
    click.echo("  Ctrl-C stops.")
    page.block_thread()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
