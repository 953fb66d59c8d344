"""An engine that thinks for long behind proxies that cut idle connections, and traces that reach the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.engines.fake_server import Script
from tests.serve.brains import PROBLEM, QUESTION
from tests.serve.served import Served, served
from tests.serve.thinking_server import ThinkingServer, thinking

IDLE_S = 0.4
"""After which the proxy gives up: 30 s for a common one, all times here being in proportion."""
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROBLEM}]},
    "/v1/responses": {"input": PROBLEM},
}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def impatient_proxy(target: str) -> AsyncIterator[str]:
    """Address of a TCP proxy that drops a connection on which nothing has come back for `IDLE_S`."""
    host, _, port = target.removeprefix("http://").partition(":")

    async def upwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        asking = asyncio.create_task(upwards(reader, up_writer))
        try:
            while data := await asyncio.wait_for(up_reader.read(65_536), IDLE_S):
                writer.write(data)
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            for one in (writer, up_writer):
                one.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def gateway_over(
    folder: Path, tokenizer: Path, **settings: object
) -> AsyncIterator[tuple[Served, ThinkingServer]]:
    async with thinking(tokenizer) as [server], served([server], tokenizer, folder, **settings) as gateway:
        server.headers.clear()
        yield gateway, server


@pytest.mark.parametrize("path", BODIES)
async def test_a_silent_engine_is_waited_for_behind_a_proxy_that_cuts_idle_connections(
    path: str, tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with (
        gateway_over(tmp_path, tokenizer_dir, keepalive_s=IDLE_S / 4) as (gateway, server),
        impatient_proxy(str(gateway.client.base_url).rstrip("/")) as proxy,
        httpx.AsyncClient(base_url=proxy, timeout=20) as client,
    ):
        server.next = [Script(queue_s=2 * IDLE_S, prefill_s=2 * IDLE_S)]
        reply = await client.post(path, json={"model": "thinker", "stream": True, **BODIES[path]})
    assert QUESTION in reply.text and reply.text.endswith("data: [DONE]\n\n")
    assert reply.text.count(": keepalive\n\n") >= 8


async def test_such_a_proxy_does_cut_what_says_nothing(tokenizer_dir: Path, tmp_path: Path) -> None:
    async with (
        gateway_over(tmp_path, tokenizer_dir, keepalive_s=60) as (gateway, server),
        impatient_proxy(str(gateway.client.base_url).rstrip("/")) as proxy,
        httpx.AsyncClient(base_url=proxy, timeout=20) as client,
    ):
        server.next = [Script(prefill_s=20)]
        body = {"model": "thinker", "stream": True, **BODIES["/v1/chat/completions"]}
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/chat/completions", json=body)
        async with asyncio.timeout(2):
            while not server.num_aborted:  # noqa: ASYNC110  (an attribute of the server's)
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(("sent", "arrives"), [(PARENT, PARENT), ("nonsense\r\nx-evil: 1", None), ("", None)])
async def test_a_clients_trace_reaches_the_engine_though_we_trace_nothing(
    sent: str, arrives: str | None, tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with gateway_over(tmp_path, tokenizer_dir) as (gateway, server):
        headers = {"traceparent": sent.replace("\r\n", " ")} if sent else {}
        body = {"model": "thinker", **BODIES["/v1/chat/completions"]}
        reply = await gateway.client.post("/v1/chat/completions", json=body, headers=headers)
        assert reply.status_code == 200
        assert [one.get("traceparent") for one in server.headers] == [arrives]
