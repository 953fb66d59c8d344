"""The chat tab: what happens when people type, click a reply, edit an answer, or open a session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from html import escape
from typing import Any

import gradio as gr

from ui.client import Gateway, GatewayError, Options
from ui.conversation import Conversation, conversation
from ui.desk import Desk, play, settle
from ui.render import conversation_html, example_cards, user_html

Frame = dict[Any, Any]
"""Updates by component."""
NUM_EXAMPLES = 3


class Chat:
    """The callbacks of one page; all state is in the `Desk` that Gradio keeps for each tab."""

    def __init__(
        self,
        gateway_of: Callable[[gr.Request], Gateway],
        log: gr.HTML,
        box: gr.Textbox,
        desk: gr.State,
        here: gr.Textbox,
    ) -> None:
        self._gateway_of = gateway_of
        self.log, self.box, self.desk, self.here = log, box, desk, here
        self.outputs: list[Any] = [log, box, desk, here]

    async def send(
        self, text: str, desk: Desk, model: str, ask: str, most: float, temperature: float, request: gr.Request
    ) -> AsyncIterator[Frame]:
        """What was typed: the answer to the question that waits, a new problem, or a follow-up."""
        text = text.strip()
        if not text or desk.is_running:
            yield {self.box: gr.skip()}
            return
        options = options_of(model, ask, most, temperature)
        start = _asked_about(desk.shown, text)
        async for frame in self._reply(
            self._gateway_of(request), desk, start, text, options, typed=text, request=request
        ):
            yield frame

    async def act(
        self,
        desk: Desk,
        model: str,
        ask: str,
        most: float,
        temperature: float,
        event: gr.EventData,
        request: gr.Request,
    ) -> AsyncIterator[Frame]:
        """A button of the log."""
        data: Mapping[str, Any] = event._data or {}
        if desk.is_running:
            yield {self.box: gr.skip()}
            return
        gateway, options = self._gateway_of(request), options_of(model, ask, most, temperature)
        text = str(data.get("text", ""))[:20_000]
        match data.get("act"):
            case "begin":
                await desk.leave()
                start = Conversation(text)
            case "reply" | "guess" if desk.shown and desk.shown.waiting:
                start = desk.shown
            case "revise" if desk.session:
                start = conversation(desk.session, str(data.get("node")))
            case "switch" if desk.session:
                yield self._frame(desk.switch(str(data.get("node"))), desk)
                return
            case _:
                yield {self.box: gr.skip()}
                return
        said = None if data["act"] == "guess" else text
        if said != "" and (start.waiting or data["act"] == "begin"):
            async for frame in self._reply(gateway, desk, start, said, options, typed="", request=request):
                yield frame

    async def _reply(
        self,
        gateway: Gateway,
        desk: Desk,
        start: Conversation,
        text: str | None,
        options: Options,
        *,
        typed: str,
        request: gr.Request,
    ) -> AsyncIterator[Frame]:
        """One reply, from what was said to the question or the answer that it ends with."""
        before, tree = desk.shown, desk.session
        desk.is_running, desk.is_stopped = True, False
        shown, note = start, ""
        sent: dict[str, Any] = {"value": ""} if typed else {}
        frame: Frame = {self.box: gr.Textbox(submit_btn=False, stop_btn=True, **sent), self.desk: desk}
        try:
            async with contextlib.aclosing(play(gateway, start, text, options)) as states:
                async for shown in states:
                    if desk.is_stopped:
                        break
                    # Live until it is settled: only then is the next text taken.
                    yield frame | {self.log: conversation_html(shown, is_live=True, can_act=False)}
                    frame = {}
            if not desk.is_stopped:
                await settle(gateway, desk, shown)
        except GatewayError as error:
            note = f'<p class="trouble" role="alert">{escape(str(error))} What you wrote is still here.</p>'
        finally:
            desk.is_running = False
        if not note and not desk.is_stopped:
            yield self._frame(desk.shown or shown, desk)
            return
        desk.shown, desk.session = before, tree
        log = conversation_html(before) if before else user_html(start.problem) if note else await self.welcome(request)
        yield {self.log: log + note, self.box: _ready(desk, typed or None), self.desk: desk}

    async def stop(self, desk: Desk) -> None:
        """The running reply ends itself: the page is as it was before, and what was typed is back in the box."""
        desk.is_stopped = True

    async def welcome(self, request: gr.Request) -> str:
        try:
            gateway = self._gateway_of(request)
            (model, *_) = await gateway.models()
            problems = [_problem_of(example) for example in await gateway.examples(model)]
        except (GatewayError, ValueError):
            problems = []
        return example_cards(sorted(filter(None, problems), key=len)[:NUM_EXAMPLES])

    async def new(self, desk: Desk, request: gr.Request) -> Frame:
        await desk.leave()
        return {self.log: await self.welcome(request), self.box: _ready(desk, ""), self.desk: desk, self.here: ""}

    async def open(self, session: str, desk: Desk, request: gr.Request) -> Frame:
        """A session by id: from the sidebar, or a link."""
        await desk.leave()
        try:
            tree = await self._gateway_of(request).session(session)
            if tree["object"] != "pir.session":
                raise GatewayError("That is no session.")
            return self._idle(desk) | self._frame(desk.look_at(tree), desk)
        except GatewayError as error:
            note = f'<p class="trouble" role="alert">This conversation cannot be shown. {escape(str(error))}</p>'
            return self._idle(desk) | {self.log: note + await self.welcome(request), self.here: ""}

    def _frame(self, shown: Conversation, desk: Desk) -> Frame:
        return {
            self.log: conversation_html(shown),
            self.box: _ready(desk, None),
            self.desk: desk,
            self.here: shown.session or "",
        }

    def _idle(self, desk: Desk) -> Frame:
        return {self.box: _ready(desk, None), self.desk: desk}


def options_of(model: str, ask: str, most: float, temperature: float) -> Options:
    """`ask` as the settings name it; a negative temperature leaves it to the model."""
    policies: dict[str, str | int] = {"never": "never", "at most": int(most)}
    return Options(model, policies.get(ask), None if temperature < 0 else temperature)


def _asked_about(before: Conversation | None, text: str) -> Conversation:
    """The conversation that a reply begins from: as it waits, or with `text` as its next problem."""
    if before is None:
        return Conversation(text)
    if before.waiting:
        return before
    earlier = tuple((turn["role"], turn["content"]) for turn in before.messages)
    return Conversation(text, earlier=earlier)


def _ready(desk: Desk, value: str | None) -> Any:
    """The box as it invites the next words; with `value` in it unless that is None."""
    waits = desk.shown is not None and desk.shown.waiting is not None
    hint = "Your answer …" if waits else "Ask a follow-up …" if desk.shown else "Write a problem …"
    given: dict[str, Any] = {} if value is None else {"value": value}
    return gr.Textbox(submit_btn=True, stop_btn=False, placeholder=hint, **given)


def _problem_of(example: Any) -> str:
    """Models' example files name their problem in one of these ways."""
    if isinstance(example, str):
        return example
    return next((str(example[key]) for key in ("problem", "shown", "question") if example.get(key)), "")
