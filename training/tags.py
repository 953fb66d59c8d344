"""Give a model the tags: atomic added tokens that are not special, with embeddings that start at the mean.

Not special, so that they survive `skip_special_tokens` and every server shows them in text. Rows of an embedding matrix
beyond the tokenizer's own entries are padding that was never trained; tags that land there (as in Qwen's, whose matrix is
larger than its vocabulary) are set as well, where a mere resize would leave them as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def missing_tags(tokenizer: Tokenizer) -> list[str]:
    """Tags that are no token of their own yet."""
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    return [tag for tag in TAGS.all() if tag not in added]


def tagged_tokenizer(model: Path, target: Path) -> list[int]:
    """Copy a model's tokenizer files to `target`, with the tags that it lacks; their ids.

    Raises:
        ConfigError: the folder has no tokenizer.json.
    """
    if not (model / "tokenizer.json").is_file():
        raise ConfigError(f"{model} has no tokenizer.json: a folder with a model and its fast tokenizer is needed")
    target.mkdir(parents=True, exist_ok=True)
    for name in (*TOKENIZER_FILES, "config.json", "generation_config.json"):
        if (model / name).exists():
            shutil.copy(model / name, target / name)
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    missing = missing_tags(tokenizer)
    if missing:
        tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in missing])
        tokenizer.save(str(target / "tokenizer.json"))
    ids = (tokenizer.token_to_id(tag) for tag in missing)
    return [token for token in ids if token is not None]


def initialise(model: Any, ids: Sequence[int]) -> None:
    """Set the embeddings of new tokens, input and output, to the mean of the rows before the first of them."""
    if not ids:
        return
    if max(ids) >= model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in {id(layer.weight): layer.weight for layer in layers if layer is not None}.values():
        with _whole(weight), torch.no_grad():
            if weight.numel():  # of a matrix that is divided among processes only one holds all of it here
                weight[list(ids)] = weight[: min(ids)].float().mean(0).to(weight.dtype)


def _whole(weight: torch.Tensor) -> AbstractContextManager[Any]:
    """Under DeepSpeed ZeRO-3 the matrix is divided among processes from its making on."""
    from transformers.integrations import is_deepspeed_zero3_enabled

    if not is_deepspeed_zero3_enabled():
        return nullcontext()
    import deepspeed

    context: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters([weight], modifier_rank=0)
    return context
