"""One request between the wire and the loop: which trajectory it begins or resumes, and by what it runs.

The surfaces (Chat Completions, Responses) differ in shapes only; what is decided here is the same for all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pir_serve.access.visit import Visit
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.api.request import Tools, TurnRequest, sampling
from pir_serve.api.tool_calls import FunctionCall, with_calls
from pir_serve.ask_tools import AskTool
from pir_serve.engines.base import Engine
from pir_serve.errors import RequestError, StoreError, SuspensionNotFound, Unsupported
from pir_serve.loop import LoopEvent, Mailbox, RunParams, Steered, run
from pir_serve.policy import AskPolicy, Gate, choose
from pir_serve.prompt import Message
from pir_serve.resume import Lookup, Resumption, find, was_asked
from pir_serve.telemetry.watch import WatchedEngine
from pir_serve.trajectory import Author, Segment, Trajectory

logger = logging.getLogger(__name__)

TurnEvent = LoopEvent | FunctionCall
How = Literal["exact", "sealed", "hash", "heuristic", "rebuilt", "new"]
_SCOPE_HEADERS = ("x-pir-conversation", "x-openwebui-chat-id")
"""Where clients name their chat: our own header, and the one that Open WebUI sends when told to forward user info."""


_FUNCTION = ("name", "description", "parameters")
"""Of a tool's definition, what models were trained to read."""
_LONG_PROMPT_CHARS = 20_000
"""About 10 ms of encoding."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that is ready to run."""

    visit: Visit
    request: TurnRequest
    served: ServedModel
    engine: Engine
    """The model's, watched for this request."""
    trajectory: Trajectory
    params: RunParams
    how: How
    """How the trajectory was found, for `X-PIR-Resume`."""
    scope: str
    parent: str | None
    """The suspension that it resumes."""
    options: dict[str, Any]
    """What the run goes by, for those who resume it."""
    ask_tool: AskTool | None
    """The client's tool that a question is to be a call of; None: it comes in the content."""
    ignored_tools: tuple[str, ...]
    """Names of tools that the model was not shown."""
    shown_tools: tuple[str, ...] = ()
    """Names of those that it was."""

    @property
    def model(self) -> str:
        """As the client wrote it."""
        return self.request.model

    def events(self) -> AsyncGenerator[TurnEvent, None]:
        events = run(self.trajectory, engine=self.engine, codec=self.served.codec, params=self.params)
        return with_calls(events, self.shown_tools) if self.shown_tools else events

    def steered_events(self, mailbox: Mailbox) -> AsyncGenerator[TurnEvent | Steered, None]:
        """What the user says meanwhile comes by `mailbox`."""
        codec = self.served.codec
        events = run(self.trajectory, engine=self.engine, codec=codec, params=self.params, mailbox=mailbox)
        return with_calls(events, self.shown_tools) if self.shown_tools else events


