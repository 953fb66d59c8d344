"""`pir store`: what those who run a gateway do with what is stored, of all tenants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pir_serve.cli import cli
from pir_serve.errors import StoreError
from pir_serve.store.base import Store
from pir_serve.store.responses import ResponseRecord, ResponseStatus
from tests.serve.postgres import PostgresServer
from tests.serve.store.samples import answer, ask, begin, make_node, make_suspension

OLD, NEW = "the-first-long-secret", "the-second-long-secret"
WORDS = b"How many litres"


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables that name a store."""
    if request.param == "file":
        return {"PIR_STORE": str(tmp_path / "pir.db")}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"PIR_DATABASE": server.database(), "PIR_SECRET": "a-secret-that-all-share"}


def pir(place: dict[str, str], *arguments: str, **more: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), env={**place, **more})


def run(place: dict[str, str], work: Callable[[Store], Awaitable[Any]], **more: str) -> Any:
    """With the store as a gateway with these variables has it."""
    from pir_serve.api.build import build_store
    from pir_serve.settings import Settings

    async def main() -> Any:
        store = build_store(Settings.from_env({**place, **more}))
        await store.start()
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


async def fill(store: Store) -> None:
    await store.put(make_suspension("pir_1", created=4e9))
    await store.put(make_node("pir_2", answer(ask(begin())), created=4e9))
    await store.put(make_suspension("pir_old", created=1e9))
    await store.put(make_suspension("pir_1", tenant="other", created=4e9))
    await store.rename("t", "s_1", "How many litres, again")
    body = {"text": "How many litres"}
    record = ResponseRecord("resp_1", "t", ResponseStatus.IN_PROGRESS, body, (body,), (body,), None, 4e9, 5e9)
    await store.responses.put(record, events=[b"How many litres were spilled?"] * 3, first=0)


async def contents(store: Store) -> Any:
    return [
        (await store.list("t")).items,
        (await store.list("other")).items,
        await store.session("t", "s_1"),
        [(await store.responses.get("t", "resp_1")).body],  # type: ignore[union-attr]
        await store.responses.events("t", "resp_1"),
    ]


def test_stats_count_each_tenants_rows_and_gc_deletes_what_has_expired(place: dict[str, str]) -> None:
    run(place, fill)
    stats = json.loads(pir(place, "store", "stats", "--json").stdout)
    assert stats["bytes"] > 0
    rows = {row.pop("tenant"): row for row in stats["tenants"]}
    assert rows["t"] == {"waiting": 2, "finished": 1, "sessions": 2, "responses": 1}
    assert rows["other"]["waiting"] == 1
    assert "deleted 1" in pir(place, "store", "gc").output
    assert "deleted 0" in pir(place, "store", "gc").output
    assert "other" in pir(place, "store", "stats").output


def test_export_and_purge_are_of_one_tenant(place: dict[str, str], tmp_path: Path) -> None:
    run(place, fill)
    out = tmp_path / "rows.jsonl"
    assert pir(place, "store", "export", "--tenant", "t", "-o", str(out)).exit_code == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["pir_2", "pir_1"]
    assert pir(place, "store", "export", "--tenant", "nobody").stdout == ""
    assert pir(place, "store", "purge", "--tenant", "t").exit_code == 1  # nobody said yes
    assert "deleted 4" in pir(place, "store", "purge", "--tenant", "t", "--yes").output
    assert json.loads(pir(place, "store", "stats", "--json").stdout)["tenants"][0]["tenant"] == "other"
    assert pir(place, "store", "export", "--tenant", "t").stdout == ""


def test_a_key_is_replaced_without_losing_anything(place: dict[str, str]) -> None:
    run(place, fill)
    before = run(place, contents)
    assert pir(place, "store", "reseal").output.strip() == "sealed 0 anew"  # without a key there is nothing to do
    first = pir(place, "store", "reseal", PIR_SEAL_KEY=OLD)
    assert first.output.strip() == "sealed 11 anew"  # of 4 nodes payload and brief; a title, a response, its events
    assert run(place, contents, PIR_SEAL_KEY=OLD) == before
    assert pir(place, "store", "reseal", PIR_SEAL_KEY=OLD).output.strip() == "sealed 0 anew"
    both = f"{NEW},{OLD}"
    assert run(place, contents, PIR_SEAL_KEY=both) == before
    assert pir(place, "store", "reseal", PIR_SEAL_KEY=both).output.strip() == "sealed 11 anew"
    assert run(place, contents, PIR_SEAL_KEY=NEW) == before
    with pytest.raises(StoreError, match="encrypted"):
        run(place, lambda store: store.get("t", "pir_1"), PIR_SEAL_KEY=OLD)
    assert pir(place, "store", "reseal", PIR_SEAL_KEY=OLD).output.strip() == "sealed 0 anew"  # and damages nothing
    assert run(place, contents, PIR_SEAL_KEY=NEW) == before


def test_nothing_that_was_written_is_on_the_disk_once_it_is_sealed(tmp_path: Path) -> None:
    place = {"PIR_STORE": str(tmp_path / "pir.db")}
    run(place, fill, PIR_SEAL_KEY=NEW)
    for file in tmp_path.iterdir():
        assert WORDS not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (("stats",), {"PIR_SEAL_KEY": "short"}, "16 characters"),
        (("stats",), {"PIR_DATABASE": "postgresql://127.0.0.1:9/x"}, "PIR_SECRET"),
        (("stats", "--store", "/dev/null/x"), {}, "/dev/null/x"),
        (("export",), {}, "--tenant"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], more: dict[str, str], words: str) -> None:
    result = pir({}, "store", *arguments, **more)
    assert result.exit_code != 0 and words in result.output + str(result.exception)
