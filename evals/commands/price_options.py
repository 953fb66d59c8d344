"""The prices that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from evals.costs import Prices

_PARTIES = {
    "model": ("", "the model"),
    "user": ("user-", "an LLM that plays the user"),
    "judge": ("judge-", "the judge"),
}
_WAYS = {"in": "go into", "out": "come out of"}


def price_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and hands them on as `prices: Prices`."""

    @wraps(command)
    def with_options(**given: Any) -> Any:
        names = [f"{party}_{way}" for party in _PARTIES for way in _WAYS]
        return command(prices=Prices(**{name: given.pop(name) for name in names}), **given)

    for party, (prefix, who) in reversed(_PARTIES.items()):
        for way, words in reversed(_WAYS.items()):
            with_options = click.option(
                f"--{prefix}price-{way}",
                f"{party}_{way}",
                type=click.FloatRange(min=0),
                help=f"Of a million tokens that {words} {who}; shows what it costs.",
            )(with_options)
    return with_options
