"""Gateways that say something wrong: changes for `BreakingProxy` of what is sent."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from tests.serve.conformance.breaking_proxy import Fault, Json


def nothing(_: Any) -> None: ...


def in_pir(**changes: Any) -> Fault:
    """None removes a key."""

    def change(message: Json) -> None:
        if "pir" in message:
            message["pir"] = {k: v for k, v in (message["pir"] | changes).items() if v is not None}

    return Fault(message=change)


def unknown_finish() -> Fault:
    def whole(body: Json) -> None:
        for choice in body.get("choices", ()):
            choice["finish_reason"] = "ask"

    return Fault(whole=whole, stream=lambda t: t.replace('"finish_reason": "stop"', '"finish_reason": "ask"'))


def polite() -> Fault:
    return Fault(message=lambda m: m.update(content=f"Please: {m['content']}") if m.get("content") else None)


def tags_shown() -> Fault:
    def show(message: Json) -> None:
        if message.get("reasoning_content"):
            message["reasoning_content"] += "<asking>"

    return Fault(message=show)


def wrong_sum() -> Fault:
    return Fault(whole=lambda body: body["usage"].update(total_tokens=1) if body.get("usage") else None)


def no_header(name: str) -> Fault:
    return Fault(headers=lambda headers: nothing(headers.pop(name, None)))


def in_stream(change: Callable[[str], str]) -> Fault:
    return Fault(stream=change)


def pir_in_pieces(text: str) -> str:
    def halves(match: re.Match[str]) -> str:
        chunk = json.loads(match[1])
        pir = chunk["choices"][0]["delta"].get("pir") if chunk["choices"] else None
        if not pir:
            return match[0]
        parts = []
        for keys in (["status"], [k for k in pir if k != "status"]):
            chunk["choices"][0]["delta"] = {"pir": {k: pir[k] for k in keys}}
            parts.append(f"data: {json.dumps(chunk)}")
        return "\n\n".join(parts)

    return re.sub(r"^data: (\{.*\})$", halves, text, flags=re.MULTILINE)


def pir_first(text: str) -> str:
    return "\n\n".join(sorted(text.split("\n\n"), key=lambda event: '"pir"' not in event))


def bare_errors() -> Fault:
    return Fault(whole=lambda body: body.update(error=body["error"]["message"]) if "error" in body else None)


def expires_early() -> Fault:
    """Says that questions live a second, and goes on answering them."""

    def change(message: Json) -> None:
        if "expires_at" in message.get("pir", {}):
            message["pir"]["expires_at"] = int(time.time())

    return Fault(message=change)


def end_with(text: str, *lines: str) -> str:
    return text.replace("data: [DONE]", "\n".join(lines) + "\n\ndata: [DONE]")


def conflict() -> tuple[int, Json]:
    return 409, {"error": {"message": "busy", "type": "conflict", "param": None, "code": None}}


def refused() -> tuple[int, Json]:
    return 400, {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
