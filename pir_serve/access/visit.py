"""One request while it is served: who it is from, and what it takes of that one's limits."""

from __future__ import annotations

from pir_serve.access.keys import Caller
from pir_serve.access.limits import Limiter
from pir_serve.telemetry.tracing import RequestSpan


class Visit:
    """Made where a request comes in and left where it ends; a response made in the background stays on."""

    def __init__(
        self, request_id: str, caller: Caller, limiter: Limiter, span: RequestSpan | None = None, trace: str = ""
    ) -> None:
        self.request_id = request_id
        self.caller = caller
        self.trace = trace
        """W3C `traceparent` that the client sent; "" if it sent none that is good."""
        self.span = span
        """None: it is not traced."""
        self.error: str | None = None
        """What went wrong, for the trace."""
        self._limiter = limiter
        self._num_streams = 0
        self._stays = False

    def begin_streams(self, count: int = 1) -> None:
        """Replies are generated for it from now on. Raises: RateLimited, RequestError."""
        self._limiter.begin_stream(self.caller, count)
        self._num_streams += count

    def spend(self, num_tokens: int) -> None:
        self._limiter.spend(self.caller, num_tokens)

    def stay(self) -> None:
        """What it generates goes on behind the request's end, until `leave` is called once more."""
        self._stays = True

    def leave(self) -> None:
        if self._stays:
            self._stays = False
            return
        self._limiter.end_stream(self.caller, self._num_streams)
        self._num_streams = 0
        if self.span is not None:
            self.span.end(self.error)
