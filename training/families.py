"""Two-layer random models in the shape of well-known families, made here from nothing: for rehearsals and tests.

Tokenizer, template and tags meet the same code as the real ones: `qwen2` is DeepSeek-R1-Distill-Qwen-7B's shape (BOS in
the template, `<think>` opened by it, whatever stands before `</think>` dropped from history), `qwen3` is Qwen3-8B's. Both
know the think tags and lack the others, and have embedding rows beyond the tokenizer's entries, which tags then fall into.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from evals.problems import generate, trace
from pir_serve.markup import TAGS

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LACKING = 4
"""Tags that neither family has: ask and response, open and close."""


@dataclass(frozen=True, slots=True)
class Family:
    template: str
    special: tuple[str, ...]
    """The first ends a turn, the second pads."""
    plain: tuple[str, ...]
    prefix: str
    """Of the model's classes in transformers."""
    bos: str | None = None
    normalizer: Any = None


_R1_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages if message.role == 'system' -%}{{ message.content }}{%- endfor -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{ '<｜User｜>' + message.content }}
{%- elif message.role == 'assistant' -%}
{{ '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\\n' }}{%- endif -%}
"""
_QWEN3_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
FAMILIES: Mapping[str, Family] = {
    "qwen2": Family(
        _R1_TEMPLATE,
        ("<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜begin▁of▁sentence｜>"),
        ("<｜User｜>", "<｜Assistant｜>", TAGS.think_open, TAGS.think_close),
        "Qwen2",
        bos="<｜begin▁of▁sentence｜>",
    ),
    "qwen3": Family(
        _QWEN3_TEMPLATE,
        ("<|im_end|>", "<|endoftext|>", "<|im_start|>"),
        (TAGS.think_open, TAGS.think_close),
        "Qwen3",
        normalizer=normalizers.NFC(),
    ),
}


def write_model(folder: Path, name: str, *, seed: int = 0) -> Path:
    """A model folder as its makers would publish it: no tag but those of thinking, no pir.json.

    Raises:
        KeyError: no such family.
    """
    family = FAMILIES[name]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        # By this name transformers keeps tokenizer.json as it is; a family's own class would rebuild it.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "eos_token": family.special[0],
        "pad_token": family.special[1],
        "bos_token": family.bos,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    (folder / "chat_template.jinja").write_text(family.template)
    _model(family, tokenizer, seed).save_pretrained(folder)
    return folder


def _tokenizer(family: Family) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if family.normalizer is not None:
        tokenizer.normalizer = family.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [text for p in generate("train", 60, 1) for text in (p.shown, trace(p))]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(family.special))
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.plain])
    return tokenizer


def _model(family: Family, tokenizer: Tokenizer, seed: int) -> Any:
    import transformers

    torch.manual_seed(seed)
    config = getattr(transformers, f"{family.prefix}Config")(
        vocab_size=tokenizer.get_vocab_size() + _LACKING,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        intermediate_size=128,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.token_to_id(family.special[0]),
        pad_token_id=tokenizer.token_to_id(family.special[1]),
        bos_token_id=tokenizer.token_to_id(family.bos) if family.bos else None,
    )
    return getattr(transformers, f"{family.prefix}ForCausalLM")(config)
