"""`pir chat` as people use it: keys typed into a pseudo-terminal, and what is then on the screen; and over pipes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from pir_serve import cli
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, responses, turn_so_far, twice_curious
from tests.serve.commands.terminal import Terminal, pir_in_terminal
from tests.serve.conftest import Desk

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
CTRL_C, CTRL_D, ENTER, ALT_ENTER, CLEAR = "\x03", "\x04", "\r", "\x1b\r", "\x15"


def chat(desk: Desk, *arguments: str, **size: int) -> AbstractContextManager[Terminal]:
    return pir_in_terminal("chat", "--base-url", desk.url, *arguments, **size)


def piped(desk: Desk, stdin: str, *arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(cli.cli, ["chat", "--base-url", desk.url, *arguments], input=stdin, prog_name="pir")
    assert result.exit_code == exit_code, result.output
    return result


def objects(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def sessions(desk: Desk) -> list[dict[str, Any]]:
    found = httpx.get(f"{desk.url}/v1/pir/sessions").json()["data"]
    assert isinstance(found, list)
    return found


def test_a_question_stands_out_and_the_next_line_answers_it(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk, chat(desk) as terminal:
        terminal.wait_for("you>")
        assert "scripted at http://127.0.0.1" in terminal.text and "/help" in terminal.text
        terminal.type(PROBLEM + ENTER)
        terminal.wait_for("your answer>")
        assert "I need the price." in terminal.text and "The model asks" in terminal.text
        assert terminal.colour_of("╰") == "brown"  # what emulators call yellow
        terminal.type("4 dollars" + ENTER)
        terminal.wait_for("Six pens at 4 dollars each.")
        terminal.wait_for("you>", times=2)
        assert len(sessions(desk)) == 1
        terminal.type(CTRL_D)
        assert terminal.end() == 0 and "pir chat --session" not in terminal.text
        assert terminal.echoes and terminal.shows_cursor


def test_several_lines_are_one_message(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk, chat(desk) as terminal:
        terminal.wait_for("you>")
        terminal.type(
            "Nora buys" + ALT_ENTER + "6 pens.\\" + ENTER + "\x1b[200~How much\ndoes she pay?\x1b[201~" + ENTER
        )
        terminal.wait_for("your answer>")
        assert "Nora buys\n6 pens.\nHow much\ndoes she pay?<|im_end|>" in desk.engine.prompt_text()


def test_retry_and_edit_make_branches(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk, chat(desk, PROBLEM) as terminal:
        terminal.wait_for("your answer>")
        terminal.type("4 dollars" + ENTER)
        terminal.wait_for("Six pens at 4 dollars each.")
        terminal.type("/retry" + ENTER)
        terminal.wait_for("Six pens at 4 dollars each.", times=2)
        terminal.type("/edit" + ENTER)
        terminal.wait_for("edit> 4 dollars")
        terminal.type(CLEAR + "5 euros" + ENTER)
        terminal.wait_for("Six pens at 5 euros each.")
        terminal.type("/edit 6 francs" + ENTER)
        terminal.wait_for("Six pens at 6 francs each.")
        (session,) = sessions(desk)
        tree = httpx.get(f"{desk.url}/v1/pir/sessions/{session['id']}").json()["branches"]
        told = [child["exchanges"][0]["response"] for child in tree[0]["children"]]
        assert sorted(told) == ["4 dollars", "4 dollars", "5 euros", "6 francs"]


def test_a_follow_up_has_the_whole_conversation(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk:
        done = piped(desk, f"{PROBLEM}\n4 dollars\nAnd eight?\n/new\nHello?\n", "--hide-reasoning")
        assert done.stdout.splitlines()[:2] == [f"? {QUESTION}", "Six pens at 4 dollars each."]
        follow_up, alone = desk.engine.prompt_text(2), desk.engine.prompt_text(3)
        positions = [follow_up.find(text) for text in (PROBLEM, QUESTION, "4 dollars", "Six pens", "And eight?")]
        assert positions == sorted(positions) and positions[0] >= 0
        assert PROBLEM not in alone and "Hello?" in alone


def test_what_waits_is_gone_on_with_later(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk:
        with chat(desk, PROBLEM) as terminal:
            terminal.wait_for("your answer>")
            terminal.type(CTRL_D)
            assert terminal.end() == 0
        (hint,) = re.findall(r"pir chat --session (pir_[\w-]+)", terminal.text)
        for name in (sessions(desk)[0]["id"], hint):  # the second time it is answered anew
            with chat(desk, "--session", name) as terminal:
                terminal.wait_for("your answer>")
                assert PROBLEM in terminal.text and QUESTION in terminal.text
                terminal.type("4 dollars" + ENTER)
                terminal.wait_for("Six pens at 4 dollars each.")
        assert len(sessions(desk)) == 1
        done = piped(desk, "And eight?\n", "--session", sessions(desk)[0]["newest"])
        assert "Six pens at 4 dollars each." in done.stdout  # what was said before
        assert "4 dollars" in desk.engine.prompt_text() and "And eight?" in desk.engine.prompt_text()
        refused = piped(desk, "", "--session", "s_nothing", exit_code=1)
        assert "404" in refused.stderr


def test_a_session_goes_on_where_it_waits_and_else_where_it_ended(make_desk: MakeDesk, on_port: Serve) -> None:
    """Also where the gateway shows no reasoning, and so not what it began with either."""
    with on_port(make_desk(twice_curious, show_reasoning="none")) as desk:
        (asked,) = objects(piped(desk, f"{PROBLEM}\n", "--json"))
        first = asked["pir"]["session"]
        piped(desk, "4\ndollars\n", "--session", first)
        (other,) = objects(piped(desk, "5\n", "--json", "--session", first))
        assert other["content"] == "Which currency?"
        session = sessions(desk)[0]["id"]
        (answer,) = objects(piped(desk, "euros\n", "--json", "--session", session))
        assert answer["content"] == "Six pens at 5 euros."  # the newer branch was the one that waited
        (again,) = objects(piped(desk, "francs\n", "--json", "--session", other["pir"]["session"]))
        assert again["content"] == "Six pens at 5 francs."
        shown = piped(desk, "", "--session", session).stdout
        for said in (PROBLEM, QUESTION, "Which currency?"):
            assert said in shown


def test_sessions_are_listed_and_opened_by_number(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk, chat(desk) as terminal:
        terminal.wait_for("you>")
        terminal.type("/sessions" + ENTER)
        terminal.wait_for("the gateway keeps nothing yet")
        terminal.type(PROBLEM + ENTER)
        terminal.wait_for("your answer>")
        terminal.type("/new" + ENTER + "/sessions" + ENTER)
        terminal.wait_for("awaiting_user")
        terminal.type("/sessions 1" + ENTER)
        terminal.wait_for("The model asks", times=2)
        terminal.type("4 dollars" + ENTER)
        terminal.wait_for("Six pens at 4 dollars each.")
        terminal.type("/sessions 7" + ENTER)
        terminal.wait_for("404")


def test_ctrl_c_stops_a_reply_and_gives_back_what_was_typed(make_desk: MakeDesk, on_port: Serve) -> None:
    def slow_at_first(prompt: str) -> Line:
        slow = len(desk.engine.requests) == 1
        return Line("\nThe number of pens is 6.\n" + "Hm. " * 200 if slow else curious(prompt), delay_s=0.05 * slow)

    desk = make_desk(slow_at_first)
    with on_port(desk), chat(desk) as terminal:
        terminal.wait_for("you>")
        terminal.type(PROBLEM + ENTER)
        terminal.wait_for("Hm. Hm.")
        terminal.type(CTRL_C)
        terminal.wait_for("nothing of this reply is kept")
        terminal.wait_for(f"you> {PROBLEM}", times=2)
        deadline = time.monotonic() + 5
        while not desk.engine.aborted:  # the engine does not go on for nobody
            assert time.monotonic() < deadline
            time.sleep(0.02)
        terminal.type(ENTER)
        terminal.wait_for("your answer>")
        terminal.type("half a tho" + CTRL_C)  # empties the line
        terminal.type("4 dollars" + ENTER)
        terminal.wait_for("Six pens at 4 dollars each.")
        terminal.wait_for("you> ", times=3)
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert terminal.echoes and terminal.shows_cursor and "Traceback" not in terminal.text


def test_what_goes_wrong_is_told_and_nothing_typed_is_lost(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk, chat(desk) as terminal:
        terminal.wait_for("you>")
        terminal.type("/retry" + ENTER)
        terminal.wait_for("nothing has been said yet")
        terminal.type("/sesions" + ENTER)
        terminal.wait_for("/sesions is no command")
        terminal.type("/help" + ENTER)
        terminal.wait_for("change your last message")
        terminal.type("/export" + ENTER)
        terminal.wait_for("nothing has been said yet", times=2)
        assert not desk.engine.requests
        terminal.type(" /etc is what?" + ENTER)
        terminal.wait_for("your answer>")
        assert "/etc is what?" in desk.engine.prompt_text()


def test_a_message_that_reached_nobody_can_be_sent_again(make_desk: MakeDesk, on_port: Serve) -> None:
    with ExitStack() as stack:
        with on_port(make_desk(curious)) as desk:
            terminal = stack.enter_context(chat(desk))
            terminal.wait_for("you>")
        terminal.type(PROBLEM + ENTER)
        terminal.wait_for("nothing answers at")
        terminal.wait_for(f"you> {PROBLEM}", times=2)
        assert terminal.process.poll() is None


def test_models_cannot_steer_the_terminal(make_desk: MakeDesk, on_port: Serve) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[31m"
    script = [f"\nHm{evil}.\n<asking>Is{evil} it?</asking>", f"\n</think>\nYes{evil}."]
    with on_port(make_desk(script)) as desk, chat(desk, "Hello", columns=60) as terminal:
        terminal.wait_for("your answer>")
        terminal.type("Yes" + ENTER)
        terminal.wait_for("Yes ]0;owned")
        assert b"\x1b]0;" not in terminal.raw and b"\x1b[2J" not in terminal.raw and b"\x1b[31m" not in terminal.raw


def test_a_long_question_is_wrapped_in_its_box(make_desk: MakeDesk, on_port: Serve) -> None:
    question = "How many " + "very " * 30 + "long pens are there?"
    with on_port(make_desk([f"\n<asking>{question}</asking>"])) as desk, chat(desk, "Hi", columns=50) as terminal:
        terminal.wait_for("your answer>")
        boxed = [line.strip("│ ") for line in terminal.text.splitlines() if line.startswith("│")]
        assert " ".join(boxed) == question


def test_json_lines_over_a_pipe(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk:
        first = piped(desk, f"{PROBLEM}\n", "--json")
        (asked,) = objects(first)
        assert asked["content"] == QUESTION and asked["pir"]["status"] == "awaiting_user"
        assert "I need the price." in asked["reasoning_content"] and asked["usage"]["completion_tokens"] > 0
        assert "reasoning_details" not in asked and not first.stderr
        second = piped(desk, "4 dollars\n/retry\n/sessions\n", "--json", "--session", asked["pir"]["session"])
        replies = objects(second)
        assert [reply["content"] for reply in replies] == ["Six pens at 4 dollars each."] * 2
        assert {reply["pir"]["status"] for reply in replies} == {"completed"}
        assert PROBLEM[:20] in second.stderr  # the list is none of the replies
        (one,) = objects(piped(desk, "Nora buys \\\n6 pens\\\\\n", "--json"))
        assert one["content"] == QUESTION
        assert "Nora buys \n6 pens\\\\<|im_end|>" in desk.engine.prompt_text()


@pytest.mark.parametrize(("stdin", "words"), [("/edit\n", "needs the new text"), ("/nothing\n", "is no command")])
def test_a_wrong_line_of_a_pipe_ends_it(make_desk: MakeDesk, on_port: Serve, stdin: str, words: str) -> None:
    with on_port(make_desk(curious)) as desk:
        done = piped(desk, f"{PROBLEM}\n{stdin}never sent\n", exit_code=1)
        assert words in done.stderr and len(desk.engine.requests) == 1


def test_export_writes_what_was_said_once(make_desk: MakeDesk, on_port: Serve, tmp_path: Path) -> None:
    page, rows = tmp_path / "talk.md", tmp_path / "talk.json"
    with on_port(make_desk(curious)) as desk:
        piped(desk, f"{PROBLEM}\n4 dollars\n/export {page}\n/export {rows}\n")
        text = page.read_text()
        assert f"**You:** {PROBLEM}" in text and f"**Model asks:** {QUESTION}" in text and "> I need the price." in text
        saved = json.loads(rows.read_text())
        assert [m["content"] for m in saved["messages"]] == [
            PROBLEM,
            QUESTION,
            "4 dollars",
            "Six pens at 4 dollars each.",
        ]
        for bad, words in (
            (page, "is there already"),
            (tmp_path / "no" / "x.md", "cannot be written"),
            ("x.exe", ".json"),
        ):
            done = piped(desk, f"{PROBLEM}\n/export {bad}\n", exit_code=1)
            assert words in done.stderr
        assert page.read_text() == text


def test_ctrl_c_ends_a_pipe_with_a_signals_exit_code(make_desk: MakeDesk, on_port: Serve) -> None:
    def slow(prompt: str) -> Line:
        assert not responses(turn_so_far(prompt))
        return Line("\n" + "Hm. " * 400, delay_s=0.05)

    with on_port(make_desk(slow)) as desk:
        command = [sys.executable, "-m", "pir_serve.cli", "chat", "--base-url", desk.url, PROBLEM]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.read(4)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
        assert process.returncode == 130 and b"Traceback" not in stderr
