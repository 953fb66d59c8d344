"""The base stage on a tiny model: weights move, workers agree, and a killed run goes on as if nothing had happened."""

import multiprocessing
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training import corpus
from training.chat import Part
from training.pretrain import ModelSize, PretrainConfig, batches, lr_factor, pretrain
from training.tokenizer import save_tokenizer, train_tokenizer

SIZE = ModelSize(hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32)
CONFIG = PretrainConfig(
    steps=8, batch_tokens=512, workers=1, average_every=1, warmup_steps=2, pool=40, save_every_s=0.0
)


def examples(seed: int, n: int) -> list[list[Part]]:
    return list(corpus.base_examples("train", seed, n, corpus.Mixture()))


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [part.text for parts in examples(1, 200) for part in parts]
    save_tokenizer(train_tokenizer(texts, 400), folder, 512)
    return folder / "tokenizer.json"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def wait_for_steps(folder: Path, steps: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        file = folder / "state-0.pt"
        if file.exists() and torch.load(file, weights_only=True)["step"] >= steps:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {steps} steps in 90 s")


def test_a_killed_run_ends_with_the_same_weights(tokenizer_file: Path, tmp_path: Path) -> None:
    config = PretrainConfig(**{**_fields(CONFIG), "steps": 60})
    pretrain(config, SIZE, tokenizer_file, examples, tmp_path / "whole")
    args = (config, SIZE, tokenizer_file, examples, tmp_path / "killed")
    process = multiprocessing.get_context("spawn").Process(target=pretrain, args=args)
    process.start()
    wait_for_steps(tmp_path / "killed", 4)
    process.kill()
    process.join()
    pretrain(config, SIZE, tokenizer_file, examples, tmp_path / "killed")
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_two_workers_end_with_one_model_that_has_moved(tokenizer_file: Path, tmp_path: Path) -> None:
    config = PretrainConfig(**{**_fields(CONFIG), "workers": 2})
    pretrain(config, SIZE, tokenizer_file, examples, tmp_path)
    states = [torch.load(tmp_path / f"state-{rank}.pt", weights_only=True)["model"] for rank in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    pretrain(PretrainConfig(**{**_fields(CONFIG), "steps": 1}), SIZE, tokenizer_file, examples, tmp_path / "first")
    early = weights(tmp_path / "first")
    assert not any(torch.equal(early[name], value) for name, value in weights(tmp_path).items() if "proj" in name)


def test_workers_see_different_problems_and_skipping_equals_having_seen(tokenizer_file: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    config = PretrainConfig(**{**_fields(CONFIG), "workers": 2})
    streams = [batches(tokenizer, examples, config, rank, skip=0) for rank in range(2)]
    first = [[next(stream) for _ in range(40)] for stream in streams]
    seen = [{tuple(e.ids) for batch in part for e in batch} for part in first]
    assert len(seen[0] & seen[1]) < 0.02 * len(seen[0])
    assert next(batches(tokenizer, examples, config, 0, skip=39)) == first[0][39]
    assert all(len(b) * max(len(e.ids) for e in b) <= config.batch_tokens for b in first[0] if len(b) > 1)


def test_learning_rate_warms_up_holds_and_falls_to_zero() -> None:
    config = PretrainConfig(steps=100, warmup_steps=10, decay_share=0.4)
    factors = [lr_factor(step, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:60] == [1.0] * 50
    assert factors[80] == pytest.approx(0.5)
    assert factors[100] == 0.0


def _fields(config: PretrainConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__slots__}
