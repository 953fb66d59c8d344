"""Chatting: the live thought, the ask, ways to answer, the answer."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.ui.conftest import TANKS, Server, Shoot, answer_is, ask_card, say, visit

NINA = "Nina's plan is to save 7 dollars regularly, and she has 2 weeks of saving. Tell me the money Nina saves."


def test_a_first_visit_offers_three_examples_each_of_which_makes_the_model_ask(
    page: Page, app: Server, shoot: Shoot
) -> None:
    visit(page, app)
    cards = page.locator("#log .card")
    expect(cards).to_have_count(3)
    shoot(page, "01-first-visit")
    for k in range(3):
        cards.nth(k).click()
        ask_card(page)
        page.get_by_role("button", name="New conversation").click()
        expect(cards).to_have_count(3)


def test_the_answer_goes_into_the_same_thought_below_its_question(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    say(page, TANKS)
    ask_card(page)
    expect(page.locator(".ask .why")).to_contain_text("Reasoning paused")
    before = page.locator("#log .step").all_inner_texts()
    assert before
    shoot(page, "02-ask")
    say(page, "7 guests")
    answer_is(page, "4")
    expect(page.locator("#log .thought")).to_have_count(1)
    kinds = [item.get_attribute("class") for item in page.locator("#log .steps > li").all()]
    ask = kinds.index("asked")
    assert kinds[:ask] == ["step"] * len(before)
    assert "step" in kinds[ask + 1 :]
    expect(page.locator("#log .asked .said")).to_have_text("7 guests")
    expect(page.locator("#log .figures")).to_have_text(re.compile(r"^\d+\.\d s · \d+ tokens$"))
    expect(page.locator("#composer textarea")).to_have_value("")
    shoot(page, "03-answer")


def test_a_question_with_choices_offers_them(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    say(page, NINA)
    ask_card(page)
    shoot(page, "04-choices")
    page.get_by_role("button", name="7 dollars a day").click()
    answer_is(page, "98")
    expect(page.locator("#log .asked .said")).to_have_text("7 dollars a day")


def test_not_knowing_and_letting_it_guess_are_real_responses(page: Page, app: Server) -> None:
    visit(page, app)
    say(page, TANKS)
    ask_card(page)
    page.get_by_role("button", name="Use your best guess").click()
    expect(page.locator("#log .asked .reply b")).to_have_text("In your place (you let it guess)")
    expect(page.locator("#log .asked .said")).to_contain_text("best judgment")
    answer_is(page)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#log .card").first).to_be_visible()
    say(page, TANKS)
    ask_card(page)
    page.get_by_role("button", name="I don’t know").click()
    expect(page.locator("#log .asked .said").first).to_have_text("I don't know.")
    expect(page.locator("#log .asked .reply b").first).to_have_text("You")


def test_a_thought_grows_before_ones_eyes_stays_folded_and_can_be_stopped(
    page: Page, scripted_app: Server, shoot: Shoot
) -> None:
    visit(page, scripted_app)
    say(page, "Think slowly.")
    live = page.locator("#log .thought.is-live")
    expect(live.locator(".step").nth(4)).to_be_visible()
    few = live.locator(".step").count()
    expect(live.locator(".figures")).to_have_text(re.compile(r"^\d+\.\d s · ~\d+ tokens$"))
    shoot(page, "05-live-thought")
    live.locator("summary").click()
    expect(live.locator(".step").nth(few + 4)).to_be_attached()
    assert live.get_attribute("open") is None
    page.locator("#composer .stop-button").click()
    expect(page.locator("#composer textarea")).to_have_value("Think slowly.")
    expect(page.locator("#log .thought")).to_have_count(0)


def test_mathematics_is_set_and_hostile_text_is_only_text(page: Page, scripted_app: Server, shoot: Shoot) -> None:
    visit(page, scripted_app)
    say(page, "How large is it?")
    ask_card(page)
    page.get_by_role("button", name="Metric", exact=True).click()
    expect(page.locator("#log .answer mfrac")).to_be_visible()
    expect(page.locator("#log .answer msqrt")).to_be_visible()
    expect(page.locator("#log .answer")).not_to_contain_text("$")
    expect(page.locator("#log .answer strong")).to_have_text("twice")
    shoot(page, "06-mathematics")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#log .welcome")).to_be_visible()
    hostile = '<b id="mine">hostile</b> ${1+1} {{value}} "quoted\'s"'
    say(page, hostile)
    ask_card(page)
    expect(page.locator("#log .bubble")).to_have_text(hostile)
    say(page, hostile)
    answer_is(page, "<script>")
    expect(page.locator("#log .asked .said")).to_have_text(hostile)
    expect(page.locator("#log .step").first).to_contain_text("${1+1} {{value}}")
    assert page.locator("#log img, #log script, #mine").count() == 0
    assert page.evaluate("window.hacked") is None


def test_uncertainty_stands_beside_each_step_and_goes_by_one_click(page: Page, app: Server, shoot: Shoot) -> None:
    visit(page, app)
    say(page, TANKS)
    ask_card(page)
    page.get_by_role("button", name="Use your best guess").click()
    answer_is(page)
    bars = page.locator("#log .step .bar.entropy")
    assert bars.count() == page.locator("#log .step").count()
    for bar in bars.all():
        assert re.fullmatch(r"uncertainty \d+\.\d\d nats a token", bar.get_attribute("aria-label") or "")
    bars.last.hover()
    tip = bars.last.evaluate("bar => getComputedStyle(bar, '::after').content")
    assert re.fullmatch(r'"\d+\.\d\d nats a token"', tip)
    line = page.locator("#log svg.spark")
    expect(line).to_have_attribute("aria-label", re.compile(r"asked 1 time$"))
    expect(line.locator(".at-ask")).to_have_count(1)
    shoot(page, "07-uncertainty")
    page.get_by_label("Uncertainty", exact=True).click()
    expect(bars.first).to_be_hidden()
    expect(line).to_be_hidden()
    expect(page.locator("#log .step").first).to_be_visible()


def test_a_follow_up_keeps_what_was_said(page: Page, app: Server) -> None:
    visit(page, app)
    say(page, TANKS)
    ask_card(page)
    say(page, "7 guests")
    answer_is(page, "4")
    say(page, "Tom works for 5 hours. How much does Tom earn?")
    ask_card(page)
    expect(page.locator("#log .bubble")).to_have_text(
        [TANKS, "7 guests", "Tom works for 5 hours. How much does Tom earn?"]
    )
