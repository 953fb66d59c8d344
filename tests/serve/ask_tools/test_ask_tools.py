"""Which tool asks the user, and calls of it: every generated call is validated against the client's own schema."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pir_serve.ask_tools import AskTool, question_of, recognise
from pir_serve.errors import RequestError
from tests.serve.ask_tools.schemas import (
    BOOLEAN,
    CLAUDE_CODE,
    CODEX,
    DEMAND_OPTIONS,
    GEMINI_CLI,
    LIBRECHAT,
    OPEN_WEBUI,
    OPENCODE,
    PYDANTIC,
    STRING,
    TAKE_FREE_FORM,
    chat,
    closed,
    flat,
    lists,
    objects,
)

OPEN = "How many pens does Nora buy?"
CHOICE = "Which unit do you want: metric or imperial?"
EVERY = {**TAKE_FREE_FORM, **DEMAND_OPTIONS}
WEATHER = chat("get_weather", objects("city", city=STRING))


def tool(definition: dict[str, Any]) -> AskTool:
    found = recognise([definition])
    assert found is not None
    return found


def asked(definition: dict[str, Any], question: str, options: tuple[str, ...] = ()) -> Any:
    """The parsed arguments, valid for the tool, or None."""
    client = tool(definition)
    text = client.arguments(question, options)
    if text is None:
        return None
    value = json.loads(text)
    Draft202012Validator(client.parameters).validate(value)
    assert question_of(text) == question
    return value


def parameters(**properties: Any) -> dict[str, Any]:
    return chat("ask_user", objects(" ".join(properties), **properties))


class TestRecognise:
    def test_finds_the_tool_of_each_client_among_others(self) -> None:
        for definition in EVERY.values():
            found = recognise([WEATHER, {"type": "web_search"}, definition])
            assert found is not None
            assert found.index == 2
            assert found.name == (definition.get("function") or definition)["name"]

    @pytest.mark.parametrize("tools", [None, [], [WEATHER], [{"type": "mcp", "server_label": "x"}]])
    def test_there_may_be_none(self, tools: Any) -> None:
        assert recognise(tools) is None

    def test_a_mark_goes_before_a_name_and_the_first_before_the_next(self) -> None:
        marked = chat("consult", objects("question", question=STRING), **{"x-pir-ask": True})
        outside = {**flat("other", objects("question", question=STRING)), "x-pir-ask": True}
        assert tool(outside).name == "other"
        for tools, name in [
            ([LIBRECHAT, marked], "consult"),
            ([marked, outside], "consult"),
            ([outside, marked], "other"),
            ([WEATHER, LIBRECHAT, OPEN_WEBUI], "ask_user_question"),
        ]:
            found = recognise(tools)
            assert found is not None
            assert found.name == name

    def test_a_mark_can_say_that_a_known_name_is_no_question_tool(self) -> None:
        search = chat("question", objects("text", text=STRING), **{"x-pir-ask": False})
        assert recognise([search]) is None
        assert recognise([{**LIBRECHAT, "x-pir-ask": False}]) is None
        outside = {**chat("consult", objects("question", question=STRING), **{"x-pir-ask": True}), "x-pir-ask": False}
        assert recognise([outside]) is None

    def test_names_are_configurable(self) -> None:
        consult = chat("consult", objects("question", question=STRING))
        assert recognise([consult]) is None
        found = recognise([LIBRECHAT, consult], names={"consult"})
        assert found is not None
        assert found.name == "consult"

    @pytest.mark.parametrize(
        ("tools", "param"),
        [
            ("ask_user", "tools"),
            ({"0": OPEN_WEBUI}, "tools"),
            ([OPEN_WEBUI, "ask_user"], "tools[1]"),
            ([{}], "tools[0].type"),
            ([{"type": 3}], "tools[0].type"),
            ([{"type": "function", "function": None}], "tools[0].function"),
            ([{"type": "function", "function": {}}], "tools[0].function.name"),
            ([{"type": "function", "name": ""}], "tools[0].name"),
            ([flat("x", [])], "tools[0].parameters"),  # type: ignore[arg-type]
            ([chat("x", "{}")], "tools[0].function.parameters"),  # type: ignore[arg-type]
            ([chat("x", {}, **{"x-pir-ask": "yes"})], "tools[0].function.x-pir-ask"),
            ([{**chat("x", {}), "x-pir-ask": 1}], "tools[0].x-pir-ask"),
        ],
    )
    def test_a_malformed_definition_is_an_error_that_names_the_field(self, tools: Any, param: str) -> None:
        with pytest.raises(RequestError) as raised:
            recognise(tools)
        assert raised.value.param == param


class TestArguments:
    @pytest.mark.parametrize("client", TAKE_FREE_FORM)
    def test_an_open_question_goes_to_tools_that_take_one(self, client: str) -> None:
        assert asked(TAKE_FREE_FORM[client], OPEN) is not None

    @pytest.mark.parametrize("client", DEMAND_OPTIONS)
    def test_an_open_question_does_not_go_to_tools_that_demand_options(self, client: str) -> None:
        assert asked(DEMAND_OPTIONS[client], OPEN) is None

    @pytest.mark.parametrize("client", EVERY)
    def test_every_tool_takes_a_question_with_two_options(self, client: str) -> None:
        said = json.dumps(asked(EVERY[client], OPEN, ("six", "eight")))
        assert client == "copilotkit" or ("six" in said and "eight" in said)

    @pytest.mark.parametrize("client", DEMAND_OPTIONS)
    def test_options_that_the_question_names_are_taken_where_some_are_demanded(self, client: str) -> None:
        said = json.dumps(asked(DEMAND_OPTIONS[client], CHOICE))
        assert '"metric"' in said
        assert '"imperial"' in said

    def test_options_are_not_read_out_of_the_question_where_none_are_demanded(self) -> None:
        assert asked(LIBRECHAT, CHOICE) == {"questions": [{"id": "question", "question": CHOICE}]}

    def test_open_webui_gets_what_its_schema_does_not_say(self) -> None:
        option = [{"label": text, "description": text} for text in ("metric", "imperial")]
        question = {"id": "question", "header": "Unit metric", "question": CHOICE, "options": option}
        assert asked(OPEN_WEBUI, CHOICE) == {"questions": [question]}

    def test_open_webui_is_not_asked_what_it_would_cut_or_refuse(self) -> None:
        assert asked(OPEN_WEBUI, "x" * 501, ("a", "b")) is None
        assert asked(OPEN_WEBUI, OPEN, ("a", "b" * 81)) is None
        assert asked(OPEN_WEBUI, OPEN, ("a", "b", "c", "d")) is None
        assert asked(OPEN_WEBUI, OPEN, ("a",)) is None

    def test_gemini_cli_is_told_which_kind_of_question_it_is(self) -> None:
        assert asked(GEMINI_CLI, OPEN)["questions"][0]["type"] == "text"
        assert asked(GEMINI_CLI, OPEN, ("6", "8"))["questions"][0]["type"] == "choice"

    def test_opencode_may_get_an_empty_list_and_codex_may_not(self) -> None:
        assert asked(OPENCODE, OPEN)["questions"][0]["options"] == []
        assert asked(CODEX, OPEN) is None

    def test_options_that_are_too_many_or_the_same_are_not_offered(self) -> None:
        assert asked(CODEX, OPEN, ("a", "b", "c")) is not None
        assert asked(CODEX, OPEN, ("a", "b", "c", "d")) is None
        assert asked(CODEX, OPEN, ("a", " a")) is None
        assert "options" not in asked(LIBRECHAT, OPEN, ("a", "a"))["questions"][0]

    def test_headers_fit_the_smallest_client(self) -> None:
        for question in (
            CHOICE,
            "Incomprehensibilities: yes or no?",
            "什么时候出发，周一还是周二，请告诉我具体的时间？",
            "???",
            "a or b?",
        ):
            value = asked(CLAUDE_CODE, question, ("one", "two"))
            assert 0 < len(value["questions"][0]["header"]) <= 12

    def test_no_more_options_than_the_tool_takes(self) -> None:
        many = tuple("abcdefghijklm")
        assert asked(CLAUDE_CODE, OPEN, many[:4]) is not None
        assert asked(CLAUDE_CODE, OPEN, many[:5]) is None
        assert len(asked(LIBRECHAT, OPEN, many[:12])["questions"][0]["options"]) == 12
        assert "options" not in asked(LIBRECHAT, OPEN, many)["questions"][0]

    def test_the_question_is_trimmed_and_an_empty_one_is_not_asked(self) -> None:
        assert tool(PYDANTIC).arguments(f"\n {OPEN} ") == tool(PYDANTIC).arguments(OPEN)
        assert tool(PYDANTIC).arguments(" \n") is None

    @pytest.mark.parametrize(
        ("properties", "expected"),
        [
            ({"message": STRING}, {"message": OPEN}),
            ({"text": STRING, "prompt": STRING}, {"text": "", "prompt": OPEN}),
            ({"doubt": STRING}, {"doubt": OPEN}),
            ({"questions": lists(STRING)}, {"questions": [OPEN]}),
            ({"question": objects("text", text=STRING)}, {"question": {"text": OPEN}}),
            ({"question": STRING, "urgent": BOOLEAN}, {"question": OPEN, "urgent": False}),
            ({"question": STRING, "allow_custom": BOOLEAN}, {"question": OPEN, "allow_custom": True}),
            ({"question": STRING, "level": {"enum": ["low", "high"]}}, {"question": OPEN, "level": "low"}),
            ({"question": STRING, "wait_s": {"type": "integer", "minimum": 5}}, {"question": OPEN, "wait_s": 5}),
            ({"question": STRING, "title": STRING}, {"question": OPEN, "title": "Pens Nora"}),
            ({"question": STRING, "ui": objects("wide", wide=BOOLEAN)}, {"question": OPEN, "ui": {"wide": False}}),
            ({"question": STRING, "options": lists(STRING, minItems=0)}, {"question": OPEN, "options": []}),
            ({"question": STRING, "why": {"type": ["string", "null"]}}, {"question": OPEN, "why": None}),
            ({"question": {"anyOf": [{"type": "null"}, STRING]}}, {"question": OPEN}),
            ({"question": {"oneOf": [lists(STRING), STRING]}}, {"question": [OPEN]}),
        ],
    )  # fmt: skip
    def test_unknown_tools_are_filled_by_name_and_type(self, properties: dict[str, Any], expected: Any) -> None:
        assert asked(parameters(**properties), OPEN) == expected

    @pytest.mark.parametrize(
        "schema",
        [
            None,
            {},
            {"type": "object", "properties": {}},
            closed(objects("")),
            objects("", count={"type": "integer"}),
            objects("", a=STRING, b=STRING),
            objects("question", question={"type": "string", "maxLength": 10}),
            objects("question", question={"type": "string", "enum": ["Go on?"]}),
            objects("question", question={"type": "string", "pattern": "^(a+)+$"}),
            objects("question when", question=STRING, when={"type": "string", "format": "date-time"}),
            objects("question options", question=STRING, options=lists(STRING)),
            objects("question kind", question=STRING, kind={"enum": ["single_choice", "multiple_choice"]}),
            objects("question", question={"$ref": "#/$defs/gone"}),
            objects("question", question={"oneOf": [STRING, {"type": "string", "minLength": 2}]}),
            objects("question", question={"oneOf": [{"pattern": "pens"}, {"type": "null"}]}),
            objects("question", question={"$ref": "https://example.org/schema"}),
            {**objects("question", question=STRING), "not": {}},
            {"type": "object", "properties": [], "required": 3},
            {"type": "string"},
        ],
    )
    def test_a_tool_that_cannot_carry_the_question_says_so(self, schema: Any) -> None:
        assert tool(chat("ask_user", schema)).arguments(OPEN) is None

    def test_a_hostile_schema_costs_little(self) -> None:
        deep: dict[str, Any] = {"type": "string"}
        for _ in range(400):
            deep = {"anyOf": [deep]}
        names = ["question" + "_" * n for n in range(500)] + ["option_s" + "-" * n for n in range(500)]
        hostile = [
            {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
            {"allOf": [{"$ref": "#"}] * 50},
            objects("question ask", question=deep, ask={"$ref": "#"}),
            objects("question", question={"type": "string", "pattern": "[a-zA-Z ?]*" * 30}),
            objects("question", question={"type": "string", "pattern": "[ -~]*" * 15 + "0"}),
            objects("question x", question=STRING, x={"anyOf": [{"$ref": "#/properties/x"}] * 100}),
            objects("question x", question=STRING, x={"enum": list(range(-200_000, -1))}),
            objects(" ".join(["question", *(f"k{n}" for n in range(50_000))]), question=STRING),
            objects(" ".join(names), **{key: {"enum": [0]} for key in names}),
            objects("question x", question=STRING, x=objects("x", x={"$ref": "#/properties/x"})),
        ]
        for schema in hostile:
            start = time.process_time()
            asked(chat("ask_user", schema), OPEN)
            assert time.process_time() - start < 1.0
