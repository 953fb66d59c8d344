"""A gateway process over the scripted engine, for tests that kill it: `python -m tests.serve.scripted_gateway ...`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from pir_serve.api.build import build_secret
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.api.server import run
from pir_serve.engines.base import LegRequest
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.sqlite import SqliteStore
from pir_serve.telemetry.logs import set_up_logging
from tests.fakes import Line, ScriptedEngine
from tests.serve.brains import curious


def main(port: int, tokenizer: Path, store: Path, record: Path) -> None:
    settings = Settings(port=port, store=store, tokenizer=tokenizer, shutdown_s=1)
    set_up_logging("info")
    model = ServedModel("scripted", _Recording(tokenizer, record), PromptCodec.load(tokenizer))
    run(Gateway(settings, [model], SqliteStore(settings.store_path), build_secret(settings)))


class _Recording(ScriptedEngine):
    """Writes down the prompt ids of each leg."""

    def __init__(self, tokenizer: Path, record: Path) -> None:
        super().__init__(tokenizer, curious)
        self._record = record

    def _line(self, request: LegRequest) -> Line:
        with self._record.open("a") as file:
            file.write(f"{request.prompt_ids}\n")
        line = super()._line(request)
        return replace(line, delay_s=0.7) if "slowly" in self.prompt_text() else line


if __name__ == "__main__":
    main(int(sys.argv[1]), *(Path(a) for a in sys.argv[2:5]))
