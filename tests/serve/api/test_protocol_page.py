"""docs/protocol.md against a gateway: every request on the page is sent, every reply must be the one printed there.

A block ```http is a request or, behind it, its reply. Ids, handles and times differ each time: the page names them
`..._EXAMPLE_n`, and what a request of the page names so is replaced by what the gateway gave before. Token counts are
compared as zero or more than zero, entropies not at all. After a change of the wire:

    python -m tests.serve.api.test_protocol_page     # prints the page with fresh replies
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.presets import find_preset
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.sqlite import SqliteStore
from tests.fakes import Line, ScriptedEngine
from tests.serve.brains import responses
from tests.serve.conftest import SECRET, Desk, in_process, write_tokenizer

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"
BLOCK = re.compile(r"^```http\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REQUEST = re.compile(r"(GET|POST) (\S+)\n((?:[\w-]+: [^\n]*\n)*)(?:\n(.*))?", re.DOTALL)
HEADERS_SHOWN = ("x-pir-resume", "x-pir-status", "x-pir-session", "x-should-retry")
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found"}
TIMES = dict.fromkeys(("created", "created_at", "completed_at"), 1_795_411_200) | {"expires_at": 1_795_497_600}


def solver(prompt: str) -> Line:
    """The model of the page: knows the price of a pen and asks for their number."""
    numbers = re.findall(r"(\d+) pens", prompt)
    if numbers or responses(prompt):
        n = int(numbers[-1]) if numbers else 10
        known = "" if numbers else "Nobody says how many pens; a pack has 10.\n"
        text = f"\n{known}The number of pens is {n}.\nThe cost is {n} * 4 = {4 * n} dollars.\n</think>\n"
        return Line(f"{text}The answer is \\boxed{{{4 * n}}}.", delay_s=0.01)
    text = "\nThe price of one pen is 4 dollars.\nThe number of pens is not given.\n"
    return Line(f"{text}<asking>How many pens does Nora buy?</asking>", delay_s=0.01)


def desk(folder: Path) -> Desk:
    tokenizer = write_tokenizer(folder / "tokenizer")
    engine = ScriptedEngine(tokenizer, solver, chunk_tokens=12)
    settings = Settings(store=folder / "pir.db", tokenizer=tokenizer, model_name="pir-tiny")
    model = ServedModel("pir-tiny", engine, PromptCodec.load(tokenizer, preset=find_preset("pir-tiny")))
    return Desk(Gateway(settings, [model], SqliteStore(settings.store_path), SECRET), engine)


class Names:
    """Names on the page for what a gateway draws at random, and back."""

    def __init__(self) -> None:
        self._by_value: dict[str, str] = {}

    def to_page(self, value: str, kind: str) -> str:
        count = sum(name.startswith(kind) for name in self._by_value.values())
        return self._by_value.setdefault(value, f"{kind}_EXAMPLE_{count + 1}")

    def to_gateway(self, text: str) -> str:
        for value, name in self._by_value.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){name}\b", value, text)
        return text

    def normalised(self, value: Any, key: str = "") -> Any:
        """A JSON value as the page has it."""
        if isinstance(value, dict):
            return {k: self.normalised(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.normalised(v) for v in value]
        if isinstance(value, str):
            if key in ("data", "encrypted_content"):
                return self.to_page(value, "SEALED")
            if value.startswith("call_pir_"):
                return "call_" + self.to_page(value.removeprefix("call_"), "pir")
            if key in ("id", "node", "session", "pir_session", "previous_response_id") and (
                kind := re.match(r"(pir|chatcmpl|resp|msg|rs|fc)[_-](?!tiny)", value)
            ):
                return self.to_page(value, kind[1])
        return TIMES.get(key, value)


async def replies(page: str, folder: Path) -> list[tuple[str, str]]:
    """(as printed, as given) for each exchange of the page, in order, over one gateway."""
    blocks = BLOCK.findall(page)
    assert len(blocks) % 2 == 0, "each request is followed by its reply"
    names = Names()
    out = []
    async with in_process(desk(folder)) as client:
        for asked, printed in zip(blocks[::2], blocks[1::2], strict=True):
            out.append((printed, await exchange(client, asked, names)))
    return out


async def exchange(client: httpx.AsyncClient, asked: str, names: Names) -> str:
    parts = REQUEST.fullmatch(names.to_gateway(asked))
    assert parts is not None, f"no request: {asked[:80]}"
    method, path, headers, body = parts.groups()
    fields = dict(line.split(": ", 1) for line in headers.splitlines())
    content = body.encode() if body else None
    if content:
        json.loads(content)  # a mistake on the page is not a case of the gateway's
    reply = await client.request(method, path, headers=fields, content=content)
    shown = [f"{k.title().replace('Pir', 'PIR')}: {reply.headers[k]}" for k in HEADERS_SHOWN if k in reply.headers]
    shown = [
        f"X-PIR-Session: {names.to_page(reply.headers['x-pir-session'], 'pir')}" if "Session" in h else h for h in shown
    ]
    head = "\n".join([f"HTTP/1.1 {reply.status_code} {REASONS[reply.status_code]}", *shown])
    if reply.headers["content-type"].startswith("text/event-stream"):
        head += "\nContent-Type: text/event-stream; charset=utf-8"
        return f"{head}\n\n{names_in_stream(reply.text, names)}\n"
    return f"{head}\n\n{pretty(names.normalised(reply.json()))}\n"


def names_in_stream(text: str, names: Names) -> str:
    events = []
    for event in text.strip().split("\n\n"):
        data = event.removeprefix("data: ")
        events.append(f"data: {compact(names.normalised(json.loads(data)))}" if data.startswith("{") else event)
    return "\n\n".join(events)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pretty(value: Any, indent: int = 0) -> str:
    """JSON with what fits on a line on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= 112 or not isinstance(value, dict | list):
        return line
    pad = " " * (indent + 2)
    if isinstance(value, list):
        return "[\n" + ",\n".join(pad + pretty(v, indent + 2) for v in value) + f"\n{' ' * indent}]"
    items = (f"{pad}{json.dumps(k)}: {pretty(v, indent + 2)}" for k, v in value.items())
    return "{\n" + ",\n".join(items) + f"\n{' ' * indent}}}"


