"""Whatever the schema and the question: a call conforms and gives its question back, or is not made."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pir_serve.ask_tools import AskTool, question_of, recognise
from tests.serve.ask_tools.schemas import BOOLEAN, STRING, TAKE_FREE_FORM, chat, closed, lists, objects

OPEN = "How many pens does Nora buy?"


def tool(definition: dict[str, Any]) -> AskTool:
    found = recognise([definition])
    assert found is not None
    return found


SCALARS = st.sampled_from(["", "a", "text", 0, 1, -3, 2.5, True, False, None])
PLAIN = st.one_of(
    st.sampled_from([STRING, BOOLEAN, {}, {"type": ["string", "null"]}, {"$ref": "#/properties/question"}]),
    st.sampled_from([{"type": "number"}, {"type": "null"}, {"type": "string", "format": "uri"}, {"$ref": "#"}]),
    st.builds(lambda low, high: {"type": "string", "minLength": low, "maxLength": high}, *[st.integers(0, 40)] * 2),
    st.builds(lambda low, step: {"type": "integer", "minimum": low, "multipleOf": step}, *[st.integers(1, 5)] * 2),
    st.builds(lambda values, default: {"enum": values, "default": default}, st.lists(SCALARS, min_size=1), SCALARS),
    st.builds(lambda value: {"const": value}, SCALARS),
)
NESTED = st.one_of(
    PLAIN,
    st.builds(lambda items, low, high: lists(items, minItems=low, maxItems=high), PLAIN, *[st.integers(0, 3)] * 2),
    st.builds(lambda a, b, closes: objects("label", label=a, x=b) | closes, PLAIN, PLAIN, st.sampled_from([{}, closed({})])),
    st.builds(lambda how, branches: {how: branches}, st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(PLAIN, min_size=1)),
    st.builds(lambda items: lists(objects("text id", text=STRING, id=items), uniqueItems=True), PLAIN),
)  # fmt: skip
CARRIERS = st.sampled_from(
    [
        STRING,
        {"type": "string", "maxLength": 28},
        lists(STRING, minItems=1),
        lists(objects("ask options", ask=STRING, options=lists(STRING, maxItems=3))),
        {"oneOf": [{"type": "null"}, objects("text", text=STRING)]},
        {"allOf": [{"type": "string"}, {"minLength": 2}]},
    ]
)
SIDE = ("message", "options", "header", "type", "id", "x", "allow_other")


@settings(max_examples=250, deadline=None)
@given(
    question=st.booleans().flatmap(lambda usable: CARRIERS if usable else NESTED),
    side=st.dictionaries(st.sampled_from(SIDE), NESTED, max_size=4),
    required=st.sets(st.sampled_from(("question", *SIDE)), max_size=3),
    options=st.lists(st.sampled_from("abc "), max_size=4),
)
def test_whatever_the_schema_a_call_conforms_to_it_or_is_not_made(
    question: Any, side: dict[str, Any], required: set[str], options: list[str]
) -> None:
    schema = objects(" ".join(sorted(required)), question=question, **side)
    text = tool(chat("ask_user", schema)).arguments(OPEN, options)
    if text is not None:
        Draft202012Validator(schema).validate(json.loads(text))
        assert question_of(text) == OPEN


@given(question=st.text(min_size=1, max_size=400))
@settings(max_examples=50, deadline=None)
def test_any_question_comes_back_out_of_a_call(question: str) -> None:
    for definition in TAKE_FREE_FORM.values():
        text = tool(definition).arguments(question)
        assert (text is None) == (not question.strip())
        assert text is None or question_of(text) == question.strip()
