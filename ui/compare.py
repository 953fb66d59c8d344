"""The compare tab: one problem, three users. Nobody may be asked; you are asked; a simulated user is asked."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from evals.grading.math import is_correct, last_boxed
from evals.problems import Problem, generate
from evals.simulators import Exchange, Intent, RuleSimulator
from ui.client import Gateway, GatewayError, Options
from ui.conversation import Conversation
from ui.desk import play
from ui.render import pane_html

TITLES = ("Nobody to ask", "You are asked", "A simulated user is asked")
USERS = ("You", "You", "Simulated user")
NOBODY, YOU, SIMULATED = range(3)
_EMPTY = (
    "It must guess, or say that it cannot know.",
    "Its question comes to you, here.",
    "A program that knows the whole problem answers, and only what is asked.",
)
_TYPED = "A simulated user knows the generated problems only: take one with “Another problem”."


@dataclass
class Comparison:
    """What one tab compares."""

    problem: Problem | None = None
    """None: a person typed it, and nobody knows the whole of it."""
    columns: list[Conversation | None] = field(default_factory=lambda: [None, None, None])
    live: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=lambda: list(_EMPTY))

    def html(self, column: int) -> str:
        shown = self.columns[column]
        verdict = ""
        if shown and shown.answer and column not in self.live and self.problem:
            verdict = "right" if is_correct(last_boxed(shown.answer), self.problem.gold) else "wrong"
        note = self.notes[column]
        return pane_html(
            TITLES[column], shown, is_live=column in self.live, verdict=verdict, note=note, user=USERS[column]
        )


class Compare:
    """The callbacks; `columns` are the three pieces of the page."""

    def __init__(self, gateway_of: Callable[[gr.Request], Gateway]) -> None:
        self._gateway_of = gateway_of

    def another(self) -> tuple[Any, ...]:
        """A problem that lacks a fact: its text, a new comparison, and three empty columns."""
        (problem,) = generate("train", 1, random.randrange(1_000_000), mode="incomplete")
        comparison = Comparison(problem)
        return problem.shown, comparison, *(comparison.html(k) for k in range(3))

    async def run(
        self, text: str, comparison: Comparison, model: str, temperature: float, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """All three at once."""
        text = text.strip()
        if not text or comparison.live:
            yield comparison, *(gr.skip() for _ in range(3))
            return
        problem = comparison.problem
        if problem is None or problem.shown != text:
            problem = comparison.problem = None
        gateway, options = self._gateway_of(request), Options(model, None, None if temperature < 0 else temperature)
        start = Conversation(text)
        comparison.columns, comparison.notes = [start, start, start if problem else None], ["", "", _TYPED]
        parts: dict[int, AsyncIterator[Conversation]] = {
            NOBODY: play(gateway, start, None, replace(options, ask="never")),
            YOU: play(gateway, start, None, options),
        }
        if problem:
            parts[SIMULATED] = simulated(gateway, start, options, Intent.of(problem))
        async for frame in _together(comparison, parts):
            yield comparison, *frame

    async def answer(
        self, comparison: Comparison, model: str, temperature: float, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """What you say to the question in your column."""
        data = event._data or {}
        shown = comparison.columns[YOU]
        said = None if data.get("act") == "guess" else str(data.get("text", ""))[:20_000].strip()
        if shown is None or shown.waiting is None or YOU in comparison.live or said == "":
            yield comparison, *(gr.skip() for _ in range(3))
            return
        options = Options(model, None, None if temperature < 0 else temperature)
        reply = play(self._gateway_of(request), shown, said, options)
        async for frame in _together(comparison, {YOU: reply}):
            yield comparison, *frame


async def simulated(
    gateway: Gateway, start: Conversation, options: Options, intent: Intent
) -> AsyncIterator[Conversation]:
    """A whole conversation whose user is the rule simulator. Raises: GatewayError."""
    simulator, history = RuleSimulator(), list[Exchange]()
    shown, told = start, None
    while True:
        before = shown
        async for shown in play(gateway, before, told, options):
            yield shown
        if shown.waiting is None:
            return
        response = simulator.respond(shown.waiting.question, intent=intent, history=history)
        history.append(Exchange(shown.waiting.question, response))
        told = response.text


async def _together(
    comparison: Comparison, replies: dict[int, AsyncIterator[Conversation]]
) -> AsyncIterator[tuple[Any, ...]]:
    """The columns as their replies come; one that fails says so in its column and leaves the others alone."""
    queue: asyncio.Queue[int | None] = asyncio.Queue()

    async def follow(column: int, reply: AsyncIterator[Conversation]) -> None:
        try:
            async for shown in reply:
                comparison.columns[column] = shown
                queue.put_nowait(column)
        except GatewayError as error:
            comparison.columns[column], comparison.notes[column] = None, str(error)
        finally:
            comparison.live.discard(column)
            queue.put_nowait(column)

    comparison.live |= replies.keys()
    tasks = [asyncio.create_task(follow(column, reply)) for column, reply in replies.items()]
    try:
        yield tuple(comparison.html(k) for k in range(3))
        while comparison.live or not queue.empty():
            changed = {await queue.get()}
            while not queue.empty():
                changed.add(queue.get_nowait())
            yield tuple(comparison.html(k) if k in changed else gr.skip() for k in range(3))
    finally:
        comparison.live.clear()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
