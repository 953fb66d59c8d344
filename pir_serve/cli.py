"""`pir`: one command line for serving, chatting, checking, and for what the checkout's other folders add by entry
point."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint, entry_points

import click

from pir_serve import __version__
from pir_serve.errors import PirError

_OWN = {
    "serve": "Start the gateway.",
    "chat": "Chat with a model that asks, in the terminal.",
    "sessions": "List, show, answer, delete and export what a gateway keeps of conversations.",
    "keys": "Make, list and revoke API keys, and set what each may use.",
    "store": "Look at what is stored; clean up, export, delete, encrypt anew.",
    "config": "Print a pir.toml to begin with, or check one.",
    "doctor": "Check settings, store, engine, tokenizer and tags, and say what is wrong.",
    "conformance": "Check that a gateway pauses and resumes as the protocol says.",
    "models": "List known models, and the commands that serve them or any other.",
}
_ADDED = {
    "problems": "Write word problems, complete or with a fact left out.",
    "train": "Score uncertainty, build asking data, fine-tune.",
    "eval": "Measure how well a model asks.",
    "ui": "Start the chat page.",
}
_EXTRA = {"train": "train", "eval": "evals", "ui": "ui"}
"""The extra that brings what a command imports."""
_FOLDERS = ("evals", "training", "ui")
"""Packages of the checkout, which an installed wheel lacks."""


class _Commands(click.Group):
    """Imports a command only when it is run: `pir --help` must not load torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OWN, *sorted(set(_added()) - set(_OWN))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            command = getattr(importlib.import_module(f"pir_serve.commands.{cmd_name}"), cmd_name)
            assert isinstance(command, click.Command)
            return command
        point = _added().get(cmd_name)
        return None if point is None else _load(point)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _OWN.get(name) or _ADDED.get(name, "")) for name in self.list_commands(ctx)])


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="pir.commands")}


def _load(point: EntryPoint) -> click.Command:
    """The command, or one that says in a line why there is none."""
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        reason = _what_is_missing(point.name, error.name or "")
    except Exception as error:  # whatever a broken module raises while it is imported
        reason = f"it could not be loaded from {point.value}: {type(error).__name__}: {error}"
    else:
        if isinstance(command, click.Command):
            return command
        reason = f"{point.value} is no click command"

    def explain() -> None:
        raise click.ClickException(f"`pir {point.name}` cannot run: {reason}")

    return click.Command(
        point.name,
        callback=explain,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )


def _what_is_missing(command: str, module: str) -> str:
    if module.split(".", maxsplit=1)[0] in _FOLDERS:
        return (
            f"its code ({module}) is not installed. It lives in the repository: clone it and run `make setup`, "
            "or `pip install -e .` there"
        )
    extra = _EXTRA.get(command)
    how = f"pip install 'pir-serve[{extra}]' (in a clone: make setup-{extra})" if extra else f"pip install {module}"
    return f"the Python module {module} is missing: {how}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pir")
def cli() -> None:
    """Reasoning models that ask.

    A PIR model stops in the middle of its reasoning, asks the user for what is missing, and goes on with the reply.
    `pir serve` puts such a model behind the OpenAI API: the question is an ordinary reply, the user's next message
    resumes the same reasoning.

    \b
    Try it, in two terminals:
      pir serve          # the built-in model on http://127.0.0.1:8000
      pir chat "Nora buys some pens. Each pen costs 4 dollars. How much does she pay?"

    \b
    A published model, from a vLLM server (pir models lists the known ones):
      pir serve --engine vllm --engine-url http://127.0.0.1:8001 --model NAME --tokenizer FOLDER

    Every option of `pir serve` is also a variable: --engine-url is PIR_ENGINE_URL.
    """


def main() -> None:
    """Entry point: what a user can get wrong ends in one line, never in a traceback."""
    try:
        cli(prog_name="pir")
    except PirError as error:
        click.echo(f"pir: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
