"""`pir store`: what a store holds, for those who run it: all tenants, without a gateway in between."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import orjson
from rich.table import Table

from pir_serve.api.session_views import export_row
from pir_serve.commands.stores import with_store
from pir_serve.commands.tables import put
from pir_serve.store.base import Store

_AT_ONCE = 64


@click.group()
def store() -> None:
    """What is stored, of all tenants: count, clean up, export, delete, encrypt anew.

    Works on the store itself, while gateways run on it or not. For one's own conversations, over a gateway, there is
    `pir sessions`.

    \b
      pir store stats
      pir store export --tenant key_4f1a09b3c2d7 -o alice.jsonl
      pir store purge --tenant key_4f1a09b3c2d7
      PIR_SEAL_KEY=new-secret-of-yours,old-secret-of-yours pir store reseal
    """


@store.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@with_store
async def stats(store: Store, *, as_json: bool) -> None:
    """Count what each tenant has stored."""
    tenants = {tenant: await store.stats(tenant) for tenant in await store.tenants()}
    size = (await store.stats()).num_bytes
    rows = [
        {
            "tenant": tenant,
            "waiting": s.nodes.get("awaiting_user", 0),
            "finished": sum(n for status, n in s.nodes.items() if status != "awaiting_user"),
            "sessions": s.num_sessions,
            "responses": sum(s.responses.values()),
        }
        for tenant, s in tenants.items()
    ]
    if as_json:
        click.echo(json.dumps({"bytes": size, "tenants": rows}))
        return
    table = Table("tenant", "open questions", "finished", "sessions", "responses", box=None)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    put(table)
    click.echo(f"{len(rows)} tenant(s)" + ("" if size is None else f", {size / 1e6:.1f} MB"))


@store.command()
@with_store
async def gc(store: Store) -> None:
    """Delete what has expired. Running gateways do so by themselves, once a minute."""
    click.echo(f"deleted {await store.expire(time.time())}")


@store.command()
@click.option("--tenant", required=True, help="Whose; `pir store stats` lists them.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File; else standard output.")
@with_store
async def export(store: Store, *, tenant: str, output: Path | None) -> None:
    """Write all trajectories of a tenant, reasoning included, as JSON lines: the rows of `pir sessions export`."""
    with click.open_file(str(output or "-"), "wb") as file:
        count = 0
        async for row in _exported(store, tenant):
            file.write(orjson.dumps(row) + b"\n")
            count += 1
    click.echo(f"{count} row{'' if count == 1 else 's'}", err=True)


@store.command()
@click.option("--tenant", required=True, help="Whose; `pir store stats` lists them.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether this is meant.")
@with_store
async def purge(store: Store, *, tenant: str, yes: bool) -> None:
    """Delete everything of a tenant: trajectories, titles, responses. Its keys stay; `pir keys revoke` ends them."""
    if not yes:
        click.confirm(f"delete everything of {tenant} for good?", abort=True)
    click.echo(f"deleted {await store.purge(tenant)}")


@store.command()
@with_store
async def reseal(store: Store) -> None:
    """Encrypt all that is stored with the first key of PIR_SEAL_KEY, so that the others can be dropped.

    To replace a key: put the new one in front of PIR_SEAL_KEY and restart the gateways, run this, then take the old one
    away. It also encrypts what was stored before there was a key.
    """
    click.echo(f"sealed {await store.reseal()} anew")


async def _exported(store: Store, tenant: str) -> AsyncIterator[dict[str, Any]]:
    cursor = None
    while True:
        page = await store.list(tenant, limit=_AT_ONCE, cursor=cursor)
        for node in page.items:
            yield export_row(node, None)
        cursor = page.cursor
        if cursor is None:
            return
