"""`pir train`: the training stages from the command line."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any, cast

import click

from evals.problems import SPLITS
from evals.simulators import PERSONAS, Persona
from pir_serve.errors import ConfigError
from training import CONFIGS

TINY_STAGES = ("base", "asking", "sft", "grpo", "evaluation", "export")


@click.group()
def train() -> None:
    """Train models that ask: from a passive solver to one that stops and asks.

    \b
    pir train tiny                          the built-in model, from nothing, on two CPU cores
    pir train dry-run                       every stage in miniature with the 7B settings

    \b
    A model of your own, stage by stage; each takes --config FILE and --KEY VALUE, and goes on where it was stopped:
    pir train entropy --rows questions.jsonl --model out/base --output out/scored.jsonl --plot out/entropy.png
    pir train augment --rows out/scored.jsonl --output out/asking.jsonl --base_url http://127.0.0.1:8001/v1
    pir train sft     --config training/configs/pir_7b_sft.yaml --model out/base --rows out/asking.jsonl
    pir train grpo    --config training/configs/tiny_grpo.yaml --model out/sft --output_dir out/grpo --processes 2
    pir train export  --model out/grpo --output out/checkpoint --evaluation out/runs/first/results.json
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")


FOLDER = click.Path(file_okay=False, path_type=Path)


@train.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=CONFIGS / "tiny.yaml",
    show_default="training/configs/tiny.yaml",
    help="Settings of every stage.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/tiny"),
    show_default=True,
    help="Folder for all stages; run again with the same folder to go on after an interruption.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. base.steps=2000."
)
@click.option(
    "--until", type=click.Choice(TINY_STAGES), default="export", show_default=True, help="The last stage to run."
)
@click.option("--check", is_flag=True, help="Exit 1 unless the model learned what a miniature run must learn.")
@click.option("--install", is_flag=True, help="Copy the result over the built-in model of this checkout.")
def tiny(config: Path, output: Path, overrides: tuple[str, ...], until: str, check: bool, install: bool) -> None:
    """Train pir-tiny: tokenizer, passive base, step entropy, asking data, SFT, US-GRPO, evaluation, export.

    About two hours on two idle CPU cores with the default settings. Every stage is skipped if its result is there,
    and the long ones save as they go: Ctrl-C loses at most two minutes.
    """
    if until != "export" and (check or install):
        raise click.UsageError("--check and --install need the whole chain, without --until")
    try:
        from training import tiny as chain
        from training.tiny_check import check as check_learned
        from training.tiny_config import load_config
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error
    try:
        settings = load_config(config, overrides)
        checkpoint = chain.Chain(settings, output).run(until)
        click.echo(f"checkpoint: {checkpoint}")
        if check:
            check_learned(output)
        if install:
            click.echo(f"installed: {chain.install(checkpoint)}")
    except ConfigError as error:
        raise click.ClickException(error.message) from error
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; `pir train tiny --output {output}` goes on from here") from None


@train.command()
@click.option("--before", type=FOLDER, required=True, help="The checkpoint that the others were trained from.")
@click.option("--after", type=FOLDER, multiple=True, required=True, help="A checkpoint; again for each seed.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder; resumable.")
@click.option("--split", type=click.Choice(SPLITS), default="heldout_numbers", show_default=True)
@click.option("--pairs", type=click.IntRange(1), default=1000, show_default=True)
@click.option(
    "--persona",
    "personas",
    type=click.Choice(PERSONAS),
    multiple=True,
    default=("clean",),
    show_default=True,
    help="Of the user; again for more.",
)
@click.option("--seed", type=int, default=31, show_default=True, help="Of the problems.")
@click.option("--separately", is_flag=True, help="Show how each checkpoint changed, not the mean of all (seeds).")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
def study(before: Path, after: tuple[Path, ...], output: Path, personas: tuple[str, ...], **settings: Any) -> None:
    """Compare checkpoints of the generated domain on the same held-out pairs: accuracy, asks and turns, with intervals.

    \b
    pir train study --before out/tiny/sft --after out/grpo_1 --after out/grpo_2 --output out/study \\
        --persona clean --persona typos --persona off_topic
    """
    try:
        from training import study as comparing
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error
    try:
        config = comparing.StudyConfig(output, personas=cast(tuple[Persona, ...], personas), **settings)
        click.echo(comparing.study(config, before, after)["table"])
    except ConfigError as error:
        raise click.ClickException(error.message) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; the same command goes on from here") from None


@train.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The picture: .svg, .png or .pdf.",
)
@click.option(
    "--smooth", type=click.IntRange(1), default=10, show_default=True, help="Updates over which the lines are averaged."
)
def curves(runs: tuple[Path, ...], output: Path, smooth: int) -> None:
    """Draw accuracy and asking over the updates of US-GRPO runs.

    \b
    pir train curves out/grpo_1 out/grpo_2 out/grpo_3 -o out/curves.svg
    """
    try:
        from training import curves as drawing

        drawing.draw(runs, output, smooth=smooth)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error
    except (ConfigError, ValueError) as error:  # ValueError: a kind of picture that does not exist
        raise click.ClickException(str(error)) from error


