"""A suspension that the client keeps: ours comes back exactly, and whatever else is echoed is nothing at all."""

from __future__ import annotations

import base64
import random
from array import array
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.store.base import Suspension
from pir_serve.store.sealed import MAX_STATE_CHARS, Sealer
from pir_serve.store.state import open_suspension, seal_suspension
from pir_serve.trajectory import Author, Segment, Trajectory

T0 = 1_800_000_000.0
KEY, OLD_KEY = b"n" * 32, b"o" * 32
DIGEST = "d" * 32
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


class Clock:
    def __init__(self, now: float = T0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_suspension(num_tokens: int = 3, question: str = "How many litres?", **fields: object) -> Suspension:
    rng = random.Random(num_tokens)
    ids = tuple(rng.randrange(150_000) for _ in range(num_tokens))
    logprobs = tuple(array("f", [-rng.expovariate(1) for _ in ids]))
    thought = Segment(Author.MODEL, f"Hm. <asking>{question}</asking>", ids, logprobs)
    plain = Suspension(
        sid="pir_" + "x" * 24,
        tenant="tenant",
        scope="chat é",
        model="pir-tiny",
        digest=DIGEST,
        trajectory=Trajectory("s_1", "pir-tiny", (Segment(Author.USER, "A tank.", (1, 2)),))
        .append(thought)
        .suspend(question),
        request={"temperature": 0.5, "stop": ["é"], "ask": "auto"},
        transcript_key="t" * 22,
        question_key="q" * 22,
        message_keys=("m1", "~l1"),
        system_key="s" * 22,
        parent="pir_0",
        created=T0 - 0.25,
        expires=T0 + 60,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def seal(sealer: Sealer, suspension: Suspension | None = None) -> str:
    sealed = seal_suspension(sealer, suspension or make_suspension())
    assert sealed is not None
    return sealed


def open_(sealer: Sealer, sealed: object, *, tenant: str = "tenant", digest: str = DIGEST) -> Suspension | None:
    return open_suspension(sealer, sealed, tenant=tenant, digest=digest)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer([KEY], now=Clock())


def test_a_suspension_comes_back_exactly(sealer: Sealer) -> None:
    assert open_(sealer, seal(sealer)) == make_suspension()


@patient
@given(
    st.text(st.characters(exclude_categories=()), max_size=50),
    st.lists(st.text(), max_size=5).map(tuple),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)),
    st.integers(0, 2000),
)
def test_any_suspension_comes_back_exactly(
    question: str, message_keys: tuple[str, ...], request: dict[str, object], num_tokens: int
) -> None:
    sealer = Sealer([KEY], now=Clock())
    suspension = make_suspension(num_tokens, question, message_keys=message_keys, request=request, parent=None)
    assert open_(sealer, seal(sealer, suspension)) == suspension


def test_it_is_safe_in_urls_and_shows_nothing(sealer: Sealer) -> None:
    sealed = seal(sealer)
    assert sealed.replace("-", "").replace("_", "").isalnum()
    data = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert b"pir_xx" not in data and b"PT" not in data
    assert seal(sealer) != sealed


def test_of_another_tenant_model_or_key_it_does_not_open(sealer: Sealer) -> None:
    sealed = seal(sealer)
    assert open_(sealer, sealed, tenant="other") is None
    assert open_(sealer, sealed, tenant="") is None
    assert open_(sealer, sealed, digest="e" * 32) is None
    assert open_(Sealer([OLD_KEY], now=Clock()), sealed) is None


def test_after_its_time_it_does_not_open() -> None:
    clock = Clock()
    sealer = Sealer([KEY], now=clock)
    sealed = seal(sealer)
    clock.now = T0 + 59.9
    assert open_(sealer, sealed) is not None
    clock.now = T0 + 60
    assert open_(sealer, sealed) is None
    late = sealer.open_state(sealed, tenant="tenant", digest=DIGEST, even_expired=True)
    assert late and late.claims.transcript_key == "t" * 22
    assert sealer.open_state(sealed, tenant="other", digest=DIGEST, even_expired=True) is None


