"""What the mock engine says, laid out as bytes beforehand: reasoning, then an answer or a question, an event a token."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from pir_serve.markup import TAGS, render_ask
from pir_serve.prompt import PromptCodec

MODEL = "mock"
QUESTION = "What does one pen cost?"
ANSWER = "The answer is \\boxed{24}."
_HEAD: dict[str, Any] = {"id": "cmpl-mock", "object": "text_completion", "created": 1_795_000_000, "model": MODEL}


@dataclass(frozen=True)
class Plan:
    """How legs go until told otherwise."""

    tokens: int = 48
    """Of each leg, all told; at least what question or answer need."""
    asks: bool = False
    """Whether a leg whose prompt does not end with a response ends with a question."""
    rate: float = 0.0
    """Tokens a second of each stream; 0: one each turn of the engine's loop, as long as they are read."""
    first_delay_s: float = 0.0
    """Before a leg's first token."""


@dataclass(frozen=True)
class Leg:
    """One generation."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    """What each token spells."""
    finish: str
    stop_reason: int | str | None
    logprobs: bool

    @cached_property
    def _later_events(self) -> list[bytes]:
        """Of the tokens from the second on; the first event repeats the prompt's ids, so it is written each time."""
        return [self._event(at) for at in range(1, len(self.ids))]

    def events(self, prompt: Sequence[int]) -> list[bytes]:
        """The whole stream, framed; usage and the end of the body are in the last token's item."""
        usage = framed(orjson.dumps(_HEAD | {"choices": [], "usage": self.usage(prompt)}))
        out = [self._event(0, prompt), *self._later_events]
        out[-1] += usage + framed(b"[DONE]") + b"0\r\n\r\n"
        return out

    def body(self, prompt: Sequence[int]) -> bytes:
        """The reply where no stream was wanted."""
        choice = self._choice("".join(self.texts), self.ids, is_last=True) | {"prompt_token_ids": prompt}
        return orjson.dumps(_HEAD | {"choices": [choice], "usage": self.usage(prompt)})

    def usage(self, prompt: Sequence[int]) -> dict[str, Any]:
        return {
            "prompt_tokens": len(prompt),
            "total_tokens": len(prompt) + len(self.ids),
            "completion_tokens": len(self.ids),
            "prompt_tokens_details": {"cached_tokens": len(prompt) // 16 * 16},
        }

    def _event(self, at: int, prompt: Sequence[int] | None = None) -> bytes:
        choice = self._choice(self.texts[at], self.ids[at : at + 1], is_last=at == len(self.ids) - 1)
        return framed(orjson.dumps(_HEAD | {"choices": [choice | {"prompt_token_ids": prompt}], "usage": None}))

    def _choice(self, text: str, ids: Sequence[int], *, is_last: bool) -> dict[str, Any]:
        return {
            "index": 0,
            "text": text,
            "logprobs": _logprobs(ids) if self.logprobs else None,
            "finish_reason": self.finish if is_last else None,
            "stop_reason": self.stop_reason if is_last else None,
            "token_ids": ids,
        }


class Script:
    """Writes legs with the ids of one tokenizer, each kind once."""

    def __init__(self, folder: Path) -> None:
        self.codec = PromptCodec.load(folder)
        self.eos_ids = self.codec.eos_ids[:1]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._eos_text = "".join(tokenizer.id_to_token(i) for i in self.eos_ids)
        self._response_end = self.codec.encode_response("4").token_ids[-1]
        self._written: dict[tuple[int, bool, int, bool], Leg] = {}

    def leg(self, plan: Plan, prompt: Sequence[int], max_tokens: int, *, logprobs: bool) -> Leg:
        asks = plan.asks and prompt[-1] != self._response_end
        key = (plan.tokens, asks, max_tokens, logprobs)
        if key not in self._written:
            self._written[key] = self._write(*key)
        return self._written[key]

    def spell(self, ids: Sequence[int]) -> str:
        return "".join(self._eos_text if i in self.eos_ids else self.codec.decode([i]) for i in ids)

    def _write(self, tokens: int, asks: bool, limit: int, logprobs: bool) -> Leg:
        encode = self.codec.encode_model
        if asks:
            tail = encode(render_ask(QUESTION)).token_ids
            stop_reason: int | str | None = next(iter(self.codec.ask_stop_ids), TAGS.ask_close)
        else:
            tail = (*encode(f"{TAGS.think_close}\n{ANSWER}").token_ids, *self.eos_ids)
            stop_reason = None
        reasoning: list[int] = []
        for k in itertools.count(1):
            if len(reasoning) >= tokens - len(tail):
                break
            reasoning += encode(f"Box {k} holds {k % 7 + 2} pens, so there are {k % 7 + 2} more.\n").token_ids
        whole = (*reasoning[: max(0, tokens - len(tail))], *tail)
        ids = whole[:limit]
        decoder = self.codec.incremental()
        texts = tuple(self._eos_text if i in self.eos_ids else decoder.feed([i]) for i in ids)
        if len(ids) < len(whole):
            return Leg(ids, texts, "length", None, logprobs)
        return Leg(ids, texts, "stop", stop_reason, logprobs)


class ChatScript:
    """The same amount of text as plain Chat Completions, for gateways that pass these on."""

    def __init__(self) -> None:
        self._written: dict[int, list[bytes]] = {}

    def events(self, plan: Plan) -> list[bytes]:
        """The whole stream, framed: an event a token; roles, finish and end of the body ride on the first and last."""
        if plan.tokens not in self._written:
            texts = [self._text(k) for k in range(plan.tokens)]
            out = [_chat_event({"content": text}) for text in texts]
            out[0] = _chat_event({"role": "assistant", "content": ""}) + out[0]
            out[-1] += _chat_event({}, finish="stop") + framed(b"[DONE]") + b"0\r\n\r\n"
            self._written[plan.tokens] = out
        return self._written[plan.tokens]

    def body(self, plan: Plan) -> bytes:
        message = {"role": "assistant", "content": "".join(self._text(k) for k in range(plan.tokens))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 60, "completion_tokens": plan.tokens, "total_tokens": 60 + plan.tokens}
        return orjson.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})

    @staticmethod
    def _text(k: int) -> str:
        return f" box{k % 10}"


def _chat_event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return framed(orjson.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}))


def _logprobs(ids: Sequence[int]) -> dict[str, Any]:
    values = [-0.01 * (i % 97) for i in ids]
    names = [f"token_id:{i}" for i in ids]
    tops = [{name: value} for name, value in zip(names, values, strict=True)]
    return {"text_offset": [0] * len(ids), "token_logprobs": values, "tokens": names, "top_logprobs": tops}


def framed(payload: bytes) -> bytes:
    """A payload as one server-sent event in one chunk of a chunked body."""
    data = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)
