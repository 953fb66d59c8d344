"""The SDK's own connection to the Responses API over a WebSocket; each event is read with the SDK's types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection

from tests.fakes import Line
from tests.serve.brains import curious, responses
from tests.serve.conftest import Desk
from tests.serve.responses.wire import Json, checked_event

SDK_WARNS = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
"""Of websockets 17 about how the SDK (3.54) uses it."""
_LONG = "The number of pens is 6.\n" * 40


def thoughtful(prompt: str) -> Line:
    """Reasons for seconds, then asks; told the price meanwhile, it answers at once."""
    if responses(prompt):
        return Line(curious(prompt))
    return Line(f"\n{_LONG}{curious(prompt)}", delay_s=0.02)


@contextmanager
def connected(desk: Desk, **headers: str) -> Iterator[ResponsesConnection]:
    client = OpenAI(base_url=f"{desk.url}/v1", api_key="unused", default_headers=headers)
    with client, client.responses.connect() as connection:
        yield connection


def received(connection: ResponsesConnection) -> Json:
    return checked_event(json.loads(connection.recv_bytes()), over_socket=True)


def until(connection: ResponsesConnection, *kinds: str) -> list[Json]:
    events = [received(connection)]
    while events[-1]["type"] not in kinds:
        events.append(received(connection))
    return events
