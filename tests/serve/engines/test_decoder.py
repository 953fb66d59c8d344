"""The compact forward pass against transformers' own, and the tree that remembers prefixes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pir_serve.errors import ConfigError
from tests.engines.tiny_checkpoint import write_checkpoint

torch = pytest.importorskip("torch")

from pir_serve.engines.decoder import Decoder, DecoderConfig  # noqa: E402
from pir_serve.engines.kv import BatchRows, Reading, attend_readings, new_strip  # noqa: E402
from pir_serve.engines.prefixes import PrefixTree  # noqa: E402

FAMILIES = [("llama", 4, True), ("llama", 2, False), ("qwen2", 1, False), ("qwen3", 2, True)]


@pytest.mark.parametrize(("family", "num_kv_heads", "tied"), FAMILIES)
def test_logprobs_agree_with_transformers_whole_in_pieces_and_one_by_one(
    tmp_path: Path, family: str, num_kv_heads: int, tied: bool
) -> None:
    model = write_checkpoint(tmp_path, family=family, num_kv_heads=num_kv_heads, tied=tied)
    decoder = Decoder.load(tmp_path)
    ids = torch.randint(0, 1024, (60,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids.unsqueeze(0)).logits[0].log_softmax(-1)

    strip = new_strip(decoder.config, 60)
    pieces = []
    for start, end in ((0, 1), (1, 20), (20, 45), (45, 50)):
        attend = attend_readings(decoder.config, [Reading(strip, start, end - start)])
        pieces.append(decoder.forward(ids[start:end], torch.arange(start, end), attend))
    rows = BatchRows(decoder.config)
    rows.reserve(2, 51)
    rows.load(1, strip, 50)  # row 0 stays empty: a short mate beside a long one
    for place in range(50, 60):
        rows.reserve(2, place + 1)
        both = torch.stack([ids[place - 50], ids[place]])
        logits = decoder.forward(both, torch.tensor([place - 50, place]), rows.attend([place - 50, place]))
        pieces.append(logits[1:])
        assert torch.allclose(logits[0].log_softmax(-1), expected[place - 50], atol=1e-4)
    got = torch.cat(pieces).log_softmax(-1)
    assert torch.allclose(got, expected, atol=1e-4)
    assert got.argmax(-1).tolist() == expected.argmax(-1).tolist()


def test_batch_rows_survive_growth_and_moves(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = DecoderConfig.load(tmp_path)
    strips = [torch.randn(2, 4, 4, length, 32) for length in (3, 7, 5)]
    rows = BatchRows(config)
    for row, strip in enumerate(strips):
        rows.reserve(row + 1, strip.shape[3])
        rows.load(row, strip, strip.shape[3])
    rows.reserve(3, 1500)
    rows.move(2, 0, 5)
    assert torch.equal(rows.read(0, 0, 5), strips[2])
    assert torch.equal(rows.read(1, 2, 7), strips[1][:, :, :, 2:7])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised"),
    ],
)
def test_checkpoints_it_would_compute_wrongly_are_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ConfigError, match=words):
        Decoder.load(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        Decoder.load(tmp_path)
    write_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        Decoder.load(tmp_path)


def strip_of(ids: list[int], start: int = 0) -> object:
    """A strip that carries its token ids, so that what comes back can be read off."""
    return torch.tensor(ids[start:], dtype=torch.float32).view(1, 1, 1, -1, 1).expand(2, 1, 1, -1, 2).clone()


def found_ids(tree: PrefixTree, tenant: str, ids: list[int]) -> list[int]:
    length, strips = tree.find(tenant, ids)
    held = [int(i) for strip in strips for i in strip[0, 0, 0, :, 0]]
    assert len(held) == length
    return held


def test_tree_finds_partial_prefixes_and_splits() -> None:
    tree = PrefixTree(1000)
    tree.add("a", [1, 2, 3, 4, 5], strip_of([1, 2, 3, 4, 5]), 0)
    tree.add("a", [1, 2, 3, 9, 9], strip_of([1, 2, 3, 9, 9]), 0)
    tree.add("a", [1, 2, 3, 9, 9, 7, 8], strip_of([1, 2, 3, 9, 9, 7, 8], 5), 5)
    assert found_ids(tree, "a", [1, 2, 3, 4, 6]) == [1, 2, 3, 4]
    assert found_ids(tree, "a", [1, 2, 3, 9, 9, 7, 8, 1]) == [1, 2, 3, 9, 9, 7, 8]
    assert found_ids(tree, "a", [2]) == []
    assert tree.num_tokens == 9


def test_tree_never_shares_between_tenants() -> None:
    tree = PrefixTree(1000)
    tree.add("a", [1, 2, 3], strip_of([1, 2, 3]), 0)
    assert found_ids(tree, "b", [1, 2, 3]) == []


def test_tree_ignores_a_tail_whose_beginning_it_has_forgotten() -> None:
    tree = PrefixTree(1000)
    tree.add("a", [1, 2, 3, 4], strip_of([1, 2, 3, 4], 2), 2)
    assert found_ids(tree, "a", [1, 2, 3, 4]) == []


def test_tree_forgets_what_was_used_longest_ago() -> None:
    tree = PrefixTree(40)
    for k in range(4):
        tree.add("a", [k] * 10, strip_of([k] * 10), 0)
    tree.find("a", [0] * 10)
    tree.add("a", [9] * 10, strip_of([9] * 10), 0)
    assert tree.num_tokens <= 40
    assert found_ids(tree, "a", [0] * 10) and found_ids(tree, "a", [9] * 10)
    assert not found_ids(tree, "a", [1] * 10)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 2), min_size=1, max_size=12)), max_size=40))
@settings(deadline=None)
def test_tree_always_returns_the_tokens_asked_for_and_keeps_its_bound(runs: list[tuple[str, list[int]]]) -> None:
    tree = PrefixTree(30)
    for tenant, ids in runs:
        held = found_ids(tree, tenant, ids)
        assert held == ids[: len(held)]
        tree.add(tenant, ids, strip_of(ids, len(held)), len(held))
        assert found_ids(tree, tenant, ids) == ids
        assert tree.num_tokens <= 30
