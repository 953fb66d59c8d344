"""`pir eval tasks`: what can be run."""

from __future__ import annotations

import json

import click
from rich.table import Table

from pir_serve.commands.tables import put


@click.command(
    epilog="""\b
Examples:
  pir eval tasks                     the list
  pir eval tasks pir_builtin         one task: its page
  pir eval tasks --json              for programs
"""
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def tasks(name: str | None, as_json: bool) -> None:
    """List the tasks and groups, with their versions and options."""
    from evals.catalog import catalog

    entries = catalog()
    if name is not None:
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            raise click.UsageError(f"no task {name}; there are {', '.join(entry.name for entry in entries)}")
        click.echo(found.page or f"{name}: {', '.join(found.members)}")
        return
    if as_json:
        click.echo(json.dumps([entry.to_json() for entry in entries], indent=1))
        return
    table = Table("task or group", "version", "options, or members", box=None)
    for entry in entries:
        options = ", ".join(f"{option}={json.dumps(value)}" for option, value in entry.options.items())
        table.add_row(entry.name, entry.version, ", ".join(entry.members) or options)
    put(table)
