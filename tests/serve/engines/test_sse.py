"""The event-stream parser: the same payloads wherever the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pir_serve.engines import sse
from pir_serve.engines.sse import SseParser
from pir_serve.errors import EngineProtocolError

STREAM = (
    b": keep-alive\n\n"
    b'data: {"text":"na\xc3\xafve"}\n\n'
    b"event: x\nid: 4\nretry: 10\n"
    b"data: one\ndata:two\n\n"
    b"\n\n"
    b"data: cr\r\n\r\n"
    b"data:  two spaces\n\n"
    b"data\n\n"
    b"data: [DONE]\n\n"
    b"data: unfinished"
)
PAYLOADS = [b'{"text":"na\xc3\xafve"}', b"one\ntwo", b"cr", b" two spaces", b"[DONE]"]


def test_payloads_are_the_same_for_every_cut() -> None:
    assert SseParser().feed(STREAM) == PAYLOADS
    for cut in range(len(STREAM) + 1):
        parser = SseParser()
        assert parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:]) == PAYLOADS, cut


def test_payloads_are_the_same_byte_by_byte() -> None:
    parser = SseParser()
    assert [p for k in range(len(STREAM)) for p in parser.feed(STREAM[k : k + 1])] == PAYLOADS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_payloads_are_the_same_for_any_cuts(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    assert [p for a, b in pairwise(edges) for p in parser.feed(STREAM[a:b])] == PAYLOADS


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_MAX_PENDING", 1000)
    parser = SseParser()
    with pytest.raises(EngineProtocolError):
        for _ in range(20):
            parser.feed(b"x" * 100)
