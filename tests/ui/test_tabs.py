"""Comparing, exploring, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from evals.problems import generate
from evals.rows import Row, Transcript, Turn
from tests.ui.conftest import Server, Shoot, answer_is, ask_card, running, say, visit


def test_three_users_side_by_side(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    page.get_by_role("tab", name="Compare").click()
    nobody, you, simulated = (page.locator("#columns .pane").nth(k) for k in range(3))
    for _ in range(6):  # the problem is drawn, and the built-in model does not ask in each
        page.get_by_role("button", name="Another problem").click()
        expect(page.get_by_label("A problem that lacks something")).not_to_have_value("")
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(nobody.locator(".answer")).to_be_visible()
        expect(simulated.locator(".answer")).to_be_visible()
        expect(you.locator(".answer, .ask").first).to_be_visible()
        if you.locator(".ask").count():
            break
    expect(nobody.locator(".verdict")).to_be_visible()
    expect(nobody.locator("dd").first).to_have_text("0")
    expect(you.locator(".ask .chip").first).to_be_visible()
    shoot(page, "13-compare")
    you.locator(".ask textarea").fill("3")
    you.get_by_role("button", name="Answer").click()
    expect(you.locator(".asked .said").first).to_have_text("3")
    expect(you.locator(".answer, .ask").first).to_be_visible()


def test_a_typed_problem_has_no_simulated_user(page: Page, app: Server) -> None:
    visit(page, app)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("A problem that lacks something").fill("Tom works for 5 hours. How much does Tom earn?")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#columns .pane").nth(2)).to_contain_text("generated problems only")
    expect(page.locator("#columns .pane").nth(1).locator(".ask")).to_contain_text("I need the pay of Tom")
    expect(page.locator("#columns .pane").nth(0).locator(".answer")).to_be_visible()
    expect(page.locator("#columns .verdict")).to_have_count(0)


def test_problems_keep_their_secret_behind_a_fold_and_go_to_the_chat(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    page.get_by_role("tab", name="Explore").click()
    first = page.locator("#problems .problem").first
    (problem,) = generate("train", 1, 0, mode="incomplete")
    expect(first).to_contain_text(problem.shown)
    secret = first.get_by_text(problem.full)
    expect(secret).to_be_hidden()
    first.get_by_text("Reveal the whole problem").click()
    expect(secret).to_be_visible()
    shoot(page, "14-problems")
    first.get_by_role("button", name="Try in chat").click()
    expect(page.locator("#log .bubble")).to_have_text(problem.shown)
    expect(page.locator("#log .ask, #log .answer").first).to_be_visible()


@pytest.fixture(scope="module")
def runs_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`pir eval view` of two runs, with no gateway: in one the model asks and is right, in the other it guesses."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("asking", "guessing")]
    rows = [Row.of(problem, "pir_builtin") for problem in generate("train", 3, 1, mode="paired")]
    for folder in folders:
        folder.mkdir()
        tasks = {"pir_builtin": {"version": len(folder.name), "data_sha": "", "num_rows": 6}}
        (folder / "run.json").write_text(json.dumps({"schema": 1, "tasks": tasks, "identity": {}}))
        (folder / "rows.jsonl").write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
        played = [_transcript(row, asks=folder.name == "asking") for row in rows]
        (folder / "transcripts.jsonl").write_text("".join(json.dumps(t.to_json()) + "\n" for t in played))
    view = ["pir_serve.cli", "eval", "view", *map(str, folders), "--no-browser", "--port", "{port}"]
    server = Server([*view, "--base-url", "http://127.0.0.1:1"])
    with running(server):
        yield server


def _transcript(row: Row, *, asks: bool) -> Transcript:
    turns = (Turn("How many <b>really</b>?", "Five.", "answer", (), 9, 0.1, 0.0),) if asks else ()
    return Transcript(
        key=f"{row.row_id}-{asks}", row_id=row.row_id, pair_id=row.pair_id, task=row.task, condition="interactive",
        repeat=0, turns=turns, final=f"\\boxed{{{row.gold if asks else -1}}}", reasoning="A thought.", stop="answer",
    )  # fmt: skip


def test_runs_are_read_filtered_and_put_side_by_side(page: Page, runs_app: Server, shoot: Shoot) -> None:
    page.goto(f"{runs_app.url}/?tab=runs")
    items = page.locator("#runs .problem")
    expect(items).to_have_count(6)
    expect(items.first).to_be_visible()
    expect(page.locator("#banner .away")).to_be_hidden()  # nothing here needs the gateway
    expect(page.locator("#runs .trouble")).to_contain_text("pir_builtin has version 6 in one and 8 in the other")
    items.nth(1).locator("summary").first.click()
    panes = items.nth(1).locator(".pane")
    expect(panes).to_have_count(2)
    expect(panes.nth(0).locator("h3")).to_have_text("askingright")
    expect(panes.nth(1).locator("h3")).to_have_text("guessingwrong")
    expect(panes.nth(0).locator(".asked")).to_contain_text("How many <b>really</b>?")
    shoot(page, "15-runs")
    only = page.get_by_label("Only")
    for name, count in (("asked", 6), ("over-ask", 3), ("wrong", 0)):  # all that are chosen must apply
        only.fill(name)
        page.get_by_role("option", name=name, exact=True).click()
        expect(items).to_have_count(count)
    expect(page.locator("#runs .empty")).to_have_text("No conversation like that.")
    for _ in range(3):
        only.press("Backspace")
    expect(items).to_have_count(6)
    page.get_by_label("Search").last.fill("how many pages has linda read")
    expect(items).to_have_count(2)


def test_the_other_tabs_of_the_viewer_say_that_there_is_no_gateway(page: Page, runs_app: Server) -> None:
    page.goto(f"{runs_app.url}/?tab=runs")
    expect(page.locator("#runs .problem").first).to_be_visible()
    page.get_by_role("tab", name="Chat").click()
    expect(page.locator("#banner .away")).to_contain_text("does not answer")
    page.get_by_role("tab", name="Explore").click()
    expect(page.locator("#banner .away")).to_be_hidden()


def test_settings_last_and_asking_can_be_turned_off(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("never", exact=True).click()  # nothing lies over it
    page.get_by_label("Dark").check()
    expect(page.locator("body.dark")).to_have_count(1)
    say(page, "Tom works for 5 hours. How much does Tom earn?")
    answer_is(page)
    expect(page.locator("#log .asked .reply b")).to_have_text("In your place (asking is off)")
    shoot(page, "16-dark")
    page.reload()
    expect(page.locator("body.dark")).to_have_count(1)
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_label("never", exact=True)).to_be_checked()


def test_all_of_a_conversation_by_keyboard(page: Page, app: Server) -> None:
    visit(page, app)
    expect(page.locator("#composer textarea")).to_be_focused()
    page.keyboard.type(
        "Nina's plan is to save 7 dollars regularly, and she has 2 weeks of saving. Tell me the money Nina saves."
    )
    page.keyboard.press("Enter")
    ask_card(page)
    expect(page.locator("#composer textarea")).to_be_focused()
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "7 dollars a day":
            break
    page.keyboard.press("Enter")
    answer_is(page, "98")
