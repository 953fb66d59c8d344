"""What every tab is made of: a piece of the page that we draw ourselves, and what all our events have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_SCRIPT = (Path(__file__).parent / "page.js").read_text()
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of our events: no spinner over the page, and not in the app's public API."""


def html(value: str, **kwargs: Any) -> gr.HTML:
    """HTML that we draw, whose buttons report their `data-act` as a click."""
    return gr.HTML(value, apply_default_css=False, js_on_load=_SCRIPT, **kwargs)
