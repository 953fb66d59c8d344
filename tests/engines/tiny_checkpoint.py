"""A small random checkpoint with a tokenizer of the built-in model's shape, for tests and benchmarks that need no
trained one.

Byte-level BPE with split digits, the six tags as added non-special tokens, four special tokens. The weights are drawn
wide enough that greedy choices are clear-cut: near ties would make engines differ by rounding alone.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

TAGS = ("<think>", "</think>", "<asking>", "</asking>", "<response>", "</response>")
SPECIALS = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
_TEXT = """
Mia Omar Yusuf Lena buys sells pens apples litres of juice for dollars each hours miles a day how much many is left
in all The price number total cost spends has had gives travels works garden shop question answer reply naïve café
"""
_SYLLABLES = ("ba", "ko", "li", "ten", "mur", "sha", "vel", "dri", "po", "gan")
_WORDS = [*_TEXT.split(), *(a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES)]


def corpus(num_lines: int, seed: int = 0) -> list[str]:
    pick = random.Random(seed)
    return [
        " ".join(pick.choice(_WORDS) if pick.random() < 0.8 else str(pick.randrange(500)) for _ in range(12)) + "."
        for _ in range(num_lines)
    ]


def write_tokenizer(directory: Path, vocab_size: int) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TAGS) - len(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(500), trainer)
    assert tokenizer.get_vocab_size() == vocab_size - len(TAGS) - len(SPECIALS), "every id must spell something"
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer.add_special_tokens(list(SPECIALS))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(directory)
    return wrapped


def write_checkpoint(
    directory: Path,
    *,
    family: str = "llama",
    num_kv_heads: int = 4,
    tied: bool = True,
    max_len: int = 2048,
    seed: int = 0,
) -> Any:
    """Write a random checkpoint of the built-in model's size and return it as a transformers model.

    Args:
        family: llama, qwen2 or qwen3.
    """
    import torch
    import transformers

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(directory, 1024)
    torch.manual_seed(seed)
    prefix = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family]
    config = getattr(transformers, f"{prefix}Config")(
        vocab_size=1024,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=num_kv_heads,
        head_dim=32,
        intermediate_size=256,
        max_position_embeddings=max_len,
        tie_word_embeddings=tied,
        initializer_range=0.12,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = getattr(transformers, f"{prefix}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # ones would hide a norm weight applied in the wrong place
                weight.uniform_(0.5, 1.5)
            elif name.endswith(".bias"):
                weight.normal_(std=0.5)
    model.generation_config = transformers.GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(directory)
    return model
