"""The file with one's own rules of the question screen: what it can say, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pir_serve.errors import ConfigError
from pir_serve.screen import ALLOW, BLOCK_RESPONSE, AskContext, Decision, Screening
from pir_serve.screening import load_screening
from pir_serve.settings import Settings
from pir_serve.trajectory import Trajectory

CONTEXT = AskContext(Trajectory("s", "m"))


def written(folder: Path, text: str) -> Path:
    file = folder / "screen.toml"
    file.write_text(text, encoding="utf-8")
    return file


async def decide(screening: Screening, question: str) -> Decision:
    return await screening.decide(question, CONTEXT)


OWN = """
response = "Do without."
[builtin]
health = "off"
credentials = "rewrite"
[terms]
bird = '''
falcon
# another
heron
'''
[[rule]]
name = "ours"
words = ["Blue Harbour", "Größe", "項目"]
patterns = ['{bird} (?:project|\\d{2})']
unless = "falcon heavy"
action = "rewrite"
replacement = "Which project? Its number will do."
[[rule]]
name = "birthdays"
words = ["birthday"]
response = "Nobody tells."
[[rule]]
name = "test passwords"
words = ["test password"]
action = "allow"
"""


async def test_own_rules_come_first_and_change_the_built_in_ones(tmp_path: Path) -> None:
    screening = load_screening(written(tmp_path, OWN))
    rewritten = Decision("rewrite", "ours", "Which project? Its number will do.")
    for question in (
        "Is it BLUE  HARBOUR?",
        "The heron project?",
        "Falcon 12?",
        "Which grosse?",
        "这个項目?",
        "Bl\u200bue Harbour?",
    ):
        assert await decide(screening, question) == rewritten, question
    for question in ("Blue Harbours?", "Falcon?", "Falcon heavy project?", "Are you pregnant?"):
        assert await decide(screening, question) == ALLOW, question
    assert await decide(screening, "When is your birthday?") == Decision("block", "birthdays", "Nobody tells.")
    assert await decide(screening, "What is the test password?") == Decision("allow", "test passwords")
    credentials = await decide(screening, "What is your password?")
    assert (credentials.action, credentials.rule) == (
        "rewrite",
        "credentials",
    ) and "without any password" in credentials.text
    assert await decide(screening, "What is your SSN?") == Decision("block", "government_id", "Do without.")


async def test_without_a_file_the_built_in_rules_are_on() -> None:
    assert await decide(load_screening(), "What is your SSN?") == Decision("block", "government_id", BLOCK_RESPONSE)


async def test_a_classifier_of_ones_own_comes_behind_the_rules() -> None:
    class Suspicious:
        async def check(self, question: str, context: AskContext) -> Decision:
            return Decision("block", "classifier")

    screening = load_screening(also=[Suspicious()])
    assert (await decide(screening, "How many pens?")).rule == "classifier"
    assert (await decide(screening, "Your password?")).rule == "credentials"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("on_failur = 'block'", "on_failur is unknown; did you mean on_failure?"),
        ("zzz = 1", "zzz is unknown; known are"),
        ("on_failure = 'maybe'", "must be one of allow, block"),
        ("timeout_s = 0", "timeout_s is 0"),
        ("timeout_s = 'soon'", "timeout_s is 'soon'; it must be a number"),
        ("log_questions = 1", "it must be true or false"),
        ("response = ' '", "response is empty"),
        ("[builtin]\ncredential = 'off'", "credential is unknown; did you mean credentials?"),
        ("[builtin]\nhealth = 'no'", "health is 'no'"),
        ("[builtin]\nself_harm = 'rewrite'", "no replacement"),
        ("[[rule]]\nwords = ['a']", "rule 1 has no name"),
        ("[[rule]]\nname = 'a'", "'a' has neither words nor patterns"),
        ("[[rule]]\nname = 'a'\nword = ['b']", "word is unknown; did you mean words?"),
        ("[[rule]]\nname = 'a'\nwords = 'b'", "words must be a list of texts"),
        ("[[rule]]\nname = 'a'\nwords = ['\u200b']", "empty word"),
        ("[[rule]]\nname = 'a'\npatterns = ['(']", "is no regular expression"),
        ("[[rule]]\nname = 'a'\npatterns = ['x*']", "every question"),
        ("[[rule]]\nname = 'a'\npatterns = ['größe']", "would never match"),
        ("[[rule]]\nname = 'a'\npatterns = ['{bird}']", "bird is unknown"),
        ("[[rule]]\nname = 'a'\nwords = ['b']\naction = 'rewrite'", "no replacement"),
        ("[[rule]]\nname = 'a'\nwords = ['b']\naction = 'deny'", "action is 'deny'"),
        ("[[rule]]\nname = 'a'\nwords = ['b']\n[[rule]]\nname = 'a'\nwords = ['c']", "two rules are named 'a'"),
        ("[[rule]]\nname = 'health'\nwords = ['b']", "changed under [builtin]"),
        ("rule = 3", "rule must be a list of tables"),
        ("not toml", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_screening(written(tmp_path, text))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        load_screening(tmp_path / "nowhere.toml")


def test_the_settings_name_the_file_and_the_gate(tmp_path: Path) -> None:
    env = {"PIR_SCREEN": str(tmp_path / "s.toml"), "PIR_GATE_NATS": "1.5", "PIR_GATE_MAX": "1"}
    settings = Settings.from_env(env)
    assert (settings.screen, settings.gate_nats, settings.gate_max) == (tmp_path / "s.toml", 1.5, 1)
    assert Settings().screen is None and Settings().gate_nats is None
    for wrong in ({"PIR_GATE_NATS": "-1"}, {"PIR_GATE_NATS": "nan"}, {"PIR_GATE_MAX": "-1"}):
        with pytest.raises(ConfigError, match="between 0"):
            Settings.from_env(wrong)
