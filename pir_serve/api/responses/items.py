"""Input items: read, checked, and brought into the one form in which they are kept and listed.

What is kept of a conversation is visible: reasoning items only carry sealed state in, and are not kept.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from pir_serve.api.conversation import Call, Said, text_of
from pir_serve.api.request import MAX_SEALED, text_part
from pir_serve.errors import RequestError, Unsupported

Item = dict[str, Any]
MAX_ITEMS = 10_000
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"


def read_input(value: str | list[Any], param: str = "input") -> tuple[Item, ...]:
    """Raises: RequestError, Unsupported, with the item that is wrong."""
    items: list[Any] = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not items or len(items) > MAX_ITEMS:
        raise RequestError(f"{param} has {len(items)} items; between 1 and {MAX_ITEMS} are needed", param=param)
    return tuple(_item(f"{param}[{k}]" if isinstance(value, list) else param, item) for k, item in enumerate(items))


def said_of(items: Iterable[Item]) -> list[Said]:
    said = []
    for item in items:
        if item["type"] == "message":
            role = "system" if item["role"] == "developer" else item["role"]
            said.append(Said(role, "\n".join(_text(part) for part in item["content"])))
        elif item["type"] == "function_call":
            said.append(Said("assistant", calls=(Call(item["call_id"], item["name"], item["arguments"]),)))
        elif item["type"] == "function_call_output":
            output = item["output"]
            said.append(Said("tool", text_of(output), call_id=item["call_id"], output=output))
    return said


def sealed_of(items: Sequence[Item]) -> tuple[str, ...]:
    """Sealed states, newest first."""
    found = [item["encrypted_content"] for item in reversed(items) if item["type"] == "reasoning"]
    return tuple([state for state in found if state][:MAX_SEALED])


def kept(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(item for item in items if item["type"] != "reasoning")


def user_message(text: str) -> Item:
    return _message({}, "user", [{"type": "input_text", "text": text}])


def _text(part: Item) -> str:
    return str(part["refusal"] if part["type"] == "refusal" else part["text"])


def _item(param: str, item: Any) -> Item:
    if not isinstance(item, dict):
        raise RequestError(f"{param} must be an object", param=param)
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "message":
        return _read_message(param, item)
    if kind == "function_call":
        call_id, name, arguments = (_string(param, item, key) for key in ("call_id", "name", "arguments"))
        known = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        return {"id": _id(item, "fc"), **known, "status": "completed"}
    if kind == "function_call_output":
        call_id = _string(param, item, "call_id")
        output = _output(f"{param}.output", item.get("output"))
        known = {"type": "function_call_output", "call_id": call_id}
        return {"id": _id(item, "fco"), **known, "output": output, "status": "completed"}
    if kind == "reasoning":
        state = item.get("encrypted_content")
        if state is not None and not isinstance(state, str):
            raise RequestError(f"{param}.encrypted_content must be a string", param=f"{param}.encrypted_content")
        return {"id": _id(item, "rs"), "type": "reasoning", "summary": [], "encrypted_content": state}
    if kind == "item_reference":
        raise Unsupported(f"{param}: send the item itself, or use previous_response_id", param=f"{param}.type")
    if kind is None:
        raise RequestError(f"{param} needs a type, or the role of a message", param=f"{param}.type")
    raise Unsupported(
        f"{param} is of type {str(kind)[:60]!r}; supported are message, reasoning, function_call and "
        "function_call_output",
        param=f"{param}.type",
    )


def _read_message(param: str, item: Item) -> Item:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "system", "developer", "assistant"):
        raise RequestError(
            f"{param}.role is {str(role)[:60]!r}; use user, assistant, system or developer", param=f"{param}.role"
        )
    if isinstance(content, str):
        texts = [content]
    elif isinstance(content, list):
        texts = [text_part(f"{param}.content[{k}]", part) for k, part in enumerate(content)]
    else:
        raise RequestError(f"{param}.content must be a string or a list of parts", param=f"{param}.content")
    if role == "assistant":
        return _message(item, role, [output_text(text) for text in texts])
    return _message(item, role, [{"type": "input_text", "text": text} for text in texts])


def output_text(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(item: Item, role: str, content: list[Item]) -> Item:
    return {"id": _id(item, "msg"), "type": "message", "role": role, "content": content, "status": "completed"}


def _output(param: str, output: Any) -> str | list[Item]:
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return [{"type": "input_text", "text": text_part(f"{param}[{k}]", part)} for k, part in enumerate(output)]
    raise RequestError(f"{param} must be a string or a list of parts", param=param)


def _string(param: str, item: Item, key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or (not value and key != "arguments"):
        raise RequestError(f"{param}.{key} must be a string", param=f"{param}.{key}")
    return value


def _id(item: Item, prefix: str) -> str:
    given = item.get("id")
    return given if isinstance(given, str) and _ID.fullmatch(given) else new_id(prefix)
