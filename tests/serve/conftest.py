"""A small real tokenizer in two tag regimes, and gateways over scripted engines: in process, or on a port."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from pir_serve import unbroken
from pir_serve.api.app import create_app
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.engines.base import Engine
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.base import Store
from pir_serve.store.sqlite import SqliteStore
from tests.fakes import Line, ScriptedEngine
from tests.serve.postgres import postgres

__all__ = ["postgres"]

SECRET = b"s" * 32
TAGS = ("<think>", "</think>", "<asking>", "</asking>", "<response>", "</response>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
_CORPUS = """How many pens does Nora buy? Each pen costs 4 dollars, so she pays 24 dollars in all.
The number of pens is 6. What is the price of one pen? It costs 4. The answer is \\boxed{24}. How far did they travel?
I need the price. <asking>How much?</asking> <response>Four.</response> naïve café 漢字 😀 No user is available."""


def write_tokenizer(folder: Path, *, atomic_tags: bool = True) -> Path:
    """`atomic_tags`: each tag is one added token, as in trained PIR models; else tags are plain text, as anywhere
    else."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS.splitlines() * 4, trainer)
    if atomic_tags:
        tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted engines that die stay dead: nothing is won by pausing."""
    monkeypatch.setattr(unbroken, "PAUSES_S", (0.0,) * len(unbroken.PAUSES_S))


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizers") / "atomic")


@pytest.fixture(scope="session")
def plain_tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizers") / "plain", atomic_tags=False)


@dataclass
class Desk:
    """A gateway, and the engine behind it that tests look at."""

    gateway: Gateway
    engine: ScriptedEngine
    url: str = "http://gateway.test"

    @property
    def num_suspended(self) -> int:
        """Read from the store's file, as another process would."""
        import sqlite3

        with sqlite3.connect(self.gateway.settings.store_path) as db:
            return int(db.execute("SELECT count(*) FROM nodes WHERE status = 'awaiting_user'").fetchone()[0])


Script = Sequence[str | Line] | Callable[[str], str | Line]


def desk_of(
    folder: Path,
    script: Script,
    *,
    tokenizer: Path,
    engine: dict[str, Any] | None = None,
    kept: Store | None = None,
    **settings: Any,
) -> Desk:
    """A gateway over a scripted engine, with its database in `folder`: not started yet."""
    scripted = ScriptedEngine(tokenizer, script, **(engine or {}))
    chosen = Settings(**{"store": folder / "pir.db", "tokenizer": tokenizer, "model_name": "scripted", **settings})
    checked: Engine = scripted
    model = ServedModel("scripted", checked, PromptCodec.load(tokenizer), folder=tokenizer)
    return Desk(Gateway(chosen, [model], kept or SqliteStore(chosen.store_path), SECRET), scripted)


@pytest.fixture
def make_desk(tokenizer_dir: Path, tmp_path: Path) -> Callable[..., Desk]:
    """`make_desk(script, engine={...}, tokenizer=..., kept=store, **settings)`, as `desk_of`."""

    def make(script: Script, *, tokenizer: Path | None = None, **more: Any) -> Desk:
        return desk_of(tmp_path, script, tokenizer=tokenizer or tokenizer_dir, **more)

    return make


@asynccontextmanager
async def in_process(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application itself: no sockets; errors of ours come through as exceptions."""
    app = create_app(desk.gateway, manage=False)
    async with (
        desk.gateway.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=desk.url) as client,
    ):
        yield client


@pytest.fixture
def on_port() -> Callable[[Desk], AbstractContextManager[Desk]]:
    """`with on_port(desk):` serves it with uvicorn on a free port, in a thread with a loop of its own."""

    @contextmanager
    def serve(desk: Desk) -> Iterator[Desk]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            desk.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = uvicorn.Config(create_app(desk.gateway), log_config=None, access_log=False)
            config.timeout_graceful_shutdown = 2
            server = uvicorn.Server(config)
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
            thread.start()
            deadline = time.monotonic() + 20
            while not server.started:
                assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
                time.sleep(0.01)
            try:
                yield desk
            finally:
                server.should_exit = True
                thread.join(20)
                assert not thread.is_alive()

    return serve
