"""What a run of `pir train tiny` must have learned, in miniature or in full: `--check`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pir_serve.errors import ConfigError

MUST_LEARN: dict[str, Callable[[dict[str, Any]], bool]] = {
    "step entropy finds the gaps": lambda r: r["asking"]["entropy_validation"]["auroc"] > 0.75,
    "the loss of the base fell": lambda r: r["base"]["loss"] < 2.5,
    "the passive base never asks": lambda r: _asked(r["evaluation"]["base"]["heldout_numbers"], "complete")[0] == 0,
    "after SFT the model asks, and more where a fact is missing (p < 0.05)": lambda r: _asks_where_it_lacks(
        r["evaluation"]["sft"]["validation"]
    ),
    "US-GRPO's reward tells rollouts of a problem apart": lambda r: any(
        row["frac_reward_zero_std"] < 1 for row in r["grpo"]["log"]
    ),
}
"""What a miniature run shows reliably; how often it asks and how right it is needs the full one."""


def _asked(conditions: dict[str, Any], condition: str) -> tuple[int, int]:
    """Rollouts with an ask, and all."""
    share = conditions[condition]["asked"]
    return share["hits"], share["n"]


def _asks_where_it_lacks(conditions: dict[str, Any]) -> bool:
    """Fisher's exact test, one-sided, of asks on incomplete against asks on complete problems."""
    from scipy.stats import fisher_exact

    table = [(hits, n - hits) for hits, n in (_asked(conditions, c) for c in ("interactive", "complete"))]
    return bool(fisher_exact(table, alternative="greater").pvalue < 0.05)


def check(out: Path) -> None:
    """Raises: ConfigError, naming what a run did not learn."""
    results = {
        name: json.loads((out / f"{name}.json").read_text()) for name in ("base", "asking", "grpo", "evaluation")
    }
    failed = [claim for claim, holds in MUST_LEARN.items() if not holds(results)]
    print("\n".join(f"{'FAILED' if claim in failed else 'ok':>6}  {claim}" for claim in MUST_LEARN))
    if failed:
        raise ConfigError(f"the run did not learn: {'; '.join(failed)}")
