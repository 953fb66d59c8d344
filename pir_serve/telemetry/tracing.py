"""OpenTelemetry traces, named as its conventions for generative AI are: a span for each request under /v1, one within it
for each leg, and a link from a request that resumes to the one that was suspended, however long ago.

Where they go, and what is sampled, the standard OTEL_* variables say. What people or the model wrote is in none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pir_serve.errors import ConfigError

if TYPE_CHECKING:  # an extra: nothing of it is imported where no traces are wanted
    from opentelemetry.trace import Span

Attributes = Mapping[str, str | int | float | list[str]]


class Tracer:
    """Raises: ConfigError, where the extra `otel` is not installed."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise ConfigError(f"traces need the Python module {error.name}: pip install 'pir-serve[otel]'") from None
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "pir-gateway"}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pir_serve")

    def request(self, name: str, headers: Mapping[str, str], request_id: str) -> RequestSpan:
        """Within the client's own trace, where its headers name one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({k: headers[k] for k in _CONTEXT if k in headers})
        span = self._tracer.start_span(name, context, SpanKind.SERVER, {"pir.request_id": request_id})
        return RequestSpan(self, span)

    def leg(self, parent: Span, name: str, attributes: Attributes) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        return self._tracer.start_span(name, set_span_in_context(parent), SpanKind.CLIENT, attributes)

    def close(self) -> None:
        """Sends what has not been sent; may take as long as the exporter's time-out."""
        self._provider.shutdown()


_CONTEXT = ("traceparent", "tracestate")


class RequestSpan:
    """Attributes have the conventions' names, or begin with `pir.`."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        return traceparent_of(self._span)

    def begins(self, model: str, attributes: Attributes) -> None:
        """What is generated for it."""
        self._span.update_name(f"chat {model}")
        known = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "pir", "gen_ai.request.model": model}
        self._span.set_attributes({**known, **attributes})

    def resumes(self, traceparent: str) -> None:
        """What the request of that `traceparent` has suspended."""
        from opentelemetry.trace import get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        suspended = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
        self._span.add_link(suspended.get_span_context(), {"pir.link": "suspended"})

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def leg(self, model: str, attributes: Attributes) -> Span:
        """To be ended by `end`."""
        known = {"gen_ai.operation.name": "text_completion", "gen_ai.request.model": model}
        return self._tracer.leg(self._span, f"text_completion {model}", {**known, **attributes})

    def end(self, error: str | None = None) -> None:
        end(self._span, {}, error)


def traceparent_of(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def end(span: Span, attributes: Attributes, error: str | None = None) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attributes(attributes)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end()
