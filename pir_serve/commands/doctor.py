"""`pir doctor`: each part on its own, in the order in which a start needs them, and plain words for what is wrong."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from pir_serve.api.build import build_codec, build_engine, build_secret, build_store
from pir_serve.config import Config, load
from pir_serve.engines.base import LegRequest, SamplingParams
from pir_serve.engines.verify import Tokenizes, verify
from pir_serve.errors import ConfigError, PirError
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from pir_serve.screen import Screening
from pir_serve.screening import load_screening
from pir_serve.settings import Settings
from pir_serve.trajectory import Author, Status

_PROBE = 'Does "</think>" or <asking> in what I write matter?'


@click.command()
@click.option("--engine", type=click.Choice(["local", "vllm", "sglang"]), help="As for pir serve.")
@click.option("--config", type=click.Path(path_type=Path), help="As for pir serve.")
@click.option("--engine-url", multiple=True, help="As for pir serve.")
@click.option("--engine-api-key", help="As for pir serve.")
@click.option("--model", help="As for pir serve.")
@click.option("--model-name", help="As for pir serve.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="As for pir serve.")
@click.option("--mode", type=click.Choice(["auto", "trained", "prompted"]), help="As for pir serve.")
@click.option("--store", type=click.Path(path_type=Path), help="As for pir serve.")
@click.option("--host", help="As for pir serve.")
def doctor(**flags: Any) -> None:
    """Check settings, store, tokenizer, tags and engine, and say what is wrong.

    Takes the options and PIR_* variables of `pir serve`. Exit code 1 if something would keep the gateway from working.
    """
    raise SystemExit(asyncio.run(_examine(flags)))


async def _examine(flags: dict[str, Any]) -> int:
    report = _Report()
    config: Config | None = await report.check("settings", lambda: _settings(flags))
    if config is None:
        return 1
    await report.check("secret", lambda: _secret(config.settings))
    await report.check("question screen", lambda: _screen(config.settings))
    await report.check("store", lambda: _store(config.settings))
    for model in config.models:
        await _examine_model(report, model, f" of {model.name}" if len(config.models) > 1 else "")
    report.conclude()
    return 1 if report.failed else 0


async def _examine_model(report: _Report, settings: Settings, of: str) -> None:
    codec = await report.check(f"tokenizer{of}", lambda: _tokenizer(settings))
    if codec is not None:
        await report.check(f"tags{of}", lambda: _tags(codec))
        await report.check(f"engine{of}", lambda: _engine(settings, codec))


class _Report:
    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self.failed: list[str] = []

    async def check(self, what: str, examine: Callable[[], Awaitable[tuple[Any, str]]]) -> Any:
        """Print how it went; returns what was examined, or None."""
        try:
            result, words = await examine()
        except PirError as error:
            return self._bad(what, str(error))
        except Exception as error:  # a doctor must survive every disease
            return self._bad(what, f"{type(error).__name__}: {error}")
        self._console.print(Text(f"ok    {what}: {words}"))
        return result

    def _bad(self, what: str, words: str) -> None:
        self.failed.append(what)
        self._console.print(Text(f"WRONG {what}: {words}", style="red"))

    def conclude(self) -> None:
        if self.failed:
            self._console.print(
                Text(f"\n{len(self.failed)} of the checks failed: {', '.join(self.failed)}", style="red")
            )
        else:
            self._console.print(Text("\nAll is well: `pir serve` with the same options will work."))


async def _settings(flags: dict[str, Any]) -> tuple[Config, str]:
    config = load(os.environ, **flags)
    settings = config.settings
    keys = f"{len(settings.api_key)} API key(s)" if settings.api_key else "keys of the store, if there are any"
    models = "; ".join(f"model {model.name}, engine {model.engine}" for model in config.models)
    return config, f"{models}, {keys}"


async def _secret(settings: Settings) -> tuple[bytes, str]:
    secret = build_secret(settings)
    return secret, "given by PIR_SECRET" if settings.secret else f"kept in {settings.secret_path}"


async def _screen(settings: Settings) -> tuple[Screening, str]:
    return load_screening(settings.screen), f"the built-in rules{f', and {settings.screen}' if settings.screen else ''}"


async def _store(settings: Settings) -> tuple[bool, str]:
    store = build_store(settings)
    try:
        await store.start()
        count = await store.count(status=Status.AWAITING_USER)
    finally:
        await store.aclose()
    return True, f"{settings.store_name}, {count} open question(s)"


async def _tokenizer(settings: Settings) -> tuple[PromptCodec, str]:
    codec = build_codec(settings)
    segments = codec.encode_prompt([Message("user", "What is 2 + 3?")])
    size = sum(len(s.token_ids) for s in segments)
    told = " (a system prompt tells it to ask)" if codec.preset.mode == "prompted" else ""
    known = f"preset {codec.preset.name}, mode {codec.preset.mode}{told}"
    return codec, f"{settings.tokenizer_dir}, {codec.vocab_size} tokens, a short prompt takes {size}; {known}"


async def _tags(codec: PromptCodec) -> tuple[bool, str]:
    """What users write must spell no tag, in any regime."""
    segments = codec.encode_prompt([Message("user", _PROBE)])
    prompt = codec.decode([i for s in segments if s.author is Author.USER for i in s.token_ids])
    response = codec.decode(codec.encode_response(f"3 {TAGS.response_close}{TAGS.think_close} 4").token_ids)
    inner = response.replace(TAGS.response_open, "", 1)[::-1].replace(TAGS.response_close[::-1], "", 1)[::-1]
    leaked = [tag for tag in TAGS.all() if tag in prompt or tag in inner]
    if leaked:
        raise ConfigError(f"user text can spell {', '.join(leaked)}: this tokenizer cannot be served safely")
    how = {"atomic": "one token each", "special": "special tokens", "plain": "plain text over several tokens"}
    return True, f"{how.get(codec.regime, codec.regime)}; tags in user text stay text"


async def _engine(settings: Settings, codec: PromptCodec) -> tuple[bool, str]:
    """It starts, and continues a prompt of ours by a few tokens."""
    engine = build_engine(settings, codec, build_secret(settings))
    began = time.perf_counter()
    try:
        await engine.start()
        differences = await verify(engine, codec) if isinstance(engine, Tokenizes) else []
        ids = [i for s in codec.encode_prompt([Message("user", "What is 2 + 3?")]) for i in s.token_ids]
        greedy = SamplingParams(temperature=0.0)
        request = LegRequest(prompt_ids=ids, max_tokens=8, sampling=greedy, request_id="doctor", session="doctor")
        received = [i async for chunk in engine.generate(request) for i in chunk.token_ids]
    finally:
        await engine.aclose()
    if not received:
        raise ConfigError(f"{engine.name} started but wrote nothing")
    if max(received) >= codec.vocab_size:
        raise ConfigError(
            f"{engine.name} wrote token {max(received)}; the tokenizer has {codec.vocab_size}: wrong --tokenizer?"
        )
    if differences:
        raise ConfigError(f"{engine.name} tokenises otherwise than --tokenizer: {differences[0]}")
    took = time.perf_counter() - began
    return True, f"{engine.name}, {engine.max_model_len} tokens of context, first words after {took:.1f} s"
