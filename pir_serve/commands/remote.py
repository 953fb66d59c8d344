"""A gateway over HTTP, for commands that need more than the OpenAI API. Standard library only, so that they start at
once; what goes wrong is said in a line."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

import click

_TIMEOUT_S = 120.0
"""Of silence. A gateway that generates says something every ten seconds."""
_BROKE_OFF = (http.client.HTTPException, ConnectionError, TimeoutError)


class Remote:
    """One gateway. All methods raise click.ClickException, in words for whoever typed the command."""

    def __init__(self, base_url: str, api_key: str | None) -> None:
        """`base_url` with or without `/v1`; the key is OPENAI_API_KEY if not given."""
        self.base_url = base_url
        self._root = f"{base_url.rstrip('/').removesuffix('/v1')}/v1"
        self._key = api_key or os.environ.get("OPENAI_API_KEY")
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise click.ClickException(f"{base_url} is no address of a gateway: it must begin with http:// or https://")

    def call(self, method: str, *path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        """The JSON object of the reply. `path`: its parts behind /v1; what is None in `query` is left out."""
        with self.open(method, *path, query=query, body=body) as lines:
            raw = b"".join(lines)
        try:
            reply = json.loads(raw)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise click.ClickException(f"what answers at {self.base_url} is no PIR gateway")
        return reply

    @contextmanager
    def open(
        self, method: str, *path: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Generator[Iterator[bytes], None, None]:
        """The lines of the reply, as they come; an error if it breaks off."""
        url = "/".join([self._root, *(quote(part, safe="") for part in path)])
        if given := {name: value for name, value in (query or {}).items() if value is not None}:
            url += f"?{urlencode(given)}"
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            with urlopen(Request(url, data, headers, method=method), timeout=_TIMEOUT_S) as reply:
                yield _lines(reply)
        except HTTPError as error:
            raise click.ClickException(f"the gateway refused ({error.code}): {_reason(error)}") from None
        except http.client.InvalidURL as error:
            raise click.ClickException(f"{self.base_url} is no address of a gateway: {error}") from None
        except URLError:
            raise click.ClickException(
                f"nothing answers at {self.base_url}; start the gateway with `pir serve`"
            ) from None
        except _BROKE_OFF as error:
            raise click.ClickException(f"the reply broke off: {error or type(error).__name__}") from None

    def events(self, *path: str, body: Any) -> Iterator[dict[str, Any]]:
        """What a streamed reply to a POST says, event by event."""
        with self.open("POST", *path, body=body) as lines:
            for line in lines:
                if not line.startswith(b"data:"):
                    continue
                data = line.removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                event = json.loads(data)
                if "error" in event:
                    raise click.ClickException(f"the reply broke off: {event['error'].get('message')}")
                yield event
        raise click.ClickException("the reply broke off")


def _lines(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """Raises: IncompleteRead, where the reply breaks off: its own iterator would take that for the end."""
    rest = b""
    while piece := reply.read1(1 << 16):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _reason(error: HTTPError) -> str:
    """The error's own words, where it has any."""
    try:
        said = json.loads(error.read())["error"]["message"]
    except (ValueError, KeyError, TypeError, *_BROKE_OFF):
        return str(error.reason)
    return str(said)
