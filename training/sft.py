"""Supervised fine-tuning on asking data, with TRL: `pir train sft --config training/configs/tiny_sft.yaml`.

Every part of a row is encoded on its own, as the server builds trajectories, and only the model's tokens carry loss: not
the prompt, and not what the user responded (the published configuration trains on responses too, which teaches a model to
answer itself; `mask_responses: false` reproduces it). Rows come in the shapes of `training/rows.py`. A base model without
the tags is given them first (`training/tags.py`).
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from pir_serve.errors import ConfigError
from pir_serve.prompt import PromptCodec
from training import asking_metrics, stage
from training.chat import Part, encode
from training.contract import training_codec, write_contract
from training.rows import RowReader
from training.tags import TOKENIZER_FILES, initialise, tagged_tokenizer

log = logging.getLogger(__name__)

IGNORED = asking_metrics.IGNORED


@dataclass
class DataArguments:
    """What TRL's own configuration does not hold."""

    model: str = field(metadata={"help": "Checkpoint folder to start from."})
    rows: str = field(metadata={"help": "JSON lines: parts, messages or conversations (training/rows.py)."})
    eval_rows: str | None = field(
        default=None, metadata={"help": "Rows on which loss and asking metrics are taken at every eval_steps."}
    )
    system_prompt: str = field(
        default="",
        metadata={
            "help": "Of rows without one: its text or `method`, the paper's; default: the model's pir.json's, if any."
        },
    )
    user_suffix: str = field(
        default="",
        metadata={"help": "Behind the first user message: a text or `method`, which asks for a box; default likewise."},
    )
    share: float = field(
        default=1.0, metadata={"help": "Of the usable rows, drawn by seed: for comparing amounts of data."}
    )
    mask_responses: bool = field(default=True, metadata={"help": "Leave the user's responses out of the loss."})
    lora_r: int = field(default=0, metadata={"help": "Rank of LoRA adapters on all linear layers; 0: train it all."})
    lora_alpha: int = field(default=32, metadata={"help": "Scale of the adapters."})
    dtype: str = field(default="float32", metadata={"help": "Of the weights that are trained: float32 or bfloat16."})
    threads: int = field(default=1, metadata={"help": "Torch threads of each process."})


def labelled(tokenizer: Tokenizer, parts: list[Part], *, mask_responses: bool = True) -> dict[str, list[int]]:
    """`input_ids` and `labels` of one row, equally long; -100 where no loss is taken."""
    encoded = encode(tokenizer, parts)
    in_prompt = len(encode(tokenizer, parts[:1]).ids)
    learnt = [own or (not mask_responses and k >= in_prompt) for k, own in enumerate(encoded.by_model)]
    labels = [i if yes else IGNORED for i, yes in zip(encoded.ids, learnt, strict=True)]
    return {"input_ids": encoded.ids, "labels": labels}


