"""Scripts for the scripted engine: what a model that asks would say, decided from the prompt's text."""

from __future__ import annotations

import re

QUESTION = "How much does one pen cost?"
PROBLEM = "Nora buys 6 pens. How much does she pay?"


def turn_so_far(prompt: str) -> str:
    """What the model has of its own turn, replies included."""
    return prompt.rpartition("<|im_start|>assistant\n")[2]


def responses(prompt: str) -> list[str]:
    return re.findall(r"<response>(.*?)</response>", turn_so_far(prompt), re.DOTALL)


def curious(prompt: str) -> str:
    """Asks once, then answers with what it was told."""
    told = responses(prompt)
    if not told:
        return f"\nThe number of pens is 6.\nI need the price.\n<asking>{QUESTION}</asking>"
    return f"\nOne pen costs {told[-1]}.\n</think>\nSix pens at {told[-1]} each."


def twice_curious(prompt: str) -> str:
    told = responses(prompt)
    if not told:
        return f"\nI need the price.\n<asking>{QUESTION}</asking>"
    if len(told) == 1:
        return "\nI need a currency.\n<asking>Which currency?</asking>"
    return f"\nAll is known.\n</think>\nSix pens at {told[0]} {told[1]}."


def sure(prompt: str) -> str:
    return "\nNothing is missing.\n</think>\nThe answer is 24."
