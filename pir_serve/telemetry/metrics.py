"""Prometheus metrics: what happened, how often and how long. Labels have few values: models, routes, outcomes; never a
tenant, a key or a text.

What something else counts already (the screen's decisions, say) is caught up with when it is scraped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metric", "Metrics", "gauge"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own: workers of one port count in files there, and each tells of all."""
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of when it was first counted
_FIRST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5)
_STORE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_WHOLE_S = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_PAUSED_S = (1, 5, 15, 30, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)


class Metrics:
    """Of one gateway."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"pir_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"pir_{name}", text, labels, buckets=buckets, registry=registry)

        self.requests = counter("requests", "Requests, by route and HTTP status.", "route", "status")
        self.request_s = histogram("request_seconds", "From a request to the end of its reply.", _WHOLE_S, "route")
        self.runs = counter("runs", "Runs that ended, by the trajectory's status.", "model", "status")
        self.asks = counter(
            "asks", "Asks of the model: shown to the user, or answered in their place and why.", "model", "outcome"
        )
        self.resumes = counter("resumes", "Suspensions resumed, by how they were found; or rebuilt.", "model", "how")
        self.paused_s = histogram("paused_seconds", "From a question to the response that resumed it.", _PAUSED_S)
        self.expired = counter("expired", "Trajectories and responses deleted when their time was over.")
        self.legs = counter("legs", "Legs, by how they ended: stop, length, aborted (by us) or failed.", "model", "end")
        self.prompt_tokens = counter("prompt_tokens", "Tokens sent to engines, cached ones included.", "model")
        self.cached_tokens = counter("cached_tokens", "Of these, tokens that the engine's cache had.", "model")
        self.completion_tokens = counter("completion_tokens", "Tokens that engines wrote.", "model")
        self.first_token_s = histogram(
            "time_to_first_token_seconds", "From sending a leg to its first token.", _FIRST_S, "model"
        )
        self.per_token_s = histogram(
            "time_per_output_token_seconds", "Mean between a leg's tokens, the first aside.", _TOKEN_S, "model"
        )
        self.longest_gap_s = histogram(
            "longest_gap_seconds", "A leg's longest silence between tokens.", _FIRST_S, "model"
        )
        self.upstream_errors = counter("upstream_errors", "Legs that an engine failed.", "model", "error")
        self.store_s = histogram("store_seconds", "Of the store's operations, waiting included.", _STORE_S, "operation")
        self.store_errors = counter("store_errors", "Operations that the store failed.", "operation")
        self.in_flight = Gauge(
            "pir_legs_running", "Legs running.", ("model",), registry=registry, multiprocess_mode="livesum"
        )
        self.limited = counter("limited", "Requests refused over a limit of their key.", "limit")
        self.screened = counter(
            "screen_decisions", "Of the question screen; no rule where none matched.", "action", "rule"
        )
        self.evicted = counter("evicted", "Dropped because their tenant had too many.", "kind")
        self._seen: dict[tuple[Counter, tuple[str, ...]], float] = {}

    def replied(self, route: str, status: int, took_s: float) -> None:
        self.requests.labels(route, str(status)).inc()
        self.request_s.labels(route).observe(took_s)

    def stored(self, operation: str, took_s: float, failed: bool) -> None:
        self.store_s.labels(operation).observe(took_s)
        if failed:
            self.store_errors.labels(operation).inc()

    def catch_up(self, counter: Counter, totals: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """With what others have counted in this process."""
        for labels, total in totals:
            before = self._seen.get((counter, labels), 0)
            counter.labels(*labels).inc(total - before)
            self._seen[counter, labels] = total

    def page(self, read: list[Metric]) -> bytes:
        """In Prometheus' text format, for all workers of the port. `read`: what is known without counting."""
        folder = os.environ.get(FOLDER_VARIABLE)
        registry = CollectorRegistry() if folder else self.registry
        if folder:
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(_Read(read))


class _Read(CollectorRegistry):
    """Metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        super().__init__()
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def gauge(name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"pir_{name}", text, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family
