"""Many people: they do not see each other, and 20 at once get their own replies. And everybody can read the page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import TANKS, Server, Shoot, answer_is, ask_card, pair, say, scripted_server, visit


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing_serious(page: Page, app: Server, theme: str, shoot: Shoot) -> None:
    visit(page, app)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label(theme).check()
    page.emulate_media(reduced_motion="reduce")
    faults = serious(page)
    say(page, TANKS)
    ask_card(page)
    shoot(page, f"17-ask-{theme.lower()}")
    faults += serious(page)
    say(page, "7 guests")
    answer_is(page)
    faults += serious(page)
    for tab in ("Compare", "Explore"):
        page.get_by_role("tab", name=tab).click()
        faults += serious(page)
    assert not faults, "\n".join(sorted(set(faults)))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with two users, each with a gateway key."""
    folder = tmp_path_factory.mktemp("guarded")
    users = folder / "users.toml"
    users.write_text(
        '[ann]\npassword = "apple"\napi_key = "key-of-ann-1"\n[bob]\npassword = "berry"\napi_key = "key-of-bob-2"\n'
    )
    gateway = scripted_server(folder, "key-of-ann-1", "key-of-bob-2")
    with pair(gateway, "--users", str(users)) as (_, app):
        yield app


def log_in(page: Page, app: Server, name: str, password: str) -> None:
    page.goto(app.url)
    page.get_by_label("username").fill(name)
    page.get_by_label("password").fill(password)
    page.get_by_role("button", name="Login").click()


def test_people_who_log_in_see_only_their_own(browser: Browser, guarded: Server) -> None:
    ann, bob = browser.new_context(), browser.new_context()
    try:
        hers, his = ann.new_page(), bob.new_page()
        log_in(hers, guarded, "ann", "berry")
        expect(hers.get_by_text("Incorrect Credentials")).to_be_visible()
        log_in(hers, guarded, "ann", "apple")
        expect(hers.locator("#log .welcome")).to_be_visible()
        say(hers, TANKS)
        ask_card(hers)
        hers.wait_for_url("**/?session=*")
        log_in(his, guarded, "bob", "berry")
        expect(his.locator("#listing .empty")).to_be_visible()
        his.goto(hers.url)
        expect(his.locator("#log .trouble")).to_contain_text("cannot be shown")
        expect(his.locator("#log .bubble")).to_have_count(0)
    finally:
        ann.close()
        bob.close()


async def visitor(client: httpx.AsyncClient, number: int) -> tuple[str, str]:
    """One tab as its browser speaks to the server: a problem of its own; the log as it ends, and as the next one sees it."""
    config = (await client.get("/config")).json()
    send = next(
        d for d in config["dependencies"] if d["targets"] and d["targets"][0][1] == "submit" and len(d["inputs"]) == 6
    )
    problem = f"Nora buys some pens. Each pen costs {number} dollars. How much does she pay in all?"
    seen = ""
    for text in (problem, "She buys 3 pens."):
        data = [text, None, "pir-tiny", "whenever it needs to", 2, -1]
        joined = {"data": data, "fn_index": send["id"], "session_hash": f"visitor-{number}"}
        (await client.post("/gradio_api/queue/join", json=joined)).raise_for_status()
        async with client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": f"visitor-{number}"}
        ) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data:"):
                    seen += line
                    if json.loads(line[5:])["msg"] == "process_completed":
                        assert json.loads(line[5:])["success"], line
                        break
    return problem, seen


def test_twenty_at_once_get_their_own_replies(app: Server) -> None:
    async def all_of_them() -> list[tuple[str, str]]:
        async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
            return await asyncio.gather(*(visitor(client, 11 + k) for k in range(20)))

    with ThreadPoolExecutor(1) as thread:
        results = thread.submit(lambda: asyncio.run(all_of_them())).result()
    for k, (problem, seen) in enumerate(results):
        assert problem in seen
        assert "She buys 3 pens." in seen
        assert {int(cost) for cost in re.findall(r"Each pen costs (\d+) dollars", seen)} == {11 + k}
        assert "The answer is" in seen


def test_an_address_that_others_reach_needs_users(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from ui.cli import ui

    open_to_all = CliRunner().invoke(ui, ["--host", "0.0.0.0"])
    assert open_to_all.exit_code == 2
    assert "give --users" in open_to_all.output
    wrong = tmp_path / "users.toml"
    for text in ("", "[ann]\npassword = 'x'\n", "ann = 3\n", "[ann\n"):
        wrong.write_text(text)
        result = CliRunner().invoke(ui, ["--users", str(wrong)])
        assert result.exit_code == 1
        assert str(wrong) in result.output
        assert "Traceback" not in result.output
