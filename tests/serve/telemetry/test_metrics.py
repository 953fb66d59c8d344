"""GET /metrics: what it counts of a conversation, what it never tells, and that dashboard and docs name what exists."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pir_serve.engines.pool import EnginePool
from pir_serve.errors import EngineUnavailable
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, sure
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
ROOT = Path(__file__).parents[3]
CHAT: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
ANSWERED = {
    "model": "scripted",
    "messages": [*CHAT["messages"], {"role": "assistant", "content": QUESTION}, {"role": "user", "content": "4"}],
}
URL = "/v1/chat/completions"


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    """As Prometheus would read them: `name{label="value"}` to value."""
    reply = await client.get("/metrics")
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/plain; version=")
    found = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]
    return {sample.name + _labels(sample.labels): sample.value for sample in found}


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f"{name}={value}" for name, value in sorted(labels.items())) + "}" if labels else ""


async def test_a_conversation_is_counted(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        first = (await client.post(URL, json=CHAT)).json()["usage"]
        second = (await client.post(URL, json=ANSWERED)).json()["usage"]
        await client.post(URL, json={**CHAT, "pir": {"ask": "never"}})
        found = await samples(client)
        of = "{model=scripted}"
        assert found["pir_asks_total{model=scripted,outcome=shown}"] == 1
        assert found["pir_asks_total{model=scripted,outcome=never}"] == 1
        assert found["pir_resumes_total{how=hash,model=scripted}"] == 1
        assert found["pir_runs_total{model=scripted,status=awaiting_user}"] == 1
        assert found["pir_runs_total{model=scripted,status=completed}"] == 2
        assert found["pir_legs_total{end=stop,model=scripted}"] == 4
        assert found["pir_paused_seconds_count"] == 1 and 0 <= found["pir_paused_seconds_sum"] < 10
        assert found["pir_time_to_first_token_seconds_count" + of] == 4
        assert found["pir_time_per_output_token_seconds_count" + of] == 4
        assert found["pir_prompt_tokens_total" + of] > first["prompt_tokens"] + second["prompt_tokens"]
        assert found["pir_completion_tokens_total" + of] > first["completion_tokens"] + second["completion_tokens"]
        cached = second["prompt_tokens_details"]["cached_tokens"]
        assert found["pir_cached_tokens_total" + of] >= cached > 0
        assert found["pir_requests_total{route=/v1/chat/completions,status=200}"] == 3
        assert found["pir_stored_trajectories{status=awaiting_user}"] == 1
        assert found["pir_store_seconds_count{operation=write}"] >= 1 and found["pir_store_up"] == 1
        assert found["pir_screen_decisions_total{action=allow,rule=}"] == 1
        assert found["pir_legs_running" + of] == 0


async def test_a_rebuild_and_an_expiry_are_counted(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, ttl_s=1.0)
    async with in_process(desk) as client:
        await client.post(URL, json=CHAT)
        await asyncio.sleep(1.05)
        reply = await client.post(URL, json=ANSWERED)
        assert reply.headers["x-pir-resume"] == "rebuilt"
        found = await samples(client)
        assert found["pir_resumes_total{how=rebuilt,model=scripted}"] == 1
        desk.gateway.metrics.expired.inc(await desk.gateway.store.expire(4e9))
        assert (await samples(client))["pir_expired_total"] >= 1


async def test_failed_and_aborted_legs_are_told_apart(make_desk: MakeDesk) -> None:
    def faulty(prompt: str) -> Line:
        if "unwell" in prompt:
            return Line("", error=EngineUnavailable("down"))
        return Line("\nOn and on." * 300, delay_s=0.01)

    async with in_process(make_desk(faulty)) as client:
        unwell = {**CHAT, "messages": [{"role": "user", "content": "Are you unwell?"}]}
        assert (await client.post(URL, json=unwell)).status_code == 503
        running = asyncio.create_task(
            client.post("/v1/responses", json={"model": "scripted", "input": "Go on.", "background": True})
        )
        made = (await running).json()
        await asyncio.sleep(0.1)
        assert (await samples(client))["pir_legs_running{model=scripted}"] == 1
        await client.post(f"/v1/responses/{made['id']}/cancel")
        found = await samples(client)
        assert found["pir_legs_total{end=failed,model=scripted}"] >= 1
        assert found["pir_upstream_errors_total{error=engine_unavailable,model=scripted}"] >= 1
        assert found["pir_legs_total{end=aborted,model=scripted}"] == 1
        assert found["pir_legs_running{model=scripted}"] == 0
        assert found["pir_requests_total{route=/v1/chat/completions,status=503}"] == 1


async def test_made_up_paths_and_ids_make_no_new_series(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(sure)) as client:
        for k in range(5):
            await client.get(f"/v1/made/up/{k}")
            await client.get(f"/v1/responses/resp_{k}")
            await client.get(f"/{k}")
        found = await samples(client)
        routes = {name for name in found if name.startswith("pir_requests_total")}
        assert found["pir_requests_total{route=/v1/responses/{response_id},status=404}"] == 5
        assert found["pir_requests_total{route=other,status=404}"] == 10
        assert len(routes) == 2


async def test_no_text_key_or_tenant_is_told(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, api_key=("correct-horse",))) as client:
        headers = {"authorization": "Bearer correct-horse", "x-request-id": "req-mine"}
        sid = (await client.post(URL, json=CHAT, headers=headers)).headers["x-pir-session"]
        page = (await client.get("/metrics")).text
        caller = await _caller(make_desk)
        for secret in ("Nora", "correct-horse", sid, "req-mine", caller):
            assert secret not in page


async def _caller(make_desk: MakeDesk) -> str:
    desk = make_desk(curious, api_key=("correct-horse",))
    return (await desk.gateway.auth.caller({"authorization": "Bearer correct-horse"})).tenant


def test_a_worker_tells_of_the_others_too_even_when_they_have_died(tmp_path: Path) -> None:
    code = (
        "from pir_serve.telemetry.metrics import Metrics\n"
        "metrics = Metrics()\n"
        "metrics.runs.labels('m', 'completed').inc()\n"
        "for total in (1, 2): metrics.catch_up(metrics.limited, [(('requests',), total)])\n"
        "print(metrics.page([]).decode())"
    )
    command, env = [sys.executable, "-c", code], {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    pages = [subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    for k, page in enumerate(pages, 1):
        assert f'pir_runs_total{{model="m",status="completed"}} {k}.0' in page
        assert f'pir_limited_total{{limit="requests"}} {2 * k}.0' in page


@pytest.fixture
async def names(make_desk: MakeDesk) -> set[str]:
    """Of everything that is ever exported: what has happened, and a pool's engines."""
    desk = make_desk(curious)

    async def check(_: Any) -> None: ...

    (served,) = desk.gateway.models.values()
    pool = EnginePool([desk.engine], check)
    object.__setattr__(served, "engine", pool)
    async with in_process(desk) as client:
        page = (await client.get("/metrics")).text
    return {family.name for family in text_string_to_metric_families(page)}


def base(name: str) -> str:
    return re.sub(r"_(total|bucket|sum|count)$", "", name)


async def test_the_dashboard_draws_all_metrics_and_only_such_as_exist(names: set[str]) -> None:
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    drawn = {base(name) for e in expressions for name in re.findall(r"\bpir_[a-z_]+", e)}
    assert drawn == names
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for expression in expressions:
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


async def test_the_table_of_metrics_is_complete(names: set[str]) -> None:
    rows = re.findall(r"^\| `(pir_[a-z_]+)`", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert {base(name) for name in rows} == names and len(rows) == len(set(rows))
