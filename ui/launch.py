"""A page on a port, for as long as it is wanted."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import gradio as gr

CSS = Path(__file__).parent / "page.css"
HEAD = f"<script>{(Path(__file__).parent / 'head.js').read_text()}</script>"
THEME = gr.themes.Base(
    primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)


def launch(page: gr.Blocks, host: str, port: int | None, **login: Any) -> str:
    """Serve the page from threads; its address. Without a port it is 7860, or the next one that is free.

    Raises:
        click.ClickException: one cannot listen there.
    """
    try:
        _, url, _ = page.launch(
            server_name=host, server_port=port, theme=THEME, css_paths=CSS, head=HEAD, quiet=True, share=False,
            footer_links=[], ssr_mode=False, prevent_thread_lock=True, enable_monitoring=False, **login,
        )  # fmt: skip
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}, port {port or 7860}: {error}") from None
    return str(url).rstrip("/")


def end_with_input(read: Callable[[str], object] = lambda line: None, last: Callable[[], None] = lambda: None) -> None:
    """End this process when standard input does: whoever started it holds the other end, and is gone however it ended.

    Until then each line goes to `read`; `last` is called before the end.
    """

    def follow() -> None:
        for line in sys.stdin:
            read(line)
        last()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="standard input", daemon=True).start()
