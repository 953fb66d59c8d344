"""One leg's event stream from a completions server: events in, chunks out, and what its errors mean. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from pir_serve.engines.base import FinishReason, LegRequest, TokenChunk, Usage
from pir_serve.engines.sse import SseParser
from pir_serve.errors import (
    EngineBusy,
    EngineError,
    EngineMisconfigured,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
)

_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "abort"}


class LegStream:
    """Events that arrive in one read become one chunk. The finishing chunk is held until usage or the end has come."""

    def __init__(self, request: LegRequest) -> None:
        self._wants_logprobs = request.logprobs
        self._stop_token_ids = request.stop_token_ids
        self._sse = SseParser()
        self._ids: list[int] = []
        self._text: list[str] = []
        self._logprobs: list[float] = []
        self._num_ids = 0
        self._last_id = -1
        self._finish_reason: FinishReason | None = None
        self._stopped_by: Any = None
        self._usage: Usage | None = None
        self._failure: EngineError | None = None
        self.is_done = False
        """Nothing more is to be read: `[DONE]`, or a failure that `last` will raise."""

    def feed(self, read: bytes) -> TokenChunk | None:
        """What this read brings, unless it belongs to the last chunk (see `last`)."""
        try:
            for payload in self._sse.feed(read):
                if payload == b"[DONE]":
                    self.is_done = True
                    break
                self._take(payload)
        except EngineError as error:  # raised by `last`: what came before it in this read is worth having
            self._failure, self._finish_reason = error, None
            self.is_done = True
        if self._finish_reason is not None or not (self._ids or self._text):
            return None
        return self._flush()

    def last(self) -> TokenChunk:
        """The finishing chunk, once the stream has ended.

        Raises:
            EngineError: the engine reported a failure inside the stream, or sent what makes no sense.
            EngineUnavailable: it ended without `[DONE]`: the engine died. Ids handed out before are valid.
            EngineProtocolError: `[DONE]` without a finish reason, or no token ids.
        """
        if self._failure is not None:
            raise self._failure
        if self._finish_reason is None:
            if self.is_done:
                raise EngineProtocolError("the engine ended the stream without a finish reason")
            raise EngineUnavailable("the engine's stream broke off")
        chunk = replace(self._flush(), finish_reason=self._finish_reason)
        usage = self._usage or Usage(0, None, self._num_ids)
        if self._num_ids == 0 and usage.completion_tokens > 0:
            raise EngineProtocolError("the engine returns no token ids; vLLM >= 0.11 or a recent SGLang is needed")
        return replace(chunk, usage=usage)

    @property
    def eos_id(self) -> int | None:
        """The EOS id that ended the leg, if one did. Both engines write it out when asked to keep special tokens."""
        if self._finish_reason != "stop" or isinstance(self._stopped_by, str) or self._num_ids == 0:
            return None
        return None if self._last_id in self._stop_token_ids else self._last_id

    def _flush(self) -> TokenChunk:
        chunk = TokenChunk(tuple(self._ids), "".join(self._text), tuple(self._logprobs))
        self._ids, self._text, self._logprobs = [], [], []
        return chunk

    def _take(self, payload: bytes) -> None:
        try:
            event = orjson.loads(payload)
            error = event.get("error")
            choices = event.get("choices") or ()
            usage = event.get("usage")
        except (orjson.JSONDecodeError, AttributeError) as fault:
            raise EngineProtocolError(f"the engine sent an event that is no JSON object: {payload[:200]!r}") from fault
        if error is not None or event.get("object") == "error":
            found = error if isinstance(error, dict) else event
            raise _failure(_code(found.get("code")), _message(event))
        try:
            for choice in choices:
                self._take_choice(choice)
            if usage:
                self._usage = _usage(usage)
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise EngineProtocolError(f"the engine sent an event we cannot read: {payload[:200]!r}") from fault

    def _take_choice(self, choice: dict[str, Any]) -> None:
        ids = choice.get("token_ids")
        if ids:
            for i in ids:
                if type(i) is not int or i < 0:
                    raise ValueError("token ids are numbers from 0 on")
            self._ids += ids
            self._num_ids += len(ids)
            self._last_id = ids[-1]
            if self._wants_logprobs:
                values = choice["logprobs"]["token_logprobs"]
                if len(values) != len(ids):
                    raise ValueError("ids and log-probabilities differ in number")
                self._logprobs += values
        if choice["text"]:
            self._text.append(choice["text"])
        finish = choice.get("finish_reason")
        if finish is not None:
            self._finish_reason = _FINISH_REASONS[finish]
            self._stopped_by = choice.get("stop_reason", choice.get("matched_stop"))


def _usage(raw: dict[str, Any]) -> Usage:
    details = raw.get("prompt_tokens_details") or {}
    return Usage(int(raw["prompt_tokens"]), details.get("cached_tokens"), int(raw.get("completion_tokens") or 0))


def refusal(status: int, body: bytes, name: str) -> EngineError:
    """What an HTTP reply other than 200 means."""
    try:
        message = _message(orjson.loads(body))
    except orjson.JSONDecodeError:
        message = body[:300].decode(errors="replace")
    return _failure(status, f"{name} answered {status}: {message or 'no explanation'}")


def _failure(code: int, message: str) -> EngineError:
    """5xx, a full queue (429, 503) and timeouts pass or are another engine's chance; so is one that does not know our key
    or the model. The rest is about our request."""
    if code in (429, 503):
        return EngineBusy(message)
    if code >= 500 or code == 408:
        return EngineUnavailable(message)
    return EngineMisconfigured(message) if code in (401, 403, 404) else EngineRejected(message)


def _code(raw: Any) -> int:
    try:
        return int(raw)
    except (TypeError, ValueError):
        return 500


def _message(body: Any) -> str:
    """The words in any of the engines' error shapes."""
    if not isinstance(body, dict):
        return str(body)[:300]
    error = body.get("error", body.get("detail", body.get("message", "")))
    if isinstance(error, dict):
        error = error.get("message", error)
    return str(error)[:1000]
