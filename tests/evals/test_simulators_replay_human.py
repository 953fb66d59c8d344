"""Users who repeat a recorded run, and users who are people."""

from __future__ import annotations

import asyncio
import json

import pytest

from evals.rows import Transcript, Turn
from evals.simulators import Exchange, Intent, Response, SimulatorError, simulator
from tests.evals.other_rows import BY_ID

ROW = BY_ID["bakery"]
INTENT = Intent.of(ROW)
FACT = ROW.hidden[0].id
ASK = "How many rolls are on a tray?"


def transcript(*turns: Turn) -> Transcript:
    return Transcript("k", ROW.row_id, ROW.pair_id, "made", "interactive", 0, turns, "360", "", "answer")


def turn(ask: str, response: str, disclosed: tuple[str, ...]) -> Turn:
    return Turn(ask, response, "answer" if disclosed else "dont_know", disclosed, 5, 0.1, 0.1)


@pytest.fixture
def recorded(tmp_path):
    file = tmp_path / "transcripts.jsonl"
    lines = [transcript(turn("Who is it?", "No idea.", ()), turn(ASK, "Eighteen.", (FACT,)))] * 2
    file.write_text("".join(json.dumps(line.to_json()) + "\n" for line in lines))
    return file


async def test_the_same_asks_get_the_recorded_responses(recorded):
    user = simulator("replay", path=recorded)
    first = await user.respond("Who is it?", intent=INTENT)
    second = await user.respond(ASK, intent=INTENT, history=[Exchange("Who is it?", first)])
    assert first == Response("No idea.", (), "dont_know")
    assert second == Response("Eighteen.", (FACT,), "answer")


async def test_an_ask_that_was_not_recorded_is_an_error_and_no_response(recorded):
    user = simulator("replay", path=recorded)
    with pytest.raises(SimulatorError, match="nothing is recorded for ask 1"):
        await user.respond(ASK, intent=INTENT)
    with pytest.raises(SimulatorError, match="nothing is recorded"):
        await user.respond("Who is it?", intent=Intent.of(BY_ID["ferry"]))


def test_recordings_are_told_apart(recorded, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(transcript().to_json()))
    described = [simulator("replay", path=path).describe() for path in (recorded, other, recorded)]
    assert described[0] == described[2] != described[1]


@pytest.mark.parametrize("content", ["no json", "{}", '{"key": 1}', "[]", "\x00"])
def test_a_file_without_transcripts_is_refused_in_words(tmp_path, content):
    file = tmp_path / "broken.jsonl"
    file.write_text(content)
    with pytest.raises(ValueError, match="line 1 is no transcript"):
        simulator("replay", path=file)


def person(*lines: str):
    shown: list[str] = []
    left = list(lines)
    return simulator("human", show=shown.append, hear=lambda: left.pop(0) if left else ""), shown


async def test_a_person_sees_what_the_user_knows_and_what_is_asked():
    user, shown = person("It's 18\n")
    said = await user.respond(ASK, intent=INTENT, history=[Exchange("Who?", Response("Nora.", (), "unclear"))])
    assert said == Response("It's 18", (FACT,), "answer")
    assert "Each tray holds 18 rolls." in shown[0]
    assert ASK in shown[0]
    assert "Asked: Who?  You: Nora." in shown[0]
    assert ROW.gold not in shown[0]


@pytest.mark.parametrize(
    ("line", "kind"), [("no idea\n", "dont_know"), ("\n", "dont_know"), ("Why do you ask?\n", "unclear")]
)
async def test_what_a_person_gives_is_read_from_the_words(line, kind):
    said = await person(line)[0].respond(ASK, intent=INTENT)
    assert (said.kind, said.disclosed) == (kind, ())


async def test_a_person_who_leaves_is_an_error_and_no_response():
    with pytest.raises(SimulatorError, match="end of input"):
        await person()[0].respond(ASK, intent=INTENT)


async def test_a_person_is_asked_one_thing_at_a_time():
    user, shown = person("18\n", "6\n", "7\n")
    said = await asyncio.gather(*(user.respond(f"Question {n}?", intent=INTENT) for n in range(3)))
    assert sorted(response.text for response in said) == ["18", "6", "7"]
    assert len(shown) == 3


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("robot", {}, "no user simulator 'robot'; there are rule, llm, replay, human"),
        ("llm", {}, "needs the options model and base_url"),
        ("llm", {"model": "m", "base_url": "u", "colour": 1}, "no such option: 'colour'"),
        ("rule", {"model": "m"}, "no such option: 'model'"),
        ("replay", {}, "needs the option path"),
        ("replay", {"path": "/no/such/file"}, "cannot read"),
    ],
)
def test_a_wrong_construction_is_refused_in_words(name, options, said):
    with pytest.raises(ValueError, match=said):
        simulator(name, **options)


def test_every_rule_persona_is_at_the_door():
    assert simulator(persona="verbose").describe()["persona"] == "verbose"
    assert simulator(persona="terse").describe()["persona"] == "terse"
