"""The web app as people meet it: real processes, a real browser. Skipped with a reason where there is no browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the web app is not installed: make setup-ui")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup-test")

from playwright.sync_api import Browser, BrowserContext, Page, expect  # noqa: E402

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "out" / "ui"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_S = 90.0
TANKS = (
    "There is a total of 4 tanks with punch. There are 7 litres of punch in each tank. "
    "How many litres do the guests get each?"
)
"""The built-in model asks how many guests there are."""
expect.set_options(timeout=15_000)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A process that listens on a port of its own, and can be killed and started again."""

    command: Sequence[str]
    """`{port}` stands for the port."""
    ready: str = "/"
    """Path that answers once it can be used."""
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PIR_", "OPENAI_"))}
        command = [sys.executable, "-m", *(part.format(port=self.port) for part in self.command)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env | {"GRADIO_ANALYTICS_ENABLED": "False"})

    def wait(self) -> None:
        """Until it can be used."""
        assert self.process is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self.process.poll() is None, f"{self.command} ended with {self.process.returncode}"
            try:
                urllib.request.urlopen(self.url + self.ready, timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"{self.command} does not answer")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def gateway_server(folder: Path) -> Server:
    """The gateway with the built-in model."""
    return Server(["pir_serve.cli", "serve", "--port", "{port}", "--store", str(folder / "pir.db")], "/ready")


def scripted_server(folder: Path, *keys: str) -> Server:
    """A gateway that starts much faster, with API keys if there are any."""
    files = [str(folder / "pir.db"), str(folder / "tokenizer")]
    return Server(["tests.ui.scripted_gateway", "{port}", *files, *keys], "/ready")


def ui_server(gateway: str, *options: str) -> Server:
    return Server(["pir_serve.cli", "ui", "--base-url", gateway, "--port", "{port}", *options])


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """They start side by side: importing is what takes long."""
    try:
        for server in servers:
            server.begin()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.stop()


Pair = tuple[Server, Server]
"""A gateway, and the web app over it."""


@contextmanager
def pair(gateway: Server, *options: str) -> Iterator[Pair]:
    app = ui_server(gateway.url, *options)
    with running(gateway, app):
        yield gateway, app


@pytest.fixture(scope="session")
def builtin_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(gateway_server(tmp_path_factory.mktemp("builtin"))) as servers:
        yield servers


@pytest.fixture(scope="session")
def builtin(builtin_pair: Pair) -> Server:
    return builtin_pair[0]


@pytest.fixture(scope="session")
def app(builtin_pair: Pair) -> Server:
    """The web app over the built-in model."""
    return builtin_pair[1]


@pytest.fixture(scope="session")
def scripted_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pair(scripted_server(tmp_path_factory.mktemp("scripted"))) as (_, app):
        yield app


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Of a module, not of the session: while it is open, its event loop runs, and no other test can run one.
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as play:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor of their own. Nothing may be loaded from elsewhere, and nothing may fail in the page."""
    visitor = browser.new_context(viewport={"width": 1280, "height": 860})
    outside: list[str] = []
    wrong: list[str] = []
    visitor.on("request", lambda request: outside.append(request.url) if _is_outside(request.url) else None)
    visitor.on("weberror", lambda error: wrong.append(str(error.error)))
    yield visitor
    visitor.close()
    assert not outside
    assert not wrong


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """Keeps a picture for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def shot(page: Page, name: str) -> None:
        page.screenshot(path=SHOTS / f"{name}.png")

    return shot


def visit(page: Page, server: Server, query: str = "") -> None:
    """Open the app and wait until it can be used."""
    page.goto(server.url + "/" + query)
    expect(page.locator("#log .welcome, #log .turn, #log .trouble").first).to_be_visible()


def say(page: Page, text: str) -> None:
    page.locator("#composer textarea").fill(text)
    page.keyboard.press("Enter")


def ask_card(page: Page) -> None:
    """Wait until the model asks and can be answered."""
    expect(page.locator("#log .ask .chip").first).to_be_visible()


def answer_is(page: Page, text: str = "") -> None:
    """Wait until the reply has ended with an answer that has this in it, and the next message is taken."""
    expect(page.locator("#log .answer").last).to_contain_text(text)
    expect(page.locator("#log .is-live")).to_have_count(0)
