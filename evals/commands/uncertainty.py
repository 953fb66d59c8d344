"""`pir eval uncertainty`: whether a model's uncertainty tells that a premise is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evals.metrics import Scored
    from evals.uncertainty import Scores

_READABLE = 0.5
"""Below this share of clear replies a model cannot say how sure it is."""


@click.command(
    epilog="""\b
Examples:
  pir eval run --tasks pir_builtin --limit 400 -o out/runs/tiny
  pir eval uncertainty out/runs/tiny
\b
Disagreement of eight samples as well
  pir eval run --tasks pir_builtin --limit 200 --conditions no_ask+full --repeats 8 --temperature 1 -o out/runs/samples
  pir eval uncertainty out/runs/samples
\b
What the model says when asked, and dropout where it has any
  pir eval uncertainty out/runs/tiny --base-url http://127.0.0.1:8000/v1 --dropout FOLDER
"""
)
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="RUN/uncertainty if not given.")
@click.option("--base-url", help="Ask the model that was played how likely something is missing; it must answer here.")
@click.option("--api-key", envvar="OPENAI_API_KEY", help="Or OPENAI_API_KEY.")
@click.option(
    "--dropout",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Score with dropout on, by this folder of the model that was played.",
)
@click.option("--passes", type=click.IntRange(min=2), default=10, show_default=True, help="With dropout.")
@click.option("--concurrency", type=click.IntRange(min=1), default=8, show_default=True, help="Requests in flight.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap and of dropout.")
def uncertainty(
    run: Path,
    output: Path | None,
    base_url: str | None,
    api_key: str | None,
    folder: Path | None,
    passes: int,
    concurrency: int,
    seed: int,
) -> None:
    """Does a model's uncertainty tell that a premise is missing? Does asking follow it?

    From a run's conversations under no_ask and full: the AUROC of each signal of uncertainty, with its interval, and
    the entropy of the steps beside asks. Repeats at a temperature above 0 give self-consistency.
    """
    from evals.graded import graded_run
    from evals.report.uncertainty import Study, write_study
    from evals.runs import RunError
    from evals.uncertainty import asks_follow, signals, versions

    notes: list[str] = []
    more: dict[str, Scores] = {}
    try:
        found, scored = graded_run(run)
        if not versions(scored):
            raise RunError(f"{run} has no problem under both no_ask and full; play it with both conditions")
        if base_url is not None:
            model = str(found.manifest["identity"].get("model"))
            more["verbalised"] = _verbalised(scored, base_url, model, api_key, concurrency, notes)
        if folder is not None:
            more["mc_dropout"] = _dropout(scored, folder, passes, seed, notes)
    except (RunError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    title = f"{found.manifest['identity'].get('model')} on {', '.join(found.manifest['tasks'])}"
    if not any(one.transcript.steps for one in scored):
        notes.append("the run has no step entropies: its server reports none, or it was played with --no-uncertainty")
    if not any(len(of) > 1 for of in versions(scored).values()):
        notes.append("no self-consistency: each row was played once (--repeats, at a --temperature above 0)")
    study = Study(title, signals(scored, more, seed=seed), asks_follow(scored, seed=seed), notes, found.manifest, seed)
    click.echo(study.markdown())
    try:
        files = write_study(study, output or run / "uncertainty")
    except OSError as error:
        raise click.ClickException(f"the study cannot be written: {error}") from error
    for file in files:
        click.echo(str(file))


def _verbalised(
    scored: Sequence[Scored], base_url: str, model: str, api_key: str | None, concurrency: int, notes: list[str]
) -> Scores:
    import os

    from evals.endpoint import Sampling, probe
    from evals.verbalised import verbalise

    endpoint = probe(base_url, model, "auto", api_key or os.environ.get("OPENAI_API_KEY") or "none")
    found = asyncio.run(verbalise(scored, endpoint, Sampling(max_tokens=400), concurrency=concurrency))
    replies, clear = len(found.said), len(found.scores)
    notes.append(
        f"verbalised: {clear} of {replies} replies were a number from 0 to 100 and nothing else, {found.failed} requests failed"
    )
    if clear < _READABLE * replies:
        notes.append(f"{model} cannot say how likely a premise is missing: most replies are no number")
        return {}
    return found.scores


def _dropout(scored: Sequence[Scored], folder: Path, passes: int, seed: int, notes: list[str]) -> Scores:
    from evals.dropout import NoDropoutError, mc_dropout

    try:
        return mc_dropout(scored, folder, passes=passes, seed=seed)
    except NoDropoutError as error:
        notes.append(f"no MC dropout: {error}")
        return {}
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be loaded: {error}") from error
