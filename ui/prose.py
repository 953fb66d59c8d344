"""Markdown and LaTeX of a model's answer as HTML. Safe by construction: no HTML of the text gets through, and nothing is
loaded from elsewhere."""

from __future__ import annotations

import re
from html import escape

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

_BARE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|(\\boxed\{(?:[^{}]|\{[^{}]*\})*\})", re.DOTALL)
"""Models write \\boxed{42} outside of math."""
_BRACKETS = re.compile(r"\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)


def prose(text: str) -> str:
    """HTML of `text`: Markdown, with `$...$`, `$$...$$`, `\\(...\\)`, `\\[...\\]` and a bare `\\boxed{...}` as MathML."""
    text = _BRACKETS.sub(lambda m: f"$${m[1]}$$" if m[1] else f"${m[2].strip()}$", text)
    text = _BARE.sub(lambda m: f"${m[1]}$" if m[1] else m[0], text)
    return str(_MARKDOWN.render(text))


def _math(latex: str, options: dict[str, bool]) -> str:
    try:
        return str(convert(latex, display="block" if options.get("display_mode") else "inline"))
    except Exception:  # the library raises what it likes on LaTeX that it does not know; the source is readable too
        return f"<code>{escape(latex)}</code>"


_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "breaks": True})
    .enable("table")
    .disable("image")
    .use(dollarmath_plugin, allow_space=True, allow_digits=False, double_inline=True, renderer=_math)
)
