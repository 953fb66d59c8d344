"""The question tools that clients really send, written down from their published packages and sources (November 2026).

Names, types, required properties and limits are theirs; descriptions are left out.
"""

from __future__ import annotations

from typing import Any

STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}


def objects(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def lists(items: Any, **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False}


def chat(name: str, parameters: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def flat(name: str, parameters: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": parameters, **more}


LABELLED = objects("label description", label=STRING, description=STRING)

# open-webui 0.12.4: made from `questions: list[dict]`, so that nothing is said of a question; its code wants 1-3 of
# {id, header, question, options: 2-3 of {label, description}} and cuts questions at 500 characters, labels at 80
OPEN_WEBUI = chat(
    "ask_user",
    objects(
        "questions",
        questions=lists({"type": "object", "additionalProperties": True}),
        allow_other={"type": "boolean", "default": True},
        timeout_ms={"type": "integer", "default": 120_000},
    ),
)

# @librechat/agents 3.9.2 and LibreChat's own definition of the tool: up to four questions with ids
LIBRECHAT = chat(
    "ask_user_question",
    objects(
        "questions",
        questions=lists(
            objects(
                "id question",
                id={"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"},
                header={"type": "string", "minLength": 1, "maxLength": 80},
                question={"type": "string", "minLength": 1, "maxLength": 2000},
                description={"type": "string", "maxLength": 4000},
                options=lists(
                    objects(
                        "label value",
                        label={"type": "string", "minLength": 1, "maxLength": 280},
                        value={"type": "string", "minLength": 1, "maxLength": 500},
                    ),
                    maxItems=12,
                ),
                multiSelect=BOOLEAN,
            ),
            minItems=1,
            maxItems=4,
        ),
    ),
)

# LibreChat before it asked several at once
LIBRECHAT_SINGLE = chat(
    "ask_user_question",
    objects(
        "question",
        question={"type": "string", "minLength": 1, "maxLength": 2000},
        description=STRING,
        options=lists(objects("label value", label=STRING, value=STRING), maxItems=12),
        multiSelect=BOOLEAN,
    ),
)

# claude-agent-sdk 0.3.330
CLAUDE_CODE = chat(
    "AskUserQuestion",
    closed(
        objects(
            "questions",
            questions=lists(
                closed(
                    objects(
                        "question header options multiSelect",
                        question=STRING,
                        header=STRING,  # at most 12 characters, says its description
                        options=lists(
                            closed(
                                objects("label description", label=STRING, description=STRING, preview=STRING),
                            ),
                            minItems=2,
                            maxItems=4,
                        ),
                        multiSelect={"type": "boolean", "default": False},
                    )
                ),
                minItems=1,
                maxItems=4,
            ),
            answers={"type": "object", "additionalProperties": STRING},
            metadata={"type": "object", "properties": {"source": STRING}},
        )
    ),
)

# openai/codex, core/src/tools/handlers/request_user_input_spec.rs: no bounds, but its code refuses empty options
CODEX = flat(
    "request_user_input",
    closed(
        objects(
            "questions",
            questions=lists(
                closed(
                    objects(
                        "id header question options",
                        id=STRING,
                        header=STRING,
                        question=STRING,
                        options=lists(closed(LABELLED)),
                    )
                )
            ),
        )
    ),
    strict=False,
)

# anomalyco/opencode, question/index.ts and tool/question.ts: a typed answer is always taken, options may be empty
OPENCODE = chat(
    "question",
    objects(
        "questions",
        questions=lists(
            objects(
                "question header options", question=STRING, header=STRING, options=lists(LABELLED), multiple=BOOLEAN
            )
        ),
    ),
)

# google-gemini/gemini-cli: `type` says whether there are options
GEMINI_CLI = chat(
    "ask_user",
    objects(
        "questions",
        questions=lists(
            objects(
                "question header type",
                question=STRING,
                header=STRING,
                type={"type": "string", "enum": ["choice", "text", "yesno"], "default": "choice"},
                options=lists(LABELLED),
                multiSelect=BOOLEAN,
                placeholder=STRING,
            ),
            minItems=1,
            maxItems=4,
        ),
    ),
)

# Roo Code: strict mode, where every property is required and an optional one may be null
ROO_CODE = chat(
    "ask_followup_question",
    closed(
        objects(
            "question follow_up",
            question=STRING,
            follow_up=lists(closed(objects("text mode", text=STRING, mode={"type": ["string", "null"]}))),
        )
    ),
    strict=True,
    **{"x-pir-ask": True},
)

# CopilotKit's useHumanInTheLoop: parameters are the application's own
COPILOTKIT = chat("clarify", objects("clarification", clarification=STRING), **{"x-pir-ask": True})

# A pydantic model's schema, as the OpenAI SDK and LangChain send it
PYDANTIC = chat(
    "ask_user",
    {
        "$defs": {"Style": {"enum": ["brief", "long"], "type": "string"}},
        "properties": {
            "question": {"title": "Question", "type": "string"},
            "options": {"anyOf": [lists(STRING), {"type": "null"}], "default": None},
            "style": {"$ref": "#/$defs/Style"},
        },
        "required": ["question", "style", "options"],
        "type": "object",
    },
)

TAKE_FREE_FORM = {
    "librechat": LIBRECHAT,
    "librechat single": LIBRECHAT_SINGLE,
    "opencode": OPENCODE,
    "gemini-cli": GEMINI_CLI,
    "copilotkit": COPILOTKIT,
    "pydantic": PYDANTIC,
}
DEMAND_OPTIONS = {
    "open webui": OPEN_WEBUI,
    "claude code": CLAUDE_CODE,
    "codex": CODEX,
    "roo code": ROO_CODE,
}
