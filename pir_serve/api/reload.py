"""A running gateway takes over what has changed in its config file: on SIGHUP, or when the file does.

All or nothing: what is wrong is logged, and the gateway goes on as it was. Replies that run end as they began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pir_serve.api.build import build_codec, build_model, build_secret
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.config import ENGINE_KEYS, Config
from pir_serve.errors import PirError
from pir_serve.settings import Settings
from pir_serve.telemetry.logs import set_level

logger = logging.getLogger(__name__)

FIXED = ("host", "port", "store", "database", "secret", "seal_key", "max_stored", "workers", "log_format", "traces")
"""Settings that need a restart."""
_LOOK_S = 1.0
"""Between two looks at the file."""


class Reloader:
    """`load` reads the configuration as at the start. Raises (load): ConfigError."""

    def __init__(self, gateway: Gateway, config: Config, load: Callable[[], Config]) -> None:
        self._gateway = gateway
        self._config = config
        self._load = load
        self._at_work = asyncio.Lock()

    async def reload(self) -> bool:
        """Whether it was taken over."""
        async with self._at_work:
            try:
                await self._take(self._load())
            except PirError as error:
                logger.error("the configuration was not taken over, and all stays as it was: %s", error)
                return False
        logger.warning("took over the configuration: %s", ", ".join(self._gateway.models))
        return True

    async def watch(self) -> None:
        """For ever: reload when the file has changed."""
        path = self._config.path
        if path is None:
            return
        seen = _state(path)
        while True:
            await asyncio.sleep(_LOOK_S)
            if (now := _state(path)) not in (seen, None):  # None: an editor is about to put the new one there
                seen = now
                await self.reload()

    async def _take(self, config: Config) -> None:
        """Raises: ConfigError, EngineError: nothing has changed."""
        gateway, old = self._gateway, self._config
        fixed = {key: getattr(old.settings, key) for key in FIXED}
        if changed := [key for key, value in fixed.items() if getattr(config.settings, key) != value]:
            logger.warning("restart the gateway for %s", ", ".join(changed))
        known = {_identity(each): gateway.models[each.name] for each in old.models if each.name in gateway.models}
        secret = build_secret(old.settings)
        served: list[ServedModel] = []
        new: list[ServedModel] = []
        try:
            for each in config.models:
                if (model := known.get(_identity(each))) is None:
                    model = build_model(each, build_codec(each), secret)
                    new.append(model)
                    await gateway.start_model(model)
                served.append(model)
            gateway.adopt(replace(config.settings, **fixed), served, config.models)
        except PirError:
            for model in new:
                await gateway.close_engine(model.engine)
            raise
        set_level(config.settings.log_level)
        self._config = replace(config, settings=gateway.settings)


def _identity(settings: Settings) -> tuple[object, ...]:
    """Of a model: what it would have to be started anew for."""
    return (settings.name, *(getattr(settings, key) for key in ENGINE_KEYS))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
