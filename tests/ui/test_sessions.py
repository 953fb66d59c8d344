"""Sessions: they outlive the page, the gateway and the device; they branch; people find, name and delete them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import TANKS, Server, Shoot, answer_is, ask_card, pair, say, scripted_server, visit

LOAVES = "Each loaf uses several eggs. The number of loaves Sven makes is 10. How many eggs are needed in total?"


def asked(page: Page, app: Server, problem: str = TANKS) -> str:
    """A question waits; its address."""
    visit(page, app)
    say(page, problem)
    ask_card(page)
    page.wait_for_url("**/?session=*")
    return page.url


def test_a_question_survives_reload_a_killed_gateway_and_another_device(
    page: Page, browser: Browser, tmp_path: Path, shoot: Shoot
) -> None:
    with pair(scripted_server(tmp_path)) as (gateway, app):
        _survives(page, browser, gateway, app, shoot)


def _survives(page: Page, browser: Browser, gateway: Server, app: Server, shoot: Shoot) -> None:
    address = asked(page, app)
    page.reload()
    ask_card(page)
    gateway.stop(signal.SIGKILL)
    expect(page.locator("#banner .away")).to_contain_text("trying again")
    page.locator("#composer textarea").fill("7 guests")
    shoot(page, "08-gateway-away")
    page.keyboard.press("Enter")
    expect(page.locator("#log .trouble")).to_contain_text("What you wrote is still here")
    expect(page.locator("#composer textarea")).to_have_value("7 guests")
    gateway.start()
    expect(page.locator("#banner .away")).to_have_count(0)
    elsewhere = browser.new_context(viewport={"width": 390, "height": 800})
    try:
        phone = elsewhere.new_page()
        phone.goto(address)
        ask_card(phone)
        phone.get_by_role("button", name="I don’t know").click(trial=True)  # nothing lies over it
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shoot(phone, "09-phone")
        say(phone, "14 guests")
        answer_is(phone, "twice")
        expect(phone.locator("#log .step").nth(2)).to_have_text("The unit is 14 guests.")
        shoot(phone, "10-phone-answer")
    finally:
        elsewhere.close()
    page.keyboard.press("Enter")
    answer_is(page, "twice")
    expect(page.locator("#log .step").nth(2)).to_have_text("The unit is 7 guests.")
    expect(page.locator("#log .switch")).to_contain_text("2 / 2")


def test_another_answer_is_a_branch_beside_the_old_one(page: Page, app: Server, shoot: Shoot) -> None:
    asked(page, app)
    say(page, "7 guests")
    answer_is(page, "4")
    page.get_by_text("Answer differently").click()
    page.locator("#log .edit textarea").fill("2 guests")
    page.get_by_role("button", name="Go on with this").click()
    answer_is(page, "14")
    expect(page.locator("#log .switch")).to_contain_text("2 / 2")
    shoot(page, "11-branches")
    page.get_by_role("button", name="Answer before this one").click()
    answer_is(page, "4")
    expect(page.locator("#log .said")).to_have_text("7 guests")
    page.get_by_role("button", name="Next answer").click()
    answer_is(page, "14")
    page.reload()
    expect(page.locator("#log .switch")).to_contain_text("2 / 2")


def test_the_list_tells_what_waits_and_is_searched_renamed_deleted(page: Page, app: Server, shoot: Shoot) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    address = asked(page, app, LOAVES)
    current = page.locator("#listing li:has([aria-current])")
    expect(current).to_contain_text("the number of eggs for one loaf")
    current.locator("summary").click()
    current.get_by_label("Title").fill("Sven's <i>loaves</i>")
    page.keyboard.press("Enter")
    expect(current.locator(".title")).to_have_text("Sven's <i>loaves</i>")
    page.get_by_label("Search conversations").fill("sven's loaves")
    expect(page.locator("#listing li")).to_have_count(1)
    page.get_by_label("Finished").check(force=True)
    expect(page.locator("#listing .empty")).to_have_text("Nothing like that.")
    page.get_by_label("Waiting for you").check(force=True)
    expect(page.locator("#listing li")).to_have_count(1)
    shoot(page, "12-list")
    current.locator("summary").click()
    current.get_by_role("button", name="Delete").click()
    expect(page.locator("#log .welcome")).to_be_visible()
    expect(page.locator("#listing li")).to_have_count(0)
    page.goto(address)
    expect(page.locator("#log .trouble")).to_contain_text("cannot be shown")
    expect(page.locator("#log .card").first).to_be_visible()


def test_a_session_is_opened_from_the_list(page: Page, app: Server) -> None:
    asked(page, app)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#log .welcome")).to_be_visible()
    page.locator("#listing li").first.locator("a").click()
    ask_card(page)
    page.wait_for_url("**/?session=*")


@pytest.mark.parametrize("session", ["s_nothing", "../../health", "%00", "pir_x", "x" * 3000])
def test_a_wrong_link_says_so(page: Page, app: Server, session: str) -> None:
    visit(page, app, f"?session={session}")
    expect(page.locator("#log .trouble")).to_contain_text("cannot be shown")
    expect(page.locator("#log .welcome")).to_be_visible()


def test_a_conversation_is_saved_as_markdown_and_json(page: Page, app: Server, tmp_path: Path) -> None:
    asked(page, app)
    say(page, "7 guests")
    answer_is(page, "4")
    files = {}
    for kind in ("Markdown", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save {kind}").click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    text = files["Markdown"].read_text()
    assert text.startswith("# There is a total of 4 tanks")
    assert (
        text.index("**Asked:** I need the number of guests")
        < text.index("**You:** 7 guests")
        < text.index("\\boxed{4}")
    )
    saved = json.loads(files["JSON"].read_text())
    assert saved["session"]["object"] == "pir.session"
    assert saved["session"]["newest"] == saved["shown"]
    assert [file.suffix for file in files.values()] == [".md", ".json"]
