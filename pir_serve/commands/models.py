"""`pir models`: the models that are known by name."""

from __future__ import annotations

import click

from pir_serve.presets import all_presets


@click.command()
def models() -> None:
    """List the models that need no configuration, and how to serve them."""
    for preset in all_presets():
        click.echo(f"{click.style(preset.name, bold=True)}\n    {preset.summary}; template: {preset.template}")
    click.echo(
        "\nServe one from a vLLM server that has it (SGLang likewise):\n"
        "    vllm serve NAME --port 8001\n"
        "    pir serve --engine vllm --engine-url http://127.0.0.1:8001 --model NAME --tokenizer FOLDER\n"
        "FOLDER holds the model's tokenizer.json and tokenizer_config.json. A model that is not listed works too:\n"
        "a system prompt tells it to ask (generic)."
    )
