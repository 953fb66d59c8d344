"""`pir eval run`: play tasks, leave a run's folder, print what asking gained."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from evals.commands.grading_options import grading_options, kept_in
from evals.commands.parsing import assignments, data_files
from evals.commands.price_options import price_options
from evals.costs import Prices
from evals.grading import GradingOptions
from evals.progress import RunProgress
from evals.rows import CONDITIONS
from evals.runs import RESULTS, RunError, describe_tasks
from evals.simulators.page import AnswerPage

INTERRUPTED = 130
"""Exit code of a shell command that Ctrl-C stopped."""


@click.command(
    epilog="""\b
Examples:
  pir eval run --tasks pir_builtin --limit 200 -o out/runs/tiny
  pir eval run --tasks pir_builtin --option split=heldout_families -o out/runs/tiny-transfer
  pir eval run --tasks pir_mip_gsm8k --data mip_gsm8k.jsonl -o out/runs/mip
  pir eval run --tasks pir_core --persona terse=2,typos=1 --repeats 4 -o out/runs/hasty
\b
A baseline: any OpenAI-compatible server, told by a prompt how to ask
  pir eval run --base-url http://127.0.0.1:8001/v1 --server prompted --tasks pir_core -o out/runs/base
\b
Stopped, by Ctrl-C or otherwise? The same command goes on where it was.
"""
)
@click.option("--tasks", required=True, help="Tasks and groups, joined by commas; `pir eval tasks` lists them.")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="The run's folder."
)
@click.option("--base-url", default="http://127.0.0.1:8000/v1", show_default=True, help="An OpenAI-compatible server.")
@click.option("--model", help="Its model; the first that it lists if not given.")
@click.option(
    "--server",
    type=click.Choice(["auto", "pir", "prompted"]),
    default="auto",
    show_default=True,
    help="pir: our gateway. prompted: any other, told by a prompt how to ask.",
)
@click.option("--api-key", envvar="OPENAI_API_KEY", help="Or OPENAI_API_KEY.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Rows of each task; the two versions of a problem are two rows."
)
@click.option("--data", multiple=True, metavar="[TASK=]FILE", help="A task's data from this file, instead of fetched.")
@click.option(
    "--option", "task_options", multiple=True, metavar="NAME=VALUE", help="Of the tasks; see `pir eval tasks`."
)
@click.option(
    "--conditions", default="+".join(CONDITIONS), show_default=True, help="Some of these; all are needed for the gap."
)
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Times each row is played.")
@click.option("--max-turns", type=click.IntRange(min=0), default=8, show_default=True, help="Asks that get a response.")
@click.option("--temperature", type=click.FloatRange(min=0), help="What is not given is the server's.")
@click.option("--top-p", type=click.FloatRange(min=0, max=1))
@click.option("--max-tokens", type=click.IntRange(min=1), help="Of one reply, reasoning included.")
@click.option("--seed", type=int, default=1234, show_default=True, help="Of sampling; each repeat adds one.")
@click.option(
    "--gate", type=click.FloatRange(min=0), help="Nats of a step above which the gateway makes the model ask."
)
@click.option("--user", default="rule", show_default=True, help="The user simulator; human: you.")
@click.option(
    "--in",
    "where",
    type=click.Choice(["terminal", "browser"]),
    default="terminal",
    show_default=True,
    help="Where you answer, with --user human.",
)
@click.option("--browser/--no-browser", "opens", default=True, help="With --in browser: open it, or print the address.")
@click.option("--persona", default="", help="How the user talks: terse=2,typos=1.")
@click.option("--user-seed", type=int, default=0, show_default=True)
@click.option("--user-option", "user_options", multiple=True, metavar="NAME=VALUE", help="Of the user simulator.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=8, show_default=True, help="Conversations in flight."
)
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=300, show_default=True, help="Seconds.")
@click.option("--retries", type=click.IntRange(min=0), default=3, show_default=True, help="Of a request that failed.")
@click.option(
    "--retry-errors",
    type=click.Choice(["all", "connection"]),
    is_flag=False,
    flag_value="all",
    help="Play again what failed in an earlier run into this folder; connection: only where nobody answered.",
)
@click.option(
    "--give-up-after",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Conversations in a row in which nobody answers, after which the run stops, to be gone on with. 0: never.",
)
@click.option("--uncertainty/--no-uncertainty", default=True, help="Have the gateway report each step's entropy.")
@click.option(
    "--max-error-rate",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Exit with 1 if the server or the simulator failed in a larger share of conversations.",
)
@price_options
@grading_options
def run(
    tasks: str,
    output: Path,
    limit: int | None,
    data: tuple[str, ...],
    task_options: tuple[str, ...],
    user_options: tuple[str, ...],
    prices: Prices,
    options: GradingOptions,
    max_error_rate: float,
    where: str,
    opens: bool,
    **model: Any,
) -> None:
    """Play tasks against a model and a simulated user.

    Every row is played under three conditions: interactive (facts are missing, the user answers), no_ask (the same,
    asking off: the floor) and full (nothing missing: the ceiling). The folder keeps every conversation; what fails
    there is an error row and counts as wrong.
    """
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--tasks names no task; `pir eval tasks` lists them")
    metadata = assignments(task_options, "--option") | {"data": data_files(data)}
    model["retry_errors"] = model["retry_errors"] or False
    model |= {"user_options": assignments(user_options, "--user-option"), "run": output, "prices": prices}
    if where == "browser" and model["user"] != "human":
        raise click.UsageError("--in browser is for --user human")
    try:
        with RunProgress(prices, is_quiet=model["user"] == "human") as progress, ExitStack() as stack:
            if where == "browser":
                page = stack.enter_context(AnswerPage())
                model["user_options"]["converse"] = page.converse
                click.echo(f"you answer on {page.url}", err=True)
                if opens:
                    click.launch(page.url)
            share = _play(names, limit, metadata, model, progress, options, output)
    except (RunError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"stopped; what was played is in {output}, and the same command goes on from there", err=True)
        sys.exit(INTERRUPTED)
    if share > max_error_rate:
        click.echo(
            f"the server or the user simulator failed in {share:.1%} of the conversations, more than the "
            f"{max_error_rate:.1%} of --max-error-rate; --retry-errors plays those again",
            err=True,
        )
        sys.exit(1)


def _play(
    names: list[str],
    limit: int | None,
    metadata: dict[str, Any],
    model: dict[str, Any],
    progress: RunProgress,
    options: GradingOptions,
    output: Path,
) -> float:
    """Plays and reports; the share of conversations that the server or the simulator failed in."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # lm-eval's bars; ours shows what matters
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval import evaluator

    from evals.catalog import load_tasks
    from evals.lm import PirLM
    from evals.summary import print_summary, results_json

    lm = PirLM(**model, on_plan=progress.plan, on_done=progress.done)
    loaded = load_tasks(names, metadata)
    results = evaluator.evaluate(lm, loaded, limit=limit, log_samples=False)
    versions = {row.task: {"version": loaded["tasks"][row.task].VERSION} for row in lm.rows}
    tasks = describe_tasks(lm.rows, versions)
    (output / RESULTS).write_text(json.dumps(results_json(results, lm.get_model_info(), tasks, limit), indent=1) + "\n")
    print_summary(lm.rows, lm.played, model["prices"], kept_in(options, output))
    click.echo(f"\n{output} has the conversations; `pir eval report {output}` and `pir eval view {output}` show more")
    failed = sum(transcript.culprit in ("server", "simulator", "harness") for transcript in lm.played)
    return failed / len(lm.played) if lm.played else 0.0
