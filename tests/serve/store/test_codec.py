"""A trajectory as bytes: exact for any text and number, small, and never a crash when damaged."""

from __future__ import annotations

import random
import struct
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.store import codec
from pir_serve.trajectory import Ask, Author, Exchange, Segment, Status, Trajectory, Volunteered
from tests.serve.store.samples import make_trajectory

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included
token_ids = st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple)
logprobs = st.lists(st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False), max_size=20).map(tuple)
authors = st.sampled_from(Author)
asks = st.builds(Ask, st.integers(0, 99), any_text, st.none() | any_text, authors)
segments = st.builds(Segment, st.sampled_from(Author), any_text, token_ids, logprobs, st.none() | token_ids)
exchanges = st.builds(Exchange, asks, any_text, authors, any_text)
volunteered = st.builds(Volunteered, any_text, st.integers(0, 99))
trajectories = st.builds(
    Trajectory,
    any_text,
    any_text,
    st.lists(segments, max_size=5).map(tuple),
    st.lists(exchanges, max_size=3).map(tuple),
    st.sampled_from(Status),
    st.none() | asks,
    st.lists(any_text, max_size=3).map(tuple),
    st.none() | any_text,
    st.lists(volunteered, max_size=2).map(tuple),
)


@patient
@given(trajectories)
def test_any_trajectory_survives_storage_exactly(trajectory: Trajectory) -> None:
    loaded, _ = codec.load(codec.dump(trajectory))
    assert loaded == trajectory
    assert repr(loaded) == repr(trajectory)  # 0.0 is not -0.0


@patient
@given(trajectories, st.integers(0, 10_000), st.binary(max_size=4))
def test_damaged_bytes_are_a_codec_error_or_harmless_never_a_crash(t: Trajectory, at: int, noise: bytes) -> None:
    data = codec.dump(t)
    at %= len(data)
    for damaged in (data[:at], data[:at] + noise + data[at + len(noise) :], data + noise, noise):
        try:
            loaded, _ = codec.load(damaged)
        except codec.CodecError:
            continue
        assert loaded == t or damaged != data


def test_what_is_left_over_is_damage() -> None:
    data = codec.dump(make_trajectory())
    with pytest.raises(codec.CodecError):
        codec.load(data + b"\0")


def test_parts_of_two_rows_make_no_third() -> None:
    head = struct.Struct("<2sBcIII")
    row, other = (codec.dump(make_trajectory().append(Segment(Author.MODEL, "", ids))) for ids in [(), (1, 2)])
    *kind, text_size, ids_size, logprobs_size = head.unpack_from(row)
    other_size = head.unpack_from(other)[3]
    text = other[head.size : head.size + other_size]
    mixed = head.pack(*kind, other_size, ids_size, logprobs_size) + text + row[head.size + text_size :]
    with pytest.raises(codec.CodecError, match="add up"):
        codec.load(mixed)


def test_a_format_of_the_future_is_refused_by_number() -> None:
    data = bytearray(codec.dump(make_trajectory()))
    data[2] = 3
    with pytest.raises(codec.CodecError, match="format 3"):
        codec.load(bytes(data))


def test_a_row_of_the_first_format_is_still_read() -> None:
    """Written by the version before volunteered facts and reasons were stored."""
    row = bytes.fromhex(
        "50540166d00000001c00000030000000789c6d50b18ac3300cfd17cde2da5cb7109af1e64e1d42086aad4bccd94e88645a28fdf7934b"
        "b82e3718ded3939e9efc0061113f27a841860a10e2ec38188b864549b318a11b79f5691cb2f06ac2c2c91985baab10ce93bf4e2df436"
        "4be17b5e233b1320b128bb81e4a7488e95bcf9a61c0202dfaf13a591cdbbebf608a7d64cbfb245f930a01c9740cad0dba0f01839e9ab"
        "f3ad2034cb11f0135f7efb1ebb2d380235b6d2c21d4f6db3db60e93ce0a1b46d17d8abfe19befc95abb29cefba12d40f2857d837649d"
        "e1f9fc05bebe6296789c63646062281064016356063606760610608462080000212601227801636060600000000400017801636060600"
        "000000400017801636868600000028401017801dbbf6fff3e00077602fb"
    )
    loaded, extra = codec.load(row)
    assert extra == {"ask": "auto"}
    assert loaded.exchanges == (Exchange(Ask(0, "Q?"), "Guess.", Author.TEMPLATE),)
    assert loaded.pending == Ask(1, "Which?") and loaded.volunteered == ()
    assert [s.token_ids for s in loaded.segments] == [(1, 2), (70000, 4), (6,), (7,)]
    assert codec.load(codec.dump(loaded, extra)) == (loaded, extra)


def test_log_probabilities_of_an_engine_take_four_bytes_at_most() -> None:
    rng = random.Random(3)
    as_computed = tuple(array("f", [-rng.expovariate(1) for _ in range(4000)]))
    size = len(codec.dump(Trajectory("s", "m", (Segment(Author.MODEL, "", (), as_computed),))))
    assert size < 4 * 4000 + 200
