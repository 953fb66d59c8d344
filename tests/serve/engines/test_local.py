"""The in-process engine through its public door, with transformers' greedy generation as the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pir_serve.engines.base import LegRequest, SamplingParams, TokenChunk, Usage
from pir_serve.errors import ConfigError, ContextLengthExceeded, EngineRejected, EngineUnavailable
from tests.engines.tiny_checkpoint import write_checkpoint

torch = pytest.importorskip("torch")

from pir_serve.engines.local import LocalEngine  # noqa: E402
from tests.serve.engines.local_checkpoint import Checkpoint, collect  # noqa: E402

GREEDY = SamplingParams(temperature=0.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    directory = tmp_path_factory.mktemp("tiny")
    model = write_checkpoint(directory)
    return Checkpoint(directory, model, Tokenizer.from_file(str(directory / "tokenizer.json")))


@pytest.fixture
async def engine(checkpoint: Checkpoint) -> AsyncIterator[LocalEngine]:
    async with contextlib.aclosing(LocalEngine(checkpoint.directory)) as engine:
        await engine.start()
        yield engine


async def test_greedy_ids_and_logprobs_are_those_of_transformers(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    expected, logprobs = checkpoint.greedy(checkpoint.prompt(1), 30)
    leg = await collect(engine, LegRequest(checkpoint.prompt(1), 30, GREEDY))
    assert list(leg.token_ids) == expected[: len(leg.token_ids)]
    assert leg.logprobs == pytest.approx(logprobs[: len(leg.token_ids)], abs=1e-4)
    assert leg.finish_reason == "length" and len(leg.token_ids) == 30


async def test_legs_of_many_lengths_batched_together_do_not_disturb_each_other(
    engine: LocalEngine, checkpoint: Checkpoint
) -> None:
    prompts = [checkpoint.prompt(k, 1 + 13 * k % 90) for k in range(20)]
    alone = [await collect(engine, LegRequest(p, 5 + k, GREEDY)) for k, p in enumerate(prompts)]

    async def later(k: int) -> TokenChunk:
        await asyncio.sleep(0.004 * k)
        return await collect(engine, LegRequest(prompts[k], 5 + k, GREEDY))

    together = await asyncio.gather(*map(later, range(20)))
    assert [leg.token_ids for leg in together] == [leg.token_ids for leg in alone]
    assert [leg.text for leg in together] == [leg.text for leg in alone]


async def test_a_seed_gives_the_same_tokens_whatever_shares_the_batch(
    engine: LocalEngine, checkpoint: Checkpoint
) -> None:
    def seeded(seed: int) -> LegRequest:
        return LegRequest(checkpoint.prompt(3), 25, SamplingParams(temperature=0.9, top_p=0.95, seed=seed))

    alone = [(await collect(engine, seeded(seed))).token_ids for seed in range(4)]
    mates = [LegRequest(checkpoint.prompt(k), 40, SamplingParams()) for k in range(10)]
    together, _ = await asyncio.gather(
        asyncio.gather(*(collect(engine, seeded(seed)) for seed in range(4))),
        asyncio.gather(*(collect(engine, mate) for mate in mates)),
    )
    assert [leg.token_ids for leg in together] == alone
    assert len(set(alone)) == 4


async def test_logprobs_are_raw_whatever_the_temperature(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    prompt = checkpoint.prompt(4)
    params = SamplingParams(temperature=0.5, top_k=5, seed=1, frequency_penalty=0.5, presence_penalty=0.5)
    leg = await collect(engine, LegRequest(prompt, 12, params))
    with torch.no_grad():
        rows = checkpoint.model(torch.tensor([prompt + list(leg.token_ids)])).logits[0].log_softmax(-1)
    expected = [float(rows[len(prompt) - 1 + k, i]) for k, i in enumerate(leg.token_ids)]
    assert leg.logprobs == pytest.approx(expected, abs=1e-4)


async def test_stop_string_inside_and_across_tokens_ends_the_leg_and_is_kept(
    engine: LocalEngine, checkpoint: Checkpoint
) -> None:
    prompt = checkpoint.prompt(5)
    free = await collect(engine, LegRequest(prompt, 40, GREEDY))
    windows = [free.text[start : start + 7] for start in range(len(free.text) - 7)]
    whole = [stop for stop in windows if "\ufffd" not in stop]
    assert len(whole) > 5
    for stop in whole[:: len(whole) // 5]:
        leg = await collect(engine, LegRequest(prompt, 40, GREEDY, stop=("never such text", stop)))
        assert leg.finish_reason == "stop"
        assert leg.text == free.text[: free.text.index(stop) + len(stop)]
        spelled = checkpoint.tokenizer.decode(list(leg.token_ids), skip_special_tokens=False)
        assert stop in spelled and leg.token_ids == free.token_ids[: len(leg.token_ids)]
        shorter = checkpoint.tokenizer.decode(list(leg.token_ids[:-1]), skip_special_tokens=False)
        assert stop not in shorter


async def test_stop_id_ends_the_leg_and_spells_itself(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    prompt = checkpoint.prompt(6)
    free = await collect(engine, LegRequest(prompt, 30, GREEDY))
    wanted = free.token_ids[11]
    leg = await collect(engine, LegRequest(prompt, 30, GREEDY, stop_token_ids=(wanted,)))
    assert leg.token_ids == free.token_ids[: free.token_ids.index(wanted) + 1]
    assert leg.finish_reason == "stop" and free.text.startswith(leg.text)
    assert leg.text == checkpoint.tokenizer.decode(list(leg.token_ids), skip_special_tokens=False)


async def test_eos_ends_the_leg_is_among_the_ids_and_spells_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    expected, _ = checkpoint.greedy(checkpoint.prompt(7), 20)
    for file in checkpoint.directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    eos = expected[9]
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": [1, {eos}]}}')
    engine = LocalEngine(tmp_path)
    await engine.start()
    try:
        leg = await collect(engine, LegRequest(checkpoint.prompt(7), 20, GREEDY))
    finally:
        await engine.aclose()
    assert list(leg.token_ids) == expected[: expected.index(eos) + 1]
    assert leg.text == checkpoint.tokenizer.decode(list(leg.token_ids[:-1]), skip_special_tokens=False)
    assert leg.finish_reason == "stop"


async def test_resume_computes_only_what_is_new(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    prompt = checkpoint.prompt(8)
    first = await collect(engine, LegRequest(prompt, 30, GREEDY, tenant="t"))
    resumed = [*prompt, *first.token_ids, *checkpoint.prompt(9, 12)]
    second = await collect(engine, LegRequest(resumed, 20, GREEDY, tenant="t"))
    assert second.usage == Usage(len(resumed), len(prompt) + 29, 20)  # the last sampled token was never fed back
    cold, _ = checkpoint.greedy(resumed, 20)
    assert list(second.token_ids) == cold
    edited = [*prompt, *first.token_ids[:15], *checkpoint.prompt(10, 12)]
    third = await collect(engine, LegRequest(edited, 20, GREEDY, tenant="t"))
    assert third.usage is not None and third.usage.cached_tokens == len(prompt) + 15
    assert list(third.token_ids) == checkpoint.greedy(edited, 20)[0]


async def test_tenants_never_share_a_prefix(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    prompt = checkpoint.prompt(11)
    await collect(engine, LegRequest(prompt, 5, GREEDY, tenant="one"))
    other = await collect(engine, LegRequest(prompt, 5, GREEDY, tenant="two"))
    again = await collect(engine, LegRequest(prompt, 5, GREEDY, tenant="one"))
    assert other.usage is not None and other.usage.cached_tokens == 0
    assert again.usage is not None and again.usage.cached_tokens == len(prompt) - 1


async def test_samples_of_one_prompt_share_its_reading(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    request = LegRequest(checkpoint.prompt(12), 10, SamplingParams(), tenant="group")
    legs = await asyncio.gather(*(collect(engine, request) for _ in range(8)))
    cached = sorted(leg.usage.cached_tokens or 0 for leg in legs if leg.usage)
    assert cached == [0] + [39] * 7


async def test_a_tiny_cache_forgets_and_still_answers_right(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(checkpoint.directory, cache_tokens=100, max_batch=3, prefill_tokens=16)
    await engine.start()
    try:
        legs = await asyncio.gather(
            *(collect(engine, LegRequest(checkpoint.prompt(k % 7), 15, GREEDY)) for k in range(21))
        )
    finally:
        await engine.aclose()
    for k in range(7):
        expected, _ = checkpoint.greedy(checkpoint.prompt(k), 15)
        assert [list(leg.token_ids) for leg in legs[k::7]] == [expected] * 3


async def test_a_burst_of_long_legs_leaves_the_engine_as_it_was(
    engine: LocalEngine, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pir_serve.engines.scheduler._IDLE_BYTES", 2**20)
    burst = [LegRequest(checkpoint.prompt(k), 100, GREEDY) for k in range(9)]
    first = await asyncio.gather(*(collect(engine, request) for request in burst))
    again = await asyncio.gather(*(collect(engine, request) for request in burst))
    assert [leg.token_ids for leg in again] == [leg.token_ids for leg in first]


async def test_closing_the_iterator_frees_its_place_at_once(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(checkpoint.directory, max_batch=1)
    await engine.start()
    try:
        endless = engine.generate(LegRequest(checkpoint.prompt(1), 2000, GREEDY))
        await anext(endless)
        waiting = asyncio.create_task(collect(engine, LegRequest(checkpoint.prompt(2), 3, GREEDY)))
        await asyncio.sleep(0.05)
        assert not waiting.done() and engine.num_running == 1
        await endless.aclose()
        assert len((await asyncio.wait_for(waiting, 1)).token_ids) == 3
        cancelled = asyncio.create_task(collect(engine, LegRequest(checkpoint.prompt(3), 2000, GREEDY)))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cancelled
        await asyncio.sleep(0.2)
        assert engine.num_running == 0
    finally:
        await engine.aclose()


async def test_stream_interval_makes_fewer_chunks_of_the_same_tokens(
    engine: LocalEngine, checkpoint: Checkpoint
) -> None:
    plain = await collect(engine, LegRequest(checkpoint.prompt(1), 33, GREEDY))
    chunks = [c async for c in engine.generate(LegRequest(checkpoint.prompt(1), 33, GREEDY, stream_interval=8))]
    assert sum((c.token_ids for c in chunks), ()) == plain.token_ids
    assert "".join(c.text for c in chunks) == plain.text
    assert len(chunks) <= 6


async def test_prompt_and_budget_are_held_to_the_context(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(checkpoint.directory, max_model_len=64)
    await engine.start()
    try:
        assert engine.max_model_len == 64
        leg = await collect(engine, LegRequest(checkpoint.prompt(1, 60), 500, GREEDY))
        assert len(leg.token_ids) == 4 and leg.finish_reason == "length"
        with pytest.raises(ContextLengthExceeded, match="64 prompt tokens"):
            await collect(engine, LegRequest(checkpoint.prompt(1, 64), 1, GREEDY))
    finally:
        await engine.aclose()


@pytest.mark.parametrize("prompt", [[], [1024], [5, -1], [2**40]])
async def test_ids_outside_the_vocabulary_are_refused(engine: LocalEngine, prompt: list[int]) -> None:
    with pytest.raises(EngineRejected):
        await collect(engine, LegRequest(prompt, 5))
    assert len((await collect(engine, LegRequest([5], 5, GREEDY))).token_ids) == 5


async def test_closing_the_engine_ends_legs_in_flight(checkpoint: Checkpoint) -> None:
    engine = LocalEngine(checkpoint.directory)
    await engine.start()
    assert await engine.healthy()
    leg = engine.generate(LegRequest(checkpoint.prompt(1), 2000, GREEDY))
    await anext(leg)
    await engine.aclose()
    with pytest.raises(EngineUnavailable):
        async for _ in leg:
            pass
    assert not await engine.healthy()
    with pytest.raises(EngineUnavailable):
        await anext(engine.generate(LegRequest([1], 1)))


async def test_a_checkpoint_that_cannot_be_loaded_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for file in checkpoint.directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="cannot load"):
        await LocalEngine(tmp_path).start()


async def test_sampling_follows_the_distribution(engine: LocalEngine, checkpoint: Checkpoint) -> None:
    """First tokens of 600 samples against exact probabilities: total variation within what chance allows."""
    prompt = checkpoint.prompt(2)
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([prompt])).logits[0, -1]
    for params in (
        SamplingParams(temperature=0.7, top_k=6),
        SamplingParams(temperature=1.0, top_p=0.4),
        SamplingParams(temperature=0.3),
    ):
        expected = (logits / params.temperature).softmax(-1)
        order = expected.sort(descending=True)
        kept = torch.ones(1024, dtype=torch.bool)
        if params.top_k:
            kept[params.top_k :] = False
        if params.top_p < 1:
            kept &= order.values.cumsum(-1) - order.values < params.top_p
        allowed = {int(i): float(p) for i, p in zip(order.indices[kept], order.values[kept], strict=True)}
        total = sum(allowed.values())
        requests = [LegRequest(prompt, 1, replace(params, seed=k)) for k in range(600)]  # the same draws in every run
        legs = await asyncio.gather(*(collect(engine, request) for request in requests))
        counts: dict[int, int] = {}
        for leg in legs:
            counts[leg.token_ids[0]] = counts.get(leg.token_ids[0], 0) + 1
        if params.temperature != 0.3:
            assert set(counts) <= set(allowed)
        distance = sum(abs(counts.get(i, 0) / 600 - p / total) for i, p in allowed.items()) / 2
        # Expected distance of n draws from their own distribution: about sum(sqrt(p (1 - p) / n)) * sqrt(2 / pi) / 2.
        noise = sum(math.sqrt(p / total * (1 - p / total) / 600) for p in allowed.values()) * math.sqrt(2 / math.pi) / 2
        assert distance < 1.6 * noise
