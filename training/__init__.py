"""From a passive solver to one that asks: base, step entropy, asking data, SFT, US-GRPO, export. Run from the checkout."""

from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
