"""Handles that clients echo: ours open, whatever else a client sends does not, and nothing raises."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import ConfigError
from pir_serve.store.sealed import Claims, Sealer, load_or_create_secret

T0 = 1_800_000_000.0
KEY, OLD_KEY = b"n" * 32, b"o" * 32
SID = "pir_" + "x" * 22
TRANSCRIPT = "t" * 22
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


class Clock:
    now = T0

    def __call__(self) -> float:
        return self.now


def seal(sealer: Sealer, *, tenant: str = "tenant", digest: str = "d" * 64, sid: str = SID) -> str:
    return sealer.seal(sid, tenant=tenant, digest=digest, transcript_key=TRANSCRIPT, expires=T0 + 60)


def open_(sealer: Sealer, handle: object, *, tenant: str = "tenant", digest: str = "d" * 64) -> Claims | None:
    return sealer.open(handle, tenant=tenant, digest=digest)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer([KEY], now=Clock())


def test_a_handle_opens_to_what_was_sealed(sealer: Sealer) -> None:
    assert open_(sealer, seal(sealer)) == Claims(SID, TRANSCRIPT, T0 + 60)


def test_a_handle_is_short_and_safe_in_urls_and_shows_nothing(sealer: Sealer) -> None:
    handle = seal(sealer, tenant="t" * 500, digest="d" * 500)
    assert len(handle) <= 250
    assert handle.replace("-", "").replace("_", "").isalnum()
    assert SID.encode() not in base64.urlsafe_b64decode(handle + "=" * (-len(handle) % 4))
    assert seal(sealer) != seal(sealer)


def test_of_another_tenant_model_or_key_it_does_not_open(sealer: Sealer) -> None:
    handle = seal(sealer)
    assert open_(sealer, handle, tenant="other") is None
    assert open_(sealer, handle, digest="e" * 64) is None
    assert open_(Sealer([OLD_KEY], now=Clock()), handle) is None


def test_expired_it_opens_only_for_those_who_ask_for_it() -> None:
    clock = Clock()
    sealer = Sealer([KEY], now=clock)
    handle = seal(sealer)
    clock.now = T0 + 60
    assert open_(sealer, handle) is None
    assert sealer.open(handle, tenant="tenant", digest="d" * 64, even_expired=True) == Claims(SID, TRANSCRIPT, T0 + 60)
    assert sealer.open(handle, tenant="other", digest="d" * 64, even_expired=True) is None


def test_the_first_key_seals_and_all_open() -> None:
    old, rotated, after = (Sealer(ring, now=Clock()) for ring in ([OLD_KEY], [KEY, OLD_KEY], [KEY]))
    assert open_(rotated, seal(old)) is not None
    assert open_(after, seal(rotated)) is not None
    assert open_(after, seal(old)) is None
    assert open_(old, seal(rotated)) is None


def test_every_changed_bit_and_every_cut_is_noticed(sealer: Sealer) -> None:
    handle = seal(sealer)
    data = base64.urlsafe_b64decode(handle + "=" * (-len(handle) % 4))
    for bit in range(8 * len(data)):
        forged = bytearray(data)
        forged[bit // 8] ^= 1 << bit % 8
        assert open_(sealer, base64.urlsafe_b64encode(forged).decode().rstrip("=")) is None
    for end in range(len(handle) - 1):
        assert open_(sealer, handle[:end]) is None
    assert open_(sealer, handle + handle) is None


@patient
@given(
    st.text() | st.none() | st.integers() | st.lists(st.text()) | st.binary() | st.dictionaries(st.text(), st.text())
)
def test_whatever_a_client_echoes_is_no_error(anything: object) -> None:
    assert open_(Sealer([KEY]), anything) is None


@pytest.mark.parametrize("junk", ["", "=", "A", "AQ", "a b", "ä", "\ud800", "/+==", "A" * 1024, "A" * 1_000_000])
def test_junk_is_no_error(sealer: Sealer, junk: str) -> None:
    assert open_(sealer, junk) is None


def test_a_handle_has_one_spelling(sealer: Sealer) -> None:
    handle = seal(sealer)
    for other in (
        f"{handle[:9]}!{handle[9:]}",
        f"{handle[:9]}\n{handle[9:]}",
        f" {handle}",
        f"{handle[:8]}===={handle[8:]}",
    ):
        assert open_(sealer, other) is None


def test_rows_and_handles_are_not_interchangeable(sealer: Sealer) -> None:
    wrapped = base64.urlsafe_b64encode(sealer.wrap(b"\x01" + bytes(60), b"pir row\0tenant")).decode().rstrip("=")
    assert open_(sealer, wrapped) is None


@patient
@given(st.binary(max_size=200), st.binary(max_size=30), st.binary(max_size=30))
def test_wrapped_bytes_open_in_their_context_only(data: bytes, context: bytes, other: bytes) -> None:
    sealer = Sealer([KEY])
    wrapped = sealer.wrap(data, context)
    assert sealer.unwrap(wrapped, context) == data
    assert (sealer.unwrap(wrapped, other) == data) is (other == context)


@pytest.mark.parametrize("secrets", [[], [b"short"], [KEY, b""]])
def test_a_missing_or_short_secret_is_refused(secrets: list[bytes]) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        Sealer(secrets)


# The secret's file


def test_the_secret_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    secret = load_or_create_secret(path)
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_secret(path) == secret
    assert load_or_create_secret(tmp_path / "another") != secret
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from pir_serve.store.sealed import load_or_create_secret as load\n"
        "print('ready', flush=True); sys.stdin.readline(); print(load(pathlib.Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "secret")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    secrets = {process.communicate()[0].strip() for process in processes}
    assert secrets == {load_or_create_secret(tmp_path / "secret").hex()}


@pytest.mark.parametrize("content", ["", "not hex", "abcd", "ä" * 40])
def test_a_file_without_a_secret_is_refused_and_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(ConfigError, match="secret"):
        load_or_create_secret(path)
    assert path.read_text() == content


def test_a_folder_in_the_secrets_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot use the secret"):
        load_or_create_secret(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    path = tmp_path / "secret"
    path.write_text(os.urandom(32).hex())
    path.chmod(mode)
    load_or_create_secret(path)
    assert "chmod 600" in caplog.text
