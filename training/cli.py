"""`pir train`: the training stages from the command line."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import click

from pir_serve.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"


@click.group()
def train() -> None:
    """Train models that ask: from a passive solver to one that stops and asks.

    \b
    pir train tiny                                        the built-in model, from nothing, on two CPU cores
    pir train tiny --config training/configs/tiny_smoke.yaml --check     the same chain in miniature
    pir train grpo --config training/configs/tiny_grpo.yaml --model out/sft --output_dir out/grpo
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")


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
@click.option("--check", is_flag=True, help="Exit 1 unless the model learned what a miniature run must learn.")
@click.option("--install", is_flag=True, help="Copy the result over the built-in model of this checkout.")
def tiny(config: Path, output: Path, overrides: tuple[str, ...], check: bool, install: bool) -> None:
    """Train pir-tiny: tokenizer, passive base, step entropy, asking data, SFT, evaluation, export.

    About two hours on two idle CPU cores with the default settings. Every stage is skipped if its result is there,
    and the long ones save as they go: Ctrl-C loses at most two minutes.
    """
    try:
        from training import tiny as chain
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error
    try:
        settings = chain.load_config(config, overrides)
        checkpoint = chain.Chain(settings, output).run()
        click.echo(f"checkpoint: {checkpoint}")
        if check:
            chain.check(output)
        if install:
            click.echo(f"installed: {chain.install(checkpoint)}")
    except ConfigError as error:
        raise click.ClickException(error.message) from error
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; `pir train tiny --output {output}` goes on from here") from None


@train.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Flat YAML with the settings."
)
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="On this machine, by torchrun.")
@click.argument("settings", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY VALUE]...")
def grpo(config: Path | None, processes: int, settings: tuple[str, ...]) -> None:
    """US-GRPO: reinforcement learning of asking, against a user simulator.

    Settings are those of training/grpo.py (model, rows, personas, components, ask_cost ...) and of TRL's GRPOConfig;
    every one can stand in the file or follow as --KEY VALUE, which wins. Run again with the same output_dir to go on
    after an interruption.

    \b
    pir train grpo --config training/configs/tiny_grpo.yaml --model out/tiny/sft --output_dir out/grpo
    pir train grpo --config training/configs/tiny_grpo.yaml --model out/tiny/sft --output_dir out/paper \\
        --components full --beta 0 --processes 2
    """
    words = [*(["--config", str(config)] if config else []), *settings]
    if processes > 1:
        launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [sys.executable, "-m", *launcher, "-m", "training.grpo", *words]
        raise SystemExit(subprocess.run(command, check=False).returncode)
    try:
        from training.grpo import main
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: training needs `make setup-train`") from error
    main(words)
