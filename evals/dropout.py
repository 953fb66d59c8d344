"""MC dropout: how much the next-token distributions of a local model differ when dropout stays on.

For each position of a recorded reasoning: the entropy of the mean distribution less the mean of the entropies, over
several passes with dropout (BALD: N. Houlsby et al., arXiv 1112.5745; Y. Gal & Z. Ghahramani, arXiv 1506.02142), averaged
over positions, in nats. A model without dropout has nothing to show: its passes are all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evals.metrics import Scored
from evals.uncertainty import Version, text_of, versions
from pir_serve.prompt import Message, PromptCodec


class NoDropoutError(Exception):
    """The model's configuration has no dropout rate above 0."""


def dropout_rates(folder: Path) -> dict[str, float]:
    """The rates above 0 that a model's configuration names, e.g. `attention_dropout`."""
    from transformers import AutoConfig

    named = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict().items()
    found = {name: value for name, value in named if "dropout" in name or name.endswith("pdrop")}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float) and value > 0}


def mc_dropout(scored: Iterable[Scored], folder: Path, *, passes: int = 10, seed: int = 0) -> dict[Version, float]:
    """The score of each version's first sample whose reasoning the run shows.

    The reasoning's text is encoded again, which may cut a token elsewhere than the model did when it wrote it.

    Raises:
        NoDropoutError: the model was made without dropout.
    """
    if not dropout_rates(folder):
        raise NoDropoutError(f"{folder} has no dropout: its configuration names no rate above 0")
    import torch
    from transformers import AutoModelForCausalLM

    codec = PromptCodec.load(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).train()
    torch.manual_seed(seed)
    found: dict[Version, float] = {}
    for version, of in versions(scored).items():
        written = codec.encode_model(of[0].transcript.reasoning).token_ids
        if written:
            prompt = [i for s in codec.encode_prompt([Message("user", text_of(of[0]))]) for i in s.token_ids]
            found[version] = _information(model, [*prompt, *written], len(written), passes)
    return found


def _information(model: Any, ids: list[int], num_written: int, passes: int) -> float:
    """Mutual information of next token and dropout mask, mean over the last `num_written` positions, nats."""
    import torch

    with torch.no_grad():
        batch = torch.tensor([ids[:-1]]).repeat(passes, 1)
        log_p = model(batch, use_cache=False).logits[:, -num_written:].float().log_softmax(-1)  # (passes, written, V)
        mean_p = log_p.exp().mean(0)
        of_mean = -torch.special.xlogy(mean_p, mean_p).sum(-1)
        mean_of = -(log_p.exp() * log_p).sum(-1).mean(0)
        return max(0.0, float((of_mean - mean_of).mean()))
