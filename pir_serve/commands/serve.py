"""`pir serve`: settings, start, one line for the newcomer, and a clean end."""

from __future__ import annotations

import functools
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pir_serve.api.build import build_gateway
from pir_serve.api.gateway import Gateway
from pir_serve.api.reload import Reloader
from pir_serve.api.server import run
from pir_serve.api.workers import run_workers
from pir_serve.commands.web_app import HOW, is_installed, web_app
from pir_serve.config import load
from pir_serve.settings import BUILTIN_MODEL, Settings
from pir_serve.telemetry.logs import set_up_logging

PUBLISHED = "Proactive-Interactive-R1/Proactive-Interactive-R1-Math-7B"


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="pir.toml: several models, all settings (pir config).")
@click.option("--engine", type=click.Choice(["local", "vllm", "sglang"]), help="What generates. Default: local.")
@click.option("--engine-url", multiple=True, help="Address of the engine's server, e.g. http://127.0.0.1:8001.")
@click.option("--engine-api-key", help="Bearer token for the engine.")
@click.option(
    "--model", help="A model's folder (local) or the name under which the engine serves it. Default: built in."
)
@click.option("--model-name", help="Name that clients use. Default: the last part of --model.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Folder with tokenizer.json. Default: the model's.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "trained", "prompted"]),
    help="Whether the model learnt to ask, or a system prompt tells it to. Default: auto, trained where that is known.",
)
@click.option(
    "--store", type=click.Path(path_type=Path), help="SQLite file of open questions. Default: in your data folder."
)
@click.option("--host", help="Address to listen on. Default: 127.0.0.1; others need an API key.")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one. Default: 8000.")
@click.option("--ask", help="When the model may ask: auto, never, max=N or N. Default: auto.")
@click.option("--screen", type=click.Path(path_type=Path), help="TOML file with rules of the question screen.")
@click.option("--ttl-s", type=float, help="Seconds that a question waits for its answer. Default: 86400.")
@click.option("--reasoning-field", type=click.Choice(["reasoning_content", "reasoning"]), help="Name of that field.")
@click.option("--show-reasoning", type=click.Choice(["full", "none"]), help="Whether clients get it. Default: full.")
@click.option(
    "--strict-resume", is_flag=True, default=None, help="Refuse (400) a session that is gone; do not rebuild."
)
@click.option("--threads", type=int, help="CPU threads of the local engine. Default: 1.")
@click.option("--workers", type=int, help="Processes that serve the port. Default: 1.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="json: one object a line. Default: text.")
@click.option("--ui", "with_ui", is_flag=True, help="Start the web app too, on http://127.0.0.1:7860.")
def serve(with_ui: bool, **flags: Any) -> None:
    """Start the gateway.

    Without options: the built-in model on http://127.0.0.1:8000, for this machine only. Every option is also a
    variable (--engine-url is PIR_ENGINE_URL); options win. API keys for clients: `pir keys create`, or PIR_API_KEY
    (separated by commas). Without any, only this machine may use it.

    \b
    Your own vLLM or SGLang server, with a model that asks:
      pir serve --engine vllm --engine-url http://127.0.0.1:8001 --model NAME --tokenizer FOLDER

    \b
    Two servers of it: a session stays with one, and one that dies costs a pause (--engine-url once for each).
    Several models, or many settings, from a file that may be changed while it runs:
      pir config example > pir.toml
      pir serve --config pir.toml
    """
    config = load(os.environ, **flags)
    set_up_logging(config.settings.log_level, config.settings.log_format)
    say = functools.partial(announce, with_ui)
    with web_app(address(config.settings)) if with_ui else nullcontext():
        if config.settings.workers > 1:
            run_workers(config, flags, say)
        else:
            gateway = build_gateway(config.settings, config.models)
            reloader = Reloader(gateway, config, lambda: load(os.environ, **flags))
            run(gateway, functools.partial(say, gateway), reloader=reloader)
    click.echo("stopped")


def announce(with_ui: bool, gateway: Gateway, port: int) -> None:
    click.echo(welcome(gateway, port, with_ui=with_ui))


def address(settings: Settings, port: int | None = None) -> str:
    """Where this machine reaches the gateway; on the settings' port if none is given."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{settings.port if port is None else port}"


def welcome(gateway: Gateway, port: int, *, with_ui: bool = False) -> str:
    """What a newcomer needs to go on; all of it true of this very gateway. A web app beside it says its address itself."""
    settings = gateway.settings
    served = next(iter(gateway.models.values()))
    models = ", ".join(f"{model.name} ({model.engine.name})" for model in gateway.models.values())
    url = address(settings, port)
    who = "NO API KEY: open to anybody on this machine only" if gateway.auth.is_open_now else "API keys"
    lines = [
        f"PIR gateway: {url}/v1   model {models}   {who}",
        f"  open questions: {settings.store_name}",
    ]
    if served.codec.preset.mode == "prompted":
        lines.append(
            f"  mode prompted: a system prompt tells {served.name} to ask. If it was trained to ask: --mode trained"
            if settings.mode == "auto"
            else f"  mode prompted: a system prompt tells {served.name} to ask"
        )
    if served.folder == BUILTIN_MODEL:
        lines += [
            f"  {served.name} knows one little world only: short word problems in plain English. In another terminal:",
            f"    pir chat --base-url {url} {_quoted(_example(gateway))}",
            "  or, with the OpenAI SDK:",
            f'    client = OpenAI(base_url="{url}/v1", api_key="none")',
            f'    client.chat.completions.create(model="{served.name}", messages=[...])',
            "  A published model that asks, from a vLLM server with it on port 8001:",
            f"    pir serve --engine vllm --engine-url http://127.0.0.1:8001 --model {PUBLISHED} --tokenizer FOLDER",
        ]
    else:
        lines.append(f"  try it: pir chat --base-url {url}")
    if not with_ui:
        lines.append(f"  in a browser: pir ui --base-url {url}" + ("" if is_installed() else f"   (first: {HOW})"))
    return "\n".join([*lines, "  Ctrl-C stops."])


def _example(gateway: Gateway) -> str:
    """The first incomplete example that came with the model."""
    for example in next(iter(gateway.models.values())).examples:
        if isinstance(example, dict) and any(fact.get("hidden") for fact in example.get("facts", ())):
            return str(example.get("shown", ""))
    return "Nora buys some pens. Each pen costs 4 dollars. How much does she pay in all?"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
