"""Which of a request's tools asks the user, and what a call of it looks like."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pir_serve.ask_tools.answers import question_of
from pir_serve.ask_tools.filling import candidates
from pir_serve.errors import RequestError

DEFAULT_NAMES = frozenset({"ask_user", "ask_user_question", "AskUserQuestion", "request_user_input", "question"})
"""Open WebUI and gemini-cli; LibreChat; Claude Code; codex; opencode."""
MARK = "x-pir-ask"
"""On a tool, or in its function: `true` makes it the question tool, `false` says that it is none."""


@dataclass(frozen=True, slots=True)
class AskTool:
    """The client's question tool."""

    name: str
    parameters: dict[str, Any]
    """JSON Schema of its arguments; empty if the client gave none."""
    index: int
    """Its place in the request's `tools`."""

    def arguments(self, question: str, options: Sequence[str] = ()) -> str | None:
        """A call's arguments, JSON that conforms to the tool's own schema; None if it cannot carry this question.

        `options` are answers to choose from, used where there is a place for them. Where the tool demands some and
        none are given, those that the question itself names are taken. What cannot be said with this tool is to be
        said in the content: nothing is cut or made up to fit.
        """
        question = question.strip()
        for value in candidates(self.name, self.parameters, question, options) if question else ():
            if question_of(value) == question:
                return json.dumps(value, ensure_ascii=False)
        return None


def recognise(tools: object, names: Collection[str] = DEFAULT_NAMES) -> AskTool | None:
    """The question tool among `tools` of a Chat Completions or Responses request, or None.

    A marked tool goes before one that is known by its name; among equals the first. Tools that are not functions are
    passed over.

    Raises:
        RequestError: a definition is malformed; `param` names the field.
    """
    if tools is None:
        return None
    if not isinstance(tools, list):
        raise RequestError("tools: must be a list", param="tools")
    marked: AskTool | None = None
    named: AskTool | None = None
    for index, tool in enumerate(tools):
        found, mark = _function(tool, index)
        if found is None:
            continue
        if mark and marked is None:
            marked = found
        elif mark is None and found.name in names and named is None:
            named = found
    return marked or named


def _function(tool: Any, index: int) -> tuple[AskTool | None, bool | None]:
    """A function tool and its mark; (None, None) for a tool of another kind."""
    at = f"tools[{index}]"
    _require(isinstance(tool, dict), at, "must be an object")
    kind = tool.get("type", "function" if "function" in tool else None)
    _require(isinstance(kind, str), f"{at}.type", "must be a string")
    if kind != "function":
        return None, None
    function, where = (tool["function"], f"{at}.function") if "function" in tool else (tool, at)
    _require(isinstance(function, dict), where, "must be an object")
    name, parameters = function.get("name"), function.get("parameters")
    _require(isinstance(name, str) and bool(name), f"{where}.name", "must be a string that is not empty")
    _require(parameters is None or isinstance(parameters, dict), f"{where}.parameters", "must be an object")
    mark: bool | None = None
    for holder, place in ((function, where), (tool, at)):  # the tool's own mark has the last word
        value = holder.get(MARK)
        _require(value is None or isinstance(value, bool), f"{place}.{MARK}", "must be true or false")
        mark = mark if value is None else value
    return AskTool(name, parameters or {}, index), mark


def _require(holds: bool, param: str, what: str) -> None:
    if not holds:
        raise RequestError(f"{param}: {what}", param=param)
