"""Question screens that come with the gateway: built-in rules, and rules of your own from a file.

What rules can and cannot do is measured in `redteam.jsonl`: they know phrases, not intentions.
"""

from pir_serve.screening.config import load_screening
from pir_serve.screening.rules import Rule, RuleScreen

__all__ = ["Rule", "RuleScreen", "load_screening"]