async def prepare(
    gateway: Gateway, request: TurnRequest, *, visit: Visit, headers: Mapping[str, str], num_replies: int = 1
) -> Turn:
    """Find or begin the trajectory of a request.

    Raises:
        UnknownModel, RequestError: the request cannot be served as it is.
        SuspensionNotFound: the session it names is gone, and rebuilding is not wanted or has nothing to build from.
        StoreError: it names a session, and the store cannot be asked.
        RateLimited: the caller has used up what it may.
    """
    tenant = visit.caller.tenant
    served, alias_never = gateway.served(request.model)
    _check_max_tokens(request, served)
    tools = _tools(gateway, request)
    shown = _shown(gateway, served, tools)
    scope = request.pir.conversation or next((headers[h] for h in _SCOPE_HEADERS if headers.get(h)), "")[:256]
    scope = scope.replace("\0", " ")  # which PostgreSQL's text cannot hold
    found, lost = await _resumed(gateway, request, served, tenant=tenant, scope=scope, headers=headers)
    stored = found.suspension.request if found else {}
    own = gateway.settings_of(served)
    policy = choose(
        AskPolicy.parse(own.ask),
        body=request.pir.ask,
        header=headers.get("x-pir-ask"),
        alias_never=alias_never,
        forced_never=request.never_ask,
        suspended=AskPolicy.parse(stored["ask"]) if "ask" in stored else None,
    )
    if visit.caller.limits.ask is not None:
        policy = policy.within(AskPolicy.parse(visit.caller.limits.ask))
    options = {**served.options, **own.sampling, **stored, **request.options, "ask": str(policy)}
    if request.pir.gate is not None:
        options["gate"] = request.pir.gate
    if found is not None:
        trajectory = _responded(gateway, request, served, found)
    else:
        session = f"s_{secrets.token_urlsafe(16)}"
        messages = request.conversation.prompt_messages(with_tools=gateway.passes_tools(served))
        trajectory = Trajectory(session, served.name, await _encoded(served, messages, list(shown.values())))
    visit.begin_streams(num_replies)
    _count_resumed(gateway, served, found, lost)
    if visit.span is not None:
        how = found.how if found else "rebuilt" if lost else "new"
        visit.span.begins(served.name, {"gen_ai.conversation.id": trajectory.session, "pir.resume": how})
        if found is not None and found.suspension.trace:
            visit.span.resumes(found.suspension.trace)
    return Turn(
        visit=visit,
        engine=WatchedEngine(served.engine, served.name, gateway.metrics, visit),
        request=request,
        served=served,
        trajectory=trajectory,
        params=RunParams(
            policy=policy if policy.max_asks is not None else AskPolicy(served.codec.preset.max_asks),
            sampling=sampling(options),
            max_tokens=options.get("max_tokens"),
            stop=tuple(options.get("stop", ())),
            uncertainty=request.pir.uncertainty,
            max_asks=own.max_asks,
            auto_response=gateway.settings.auto_response,
            screen=gateway.screening,
            gate=_gate(gateway, options.get("gate")),
            mends_markup=served.codec.preset.mode == "prompted",
            request_id=visit.request_id,
            tenant=tenant,
        ),
        how=found.how if found else "rebuilt" if lost else "new",
        scope=scope,
        parent=found.suspension.sid if found else None,
        options=options,
        ask_tool=tools.ask,
        ignored_tools=tuple(name for name in tools.names if name not in shown),
        shown_tools=tuple(shown),
    )


def _count_resumed(gateway: Gateway, served: ServedModel, found: Resumption | None, lost: bool) -> None:
    metrics = gateway.metrics
    if found is not None:
        metrics.resumes.labels(served.name, found.how).inc()
        metrics.paused_s.observe(max(0.0, time.time() - found.suspension.created))
    elif lost:
        metrics.resumes.labels(served.name, "rebuilt").inc()


def _gate(gateway: Gateway, wanted: float | str | None) -> Gate | None:
    """Of one request: `wanted` is nats a token or `off`; None leaves it to the server's settings."""
    if wanted is None:
        return gateway.gate
    return None if isinstance(wanted, str) else Gate(wanted, gateway.settings.gate_max)


def _tools(gateway: Gateway, request: TurnRequest) -> Tools:
    """The tool that a question is to be a call of, and the tools that the model is not shown."""
    via = request.pir.ask_via or gateway.settings.ask_via
    if gateway.settings.tools == "strip":
        return Tools()
    if request.pir.ask_via == "tool" and request.tools.ask is None:
        raise Unsupported(
            "ask_via is tool, and the request has no question tool: name one ask_user, or mark it x-pir-ask",
            param="pir.ask_via",
        )
    return Tools(None if via == "content" else request.tools.ask, request.tools.others)


