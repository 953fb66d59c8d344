"""Known models, found by the names that people give."""

from __future__ import annotations

import pytest

from pir_serve.markup import TAGS
from pir_serve.presets import GENERIC, all_presets, find_preset
from pir_serve.prompting.contract import split_format

MATH = "Proactive-Interactive-R1/Proactive-Interactive-R1-Math-7B"


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        (MATH, MATH),
        (MATH + "-Pro", MATH + "-Pro"),
        (MATH.lower(), MATH),
        ("/models/Proactive-Interactive-R1-Math-7B/", MATH),
        ("pir-tiny", "pir-tiny"),
        ("runs/7/pir-tiny", "pir-tiny"),
    ],
)
def test_a_model_is_found_by_id_and_by_folder(model_id: str, name: str) -> None:
    preset = find_preset(model_id)
    assert preset is not None
    assert preset.name == name


@pytest.mark.parametrize("model_id", ["", "/", "gpt-9", "Proactive-Interactive-R1-Math-70B", "pir-tiny-2"])
def test_an_unknown_model_has_no_preset(model_id: str) -> None:
    assert find_preset(model_id) is None


def test_published_models_carry_the_papers_settings() -> None:
    for name in (MATH, MATH + "-Pro"):
        preset = find_preset(name)
        assert preset is not None
        assert (preset.temperature, preset.top_p, preset.max_tokens, preset.max_asks) == (0.6, 0.95, 4096, 5)
        assert preset.system_prompt is not None
        assert "\\boxed{}" in preset.user_suffix
        assert preset.observation_format == "\n<response>{response}</response>"


def test_every_preset_is_usable() -> None:
    presets = all_presets()
    assert GENERIC in presets
    assert len({p.name for p in presets}) == len(presets)
    for preset in presets:
        split_format(preset.observation_format)
        assert preset.junction == "segmented"
        if preset.system_prompt is not None:
            assert TAGS.ask_open in preset.system_prompt
            assert TAGS.ask_close in preset.system_prompt
