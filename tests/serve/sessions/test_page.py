"""docs/sessions.md names every field that there is, and none that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pir_serve.api import sessions
from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import keep

PAGE = (Path(__file__).parents[3] / "docs" / "sessions.md").read_text()
URL = "/v1/pir/sessions"


def tables(heading: str) -> list[set[str]]:
    """The names in the first column of each table under a heading."""
    section = re.split(r"^##+ ", PAGE.partition(f"\n### {heading}\n")[2], flags=re.MULTILINE)[0]
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        rows = table.splitlines()[2:]
        found.append({name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])})
    return found


async def test_the_page_names_what_replies_hold(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        listed: dict[str, Any] = (await client.get(URL)).json()
        (session,) = listed["data"]
        shown = (await client.get(f"{URL}/s_pens", params={"ids": "1"})).json()
        (row,) = map(json.loads, (await client.get(f"{URL}/export")).text.splitlines())
    (node,) = shown["branches"]
    query, fields = tables("List")
    assert query == set(sessions.ListQuery.model_fields)
    assert fields == session.keys() == shown.keys() - {"branches", "has_more", "next_cursor"}
    nodes, segments = tables("Show")
    assert nodes == node.keys()
    assert segments == node["segments"][-1].keys()
    (rows,) = tables("Export")
    assert rows == row.keys()
    assert set(re.findall(r"`(\w+)`", re.search(r"^\| `parts` \|(.*)\|$", PAGE, re.M)[1])) == row["parts"][0].keys()


def test_the_page_names_what_resuming_takes() -> None:
    (body,) = tables("Resume")
    assert {"response", "action", "model"} <= body
    assert set(sessions.ResumeBody.model_fields) == {"response", "action", "model", "messages", "pir"}


def test_the_page_names_every_path() -> None:
    named = set(re.findall(r"^\| `([A-Z]+ /v1/pir/sessions[^`]*)` \|", PAGE, re.MULTILINE))
    served = {
        f"{method} {route.path}" for route in sessions.ROUTES for method in (route.methods or ()) if method != "HEAD"
    }
    assert named == served