def _shown(gateway: Gateway, served: ServedModel, tools: Tools) -> dict[str, str]:
    """The definitions (JSON) of the tools that the model is shown, by name."""
    if not tools.others or not gateway.passes_tools(served):
        return {}
    functions = [tool for tool in tools.others if isinstance(tool.get("name"), str)]
    return {
        tool["name"]: json.dumps(
            {"type": "function", "function": {key: tool[key] for key in _FUNCTION if tool.get(key) is not None}},
            ensure_ascii=False,
        )
        for tool in functions
    }


def _responded(gateway: Gateway, request: TurnRequest, served: ServedModel, found: Resumption) -> Trajectory:
    """The trajectory with the user's response, or with the server's where the user gave none."""
    said, by, reason = found.response_text, Author.USER, request.conversation.declined
    if reason:
        said, by = gateway.settings.auto_response, Author.TEMPLATE
    segment = served.codec.encode_response(said, by)
    return found.suspension.trajectory.respond(said, segment, by=by, reason=reason)


async def _encoded(served: ServedModel, messages: list[Message], tools: list[str]) -> tuple[Segment, ...]:
    """The prompt's segments; a long one is encoded in a thread, as it would hold up everybody else's stream."""
    if sum(len(m.content) for m in messages) + sum(map(len, tools)) < _LONG_PROMPT_CHARS:
        return served.codec.encode_prompt(messages, tools)
    return await asyncio.to_thread(served.codec.encode_prompt, messages, tools)


async def _resumed(
    gateway: Gateway,
    request: TurnRequest,
    served: ServedModel,
    *,
    tenant: str,
    scope: str,
    headers: Mapping[str, str],
) -> tuple[Resumption | None, bool]:
    """The suspension, and whether the request was meant to resume one that is gone."""
    action = request.pir.action or headers.get("x-pir-action", "").strip().lower()
    if action not in ("", "new", "resume"):
        raise RequestError("X-PIR-Action must be new or resume", param="X-PIR-Action")
    if action == "new" or request.begins_new:
        return None, False
    messages, call = request.conversation.messages, request.conversation.tool_call_id
    sid = request.pir.session or headers.get("x-pir-session", "").strip() or None
    if sid is None and call is None and all(m.role != "assistant" for m in messages):
        return None, False  # nothing has been said that this could respond to
    lookup = Lookup(
        tenant=tenant,
        digest=served.digest,
        messages=request.conversation.pairs,
        model=served.name,
        scope=scope,
        explicit_sid=sid,
        tool_call_id=call,
        sealed=request.sealed,
    )
    strict = gateway.settings.strict_resume if request.pir.strict is None else request.pir.strict
    try:
        found = await find(lookup, gateway.store, gateway.keys, gateway.sealer)
    except SuspensionNotFound:
        if strict or not any(m.role == "assistant" for m in messages):  # the answer alone is nothing to build from
            raise
        return None, True
    except StoreError as error:
        if lookup.explicit_sid is not None:
            raise
        logger.warning("no suspension could be looked up: %s", error)
        found = None
    if found is not None:
        return found, False
    lost = _answers_a_question(gateway, lookup)
    if lost and strict:
        raise SuspensionNotFound("the reasoning that asked this question is gone; start anew", param="messages")
    return None, lost


def _answers_a_question(gateway: Gateway, lookup: Lookup) -> bool:
    """Whether the user seems to respond to an ask of ours that is gone: provably so, or the last reply was a
    question."""
    if was_asked(lookup, gateway.keys, gateway.sealer):
        return True
    last = next((text for role, text in reversed(lookup.messages) if role == "assistant"), "")
    return last.rstrip().endswith(("?", "？"))


def _check_max_tokens(request: TurnRequest, served: ServedModel) -> None:
    wanted, limit = request.options.get("max_tokens"), served.engine.max_model_len
    if wanted is not None and wanted > limit:
        raise RequestError(
            f"max_tokens is {wanted}; this model reads and writes {limit} tokens in all", param="max_tokens"
        )
