"""Supervised fine-tuning on asking data, with TRL: `python -m training.sft --config training/configs/tiny_sft.yaml`.

Rows are JSON lines of authored parts (see training/augment.py). Each part is encoded on its own and only the model's
tokens carry loss: not the prompt, and not what the user responded (the published configuration trains on responses too,
which teaches a model to answer itself; `mask_responses: false` reproduces it).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer, TrlParser

from pir_serve.trajectory import Author
from training.chat import Part, encode

IGNORED = -100


@dataclass
class DataArguments:
    """What TRL's own configuration does not hold."""

    model: str = field(metadata={"help": "Checkpoint folder to start from."})
    rows: str = field(metadata={"help": "JSON lines with `parts`: [{author, text}, ...]."})
    mask_responses: bool = field(default=True, metadata={"help": "Leave the user's responses out of the loss."})
    threads: int = field(default=1, metadata={"help": "Torch threads of each process."})


def labelled(tokenizer: Tokenizer, parts: list[Part], *, mask_responses: bool = True) -> dict[str, list[int]]:
    """`input_ids` and `labels` of one row, equally long; -100 where no loss is taken."""
    encoded = encode(tokenizer, parts)
    in_prompt = len(tokenizer.encode(parts[0].text, add_special_tokens=False).ids)
    learnt = [own or (not mask_responses and k >= in_prompt) for k, own in enumerate(encoded.by_model)]
    labels = [i if yes else IGNORED for i, yes in zip(encoded.ids, learnt, strict=True)]
    return {"input_ids": encoded.ids, "labels": labels}


def read_rows(path: Path) -> list[list[Part]]:
    """The parts of every row. Raises: ValueError, naming the line that cannot be read."""
    rows: list[list[Part]] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            rows.append([Part(Author(part["author"]), part["text"]) for part in json.loads(line)["parts"]])
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}:{number}: not a row of authored parts: {error!r}") from error
    return rows


class FewFacts(SFTTrainer):  # TRL's trainer as it is, but for what it cannot know
    """SFTTrainer whose progress lines stay short."""

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        keep = ("loss", "eval_loss", "learning_rate", "num_tokens", "epoch", "train_runtime")
        super().log({k: v for k, v in logs.items() if k in keep}, *args, **kwargs)


def sft(data: DataArguments, config: SFTConfig) -> None:
    """Train; resumes from the newest checkpoint in `output_dir`, and leaves the model there."""
    torch.set_num_threads(data.threads)
    tokenizer = Tokenizer.from_file(str(Path(data.model) / "tokenizer.json"))
    rows = read_rows(Path(data.rows))
    dataset = Dataset.from_list([labelled(tokenizer, row, mask_responses=data.mask_responses) for row in rows])
    model = AutoModelForCausalLM.from_pretrained(data.model, dtype=torch.float32)
    trainer = FewFacts(
        model=model, args=config, train_dataset=dataset, processing_class=AutoTokenizer.from_pretrained(data.model)
    )
    resumable = any(Path(config.output_dir or ".").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resumable or None)
    trainer.save_model(config.output_dir)


def main(args: list[str] | None = None) -> None:
    data, config = TrlParser((DataArguments, SFTConfig)).parse_args_and_config(args)
    sft(data, config)


if __name__ == "__main__":
    main(sys.argv[1:])
