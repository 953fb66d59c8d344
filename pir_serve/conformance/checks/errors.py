"""7xx: what is wrong with a request is said in a body that SDKs understand, and never a 5xx."""

from __future__ import annotations

from typing import Any

from pir_serve.conformance.bench import Bench, names, require
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.surface import Turn
from pir_serve.conformance.wire import Raw


def _is_refused(bench: Bench, raw: Raw, *statuses: int) -> dict[str, Any]:
    """The error of a refusal that is as OpenAI's are."""
    require(raw.status in statuses, f"HTTP {raw.status}, not {' or '.join(map(str, statuses))}: {raw.text[:200]}")
    require(raw.headers.get("content-type", "").startswith("application/json"), "the error is no application/json")
    error = raw.json.get("error") if isinstance(raw.json, dict) else None
    require(isinstance(error, dict), f"the body has no error object: {raw.text[:200]}")
    assert isinstance(error, dict)
    missing = names(error, "message", "type", "param", "code")
    require(not missing, f"the error has no {', '.join(missing)}")
    require(isinstance(error["message"], str) and error["message"], "the error has no message")
    header = raw.headers.get("x-should-retry")
    told = header == "false" or "socket" in bench.surface.traits
    require(told, f"X-Should-Retry is {header!r}: SDKs may repeat what cannot succeed")
    return error


@check(701, "no JSON", "A body that is no JSON, or no object: 400 with OpenAI's error body.", on="http")
async def no_json(bench: Bench) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[]", b"null", b'"text"', b'{"model": NaN}'):
        _is_refused(bench, await bench.send_raw(body), 400)


@check(702, "wrong types", "400, with the field in `param`.")
async def wrong_types(bench: Bench) -> None:
    wrong: dict[str, Any] = {"model": 7, "temperature": "hot", "pir": []}
    if "socket" not in bench.surface.traits:
        wrong["stream"] = "yes"
    for field, value in wrong.items():
        error = _is_refused(bench, (await bench.send((Turn("user", "Hello"),), fields={field: value})).raw, 400)
        require(str(error["param"]).startswith(field), f"{field} is wrong, but param is {error['param']!r}")


@check(703, "an unknown model", "404 `model_not_found`.")
async def unknown_model(bench: Bench) -> None:
    error = _is_refused(bench, (await bench.send((Turn("user", "Hello"),), model="no-such-model")).raw, 404)
    require(error["code"] == "model_not_found", f"the code is {error['code']!r}")


@check(
    704,
    "no message of the user",
    "A conversation that is empty or ends with the assistant cannot be answered: 400, not a guess.",
)
async def nothing_to_answer(bench: Bench) -> None:
    for turns in ((), (Turn("user", "Hello"), Turn("assistant", "Hello!"))):
        _is_refused(bench, (await bench.send(turns)).raw, 400)


@check(705, "unknown keys in pir", "400: nobody but users of the extension writes it, so a typing error is caught.")
async def unknown_key(bench: Bench) -> None:
    _is_refused(bench, (await bench.send((Turn("user", "Hello"),), pir={"sesion": "pir_x"})).raw, 400)


@check(706, "wrong values in pir and its headers", "400 for an `ask`, an `action` that does not exist.")
async def wrong_values(bench: Bench) -> None:
    turns = (Turn("user", "Hello"),)
    for pir in ({"ask": "sometimes"}, {"ask": -1}, {"action": "later"}, {"session": 7}, {"strict": "yes"}):
        _is_refused(bench, (await bench.send(turns, pir=pir)).raw, 400)
    headers = {"X-PIR-Ask": "sometimes", "X-PIR-Action": "later"}
    if "socket" in bench.surface.traits:
        del headers["X-PIR-Action"]  # it is of one request, and a connection's headers are of all
    for name, value in headers.items():
        _is_refused(bench, (await bench.send(turns, headers={name: value})).raw, 400)


@check(707, "unknown fields", "Fields that a gateway does not know are ignored: clients send their own.")
async def unknown_fields(bench: Bench) -> None:
    reply = await bench.send((Turn("user", "Hello"),), fields={"user": "u1", "x_unknown": {"a": [1]}})
    require(reply.ok, f"HTTP {reply.raw.status}: {reply.raw.text[:200]}")