def _stage(module: str, help_text: str) -> click.Command:
    """A stage whose settings are a flat YAML file and --KEY VALUE; the module itself reads and checks them."""

    @click.command(context_settings={"ignore_unknown_options": True}, help=help_text)
    @click.option(
        "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Flat YAML with the settings."
    )
    @click.option(
        "--processes", type=click.IntRange(1), default=1, show_default=True, help="On this machine, by torchrun."
    )
    @click.option(
        "--dry-run", is_flag=True, help="sft, grpo: walk all stages in miniature with this --config, and end."
    )
    @click.option("--keys", is_flag=True, help="List all settings with their defaults, and end.")
    @click.argument("settings", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY VALUE]...")
    def command(config: Path | None, processes: int, dry_run: bool, keys: bool, settings: tuple[str, ...]) -> None:
        stage_module = module
        words = [*(["--config", str(config)] if config else []), *settings, *(["--help"] if keys else [])]
        if dry_run:
            kind = module.removeprefix("training.")
            if kind not in ("sft", "grpo"):
                raise click.UsageError("--dry-run is for sft and grpo; `pir train dry-run` walks all stages")
            stage_module, processes = "training.dry_run", 1
            words = [*([f"--{kind}", str(config)] if config else []), *settings]
        try:
            from training import stage

            if processes > 1:
                raise SystemExit(stage.launch(stage_module, words, processes))
            importlib.import_module(stage_module).main(words)
        except ModuleNotFoundError as error:
            raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error

    return command


_STAGES = {
    "entropy": (
        "training.score",
        """Score the steps of a model's own traces by predictive entropy, in nats.

    Rows are questions, with or without a reasoning, in the usual keys or as messages. The model is a checkpoint folder
    (its own logits, through transformers) or any OpenAI-compatible server that returns log-probabilities.

    \b
    pir train entropy --rows questions.jsonl --model out/base --output out/scored.jsonl --plot out/entropy.png
    pir train entropy --rows questions.jsonl --base_url http://127.0.0.1:8001/v1 --served_model r1 --output out/scored.jsonl
    """,
    ),
    "augment": (
        "training.asking",
        """Put asks and replies where a model was unsure: from scored traces to rows for SFT.

    An instruction model at any OpenAI-compatible endpoint writes them (cached, counted; leaks, given-away answers,
    broken tags and contradictions are turned down, by reason, in the report), or rules do for generated problems.

    \b
    pir train augment --rows out/scored.jsonl --output out/asking.jsonl --base_url http://127.0.0.1:8001/v1 \\
        --writer_model qwen3-32b --top_share 0.4
    pir problems --n 500 --split train --incomplete --json > out/problems.jsonl
    pir train augment --rows out/scored.jsonl --output out/asking.jsonl --writer rules
    """,
    ),
    "sft": (
        "training.sft",
        """Supervised fine-tuning on asking data.

    Settings are those of training/sft.py (model, rows, mask_responses, lora_r, system_prompt ...) and of TRL's
    SFTConfig. Rows may be asking data, `pir sessions export`, or conversations as messages.

    \b
    pir train sft --config training/configs/pir_7b_sft.yaml --model out/base --rows out/asking.jsonl
    pir train sft --model out/base --rows sessions.jsonl --output_dir out/sft --lora_r 16 --packing true
    """,
    ),
    "grpo": (
        "training.grpo",
        """US-GRPO: reinforcement learning of asking, against a user simulator.

    Settings are those of training/grpo.py (model, rows, personas, components, ask_cost ...) and of TRL's GRPOConfig;
    every one can stand in the file or follow as --KEY VALUE, which wins. Run again with the same output_dir to go on
    after an interruption.

    \b
    pir train grpo --config training/configs/tiny_grpo.yaml --model out/tiny/sft --output_dir out/grpo --processes 2
    pir train grpo --config training/configs/tiny_grpo.yaml --model out/tiny/sft --output_dir out/paper \\
        --components full --beta 0 --processes 2
    """,
    ),
    "export": (
        "training.checkpoint",
        """A checkpoint to serve: bf16 weights, tokenizer, template, pir.json, golden ids, and a card.

    The card's numbers are read from an evaluation's JSON. What transformers and the gateway would read differently is
    refused here.

    \b
    pir train export --model out/grpo --output out/checkpoint --evaluation out/runs/first/results.json
    pir serve --model out/checkpoint
    """,
    ),
    "dry-run": (
        "training.dry_run",
        """Walk every stage with the 7B settings on a two-layer random model of the same family, on CPU, in minutes.

    Entropy, augment (its writer is a small server here), SFT and US-GRPO as two processes over gloo, export, and the
    gateway's own checks of the result. Nothing is downloaded.

    \b
    pir train dry-run
    pir train dry-run --family qwen3 --grpo training/configs/pir_7b_usgrpo_multinode.yaml --ranks 1
    """,
    ),
}
for _name, (_module, _help) in _STAGES.items():
    train.add_command(_stage(_module, _help), _name)
