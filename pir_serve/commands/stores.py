"""What the commands share that work on a store itself, with or without a gateway running on it."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from pir_serve.api.build import build_store
from pir_serve.config import load
from pir_serve.settings import Settings


def with_store(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Gives a command the options that name a store, and that store, opened, first."""

    @click.option("--store", type=click.Path(path_type=Path), help="SQLite file; else as pir serve has it.")
    @click.option("--config", type=click.Path(path_type=Path), help="The gateway's pir.toml; else PIR_CONFIG.")
    @functools.wraps(command)
    def run(store: Path | None, config: Path | None, **given: Any) -> None:
        names = {name: value for name, value in os.environ.items() if store is None or name != "PIR_DATABASE"}
        asyncio.run(_run(load(names, config=config, store=store).settings, command, given))

    return run


async def _run(settings: Settings, command: Callable[..., Awaitable[None]], given: dict[str, Any]) -> None:
    store = build_store(settings)
    await store.start()
    try:
        await command(store, **given)
    finally:
        await store.aclose()
