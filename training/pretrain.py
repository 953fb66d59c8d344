"""Train the passive base model from scratch: `python -m training.pretrain` is `pir train tiny`'s first stage.

Muon for the matrices, AdamW for the rest. `workers` single-threaded processes train on different data and average their
weights every few steps (local SGD over gloo): on two cores this beats two torch threads and per-step gradient exchange,
which lose their gain to stragglers. Resumable: every `save_every_s` seconds all of it is written, and found again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from training.chat import END, PAD, Encoded, Part, encode

Examples = Callable[[int, int], Iterator[list[Part]]]
"""(seed, n) -> that many examples, the same for the same arguments. Must be picklable."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A Llama configuration; head size 32 is one that vLLM and SGLang accept on CPU."""

    hidden_size: int = 128
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    intermediate_size: int = 320
    max_position_embeddings: int = 2048


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    steps: int = 5000
    """Optimiser steps of each worker."""
    batch_tokens: int = 3072
    """Padded tokens of one worker's step."""
    workers: int = 2
    average_every: int = 20
    lr_matrices: float = 0.02
    lr_rest: float = 0.004
    warmup_steps: int = 100
    decay_share: float = 0.4
    """Last share of the steps over which the learning rate falls linearly to zero."""
    prompt_weight: float = 0.1
    """Weight of a prompt token's loss; the model's own tokens weigh 1."""
    pool: int = 6000
    """Examples generated at a time; batches are cut from a pool sorted by length, to pad little."""
    seed: int = 1
    save_every_s: float = 120.0


def new_model(size: ModelSize, tokenizer: Tokenizer, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=size.num_attention_heads,
        num_key_value_heads=size.num_attention_heads,
        head_dim=size.hidden_size // size.num_attention_heads,
        intermediate_size=size.intermediate_size,
        max_position_embeddings=size.max_position_embeddings,
        vocab_size=tokenizer.get_vocab_size(),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def batches(
    tokenizer: Tokenizer, examples: Examples, config: PretrainConfig, rank: int, skip: int
) -> Iterator[list[Encoded]]:
    """Batches without end; the first `skip` are passed over cheaply only by whole pools, then one by one."""
    pool_index = 0
    while True:
        seed = config.seed * 1_000_003 + pool_index * config.workers + rank
        pool = sorted((encode(tokenizer, parts) for parts in examples(seed, config.pool)), key=lambda e: len(e.ids))
        cut: list[list[Encoded]] = [[]]
        for example in pool:
            if (len(cut[-1]) + 1) * len(example.ids) > config.batch_tokens and cut[-1]:
                cut.append([])
            cut[-1].append(example)
        random.Random(seed).shuffle(cut)
        for batch in cut:
            if skip:
                skip -= 1
                continue
            yield batch
        pool_index += 1


def loss_of(model: LlamaForCausalLM, batch: list[Encoded], pad: int, prompt_weight: float) -> torch.Tensor:
    """Mean cross-entropy (nats) over tokens, prompt tokens weighing `prompt_weight`."""
    width = max(len(e.ids) for e in batch)
    ids = torch.full((len(batch), width), pad)
    weights = torch.zeros(len(batch), width)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.ids)] = torch.where(torch.tensor(example.by_model), 1.0, prompt_weight)
    # Right padding under a causal mask: no attention mask is needed for the tokens that carry loss.
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state  # (B, T-1, H)
    wanted = weights[:, 1:] > 0
    logits = model.lm_head(hidden[wanted])  # (N, V)
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:][wanted], reduction="none")
    token_weights = weights[:, 1:][wanted]
    return (losses * token_weights).sum() / token_weights.sum()


def optimizers(model: LlamaForCausalLM, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=config.lr_matrices, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=config.lr_rest, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def lr_factor(step: int, config: PretrainConfig) -> float:
    """Warm-up, a plateau, then a linear fall to zero."""
    decay_steps = max(1, int(config.steps * config.decay_share))
    return min(1.0, (step + 1) / max(1, config.warmup_steps), (config.steps - step) / decay_steps)


def average_weights(model: LlamaForCausalLM, world: int) -> None:
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    dist.all_reduce(flat)
    torch.nn.utils.vector_to_parameters(flat / world, model.parameters())


def _worker(  # the body of one process: kept whole, since its state is saved and restored whole
    rank: int, config: PretrainConfig, size: ModelSize, tokenizer_file: str, examples: Examples, out: str
) -> None:
    torch.set_num_threads(1)
    directory, world, parent = Path(out), config.workers, multiprocessing.parent_process()
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{directory}/rendezvous", rank=rank, world_size=world)
    tokenizer = Tokenizer.from_file(tokenizer_file)
    model = new_model(size, tokenizer, config.seed)
    opts = optimizers(model, config)
    state_file = directory / f"state-{rank}.pt"
    step = seen = 0
    cpu_before = 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
        step, seen, cpu_before = state["step"], state["seen"], state["cpu_s"]
    stream = batches(tokenizer, examples, config, rank, skip=step)
    pad, saved_at, recent = int(tokenizer.token_to_id(PAD) or 0), time.monotonic(), 0.0
    base_lrs = [config.lr_matrices, config.lr_rest]
    while step < config.steps:
        batch = next(stream)
        loss = loss_of(model, batch, pad, config.prompt_weight)
        for opt, base in zip(opts, base_lrs, strict=True):
            opt.zero_grad()
            opt.param_groups[0]["lr"] = base * lr_factor(step, config)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
        step += 1
        seen += sum(len(e.ids) for e in batch)
        recent = 0.98 * recent + 0.02 * loss.item() if recent else loss.item()
        if step % config.average_every == 0 or step == config.steps:
            if parent is not None and not parent.is_alive():
                raise SystemExit("the run was killed; start it again to go on")
            if world > 1:
                average_weights(model, world)
            due = torch.tensor(float(time.monotonic() - saved_at > config.save_every_s or step == config.steps))
            if world > 1:
                dist.broadcast(due, 0)
            if due:
                _save(state_file, model, opts, {"step": step, "seen": seen, "cpu_s": cpu_before + time.process_time()})
                saved_at = time.monotonic()
        if rank == 0 and step % 20 == 0:
            _report(directory, step, config.steps, recent, seen * world, cpu_before + time.process_time())
    if rank == 0:
        model.save_pretrained(directory)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _save(file: Path, model: LlamaForCausalLM, opts: list[torch.optim.Optimizer], progress: dict[str, Any]) -> None:
    state: dict[str, Any] = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in opts], **progress}
    temporary = file.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(file)


def _report(directory: Path, step: int, steps: int, loss: float, tokens: int, cpu_s: float) -> None:
    line = {"step": step, "loss": round(loss, 4), "tokens": tokens, "cpu_s": round(cpu_s, 1)}
    with (directory / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    if step % 100 == 0 or step == steps:
        print(f"base: step {step}/{steps}  loss {loss:.4f}  {tokens / 1e6:.1f} M tokens", flush=True)


def pretrain(config: PretrainConfig, size: ModelSize, tokenizer_file: Path, examples: Examples, out: Path) -> None:
    """Train and write a checkpoint into `out`; goes on from where a killed run stopped."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "rendezvous").unlink(missing_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args = (config, size, str(tokenizer_file), examples, str(out.resolve()))
    if config.workers == 1:
        _worker(0, *args)
    else:
        mp.start_processes(_worker, args=args, nprocs=config.workers, start_method="spawn")
