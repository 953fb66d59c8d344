"""`pir config`: a pir.toml to begin with, and whether one is right."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pir_serve.config import REQUEST_KEYS, Config, load
from pir_serve.config_example import example as example_text
from pir_serve.engines.completions import without_credentials
from pir_serve.settings import Settings


@click.group()
def config() -> None:
    """Write and check pir.toml, the file for gateways with several models or many settings.

    \b
    pir config example > pir.toml
    pir config check pir.toml
    pir serve --config pir.toml
    """


@config.command()
def example() -> None:
    """Print a pir.toml with every key, its default and what it is for.

    \b
    pir config example > pir.toml
    """
    click.echo(example_text(), nl=False)


@config.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def check(path: Path | None) -> None:
    """Say what a gateway with this file (else PIR_CONFIG's) would serve, or what is wrong with it.

    Variables (PIR_*) count as they would for `pir serve`. Nothing is started: `pir doctor --config` also asks the
    engines. Exit code 2 if something is wrong.

    \b
    pir config check pir.toml
    """
    found = load(os.environ, config=path)
    for model in found.models:
        model.tokenizer_dir  # noqa: B018  (raises where there is none)
    click.echo(_summary(found))


def _summary(found: Config) -> str:
    settings = found.settings
    lines = [f"{found.path or 'no file'}: all is well", f"  listens on {settings.host}:{settings.port}"]
    lines += [f"  {settings.workers} workers"] * (settings.workers > 1)
    for model in found.models:
        where = ", ".join(map(without_credentials, model.engine_url)) or "in this process"
        lines.append(f"  model {model.name}: {model.engine}, {where}{_requests(model)}")
    lines.append(f"  open questions: {settings.store_name}")
    return "\n".join(lines)


def _requests(model: Settings) -> str:
    """What its requests go by, where that is set."""
    plain = Settings()
    changed = {key: value for key in REQUEST_KEYS if (value := getattr(model, key)) != getattr(plain, key)}
    return "".join(f", {key} {value}" for key, value in changed.items())
