"""The HTTP client of the engines against servers that cut, stall, drop, babble and lose count."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pir_serve.engines import http
from pir_serve.engines.http import ConnectionDropped, HttpClient

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
BODY = b"hello, world"


@dataclass
class Server:
    """Answers each request with the next of its replies, as bytes or written by a function."""

    replies: list[bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]]
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    num_connections: int = 0
    num_closed: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                reply = self.replies.pop(0)
                if isinstance(reply, bytes):
                    writer.write(reply)
                else:
                    await reply(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.num_closed += 1
            writer.close()


@asynccontextmanager
async def serving(
    *replies: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(list(replies))
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def client_of(server: Server, path: str = "", *, silence_s: float = 5.0) -> AsyncIterator[HttpClient]:
    client = HttpClient(server.url + path, {"X-Always": "1"}, silence_s=silence_s)
    try:
        yield client
    finally:
        await client.aclose()


async def body_of(client: HttpClient) -> bytes:
    return await (await client.request("POST", "/path", b"{}")).read()


async def settle(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (the condition lives in another task's plain attributes)
            await asyncio.sleep(0.005)


async def test_a_reply_is_the_same_wherever_it_is_cut() -> None:
    def in_two(cut: int) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED[:cut])
            await asyncio.sleep(0.001)
            writer.write(CHUNKED[cut:])

        return write

    cuts = range(1, len(CHUNKED))
    async with serving(*map(in_two, cuts)) as server, client_of(server) as client:
        for _ in cuts:
            assert await body_of(client) == BODY
        assert server.num_connections == 1


async def test_the_request_has_its_path_headers_and_length() -> None:
    async with serving(CHUNKED) as server, client_of(server, "/engine/") as client:
        reply = await client.request("POST", "/v1/x", b"abc", {"X-Once": "2"})
        assert reply.status == 200 and await reply.read() == BODY
    [head] = server.heads
    lines = head.decode().splitlines()
    assert lines[0] == "POST /engine/v1/x HTTP/1.1"
    assert {f"Host: {server.url[7:]}", "X-Always: 1", "X-Once: 2", "Content-Length: 3"} <= set(lines)


async def test_a_status_that_only_announces_the_reply_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(b"HTTP/1.1 100 Continue\r\n\r\n" + early + CHUNKED) as server, client_of(server) as client:
        reply = await client.request("GET", "/")
        assert reply.status == 200 and await reply.read() == BODY


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Connection: close\r\n\r\n" + BODY)
        writer.close()

    async with serving(write, write) as server, client_of(server) as client:
        assert [await body_of(client), await body_of(client)] == [BODY, BODY]
        assert server.num_connections == 2


@pytest.mark.parametrize("surplus", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"junk", b"\0"])
async def test_what_comes_unasked_never_becomes_the_next_reply(surplus: bytes) -> None:
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"

    async def later(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        await has_read.wait()
        writer.write(surplus)

    has_read = asyncio.Event()
    for first in (CHUNKED + surplus, later):
        async with serving(first, other, other) as server, client_of(server) as client:
            assert await body_of(client) == BODY
            has_read.set()
            await asyncio.sleep(0.1)  # it has come
            assert await body_of(client) == b"other"
            assert server.num_connections == 2


@pytest.mark.parametrize(
    "junk", [b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\x02", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
async def test_what_is_not_http_is_an_error(junk: bytes) -> None:
    async with serving(junk) as server, client_of(server) as client:
        with pytest.raises(OSError, match="not HTTP"):
            await body_of(client)
        await settle(lambda: server.num_closed == 1)


async def test_a_reply_that_is_cut_off_gives_what_had_come_and_then_fails() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:-10])
        writer.close()

    async with serving(write) as server, client_of(server) as client:
        reply = await client.request("GET", "/")
        await asyncio.sleep(0.05)  # the end has been noticed by now
        assert (await reply.read_some()).startswith(b"hello")
        with pytest.raises(ConnectionResetError):
            await reply.read_some()


async def test_a_kept_connection_that_the_server_closes_is_replaced_once() -> None:
    async def drop(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(CHUNKED, drop, CHUNKED, drop, drop) as server, client_of(server) as client:
        assert await body_of(client) == BODY
        assert await body_of(client) == BODY
        assert server.num_connections == 2
        with pytest.raises(ConnectionDropped):
            await body_of(client)
        assert server.replies == []


async def test_connections_grow_old_and_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_IDLE_S", 0.05)
    async with serving(*[CHUNKED] * 4) as server, client_of(server) as client:
        assert set(await asyncio.gather(body_of(client), body_of(client))) == {BODY}
        await asyncio.sleep(0.1)
        assert await body_of(client) == BODY
        assert server.num_connections == 3
        await settle(lambda: server.num_closed == 2)


async def test_silence_is_an_error_and_slowness_is_not() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        for byte in CHUNKED:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)  # more than a second in all

    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:-10])
        await asyncio.sleep(30)

    async with serving(slow, stall) as server, client_of(server, silence_s=1.0) as client:
        assert await body_of(client) == BODY
        with pytest.raises(TimeoutError, match="silent for 1 s"):
            await body_of(client)


@pytest.mark.parametrize("phase", ["before the status", "in the body"])
async def test_a_cancelled_reader_cuts_the_connection(phase: str) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(b"" if phase == "before the status" else CHUNKED[:-10])
        assert await asyncio.wait_for(asyncio.shield(gone), 5)

    async with serving(stall) as server, client_of(server) as client:
        gone = asyncio.get_running_loop().create_future()

        async def read() -> None:
            reply = await client.request("GET", "/")
            try:
                while await reply.read_some():
                    pass
            finally:
                reply.close()

        task = asyncio.create_task(read())
        await settle(lambda: len(server.heads) == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone.set_result(True)
        await settle(lambda: server.num_closed == 1)


async def test_a_reply_that_is_left_may_end_within_its_grace() -> None:
    async def end(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:-5])
        await left.wait()
        writer.write(CHUNKED[-5:])

    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:-5])
        await asyncio.sleep(30)

    left = asyncio.Event()
    async with serving(end, stall, CHUNKED) as server, client_of(server) as client:
        reply = await client.request("GET", "/")
        assert await reply.read_some()
        reply.close(grace_s=30)
        left.set()
        await asyncio.sleep(0.1)
        reply = await client.request("GET", "/")
        assert server.num_connections == 1  # it ended in time, so its connection carried the next
        assert await reply.read_some()
        reply.close(grace_s=0.02)
        await asyncio.sleep(0.1)
        assert await body_of(client) == BODY
        assert server.num_connections == 2


async def test_closing_the_client_ends_what_runs_and_it_can_be_used_again() -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:-10])
        await asyncio.sleep(30)

    async with serving(stall, CHUNKED) as server, client_of(server) as client:
        running = asyncio.create_task(body_of(client))
        await settle(lambda: len(server.heads) == 1)
        await asyncio.sleep(0.02)
        await client.aclose()
        with pytest.raises(OSError):
            await running
        assert await body_of(client) == BODY


async def test_no_connection_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_CONNECT_S", 0.1)
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # nobody accepts these: there is no room for one more
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        client = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}", {}, silence_s=5)
        with pytest.raises(TimeoutError, match="no connection to 127"):
            await client.request("GET", "/")


async def test_https_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = write_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving(CHUNKED, CHUNKED, tls=tls) as server:
        async with client_of(server) as client:
            with pytest.raises(OSError, match="certificate"):
                await body_of(client)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with client_of(server) as client:
            assert [await body_of(client), await body_of(client)] == [BODY, BODY]
            assert len(server.heads) == 2


def write_certificate(folder: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
