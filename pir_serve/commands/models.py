"""`pir models`: the models that are known by name, and the very commands that serve each, or any other."""

from __future__ import annotations

import shlex
from dataclasses import replace

import click

from pir_serve.presets import GENERIC, Preset, all_presets, find_preset
from pir_serve.settings import BUILTIN_MODEL

EXAMPLE = "Qwen/Qwen3-8B"
"""Stands for any model in the commands of the generic preset."""
CONTEXT = 16_384
"""Tokens: more than a prompt and a long reasoning take, and room for its cache beside 7B weights on a 24 GB card."""
_URL = "http://127.0.0.1:8001"


@click.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the models that need no configuration, and the commands that serve them from vLLM or SGLang.

    With NAME, a Hugging Face id: the commands for that model, known or not.
    """
    if name is None:
        for preset in all_presets():
            _print(preset, EXAMPLE if preset is GENERIC else preset.name)
        click.echo(f"Any other model: pir models {EXAMPLE}. Your own checkpoint: docs/models.md.")
    else:
        _print(replace(find_preset(name) or GENERIC, name=name), name)


def _print(preset: Preset, model: str) -> None:
    click.echo(click.style(preset.name, bold=True))
    click.echo(f"    {preset.summary}")
    click.echo(
        f"    mode {preset.mode}; chat template: {preset.template}; temperature {preset.temperature:g}, "
        f"top_p {preset.top_p:g}; at most {preset.max_tokens} tokens and {preset.max_asks} questions a reply"
    )
    if preset.name == BUILTIN_MODEL.name:
        click.echo("  here, without a server:\n    pir serve")
    else:
        click.echo(f"  once, its tokenizer:\n    {fetching(model)}")
    for engine, title in (("vllm", "vLLM"), ("sglang", "SGLang")):
        click.echo(f"  {title}, then the gateway:")
        for line in serving(model, engine):
            click.echo(f"    {line}")
    click.echo()


def fetching(model: str) -> str:
    """The command that puts a model's tokenizer and chat template into the folder that `serving` names."""
    patterns = ["--include", "*.json", "--include", "*.jinja"]
    return shlex.join(["hf", "download", model, *patterns, "--local-dir", _folder(model)])


def serving(model: str, engine: str) -> tuple[str, str]:
    """The engine's command and the gateway's; `engine` is `vllm` or `sglang`."""
    is_builtin = model == BUILTIN_MODEL.name
    weights = str(BUILTIN_MODEL) if is_builtin else model
    named = ["--served-model-name", model] if is_builtin else []
    if engine == "vllm":
        context = [] if is_builtin else ["--max-model-len", str(CONTEXT)]
        server = ["vllm", "serve", weights, *named, "--port", "8001", *context, "--enable-prompt-tokens-details"]
    else:
        context = [] if is_builtin else ["--context-length", str(CONTEXT)]
        server = ["python", "-m", "sglang.launch_server", "--model-path", weights, *named, "--port", "8001"]
        server += [*context, "--enable-cache-report"]
    gateway = ["pir", "serve", "--engine", engine, "--engine-url", _URL, "--model", model]
    gateway += ["--tokenizer", weights if is_builtin else _folder(model)]
    return shlex.join(server), shlex.join(gateway)


def _folder(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]
