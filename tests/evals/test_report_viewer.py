"""`pir eval view --html`: one page, read as a browser reads it, with the worst that models can write."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from evals.cli import evaluation
from tests.evals.hand_made import CONDITIONS, failed, played, policy, row, turn, write_run

HOSTILE = (
    "</script><script>document.title='owned'</script><!-- <img src=x onerror=\"document.title='owned'\"> "
    "\u2028 & &lt; ' \" \\ `${1}` </pre> @DATA@ @SCRIPT@ \u202e 😀 <asking>a</asking>"
)


def view(*folders, to=None):
    """The one-file page of the runs; where it is."""
    file = to or folders[0] / "view.html"
    done = CliRunner().invoke(evaluation, ["view", *map(str, folders), "--html", str(file)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(file)
    return file


def hostile_run():
    of = replace(row(0, group=HOSTILE), shown=HOSTILE, full=HOSTILE, gold=HOSTILE)
    asks = [turn("f1", ask=HOSTILE, response=HOSTILE)]
    run = [failed(played(of, condition, *(asks if condition == "interactive" else []))) for condition in CONDITIONS]
    return [
        replace(one, transcript=replace(one.transcript, final=HOSTILE, reasoning=HOSTILE, error=HOSTILE)) for one in run
    ]


class Page(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    @property
    def data(self):
        return json.loads(self.scripts[0])


def read(file):
    return Page(file.read_text(encoding="utf-8"))


def test_the_page_holds_every_conversation_with_what_it_is_filtered_by(tmp_path):
    folder = write_run(tmp_path / "a", policy("always", 10))
    data = read(view(folder)).data
    assert len(data["items"]) == 60
    tagged = {tag: sum(tag in play["tags"] for item in data["items"] for play in item["plays"]) for tag in data["tags"]}
    assert tagged["asked"] == 20
    assert tagged["over-ask"] == 10
    assert tagged["under-ask"] == tagged["error"] == 0
    assert tagged["right"] + tagged["wrong"] == 60


def test_two_runs_stand_side_by_side_and_differences_are_marked(tmp_path):
    a, b = write_run(tmp_path / "a", policy("never", 10)), write_run(tmp_path / "b", policy("oracle", 10))
    view(a, b, to=tmp_path / "both.html")
    data = read(tmp_path / "both.html").data
    assert data["runs"] == [str(a), str(b)]
    differ = [item for item in data["items"] if "runs differ" in item["tags"]]
    # Only where something was missing and one could ask did the two go different ways.
    assert len(differ) == 10
    assert {item["condition"] for item in differ} == {"interactive"}
    assert all(len(item["plays"]) == 2 for item in data["items"])


def test_runs_under_other_rules_are_shown_with_a_warning(tmp_path):
    a, b = write_run(tmp_path / "a", policy("never", 2)), write_run(tmp_path / "b", policy("never", 3), max_turns=1)
    view(a, b, to=tmp_path / "both.html")
    data = read(tmp_path / "both.html").data
    assert any("cap of asks" in warning for warning in data["warnings"])
    assert [item["plays"][0] for item in data["items"]].count(None) == 6


def test_nothing_that_a_model_wrote_becomes_part_of_the_page(tmp_path):
    plain, hostile = write_run(tmp_path / "a", [played(row(0))]), write_run(tmp_path / "b", hostile_run())
    view(plain), view(hostile)
    plain_page, page = read(plain / "view.html"), read(hostile / "view.html")
    assert page.elements == plain_page.elements
    assert page.data["items"][0]["plays"][0]["final"] == HOSTILE
    assert page.data["rows"][0]["shown"] == HOSTILE


def test_the_page_loads_nothing_and_allows_only_its_own_script(tmp_path):
    folder = write_run(tmp_path / "a", hostile_run())
    view(folder)
    page = read(folder / "view.html")
    assert not [attrs for _, attrs in page.elements if attrs.keys() & {"src", "href", "srcset"}]
    policy_text = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    sha = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert policy_text.startswith("default-src 'none'")
    assert f"script-src 'sha256-{sha}'" in policy_text


def test_half_an_emoji_in_a_reply_is_shown_and_reported(tmp_path):
    folder = write_run(tmp_path / "a", [played(row(0, group="here"))])
    for name in ("rows.jsonl", "transcripts.jsonl"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("Some reasoning.", "\\ud83d").replace('"here"', '"\\ud83d"'))
    view(folder)
    assert read(folder / "view.html").data["items"][0]["plays"][0]["reasoning"] == "\ud83d"
    assert CliRunner().invoke(evaluation, ["report", str(folder)]).exit_code == 0


def test_five_thousand_conversations_make_a_page(tmp_path):
    long = "Some reasoning. " * 100
    run = [played(row(pair), condition) for pair in range(1667) for condition in CONDITIONS]
    run = [replace(one, transcript=replace(one.transcript, reasoning=long)) for one in run]
    folder = write_run(tmp_path / "a", run)
    begun = time.monotonic()
    view(folder)
    assert time.monotonic() - begun < 30
    assert len(read(folder / "view.html").data["items"]) == 5001


def test_wrong_arguments_are_a_sentence(tmp_path):
    folder = write_run(tmp_path / "a", [played(row(0))])
    for arguments, reason in (
        ([tmp_path], "is no run"),
        ([folder, folder], "same folder"),
        ([folder, "--html", tmp_path], "directory"),
        ([folder, "--judge-model", "m"], "needs both"),
    ):
        done = CliRunner().invoke(evaluation, ["view", *map(str, arguments)])
        assert done.exit_code in (1, 2)
        assert reason in done.output
        assert "Traceback" not in done.output


def test_without_the_web_app_it_says_how_to_get_it(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "a", [played(row(0))])
    for name in [name for name in sys.modules if name.startswith("ui.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    done = CliRunner().invoke(evaluation, ["view", str(folder)])
    assert done.exit_code == 1
    assert "needs gradio: pip install 'pir-serve[ui]' (in a clone: make setup-ui)" in done.output


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no browser on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, file):
    page = browser.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(file.as_uri())
    return page, faults


def test_a_browser_filters_and_shows_conversations(tmp_path, browser):
    a, b = write_run(tmp_path / "a", policy("never", 10)), write_run(tmp_path / "b", policy("always", 10))
    view(a, b, to=tmp_path / "both.html")
    page, faults = opened(browser, tmp_path / "both.html")
    assert page.inner_text("#count") == "60 of 60"
    page.click("text=over-ask")
    assert page.inner_text("#count") == "10 of 60"
    page.click("text=runs differ")
    page.fill("#search", "Problem 7.")
    assert page.inner_text("#count") == "1 of 60"
    page.click("nav button >> nth=0")
    assert "p7-complete" in page.inner_text("main h2 >> nth=0")
    assert page.locator("main section").count() == 2
    page.fill("#search", "")
    page.locator("h1").click()
    page.keyboard.press("j")
    assert page.locator("nav button[aria-current=true]").count() == 1
    assert faults == []
    page.close()


def test_a_browser_runs_nothing_that_a_model_wrote(tmp_path, browser):
    folder = write_run(tmp_path / "a", hostile_run())
    view(folder)
    page, faults = opened(browser, folder / "view.html")
    page.click("nav button >> nth=0")
    assert page.title() == str(folder)
    assert page.locator("img").count() == 0
    assert re.sub(r"\s+", "", HOSTILE) in re.sub(r"\s+", "", page.inner_text("main"))
    assert faults == []
    page.close()
