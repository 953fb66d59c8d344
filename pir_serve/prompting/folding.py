"""Where the system's words go in models whose chat template has no place for them: before the first user message."""

from __future__ import annotations

from collections.abc import Sequence

from pir_serve.presets import Preset
from pir_serve.prompting.encoder import Part
from pir_serve.prompting.template import ChatTemplate, Turn
from pir_serve.trajectory import Author


def folds_system(template: ChatTemplate, preset: Preset) -> bool:
    """Whether to fold: the preset wants it, or the template refuses a system message.

    A template that leaves it out without a word hides from a prompted model how to ask, so there too. A trained model
    behind such a template never saw a system message; it is then better left out (and logged) than put elsewhere.
    """
    if preset.folds_system:
        return True
    does = template.with_system
    return does == "refuses" or (does == "leaves_out" and preset.mode == "prompted")


def fold_system(turns: Sequence[Turn]) -> list[Turn]:
    """The leading system turn before the first user's words, an empty line between, as Gemma 3's own template has it.

    Each part keeps its author: what tells the model to ask stays trusted, what people wrote does not.
    """
    rest = list(turns)
    if not rest or rest[0].role != "system":
        return rest
    system = rest.pop(0)
    for k, turn in enumerate(rest):
        if turn.role == "user":
            gap = Part(Author.TEMPLATE, "\n\n")
            rest[k] = Turn(turn.role, (*system.parts, gap, *turn.parts), turn.calls)
            return rest
    return list(turns)
