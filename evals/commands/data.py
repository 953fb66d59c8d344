"""`pir eval data`: the public data sets that tasks are made from, and what of them is on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.table import Table

from evals.data.fetch import Held, cache_folder, fetch, held
from evals.data.registry import DataError, DataSet, data_sets, named
from pir_serve.commands.tables import progress_bar, put


@click.group(
    epilog="""\b
Examples:
  pir eval data list                        what there is, under which licence
  pir eval data fetch mip_gsm8k gsm8k       download, or go on downloading
  pir eval data verify                      is what is here what it was?
\b
A file that you have already needs no fetching:
  pir eval run --tasks pir_mip_gsm8k --data mip_gsm8k.jsonl -o out/runs/mip
"""
)
def data() -> None:
    """List, fetch and verify data sets.

    No public data set comes with this repository. Each has an address, a licence and, where we could read the file, a
    sha256. Files go to PIR_DATA, or else to pir/data in your cache folder.
    """


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_(as_json: bool) -> None:
    """List the data sets and what of them is here."""
    states = {name: held(dataset) for name, dataset in data_sets().items()}
    if as_json:
        entries = [_entry(dataset, states[name]) for name, dataset in data_sets().items()]
        click.echo(json.dumps(entries, indent=1))
        return
    table = Table("name", "what", "records", "licence", "here", box=None)
    for name, dataset in data_sets().items():
        table.add_row(name, dataset.title, str(dataset.records), dataset.license, states[name].state)
    put(table)
    click.echo(f"\nThey lie in {cache_folder()}; `pir eval data fetch NAME` downloads one.")


def _entry(dataset: DataSet, here: Held) -> dict[str, object]:
    known = {key: getattr(dataset, key) for key in ("name", "title", "url", "revision", "sha256", "license", "records")}
    return known | {"notes": dataset.notes, "here": here.state, "path": str(here.path)}


@data.command("fetch")
@click.argument("names", nargs=-1, required=True)
def fetch_(names: tuple[str, ...]) -> None:
    """Download data sets, or go on where a download broke off."""
    try:
        chosen = [named(name) for name in names]
    except DataError as error:
        raise click.ClickException(str(error)) from error
    for dataset in chosen:
        try:
            here = _fetch(dataset)
        except DataError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(f"cannot write to {cache_folder()}: {error.strerror or error}") from error
        click.echo(f"{dataset.name}: {here.path} ({here.bytes} bytes, licence {dataset.license})")
        if here.state == "recorded":
            click.echo(
                f"  sha256 {here.sha256} was recorded, not checked: the registry has none for this file", err=True
            )


def _fetch(dataset: DataSet) -> Held:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with progress_bar(*columns, transient=True) as bar:
        task = bar.add_task(dataset.name, total=None)
        return fetch(dataset, progress=lambda done, total: bar.update(task, completed=done, total=total))


@data.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of yours, to compare."
)
def verify(names: tuple[str, ...], file: Path | None) -> None:
    """Compare what is here with the registry; exit with 1 if something has changed.

    Without names: all that is here. With --file: whether that file is the original of the one data set named.
    """
    try:
        chosen = [named(name) for name in names] or list(data_sets().values())
        if file is not None:
            _verify_file(chosen, file)
            return
    except DataError as error:
        raise click.ClickException(str(error)) from error
    states = {dataset.name: held(dataset) for dataset in chosen}
    for name, here in states.items():
        if names or here.state != "missing":
            click.echo(f"{name}: {here.state}{f' (sha256 {here.sha256})' if here.sha256 else ''}")
    if not names and all(here.state == "missing" for here in states.values()):
        click.echo(f"nothing is in {cache_folder()}")
    if any(here.state == "changed" or (names and here.state in ("missing", "partial")) for here in states.values()):
        sys.exit(1)


def _verify_file(chosen: list[DataSet], file: Path) -> None:
    import hashlib

    if len(chosen) != 1:
        raise click.UsageError("--file is compared with one data set: name it")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = chosen[0].sha256
    if not expected:
        click.echo(f"{file}: sha256 {digest}; the registry has none for {chosen[0].name}")
    elif digest == expected:
        click.echo(f"{file}: the original of {chosen[0].name}")
    else:
        click.echo(
            f"{file}: sha256 {digest}, but {chosen[0].name} has {expected}; it may hold the same in another form"
        )
        sys.exit(1)
