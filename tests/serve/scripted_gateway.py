"""A gateway process over the scripted engine, for tests that kill it: `python -m tests.serve.scripted_gateway ...`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from pir_serve.api.app import create_app
from pir_serve.api.build import build_secret
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.engines.base import LegRequest
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.sqlite import SqliteStore
from tests.fakes import Line, ScriptedEngine
from tests.serve.brains import curious


def main(port: int, tokenizer: Path, store: Path, record: Path) -> None:
    settings = Settings(store=store, tokenizer=tokenizer)
    engine = _Recording(tokenizer, record)
    model = ServedModel("scripted", engine, PromptCodec.load(tokenizer))
    gateway = Gateway(settings, [model], SqliteStore(settings.store_path), build_secret(settings))
    uvicorn.run(create_app(gateway), port=port, log_level="warning", access_log=False)


class _Recording(ScriptedEngine):
    """Writes down the prompt ids of each leg."""

    def __init__(self, tokenizer: Path, record: Path) -> None:
        super().__init__(tokenizer, curious)
        self._record = record

    def _line(self, request: LegRequest) -> Line:
        with self._record.open("a") as file:
            file.write(f"{request.prompt_ids}\n")
        return super()._line(request)


if __name__ == "__main__":
    main(int(sys.argv[1]), *(Path(a) for a in sys.argv[2:5]))
