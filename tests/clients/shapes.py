"""What front ends send that do not run here, message by message: read from the packages of Open WebUI 0.12 and Gradio 6.

Golden requests: a change here needs a new reading of those packages.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

TITLE_TASK = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Guidelines:
- The title should clearly represent the main theme or subject of the conversation.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: {user}
ASSISTANT: {assistant}
</chat_history>"""

TAGS_TASK = """### Task:
Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific subtopic tags.
### Output:
JSON format: { "tags": ["tag1", "tag2", "tag3"] }
### Chat History:
<chat_history>
USER: {user}
ASSISTANT: {assistant}
</chat_history>"""

FOLLOW_UP_TASK = """### Task:
Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next in this conversation.
### Chat History:
<chat_history>
USER: {user}
ASSISTANT: {assistant}
</chat_history>"""

RETRIEVAL = """### Task:
Respond to the user query using the provided context, incorporating inline citations in the format [id] **only when the \
<source> tag includes an explicit id attribute** (e.g., <source id="1">).

### Output:
Provide a clear and direct response to the user's query.

<context>
<source id="1" name="notes.txt">Pens are blue.</source>
</context>

{user}"""

MEMORY = "User Context:\n1. [2026-11-01]. {fact}\n"


def task(template: str, user: str, assistant: str, model: str = "scripted") -> Json:
    """A side call of Open WebUI: one user message, whole replies, nothing that marks it but its words."""
    text = template.replace("{user}", user).replace("{assistant}", assistant)
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": False}


def webui(messages: list[Json], **fields: Any) -> Json:
    """A chat of Open WebUI."""
    return {
        "model": "scripted",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | fields


def webui_reply(content: str, reasoning_details: Any = None) -> Json:
    """An assistant message as a saved chat sends it back: text stripped, opaque state kept, reasoning dropped."""
    message: Json = {"role": "assistant", "content": content.strip()}
    return message | ({"reasoning_details": reasoning_details} if reasoning_details else {})


def gradio(turns: list[tuple[str, str]], system: str = "") -> Json:
    """A chat of `gr.load_chat`: text in lists of parts, with keys of its own; the system message on turn 1 only."""
    messages: list[Json] = [{"role": "system", "content": system}] if system and len(turns) == 1 else []
    for role, text in turns[:-1]:
        parts = [{"type": "text", "text": text.strip()}]
        messages.append({"role": role, "content": parts, "metadata": None, "options": None})
    messages.append({"role": "user", "content": turns[-1][1]})
    return {"model": "scripted", "messages": messages, "stream": True}
