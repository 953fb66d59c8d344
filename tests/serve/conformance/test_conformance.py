"""`pir conformance`: our own gateway passes, and for each broken rule the check that is meant for it fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pir_serve.conformance import CHECKS, SURFACES, Outcome, Problem, Result, Setup, run_suite
from pir_serve.conformance.wire import Http
from pir_serve.demo import fresh_gateway
from pir_serve.settings import BUILTIN_MODEL
from tests.fakes import Line
from tests.serve.brains import turn_so_far
from tests.serve.conformance.breaking_proxy import BreakingProxy, Fault, serving
from tests.serve.conformance.broken_gateways import FAULTS
from tests.serve.conformance.broken_surfaces import SURFACE_FAULTS
from tests.serve.conformance.broken_transports import TRANSPORT_FAULTS
from tests.serve.conftest import Desk

Serve = Callable[[Desk], AbstractContextManager[Desk]]
PROBLEM = Problem("Nora buys 6 pens. How much does she pay?", "4 dollars")
pytestmark = pytest.mark.timeout(300)  # whole suites, on machines that do other things as well
NUMBERS = [check.number for check in CHECKS]
AMONG_OTHERS = {101, 108, 109, 202, 206, 207, 208, 209, 301, 304, 305, 313, 314, 403, 419, 501, 512, 601, 702}
"""Checks that look at each part of what a proxy passes on."""
OWN_FAULTS = SURFACE_FAULTS | TRANSPORT_FAULTS
PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"
ROOT = Path(__file__).parents[3]


def inquisitive(prompt: str) -> Line:
    """Asks for the price, and again as long as it is told no number. Takes its time with who introduces himself, so
    that there is some to say or to cancel something."""
    return Line(_said(prompt), delay_s=0.01 if "Hello, I am" in prompt else 0.0)


def _said(prompt: str) -> str:
    told = re.findall(r"<response>(.*?)</response>", turn_so_far(prompt), re.DOTALL)
    if "Nora" not in prompt:
        return "\nThere is nothing to work out.\n</think>\nYou are welcome."
    if not told:
        return "\nThe number of pens is 6, and nobody says what one costs.\n<asking>How much is a pen?</asking>"
    if not re.search(r"\d|judgment", told[-1]):
        return "\nThat is no price.\n<asking>But how much is one pen?</asking>"
    return "\nNow the price is known.\n</think>\nShe pays 24 dollars."


async def outcomes(url: str, surface: str, **options: Any) -> dict[tuple[int, bool], Result]:
    http = Http(url, timeout_s=20)
    try:
        setup = Setup("scripted", (PROBLEM,), tries=2)
        running = run_suite(http, setup, [SURFACES[surface]], **options)
        return {(r.check.number, r.stream): r async for r in running}
    finally:
        await http.aclose()


def failed(results: dict[tuple[int, bool], Result]) -> dict[int, str]:
    return {number: r.detail for (number, _), r in results.items() if r.outcome is Outcome.FAILED}


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_gateway_that_keeps_the_contract_passes(
    surface: str, make_desk: Callable[..., Desk], on_port: Serve
) -> None:
    chosen = SURFACES[surface]
    # What is said is the same however it travels: 500 and above are tried over plain HTTP.
    numbers = {c.number for c in CHECKS if c.applies(chosen) and (c.number < 500 or "http" in chosen.traits)}
    with on_port(make_desk(inquisitive)) as desk:
        results = await outcomes(desk.url, surface, only=numbers)
    assert failed(results) == {}
    skipped = {number for (number, _), r in results.items() if r.outcome is Outcome.SKIPPED}
    assert skipped == {311, 415}  # a second key, a short life time: below
    assert {number for number, _ in results} == numbers


def test_each_check_applies_to_some_surface() -> None:
    assert {c.number for c in CHECKS for s in SURFACES.values() if c.applies(s)} == set(NUMBERS)


async def test_expired_questions_and_other_tenants_are_tried_where_that_is_possible(
    make_desk: Callable[..., Desk], on_port: Serve
) -> None:
    keys = ("key-of-ann-1", "key-of-bob-2")
    with on_port(make_desk(inquisitive, ttl_s=1.0, api_key=keys)) as desk:
        http, other = (Http(desk.url, key) for key in keys)
        setup = Setup("scripted", (PROBLEM,))
        running = run_suite(http, setup, list(SURFACES.values()), only={311, 415}, other_http=other)
        results = [(r.check.number, r.outcome, r.detail) async for r in running]
        await http.aclose()
        await other.aclose()
    ways = sum(len(surface.streams) for surface in SURFACES.values())
    assert results == [(n, Outcome.PASSED, "") for n in (311, 415) for _ in range(ways)]


async def test_one_key_for_two_tenants_is_caught(make_desk: Callable[..., Desk], on_port: Serve) -> None:
    with on_port(make_desk(inquisitive)) as desk:
        http = Http(desk.url, "whoever-1")
        setup = Setup("scripted", (PROBLEM,))
        running = run_suite(http, setup, list(SURFACES.values()), only={311}, other_http=http)
        assert {r.outcome async for r in running} == {Outcome.FAILED}
        await http.aclose()


# -- one broken rule at a time


async def test_a_proxy_that_breaks_nothing_passes(make_desk: Callable[..., Desk], on_port: Serve) -> None:
    with on_port(make_desk(inquisitive)) as desk:
        async with serving(BreakingProxy(desk.url, Fault())) as proxy:
            for surface in SURFACES:
                assert failed(await outcomes(proxy.url, surface, only=AMONG_OTHERS)) == {}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_rule_is_caught_by_its_check(name: str, make_desk: Callable[..., Desk], on_port: Serve) -> None:
    number, make_fault = FAULTS[name]
    with on_port(make_desk(inquisitive)) as desk:
        async with serving(BreakingProxy(desk.url, make_fault())) as proxy:
            results = await outcomes(proxy.url, "chat", only={number})
    assert number in failed(results), [(r.outcome, r.detail) for r in results.values()]


@pytest.mark.parametrize("name", OWN_FAULTS)
async def test_a_broken_rule_is_caught_on_each_surface(
    name: str, make_desk: Callable[..., Desk], on_port: Serve
) -> None:
    number, surface, make_fault = OWN_FAULTS[name]
    with on_port(make_desk(inquisitive)) as desk:
        async with serving(BreakingProxy(desk.url, make_fault())) as proxy:
            results = await outcomes(proxy.url, surface, only={number})
    assert number in failed(results), [(r.outcome, r.detail) for r in results.values()]


def test_every_check_has_a_gateway_that_fails_it() -> None:
    broken = {number for number, _ in FAULTS.values()} | {number for number, _, _ in OWN_FAULTS.values()}
    assert broken == set(NUMBERS) - {311}  # one key for two tenants is above


def test_every_surface_has_broken_gateways_of_its_own() -> None:
    assert {surface for _, surface, _ in OWN_FAULTS.values()} == set(SURFACES) - {"chat"}


# -- the command


def pir(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pir_serve.cli", "conformance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_the_command_tells_in_a_table_in_json_and_by_its_exit_code(
    make_desk: Callable[..., Desk], on_port: Serve, tmp_path: Path
) -> None:
    own = ["--question", PROBLEM.text, "--answer", PROBLEM.answer]
    with on_port(make_desk(inquisitive)) as desk:
        two = ["--surface", "chat", "--surface", "responses-tool"]
        done = pir("--base-url", f"{desk.url}/v1", *own, *two, "--only", "101,3xx", "--json", str(tmp_path / "r.json"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "a question is an ordinary reply" in done.stdout and "0 failed" in done.stdout
        written = json.loads((tmp_path / "r.json").read_text())
        assert written["counts"]["failed"] == 0 and written["counts"]["passed"] >= 15
        assert {r["check"] // 100 for r in written["results"]} == {1, 3}
        assert {r["surface"] for r in written["results"]} == {"chat", "responses-tool"}
    with on_port(make_desk(lambda _: "\nAll is known.\n</think>\nShe pays 24.", store=tmp_path / "sure.db")) as desk:
        done = pir("--base-url", desk.url, *own, "--only", "301")
        assert done.returncode == 1 and "asked about none" in done.stdout  # nothing tested is nothing proven
        done = pir("--base-url", desk.url, "--only", "301")
        assert done.returncode == 1 and "--question" in done.stderr  # it offers no examples


def test_a_broken_gateway_ends_the_command_with_1_and_the_rule(make_desk: Callable[..., Desk], on_port: Serve) -> None:
    with on_port(make_desk(inquisitive, ask="never")) as desk:
        own = ["--question", PROBLEM.text, "--answer", PROBLEM.answer]
        done = pir("--base-url", desk.url, *own, "--only", "502,7xx", "--stream", "off")
        assert done.returncode == 0  # 502 cannot be tried, and errors are as they should be
        done = pir("--base-url", desk.url, *own, "--model", "no-such-model", "--only", "707")
        assert done.returncode == 1
        assert "rule:  Fields that a gateway does not know are ignored" in " ".join(done.stdout.split("\n"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--base-url", "http://127.0.0.1:9"], "nothing answers"),
        (["--question", "How far?"], "go together"),
        (["--only", "999"], "there is no check 999"),
        (["--problems", "tests/serve/brains.py"], "brains.py:1"),
        (["--problems", "README.md", "--surface", "fax"], "fax"),
    ],
)
def test_what_a_user_gets_wrong_is_said_in_a_line(arguments: list[str], said: str) -> None:
    done = pir(*arguments)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


@pytest.mark.skipif(not (BUILTIN_MODEL / "config.json").is_file(), reason="the built-in model is not in this checkout")
def test_the_gateway_with_the_built_in_model_passes_with_the_examples_that_it_offers() -> None:
    """What is decided by how a real model behaves; the rules that hold whatever it says are tried above."""
    others = [option for name in SURFACES if name != "chat" for option in ("--surface", name)] + ["--stream", "on"]
    chosen = (
        ("--surface", "chat", "--only", "1xx,202,301,304,401,403,407,504,509,601"),
        (*others, "--only", "101,108,202,209,304,305,313,314,403,424,426,512"),
    )
    with fresh_gateway() as gateway:
        for options in chosen:
            done = pir("--base-url", f"{gateway.url}/v1", "--tries", "12", *options)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "0 failed, 0 skipped" in done.stdout


def test_the_page_describes_each_check_by_its_number() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    rule = {c.number: (c.title, " ".join(c.rule.split())) for c in CHECKS}
    assert {int(n): (title.strip(), text.strip()) for n, title, text in rows} == rule
