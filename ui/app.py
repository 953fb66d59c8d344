"""The page: its layout, and which callback answers which event."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from ui.chat import Chat, Frame
from ui.client import GatewayError
from ui.compare import Compare
from ui.desk import Desk
from ui.explore import Runs
from ui.export import FORMATS, exported
from ui.pieces import QUIET, html
from ui.sidebar import FILTERS, Sidebar
from ui.tabs import compare_tab, explore_tab
from ui.users import Users

_POLL_S = 4.0
"""Between looks at the gateway: is it there, and what is new in the list."""
_ASK = ["whenever it needs to", "at most", "never"]
_DEFAULTS: list[Any] = [None, _ASK[0], 2, -1, "System"]
"""Model, may ask, questions at most, temperature (below 0: the model's own), theme."""


def build(users: Users, runs: Runs) -> gr.Blocks:
    """The whole app over one gateway, with the evaluation runs to read in it."""
    page: gr.Blocks
    with gr.Blocks(title="PIR · reasoning that asks", analytics_enabled=False) as page:
        desk = desk_state = gr.State(Desk())
        saved = gr.BrowserState(_DEFAULTS, storage_key="pir-settings", secret="pir")
        here = gr.Textbox(visible="hidden", label="Conversation in the address")
        with gr.Sidebar(width=300, elem_id="side"):
            listing, search, shown, new, settings = _side()
        banner = html("", elem_id="banner")
        with gr.Tabs() as tabs:
            with gr.Tab("Chat", id="chat", elem_id="chat-tab"):
                log, box, exports = _chat()
            with gr.Tab("Compare", id="compare"):
                compare_tab(Compare(users.gateway_of), model=settings[0], temperature=settings[3])
            with gr.Tab("Explore", id="explore", elem_id="explore-tab"):
                problems, parts = explore_tab(runs)
        chat = Chat(users.gateway_of, log, box, desk, here)
        side = Sidebar(users.gateway_of)
        replies = _wire_chat(chat, settings, exports)
        problems.click(None, None, None, js="() => pir.tab('Chat')")
        replies.append(problems.click(chat.act, [desk, *settings[:4]], chat.outputs, **QUIET))
        looked: dict[str, Any] = {
            "fn": side.look,
            "inputs": [search, shown, here],
            "outputs": [listing, banner],
            **QUIET,
        }
        for trigger in (search.input, shown.change, here.change, gr.Timer(_POLL_S).tick):
            trigger(**looked)
        for replied in replies:
            replied.then(**looked)
        here.change(None, here, None, js="(id) => pir.address(id)")
        new.click(chat.new, desk, chat.outputs, **QUIET)

        async def pick(desk: Desk, event: gr.EventData, request: gr.Request) -> Frame:
            data = event._data or {}
            session, act = str(data.get("id", "")), str(data.get("act", ""))
            if act == "open":
                return await chat.open(session, desk, request)
            await side.change(act, session, str(data.get("text", "")), request)
            is_gone = act == "delete" and desk.shown is not None and desk.shown.session == session
            return await chat.new(desk, request) if is_gone else {desk_state: desk}

        listing.click(pick, desk, chat.outputs, **QUIET).then(**looked)

        async def arrive(desk: Desk, saved: list[Any], request: gr.Request) -> Frame:
            session = request.query_params.get("session", "")
            frame = await (chat.open(session, desk, request) if session else chat.new(desk, request))
            match request.query_params.get("tab"):
                case "runs":
                    frame |= {tabs: gr.Tabs(selected="explore"), parts: gr.Tabs(selected="runs")}
                case "compare" | "explore" as tab:
                    frame |= {tabs: gr.Tabs(selected=tab)}
            return frame | await _settings_of(users, settings, saved, request)

        page.load(arrive, [desk, saved], [*chat.outputs, *settings, tabs, parts], **QUIET).then(**looked)
        page.load(None, None, None, js="() => pir.arrive()")
        for setting in settings:
            setting.change(lambda *values: list(values), settings, saved, **QUIET)
        settings[-1].change(None, settings[-1], None, js="(theme) => pir.theme(theme)")
    return page


def _side() -> tuple[gr.HTML, gr.Textbox, gr.Radio, gr.Button, list[Any]]:
    """The sidebar: list, search, filter, button for a new conversation, settings."""
    html('<p class="brand"><span class="mark" aria-hidden="true">?</span>PIR</p>')
    new = gr.Button("New conversation", elem_id="new", variant="primary")
    search = gr.Textbox(placeholder="Search", label="Search conversations", show_label=False, elem_id="search")
    shown = gr.Radio(FILTERS, value=FILTERS[0], label="Show", show_label=False, elem_id="filter")
    listing = html("", elem_id="listing")
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        settings = [
            gr.Dropdown([], label="Model", allow_custom_value=True),
            gr.Radio(_ASK, value=_DEFAULTS[1], label="The model may ask you"),
            gr.Slider(1, 10, value=_DEFAULTS[2], step=1, label="At most so many questions"),
            gr.Slider(-1, 2, value=_DEFAULTS[3], step=0.1, label="Temperature (below 0: the model's own)"),
            gr.Radio(["System", "Light", "Dark"], value=_DEFAULTS[4], label="Colours"),
        ]
    return listing, search, shown, new, settings


def _chat() -> tuple[gr.HTML, gr.Textbox, list[gr.Button]]:
    """The chat tab: switches, log and box."""
    with gr.Row(elem_id="switches"):
        reasoning = gr.Checkbox(True, label="Reasoning", container=False, min_width=0)
        uncertainty = gr.Checkbox(True, label="Uncertainty", container=False, min_width=0)
        exports = [gr.Button(f"Save {kind}", size="sm", variant="secondary", min_width=0) for kind in FORMATS]
    reasoning.change(None, reasoning, None, js="(on) => pir.show('reasoning', on)")
    uncertainty.change(None, uncertainty, None, js="(on) => pir.show('entropy', on)")
    log = html("", elem_id="log", autoscroll=True)
    with gr.Column(elem_id="composer"):
        box = gr.Textbox(
            label="Your message", show_label=False, placeholder="Write a problem …", lines=1, max_lines=8,
            submit_btn=True, autofocus=True, container=False,
        )  # fmt: skip
    return log, box, exports


def _wire_chat(chat: Chat, settings: list[Any], exports: list[gr.Button]) -> list[Any]:
    """What the box, the buttons of the log and those above it do; the events that end with a reply."""
    log, box, desk = chat.log, chat.box, chat.desk
    options = settings[:4]
    replies: list[Any] = [
        box.submit(chat.send, [box, desk, *options], chat.outputs, **QUIET),
        log.click(chat.act, [desk, *options], chat.outputs, **QUIET),
    ]
    box.stop(chat.stop, desk, None, **QUIET)
    parcel = gr.JSON(visible="hidden", label="File to save")
    for kind, button in zip(FORMATS, exports, strict=True):
        button.click(partial(exported, kind), desk, parcel, **QUIET).then(
            None, parcel, None, js="(file) => pir.save(file)"
        )
    return replies


async def _settings_of(users: Users, settings: list[Any], saved: list[Any], request: gr.Request) -> Frame:
    """The settings as this browser left them, with the models that there are."""
    try:
        models = await users.gateway_of(request).models()
    except GatewayError:
        models = []
    values = saved if isinstance(saved, list) and len(saved) == len(settings) else list(_DEFAULTS)
    model = values[0] if values[0] in models else next(iter(models), None)
    return {settings[0]: gr.Dropdown(choices=models, value=model), **dict(zip(settings[1:], values[1:], strict=True))}
