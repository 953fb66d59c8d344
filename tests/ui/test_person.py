"""`pir eval run --user human --in browser`: a person answers the model's questions on a page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner
from playwright.sync_api import BrowserContext, Page, expect

from evals.cli import evaluation
from tests.ui.conftest import ROOT, START_S, Server, Shoot
from ui.person import Table


@contextmanager
def run(gateway: Server, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The run, and the page's address."""
    task = ["--tasks", "pir_builtin", "--limit", "4", "--conditions", "interactive", "-o", str(folder / "run")]
    person = ["--user", "human", "--in", "browser", "--no-browser", "--base-url", f"{gateway.url}/v1"]
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-m", "pir_serve.cli", "eval", "run", *task, *person]
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    try:
        until = time.monotonic() + START_S
        while not (found := re.search(r"you answer on (http://127.0.0.1:\d+)", (folder / "said").read_text())):
            assert time.monotonic() < until and process.poll() is None, (folder / "said").read_text()
            time.sleep(0.1)
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


def turns(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "run" / "transcripts.jsonl").read_text().splitlines()
    return [turn for line in lines for turn in json.loads(line)["turns"]]


def test_a_person_answers_on_a_page_and_the_run_goes_on(
    page: Page, context: BrowserContext, builtin: Server, tmp_path: Path, shoot: Shoot
) -> None:
    with run(builtin, tmp_path) as (process, address):
        page.goto(address)
        question = page.locator("#log .ask .question")
        expect(question).to_be_visible(timeout=60_000)
        shoot(page, "18-person")
        other = context.new_page()
        other.goto(address)
        expect(other.locator("#log .ask .question")).to_have_text(question.inner_text())
        over = page.get_by_text("The run is over")
        told = []
        while expect(question.or_(over)).to_be_visible(timeout=60_000) or question.is_visible():
            asked = question.inner_text()
            known = page.locator("#log .whole li")
            told.append((asked, known.first.inner_text() if known.count() else "<b>No</b> idea."))
            page.locator("#log .ask textarea").fill(told[-1][1])
            page.get_by_role("button", name="Answer", exact=True).click()
            expect(page.locator("#log .ask .question", has_text=asked)).to_have_count(0)
        expect(other.locator("#log .ask")).to_have_count(0)
        assert process.wait(60) == 0, (tmp_path / "said").read_text()
    kept = turns(tmp_path)
    assert sorted((turn["ask"], turn["response"]) for turn in kept) == sorted(told)
    assert any(turn["kind"] == "answer" and turn["disclosed"] for turn in kept)


def test_a_card_that_comes_while_the_page_is_drawn_is_shown_next() -> None:
    class Busy(Table):
        def html(self) -> str:
            drawn = super().html()
            if self.card is None:
                self.lay(json.dumps({"told": "", "knows": [], "history": [], "ask": "How many?"}))
            return drawn

    table = Busy()
    drawn, seen = table.look(-1)
    assert "How many?" not in drawn
    drawn, seen = table.look(seen)
    assert "How many?" in drawn and table.look(seen)[1] == seen


def test_hostile_cards_are_text_and_the_page_ends_with_the_run(page: Page) -> None:
    hostile = '<img src=x onerror="window.hacked=1">'
    card = {"row_id": hostile, "told": hostile, "knows": [hostile], "history": [[hostile, hostile]], "ask": hostile}
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.person"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        page.goto(json.loads(process.stdout.readline()))
        expect(page.get_by_text("The model reasons")).to_be_visible()
        process.stdin.write(json.dumps(card) + "\n")
        process.stdin.flush()
        expect(page.locator("#log .ask .question")).to_have_text(hostile)
        assert page.evaluate("window.hacked") is None
        page.get_by_role("button", name="I don’t know").click()
        assert json.loads(process.stdout.readline()) == "I don't know."
        process.stdin.close()  # as when the run is killed
        expect(page.get_by_text("The run is over")).to_be_visible()
        process.wait(15)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_page_without_a_person_is_refused(tmp_path: Path) -> None:
    arguments = ["run", "--tasks", "pir_builtin", "-o", str(tmp_path / "run"), "--in", "browser"]
    done = CliRunner().invoke(evaluation, arguments)
    assert done.exit_code == 2
    assert "--in browser is for --user human" in done.output