def test_the_first_key_seals_and_all_open() -> None:
    old, rotated, after = (Sealer(ring, now=Clock()) for ring in ([OLD_KEY], [KEY, OLD_KEY], [KEY]))
    assert open_(rotated, seal(old)) and open_(after, seal(rotated))
    assert open_(after, seal(old)) is None and open_(old, seal(rotated)) is None


def test_every_changed_bit_and_every_cut_is_noticed(sealer: Sealer) -> None:
    sealed = seal(sealer)
    data = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    for bit in range(8 * len(data)):
        forged = bytearray(data)
        forged[bit // 8] ^= 1 << bit % 8
        assert open_(sealer, base64.urlsafe_b64encode(forged).decode().rstrip("=")) is None
    for end in range(len(sealed) - 1):
        assert open_(sealer, sealed[:end]) is None
    assert open_(sealer, sealed + sealed) is None


def test_handles_and_states_are_not_interchangeable(sealer: Sealer) -> None:
    handle = sealer.seal("pir_1", tenant="tenant", digest=DIGEST, transcript_key="t", expires=T0 + 60)
    assert open_(sealer, handle) is None
    small = sealer.seal_state(b"", sid="pir_1", tenant="tenant", digest=DIGEST, transcript_key="t", expires=T0 + 60)
    assert small and len(small) < 300
    assert sealer.open(small, tenant="tenant", digest=DIGEST) is None


def test_sealed_by_us_but_no_suspension_that_we_can_read_is_nothing(sealer: Sealer) -> None:
    for data in (b"", b"PT", b"PT\xff" + bytes(40)):
        sealed = sealer.seal_state(
            data, sid="pir_1", tenant="tenant", digest=DIGEST, transcript_key="t", expires=T0 + 60
        )
        assert open_(sealer, sealed) is None


@patient
@given(
    st.text() | st.none() | st.integers() | st.lists(st.text()) | st.binary() | st.dictionaries(st.text(), st.text())
)
def test_whatever_a_client_echoes_is_no_error(anything: object) -> None:
    assert open_(Sealer([KEY]), anything) is None


@pytest.mark.parametrize("junk", ["", "=", "A", "a b", "ä", "\ud800", "/+==", "A" * MAX_STATE_CHARS, "A" * 5_000_000])
def test_junk_is_no_error(sealer: Sealer, junk: str) -> None:
    assert open_(sealer, junk) is None


def test_a_long_reasoning_takes_tens_of_kilobytes_and_one_too_long_is_refused_not_cut(sealer: Sealer) -> None:
    long = make_suspension(4_000)
    assert len(seal(sealer, long)) < 40_000  # random ids, which compress worse than text does
    longer = make_suspension(50_000)
    sealed = seal(sealer, longer)
    assert len(sealed) <= MAX_STATE_CHARS and open_(sealer, sealed) == longer
    assert (
        seal_suspension(sealer, make_suspension(10, request={"stop": [random.Random(1).randbytes(1_000_000).hex()]}))
        is None
    )


@pytest.mark.parametrize("short_by", [0, 1, 2, 3, 4])
def test_the_longest_that_is_sealed_is_the_longest_that_opens(sealer: Sealer, short_by: int) -> None:
    claims = {"sid": "pir_1", "tenant": "tenant", "digest": DIGEST, "transcript_key": "t", "expires": T0 + 60}
    empty = sealer.seal_state(b"", **claims)  # type: ignore[arg-type]
    assert empty
    room = MAX_STATE_CHARS * 3 // 4 - len(base64.urlsafe_b64decode(empty + "=" * (-len(empty) % 4)))
    data = bytes(room - short_by)
    sealed = sealer.seal_state(data, **claims)  # type: ignore[arg-type]
    state = sealer.open_state(sealed, tenant="tenant", digest=DIGEST)
    assert state and state.data == data
    assert sealer.seal_state(bytes(room + 1), **claims) is None  # type: ignore[arg-type]
