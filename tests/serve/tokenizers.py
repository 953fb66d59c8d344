"""Small model folders whose tokenizers and chat templates have the shapes of well-known families.

The templates say in few lines what the well-known ones say in many, for conversations without tools.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pir_serve.markup import TAGS

CORPUS = [
    "Tom has 4 apples and buys some more. How many apples does he have in all? The answer is 12.",
    "<think> I need the price. </think> <asking>How many litres?</asking>\n<response>About 3.</response> It is so.",
    "naïve café, 中文 文本, 😀 emoji, tabs\tand\n\nnew lines; what?</asking>\n<response>yes</response>\n",
    "system user assistant begin of text header end id im start Please reason step by step, and put your final answer",
] * 8

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Family:
    """How one family's tokenizer and template are made."""

    template: str
    special: Sequence[str]
    plain: Sequence[str] = ()
    """Added tokens that are not flagged special."""
    config: Mapping[str, Any] = field(default_factory=dict)
    eos: str = ""
    normalizer: Any = None


PIR_TINY = Family(
    template=(
        "{%- for message in messages -%}{%- if message.role == 'assistant' -%}"
        "{{ '<|assistant|>' + (message.content.split('</think>')[-1] | trim) + '<|end|>' }}"
        "{%- elif message.role == 'user' -%}{{ '<|user|>' + (message.content | trim) + '<|end|>' }}"
        "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|assistant|><think>\\n' }}{%- endif -%}"
    ),
    special=["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"],
    plain=TAGS.all(),
    config={"eos_token": "<|end|>"},
    eos="<|end|>",
)

_R1 = (
    "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{% set content = m['content'] %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>THINK' }}{% endif %}"
)

DEEPSEEK_R1 = Family(
    template=_R1.replace("THINK", "<think>\\n"),
    special=["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜pad｜>"],
    plain=["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
    config={
        "bos_token": {"__type": "AddedToken", "content": "<｜begin▁of▁sentence｜>"},
        "eos_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>"},
        "add_bos_token": True,
    },
    eos="<｜end▁of▁sentence｜>",
)

DEEPSEEK_R1_UNOPENED = Family(
    template=_R1.replace("THINK", ""),
    special=DEEPSEEK_R1.special,
    plain=DEEPSEEK_R1.plain,
    config=DEEPSEEK_R1.config,
    eos=DEEPSEEK_R1.eos,
)

PIR_7B = Family(
    template=DEEPSEEK_R1.template,
    special=DEEPSEEK_R1.special,
    plain=["<｜User｜>", "<｜Assistant｜>", *TAGS.all(), "<answer>", "</answer>"],
    config=DEEPSEEK_R1.config,
    eos=DEEPSEEK_R1.eos,
)

QWEN = Family(
    template=r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}
        {{- '<|im_start|>assistant\n' }}{% generation %}{{ content + '<|im_end|>' }}{% endgeneration %}
        {{- '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}""",
    special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    plain=["<tool_call>", "</tool_call>", "<think>", "</think>"],
    config={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    eos="<|im_end|>",
    normalizer=normalizers.NFC(),
)

LLAMA3 = Family(
    template=r"""{{- bos_token }}
{%- for message in messages %}
    {%- set role = message['role'] %}
    {%- if role not in ['system', 'user', 'assistant'] %}{{- raise_exception('Unknown role ' + role) }}{%- endif %}
    {%- if role == 'system' and not loop.first %}{{- raise_exception('System must come first') }}{%- endif %}
    {{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}""",
    special=["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    config={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    eos="<|eot_id|>",
)

FAMILIES = {
    "pir-tiny": PIR_TINY,
    "deepseek-r1": DEEPSEEK_R1,
    "deepseek-r1-unopened": DEEPSEEK_R1_UNOPENED,
    "pir-7b": PIR_7B,
    "qwen": QWEN,
    "llama3": LLAMA3,
}


def byte_level_bpe(family: Family, *, vocab_size: int = 700, special_in_vocab: bool = False) -> Tokenizer:
    """A trained tokenizer of the family; `special_in_vocab` puts control tokens into the model's own vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    if family.normalizer is not None:
        tokenizer.normalizer = family.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(family.special) if special_in_vocab else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(list(family.special))
    # As SFT scripts add them: not special, hence normalised by default.
    tokenizer.add_tokens([AddedToken(content, special=False) for content in family.plain])
    return tokenizer


def write_folder(directory: Path, family: Family, tokenizer: Tokenizer | None = None) -> Path:
    """A model's folder without weights: what the codec, transformers and the engines read of it."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer or byte_level_bpe(family)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **family.config}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    (directory / "chat_template.jinja").write_text(family.template)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [tokenizer.token_to_id(family.eos)]}))
    return directory
