"""From settings to a gateway that can be run: the one place that knows all kinds of engines and stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.engines.base import Engine
from pir_serve.engines.verify import check_tokenizer
from pir_serve.errors import ConfigError
from pir_serve.presets import Preset, find_preset
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.base import Store
from pir_serve.store.postgres import PostgresStore
from pir_serve.store.sealed import Sealer, load_or_create_secret
from pir_serve.store.sqlite import SqliteStore


def build_gateway(settings: Settings, models: Sequence[Settings] = ()) -> Gateway:
    """Nothing is started yet. `models`: the settings of each, where they are several.

    Raises:
        ConfigError: about files that are missing or extras that are not installed.
    """
    codecs = [(model, build_codec(model)) for model in models or (settings,)]
    secret = build_secret(settings)  # may make a file: not before what people get wrong more often
    served = [build_model(model, codec, secret) for model, codec in codecs]
    return Gateway(settings, served, build_store(settings), secret, models)


def build_model(settings: Settings, codec: PromptCodec, secret: bytes) -> ServedModel:
    """Raises: ConfigError."""
    return ServedModel(settings.name, build_engine(settings, codec, secret), codec, folder=settings.model_dir)


def build_codec(settings: Settings) -> PromptCodec:
    """Raises: ConfigError."""
    return PromptCodec.load(settings.tokenizer_dir, preset=known_preset(settings), mode=settings.mode)


def known_preset(settings: Settings) -> Preset | None:
    for name in (settings.model, settings.model_name, settings.name, settings.tokenizer_dir.name):
        if name and (preset := find_preset(name)):
            return preset
    return None


def build_engine(settings: Settings, codec: PromptCodec, secret: bytes) -> Engine:
    """`secret` hashes tenants into cache partitions, alike in every replica that shares it. Raises: ConfigError."""
    if settings.engine == "local":
        return _local_engine(settings)
    assert settings.model is not None, "checked by Settings"
    from pir_serve.engines.pool import EnginePool
    from pir_serve.engines.sglang import SglangEngine
    from pir_serve.engines.vllm import VllmEngine

    dialect = VllmEngine if settings.engine == "vllm" else SglangEngine
    servers = [
        dialect(
            url,
            settings.model,
            api_key=settings.engine_api_key,
            vocab_size=codec.vocab_size,
            cache_key=hashlib.sha256(b"cache" + secret).digest(),
        )
        for url in settings.engine_url
    ]
    if len(servers) == 1:
        return servers[0]
    return EnginePool(servers, lambda engine: check_tokenizer(engine, codec))


def _local_engine(settings: Settings) -> Engine:
    if settings.model_dir is None:
        raise ConfigError(
            f"engine local needs a model's folder, and {settings.model!r} is none on this machine; "
            "download the model there first, or serve it with vLLM and --engine vllm"
        )
    if not (settings.model_dir / "config.json").is_file():
        raise ConfigError(f"{settings.model_dir} holds no model: it has no config.json")
    try:
        from pir_serve.engines.local import LocalEngine
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"engine local needs the Python module {error.name}: pip install 'pir-serve[local]' "
            "(in a clone: make serve)"
        ) from None
    return LocalEngine(settings.model_dir, threads=settings.threads)


def build_store(settings: Settings) -> Store:
    """Raises: ConfigError."""
    sealer = build_sealer(settings)
    if settings.database is not None:
        return PostgresStore(settings.database, sealer=sealer, max_per_tenant=settings.max_stored)
    return SqliteStore(settings.store_path, sealer=sealer, max_per_tenant=settings.max_stored)


def build_sealer(settings: Settings) -> Sealer | None:
    """Of stored content; None: it is stored as it is."""
    ring = [hashlib.sha256(b"pir store" + key.encode()).digest() for key in settings.seal_key]
    return Sealer(ring) if ring else None


def build_secret(settings: Settings) -> bytes:
    """Raises: ConfigError."""
    if settings.secret is not None:
        if len(settings.secret) < 16:
            raise ConfigError("PIR_SECRET is shorter than 16 characters; use a long random string")
        return hashlib.sha256(settings.secret.encode()).digest()
    return load_or_create_secret(settings.secret_path)
