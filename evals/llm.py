"""Structured output of a language model behind any OpenAI-compatible endpoint: what plays users, judges and writes asks.

One object of a known form for each request. What does not fit is asked for again, a server that refuses a schema is asked
without one, tokens are counted, and what never fits is an error that says so.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import openai
from pydantic import BaseModel, ValidationError

Form = TypeVar("Form", bound=BaseModel)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Spent:
    """What requests took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
        )


class LLMError(Exception):
    """There is no usable output; the text says why."""

    def __init__(self, text: str, spent: Spent, *, is_unreachable: bool = False) -> None:
        super().__init__(text)
        self.spent = spent
        self.is_unreachable = is_unreachable
        """Nothing answers at the address."""


@dataclass(frozen=True, slots=True)
class Written(Generic[Form]):
    """An object that fits, and what it took, attempts that did not fit included."""

    value: Form
    spent: Spent


@dataclass
class LLM:
    """A model that fills in forms; calls that fail on the way are retried by the client."""

    client: openai.AsyncOpenAI
    model: str
    attempts: int = 3
    """Outputs that may not fit before it is an error."""
    max_tokens: int | None = None
    """Of one output, a reasoning model's thoughts included; None leaves it to the server."""
    spent: Spent = field(default=Spent(), init=False)
    """Of all requests so far."""
    _format: int = field(default=0, init=False, repr=False)

    async def write(
        self,
        form: type[Form],
        messages: Sequence[Mapping[str, str]],
        *,
        temperature: float = 0.0,
        seed: int = 0,
        check: Callable[[Form], None] | None = None,
    ) -> Written[Form]:
        """An object of this form. `check` raises ValueError for one that contradicts itself or what is known.

        Each further attempt sees what was wrong with the one before, and has a seed of its own.

        Raises:
            LLMError: the endpoint fails or refuses the request, or no output fits.
        """
        spent, fault = Spent(), ""
        complaint: list[dict[str, str]] = []
        for attempt in range(self.attempts):
            try:
                text, used = await self._call(form, [*messages, *complaint], temperature, seed + attempt)
            except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
                where = re.sub(r"(?<=//)[^/@]+@", "", str(self.client.base_url).rstrip("/"))
                text = f"{self.model} at {where} failed: {error or type(error).__name__}"
                raise LLMError(text, spent, is_unreachable=is_unreachable(error)) from error
            spent, self.spent = spent + used, self.spent + used
            try:
                value = form.model_validate(_object_in(text))
                if check:
                    check(value)
            except ValueError as error:
                fault = _said(error)
                complaint = [
                    {"role": "assistant", "content": text or "(nothing)"},
                    {"role": "user", "content": f"That does not fit: {fault}. Write the JSON object only."},
                ]
                continue
            return Written(value, spent)
        raise LLMError(f"{self.model} wrote nothing usable in {self.attempts} attempts: {fault}", spent)

    async def _call(
        self, form: type[BaseModel], messages: Sequence[Mapping[str, str]], temperature: float, seed: int
    ) -> tuple[str, Spent]:
        formats = _formats(form)
        for tried in range(self._format, len(formats)):
            try:
                completion = await self.client.chat.completions.create(
                    model=self.model,
                    messages=list(messages),  # type: ignore[arg-type]  # plain dicts of the right shape
                    temperature=temperature,
                    seed=seed,
                    max_tokens=openai.omit if self.max_tokens is None else self.max_tokens,
                    response_format=formats[tried],
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                if tried == len(formats) - 1:
                    raise  # it was not about the format, which is tried again next time
                continue
            self._format = max(self._format, tried)
            return _read(completion)
        raise AssertionError("there is always one format left to try")


def _read(completion: Any) -> tuple[str, Spent]:
    usage = completion.usage
    spent = Spent(usage.prompt_tokens or 0, usage.completion_tokens or 0, 1) if usage else Spent(calls=1)
    text = completion.choices[0].message.content if completion.choices else None
    if not isinstance(text, str | None):
        raise TypeError(f"text was expected, not {type(text).__name__}")
    return text or "", spent


def is_unreachable(error: Exception) -> bool:
    """Whether nobody answers, as opposed to somebody who is slow, refuses or talks nonsense."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code in (502, 503, 504)  # a proxy, or our gateway, whose engine is gone
    return isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError)


def now(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The result of a coroutine, for callers that wait; also where a loop is running already, as in a notebook."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def _formats(form: type[BaseModel]) -> tuple[Any, ...]:
    """What constrains the output, the strictest first; the next is tried where a server refuses one."""
    schema = form.model_json_schema()
    # Strict schemas name every property as required; a form may still be content without one.
    schema |= {"required": list(schema["properties"]), "additionalProperties": False}
    strict = {"name": form.__name__.strip("_").lower(), "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": strict}, {"type": "json_object"}, openai.omit


def _object_in(text: str) -> Any:
    """The JSON object in what a model wrote, without its thoughts, a fence or sentences around it.

    Raises:
        ValueError: there is none.
    """
    if not text.lstrip().startswith("{"):  # else the tag is in one of its strings
        text = text.rpartition("</think>")[2]
    start = text.find("{")
    if start < 0:
        raise ValueError("there is no JSON object")
    try:
        return json.JSONDecoder().raw_decode(text[start:])[0]
    except json.JSONDecodeError as error:
        raise ValueError(f"the JSON is broken: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("the JSON is nested without end") from error


def _said(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


class Kept:
    """What was written once, by key, so that nothing is paid for twice. Safe to use from several threads."""

    def __init__(self, file: Path | None) -> None:
        """A file of JSON lines; None keeps in memory.

        Raises:
            OSError: the file cannot be read and written.
        """
        self._file = file
        self._values: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._begin = ""
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()
        text = file.read_text(encoding="utf-8", errors="replace")
        self._begin = "" if not text or text.endswith("\n") else "\n"  # a kill cut the last line short
        for line in text.splitlines():
            try:
                value = json.loads(line)
                self._values[value["key"]] = value
            except (ValueError, KeyError, TypeError):
                continue  # cut short: to be paid for again

    def get(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            return self._values.get(key)

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        with self._lock:
            self._values[key] = {"key": key, **value}
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(self._begin + json.dumps(self._values[key]) + "\n")
                self._begin = ""
