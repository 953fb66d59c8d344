"""The pause-conformance suite: does a gateway keep the contract of docs/protocol.md, seen from outside?

It speaks HTTP only and knows nothing of our server, so that it runs against any base URL. `wire` sends and reads bytes,
`surfaces` know the shapes of an API, `bench` plays conversations, `checks` are the rules, `suite` runs them, `report`
tells.
"""

from __future__ import annotations

from pir_serve.conformance.bench import Problem, Setup
from pir_serve.conformance.checks import CHECKS, Check
from pir_serve.conformance.suite import Outcome, Result, run_suite
from pir_serve.conformance.surface import Surface
from pir_serve.conformance.surfaces import SURFACES

__all__ = ["CHECKS", "SURFACES", "Check", "Outcome", "Problem", "Result", "Setup", "Surface", "run_suite"]