def comparable(reply: str) -> list[Any]:
    """Head, then the body's JSON values, with all that may differ from one machine or run to the next left out."""
    head, _, body = reply.partition("\n\n")
    if "text/event-stream" not in head:
        return [head, loosened(json.loads(body))]
    events: list[Any] = []
    for event in body.strip().split("\n\n"):
        data = event.removeprefix("data: ")
        value = loosened(json.loads(data)) if data.startswith("{") else data
        if events and (joined := joined_text(events[-1], value)):
            events[-1] = joined
        else:
            events.append(value)
    return [head, *events]


def loosened(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: loosened(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [loosened(v) for v in value]
    if value is not None and (key in ("entropy", "peak") or key.endswith("tokens")):
        return value > 0
    return value


def joined_text(before: Any, value: Any) -> Any:
    """Two neighbouring chunks of one kind of text as one; None for others. Where text is cut is nobody's business."""
    if not (isinstance(before, dict) and isinstance(value, dict) and before["choices"] and value["choices"]):
        return None
    a, b = before["choices"][0]["delta"], value["choices"][0]["delta"]
    if not (a.keys() == b.keys() and a.keys() <= {"content", "reasoning_content"} and len(a) == 1):
        return None
    (field,) = a
    choice = value["choices"][0] | {"delta": {field: a[field] + b[field]}}
    return value | {"choices": [choice]}


async def test_every_exchange_of_the_page_is_what_a_gateway_says(tmp_path: Path) -> None:
    exchanges = await replies(PAGE.read_text(), tmp_path)
    assert len(exchanges) >= 9
    for printed, given in exchanges:
        assert comparable(printed) == comparable(given), f"the page prints\n{printed}\nthe gateway says\n{given}"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"status": "awaiting_user"', '"status": "waiting"'),
        ('"status":"awaiting_user"', '"status":"waiting"'),
        ("X-PIR-Resume: exact", "X-PIR-Resume: hash"),
        ("The number of pens is 6.", "The number of pens is 7."),
        ('"cached_tokens": 0', '"cached_tokens": 5'),
        ("data: [DONE]", ": keepalive"),
    ],
)
def test_a_reply_that_says_something_else_is_noticed(right: str, wrong: str) -> None:
    printed = [reply for reply in BLOCK.findall(PAGE.read_text())[1::2] if right in reply]
    assert printed
    assert all(comparable(reply) != comparable(reply.replace(right, wrong)) for reply in printed)


def main() -> None:
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        given = iter([reply for _, reply in asyncio.run(replies(page, Path(folder)))])
    number = iter(range(10_000))
    sys.stdout.write(BLOCK.sub(lambda m: m[0] if next(number) % 2 == 0 else f"```http\n{next(given)}```", page))


if __name__ == "__main__":
    main()
