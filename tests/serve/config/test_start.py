"""What a gateway checks before it takes its first request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pir_serve.errors import ConfigError, EngineUnavailable
from tests.fakes import ScriptedEngine


class TellingEngine(ScriptedEngine):
    """One that has a /tokenize, which may be of another model or out of order."""

    shift = 0
    is_reachable = True

    async def tokenize(self, text: str) -> list[int]:
        if not self.is_reachable:
            raise EngineUnavailable("no /tokenize behind this router")
        return [i + self.shift for i in self.tokenizer.encode(text, add_special_tokens=False).ids]


@pytest.fixture
def start(make_desk: Callable[..., Any], tokenizer_dir: Path) -> Callable[..., Any]:
    async def run(**engine: Any) -> None:
        desk = make_desk([])
        telling = TellingEngine(tokenizer_dir, [])
        for name, value in engine.items():
            setattr(telling, name, value)
        for model in desk.gateway.models.values():
            object.__setattr__(model, "engine", telling)
        async with desk.gateway.running():
            pass

    return run


async def test_an_engine_that_reads_the_same_tokens_is_taken(start: Callable[..., Any]) -> None:
    await start()


async def test_an_engine_of_another_tokenizer_is_refused(start: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="--tokenizer"):
        await start(shift=1)


async def test_an_engine_that_cannot_be_asked_is_taken_with_a_warning(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    await start(is_reachable=False)
    assert "could not be checked" in caplog.text
