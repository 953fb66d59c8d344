"""Log lines, for people or as JSON for collectors: ids, counts and seconds, never what somebody wrote."""

from __future__ import annotations

import contextlib
import logging
import time
from contextvars import ContextVar
from typing import Literal

import orjson

LogFormat = Literal["text", "json"]
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
"""Of the request that the running task serves: also lines of code that knows of no request carry it."""


def set_up_logging(level: str, log_format: LogFormat = "text") -> None:
    """Our own lines at `level`, those of libraries from warnings on, all to stderr."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if log_format == "json" else text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    set_level(level)


def set_level(level: str) -> None:
    """Of our own lines."""
    logging.getLogger("pir_serve").setLevel(level.upper())


class _JsonLines(logging.Formatter):
    """One object a line: `time` (UTC, ISO 8601), `level`, `logger`, `message`; `request_id` and `error` where there is
    one."""

    def format(self, record: logging.LogRecord) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{now}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request_id.get():
            line["request_id"] = request_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        with contextlib.suppress(orjson.JSONEncodeError):
            return orjson.dumps(line).decode()
        return orjson.dumps({name: value.encode("utf-8", "replace").decode() for name, value in line.items()}).decode()
