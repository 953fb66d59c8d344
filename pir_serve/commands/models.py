"""`pir models`: the models that are known by name."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from pir_serve.presets import all_presets


@click.command()
def models() -> None:
    """List the models that need no configuration, and how to serve them."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("model", "template", "what it is"):
        table.add_column(title, overflow="fold")
    for preset in all_presets():
        table.add_row(preset.name, preset.template, preset.summary)
    console.print(table)
    console.print(
        "\nServe one from a vLLM server that has it (SGLang likewise):\n"
        "  vllm serve NAME --port 8001\n"
        "  pir serve --engine vllm --engine-url http://127.0.0.1:8001 --model NAME --tokenizer FOLDER\n"
        "FOLDER holds the model's tokenizer.json and tokenizer_config.json. A model that is not listed works too:\n"
        "a system prompt tells it to ask (generic).",
        markup=False,
    )
