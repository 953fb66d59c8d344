"""`pir keys`: API keys in the store. A gateway that runs on it follows within seconds."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from pir_serve.access.keys import ApiKey, Limits, make_key
from pir_serve.commands.stores import with_store
from pir_serve.commands.tables import put
from pir_serve.store.base import Store

_COUNT = click.IntRange(1, 1_000_000_000)


@click.group()
def keys() -> None:
    """API keys for clients: make, list, revoke.

    A key belongs to a tenant: what is stored of one tenant's conversations is never seen by another. The store keeps
    hashes only, so a key is shown once, when it is made. As soon as there is one, no request is served without.

    \b
      pir keys create --name alice
      pir keys create --name batch --ask never --tokens-per-minute 200000 --max-streams 8
      pir keys create --name "alice, new key" --tenant key_4f1a09b3c2d7    # the same conversations
      pir keys list
      pir keys revoke key_4f1a09b3c2d7
    """


@keys.command()
@click.option("--name", default="", help="For your lists; callers do not see it.")
@click.option("--tenant", default=None, help="Whose conversations it reaches. Default: nobody's yet.")
@click.option("--requests-per-minute", type=_COUNT, default=None, help="POST requests; else PIR_REQUESTS_PER_MINUTE.")
@click.option(
    "--tokens-per-minute", type=_COUNT, default=None, help="Prompt and completion; else PIR_TOKENS_PER_MINUTE."
)
@click.option("--max-streams", type=_COUNT, default=None, help="Replies generated at a time; else PIR_MAX_STREAMS.")
@click.option("--max-stored", type=_COUNT, default=None, help="Trajectories kept of its tenant; else PIR_MAX_STORED.")
@click.option("--ask", default=None, help="The most its users may be asked: auto, never or max=N.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@with_store
async def create(store: Store, *, name: str, tenant: str | None, as_json: bool, **limits: Any) -> None:
    """Make a key and print it: the only time that it can be seen."""
    if tenant is not None and not 0 < len(tenant) <= 128:
        raise click.BadParameter("a tenant's name has 1 to 128 characters", param_hint="--tenant")
    secret, key = make_key(tenant, name=name, limits=Limits(**limits))
    await store.keys.put(key)
    if as_json:
        click.echo(json.dumps({"key": secret, **_described(key)}))
        return
    click.echo(secret)
    click.echo(f"{key.id}, tenant {key.tenant}. It is not shown again; clients send it as their API key.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@with_store
async def list_keys(store: Store, *, as_json: bool) -> None:
    """List keys, oldest first, revoked ones too. The keys themselves are not known any more."""
    found = await store.keys.list()
    if as_json:
        click.echo(json.dumps([_described(key) for key in found], indent=2))
        return
    if not found:
        click.echo("no keys; PIR_API_KEY may hold some")
        return
    table = Table("id", "name", "tenant", "made", "limits", box=None)
    for key in found:
        limits = ", ".join(f"{name} {value}" for name, value in _limits(key).items())
        made = f"{datetime.fromtimestamp(key.created, UTC):%Y-%m-%d}"
        table.add_row(
            key.id, key.name, key.tenant, made, "revoked" if key.revoked else limits or "as the server is set"
        )
    put(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@with_store
async def revoke(store: Store, *, key_id: str) -> None:
    """Refuse a key from now on, within seconds on running gateways. What its tenant has stored stays."""
    if not await store.keys.revoke(key_id, time.time()):
        raise click.ClickException(f"there is no good key {key_id!r}; `pir keys list` shows the ids (key_...)")
    click.echo(f"revoked {key_id}")


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        **{name: getattr(key, name) for name in ("id", "name", "tenant", "created", "revoked")},
        "limits": _limits(key),
    }


def _limits(key: ApiKey) -> dict[str, Any]:
    known = asdict(key.limits)
    return {one.name: known[one.name] for one in fields(Limits) if known[one.name] is not None}