class AskingTrainer(SFTTrainer):
    """TRL's trainer as it is, but for short progress lines and the metrics of asking beside the evaluation's loss."""

    def __init__(self, *, tokenizer: Tokenizer, **of_trl: Any) -> None:
        super().__init__(**of_trl)
        self._ask_id = asking_metrics.ask_id(tokenizer)
        self._ends = asking_metrics.line_ends(tokenizer, max(self.model.config.vocab_size, tokenizer.get_vocab_size()))

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        keep = ("loss", "eval_loss", "learning_rate", "num_tokens", "epoch", "train_runtime")
        super().log({k: v for k, v in logs.items() if k in keep or "/" in k}, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        measured: dict[str, float] = super().evaluate(*args, **kwargs)
        batches = (self._prepare_inputs(batch) for batch in self.get_eval_dataloader())
        found = gather_object(asking_metrics.places(self.model_wrapped, batches, self._ends, self._ask_id))
        asking = {f"eval_asking/{name}": value for name, value in asking_metrics.metrics(found).items()}
        self.log(asking)
        return measured | asking


def check(data: DataArguments, config: SFTConfig) -> None:
    """Raises: ConfigError, saying what to change."""
    if not (Path(data.model) / "config.json").is_file():
        raise ConfigError(f"model: {data.model} is no checkpoint folder")
    if data.dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype is {data.dtype!r}; it must be float32 or bfloat16")
    if not 0 < data.share <= 1:
        raise ConfigError(f"share is {data.share}; it must be above 0 and at most 1")
    if config.packing and config.packing_strategy == "wrapped":
        raise ConfigError("packing_strategy: wrapped cuts rows and lets them see each other; use bfd")
    if config.packing and not config.max_length:
        raise ConfigError("packing needs a max_length to pack into")
    if config.eval_strategy != "no" and data.eval_rows is None:
        raise ConfigError("eval_strategy needs eval_rows")


def sft(data: DataArguments, config: SFTConfig) -> None:
    """Train; resumes from the newest checkpoint in `output_dir`, and leaves the model there.

    Raises:
        ConfigError: settings that do not fit each other, or rows that cannot be read.
    """
    check(data, config)
    torch.set_num_threads(data.threads)
    with tempfile.TemporaryDirectory() as folder:
        new_ids = tagged_tokenizer(Path(data.model), Path(folder))
        _sft(data, config, Path(folder), new_ids)


def _sft(data: DataArguments, config: SFTConfig, tokenizer_dir: Path, new_ids: list[int]) -> None:
    codec = training_codec(tokenizer_dir, data.system_prompt, data.user_suffix, model=Path(data.model))
    tokenizer = Tokenizer.from_file(str(tokenizer_dir / "tokenizer.json"))
    processing = AutoTokenizer.from_pretrained(tokenizer_dir)
    datasets = [_dataset(path, codec, tokenizer, processing, data, config) for path in (data.rows, data.eval_rows)]
    try:
        trainer = AskingTrainer(
            tokenizer=tokenizer,
            model=_model(data, config, new_ids),
            args=config,
            train_dataset=datasets[0],
            eval_dataset=datasets[1],
            processing_class=processing,
            peft_config=_lora(data, has_new_tags=bool(new_ids)),
        )
    except (RuntimeError, ImportError, ValueError) as error:  # e.g. report_to names what is not installed
        raise ConfigError(str(error)) from error
    trainer.remove_callback(PrinterCallback)
    target = Path(config.output_dir)
    trainer.train(resume_from_checkpoint=any(target.glob("checkpoint-*")) or None)
    trainer.save_model(str(target / "adapter" if data.lora_r else target))
    trainer.accelerator.wait_for_everyone()
    if trainer.accelerator.is_main_process:
        if data.lora_r:
            _merge(data, config, new_ids, target)
        for name in TOKENIZER_FILES:  # as they were: the trainer's own copies differ in details
            if (tokenizer_dir / name).exists():
                shutil.copy(tokenizer_dir / name, target / name)
        write_contract(target, codec)
    trainer.accelerator.wait_for_everyone()


def _dataset(
    path: str | None, codec: PromptCodec, tokenizer: Tokenizer, processing: Any, data: DataArguments, config: SFTConfig
) -> Dataset | None:
    if path is None:
        return None
    reader = RowReader(codec, end=processing.eos_token or "")
    try:
        rows = [labelled(tokenizer, row, mask_responses=data.mask_responses) for row in reader.read(Path(path))]
    except ValueError as error:
        raise ConfigError(str(error)) from error
    fitting = [row for row in rows if config.max_length is None or len(row["input_ids"]) <= config.max_length]
    reader.rejected["longer than max_length"] += len(rows) - len(fitting)  # cut, it would end without an answer
    left_out = ", ".join(f"{n} ({why})" for why, n in reader.rejected.items() if n) or "none"
    log.info("%s: %d rows, left out: %s", path, len(fitting), left_out)
    if not fitting:
        raise ConfigError(f"{path}: no usable row; left out: {left_out}")
    if data.share < 1 and path == data.rows:
        fitting = random.Random(config.seed).sample(fitting, max(1, round(data.share * len(fitting))))
        log.info("%s: %d of them drawn", path, len(fitting))
    return Dataset.from_list(fitting)


def _model(data: DataArguments, config: SFTConfig, new_ids: list[int]) -> Any:
    options = config.model_init_kwargs or {}
    if isinstance(options, str):
        options = json.loads(options)
    config.model_init_kwargs = None  # used here; TRL refuses them beside a model
    model = AutoModelForCausalLM.from_pretrained(data.model, **{"dtype": getattr(torch, data.dtype), **options})
    initialise(model, new_ids)
    return model


def _lora(data: DataArguments, *, has_new_tags: bool) -> Any:
    if not data.lora_r:
        return None
    from peft import LoraConfig

    # New tags are learnt in the embeddings, which therefore are trained whole beside the adapters.
    saved = ["embed_tokens", "lm_head"] if has_new_tags else None
    return LoraConfig(
        r=data.lora_r,
        lora_alpha=data.lora_alpha,
        target_modules="all-linear",
        modules_to_save=saved,
        task_type="CAUSAL_LM",
    )


def _merge(data: DataArguments, config: SFTConfig, new_ids: list[int], target: Path) -> None:
    """The whole model beside its adapter: what the next stage and every server load."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(_model(data, config, new_ids), target / "adapter").merge_and_unload()
    merged.save_pretrained(target)


def main(args: list[str] | None = None) -> None:
    stage.run(lambda: sft(*stage.parse((DataArguments, SFTConfig), "sft", args)))


if __name__ == "__main__":
    main()
