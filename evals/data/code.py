"""HumanEval with constraints hidden: what the docstring demands beyond its first sentence, and its examples, become facts."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from evals.data.shapes import Draft, Records, row_id
from evals.problems.model import Fact
from evals.simulators.spans import sentences
from evals.simulators.told import told_fact

MAX_HIDDEN = 2
"""Constraints taken from one docstring: the last ones."""
INSTRUCTION = "Write the whole function, with the imports that it needs, in one Python code block."

_CONSTRAINT = re.compile(
    r"\b(?:if|should|must|only|return|returns|empty|order|ordered|sorted|ignore|ignoring|not|except|at least|at most|case|"
    r"note|assume|greater|less|larger|smaller|none|otherwise|inclusive|exclusive|unless|first|last|even|odd|round|index)\b",
    re.IGNORECASE,
)
_IDLE = re.compile(r"(?:you (?:can|may) )?assume\b", re.IGNORECASE)
"""What may be assumed changes nothing that tests see."""
_HEADING = re.compile(r"^\s*(?:for )?(?:examples?|instance|e\.g\.?|note)\s*\d*\s*[:.,]?\s*$", re.IGNORECASE)
_EXAMPLE = re.compile(r"^\s*>>>|➞|==>?|=>|->|\bexample\b|\be\.g\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart."""

    prose: tuple[str, ...]
    """Its sentences, without the examples."""
    examples: str
    start: int
    end: int
    """Where the literal stands in the source, by character, quotes included."""


def humaneval_under(records: Records) -> Iterator[Draft]:
    """Functions whose last one or two constraints, and all examples, only the user knows; those without any are left out."""
    for number, record in enumerate(records):
        prompt, name = record["prompt"], record["entry_point"]
        doc = take_apart(prompt, name)
        if doc is None:
            continue
        demands = [text for text in doc.prose[1:] if _CONSTRAINT.search(text) and not _IDLE.match(text)]
        hidden = demands[-MAX_HIDDEN:]
        if not hidden:
            continue
        kept = [text for text in doc.prose if text not in hidden]
        shown = prompt[: doc.start] + '"""' + " ".join(kept) + '"""' + prompt[doc.end :]
        yield Draft(
            row_id(record, "humaneval", number),
            prompt.strip(),
            record["canonical_solution"],
            tuple(_facts(kept, hidden, doc.examples)),
            shown.strip(),
            grader="code",
            instruction=INSTRUCTION,
            extra={
                "tests": f"{record['test']}\n\ncheck({name})\n",
                "entry_point": name,
                "setup": _before(prompt, name),
            },
        )


def _facts(kept: list[str], hidden: list[str], examples: str) -> Iterator[Fact]:
    for place, text in enumerate(hidden):
        yield told_fact(place, text, about=f"{text} special case edge constraint", kind="constraint")
    if examples:
        about = "example examples input output sample test case expected"
        ask = "Can you give me an example of an input and its output?"
        yield told_fact(len(hidden), examples, about=about, kind="constraint", needed=False, ask=ask)
    for place, text in enumerate(kept):
        yield told_fact(len(hidden) + 1 + place, text, about=text, kind="sentence", hidden=False)


def _function(source: str, name: str) -> ast.FunctionDef:
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise ValueError(f"the prompt defines no function {name}")


def take_apart(prompt: str, name: str) -> Docstring | None:
    """The docstring of function `name`; None if it has none.

    Raises:
        ValueError: the prompt is no Python, or has no such function.
    """
    try:
        first = _function(prompt, name).body[0]
    except SyntaxError as error:
        raise ValueError(f"the prompt of {name} is no Python: {error.msg}") from error
    if not (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    ):
        return None
    lines = prompt.splitlines(keepends=True)
    assert first.end_lineno is not None and first.end_col_offset is not None
    start = _place(lines, first.lineno, first.col_offset)
    end = _place(lines, first.end_lineno, first.end_col_offset)
    prose, examples = _sort(textwrap.dedent(first.value.value).splitlines(), name)
    text = "\n".join(prose)
    found = tuple(" ".join(text[span.start : span.end].split()) for span in sentences(text))
    return Docstring(found, "\n".join(examples).strip(), start, end)


def _place(lines: list[str], line: int, column: int) -> int:
    """A position of `ast`, whose columns count bytes, as an index of characters."""
    before = sum(len(text) for text in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode())


def _sort(lines: list[str], name: str) -> tuple[list[str], list[str]]:
    """Lines of prose and of examples. What follows a `>>>` line up to a blank one is its output."""
    prose: list[str] = []
    examples: list[str] = []
    in_example = False
    for line in lines:
        if not line.strip():
            in_example = False
            prose.append("")
        elif in_example or _EXAMPLE.search(line) or f"{name}(" in line or _HEADING.match(line):
            in_example = in_example or line.lstrip().startswith(">>>")
            examples.append(line.strip())
        else:
            prose.append(line)
    return prose, examples


def _before(prompt: str, name: str) -> str:
    """What stands before the function: imports and helpers that its tests need."""
    return "".join(prompt.splitlines(keepends=True)[: _function(prompt, name).lineno - 1]).strip()
