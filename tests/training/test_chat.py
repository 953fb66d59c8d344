"""Training rows: parts are encoded apart, and only the model's tokens carry loss."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pir_serve.trajectory import Author
from training.chat import END, SPECIALS, Part, answer, ask, encode, prompt, response
from training.rows import RowReader
from training.sft import IGNORED, labelled
from training.tokenizer import save_tokenizer, train_tokenizer

PROBLEM = "Nora buys some pens. Each pen costs 4 dollars. How much does she pay?"
ROW = [
    prompt(PROBLEM),
    Part(Author.MODEL, ask("How many pens does Nora buy?")),
    response("She buys 16."),
    Part(Author.MODEL, "\nThe number of pens is 16.\nThe cost is 16 * 4 = 64 dollars.\n" + answer("64")),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([part.text for part in ROW] * 3, 340)


def test_only_what_the_model_wrote_is_learnt(tokenizer: Tokenizer) -> None:
    row = labelled(tokenizer, ROW)
    assert len(row["input_ids"]) == len(row["labels"])
    learnt = tokenizer.decode([i for i in row["labels"] if i != IGNORED], skip_special_tokens=False)
    assert learnt == ROW[1].text + ROW[3].text
    masked = [i for i, y in zip(row["input_ids"], row["labels"], strict=True) if y == IGNORED]
    assert tokenizer.decode(masked, skip_special_tokens=False) == ROW[0].text + ROW[2].text


def test_the_published_setting_learns_responses_but_never_the_prompt(tokenizer: Tokenizer) -> None:
    row = labelled(tokenizer, ROW, mask_responses=False)
    learnt = tokenizer.decode([i for i in row["labels"] if i != IGNORED], skip_special_tokens=False)
    assert learnt == "".join(part.text for part in ROW[1:])


def test_tags_are_one_token_each_and_not_special(tokenizer: Tokenizer) -> None:
    for tag in ("<think>", "</think>", "<asking>", "</asking>", "<response>", "</response>"):
        ids = tokenizer.encode(f"a{tag}b", add_special_tokens=False).ids
        assert tokenizer.token_to_id(tag) in ids
        assert tag in tokenizer.decode(ids, skip_special_tokens=True)
    for special in SPECIALS:
        assert special not in tokenizer.decode([tokenizer.token_to_id(special)], skip_special_tokens=True)


def test_digits_are_apart_and_no_text_is_lost(tokenizer: Tokenizer) -> None:
    text = "Zoë pays 128 dollars (12.50 each) — ¿sí?\n  Two  spaces\t😀 </asking> 7"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert [t for t in tokenizer.encode("is 128.", add_special_tokens=False).tokens if any(c.isdigit() for c in t)] == [
        "Ġ1",
        "2",
        "8",
    ]


def test_the_saved_tokenizer_renders_what_training_renders(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig

    save_tokenizer(tokenizer, tmp_path, 512)
    LlamaConfig().save_pretrained(tmp_path)  # the folder of a model: the configuration must not change the tokenizer
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    messages = [
        {"role": "user", "content": PROBLEM},
        {"role": "assistant", "content": "<think>\nhidden\n</think>\nThe answer is \\boxed{64}."},
        {"role": "user", "content": "And two of them?"},
    ]
    ids = loaded.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    wanted = prompt(PROBLEM, "The answer is \\boxed{64}.", "And two of them?")
    assert ids == encode(tokenizer, [wanted]).ids
    assert loaded.eos_token == END


def test_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        json.dumps({"parts": [{"author": "model", "text": "a"}]}) + "\n" + json.dumps({"parts": [{"by": "x"}]})
    )
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: not a row"):
        RowReader().read(file)
