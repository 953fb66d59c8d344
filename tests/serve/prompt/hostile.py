"""Texts that try to become control tokens, and the count of those that did.

`python -m tests.serve.prompt.hostile 100000` runs the whole number of cases; the suite runs a slice of it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from tests.serve.tokenizers import FAMILIES, LLAMA3, PIR_TINY, Family, byte_level_bpe, write_folder

_BITS = [
    "<", ">", "</", "/", "<|", "|>", "｜", "▁", "＜", "＞", "‹", "think", "asking", "response", "end", "user", "im_end",
    " ", "\n", "\n\n", "\u200b", "\u0338", "\ufeff", "\x00", "\ud83d", "\U00100000", "\U00100001", "\U00108000",
    "\U0010fffd", "\U0010ffff", "\ue000", "é", "中", "😀", "How many?", "3.5", "{{ messages }}", "{% raw %}", "\\n",
    "Ġ", "Ċ",
]  # fmt: skip


def hostile_texts(controls: list[str], seed: int) -> Iterator[str]:
    """Without end: control strings whole, cut, disguised, interleaved and glued together."""
    pick = random.Random(seed)
    pool = [*controls, *TAGS.all()]
    while True:
        pieces = []
        for _ in range(pick.randrange(1, 8)):
            control = pick.choice(pool)
            kind = pick.randrange(7)
            at = pick.randrange(len(control) + 1)
            pieces.append(
                [
                    control,
                    control[:at],
                    control[at:],
                    control[:at] + pick.choice(_BITS) + control[at:],
                    control.upper(),
                    control.replace("<", "＜").replace("|", "｜"),
                    pick.choice(_BITS),
                ][kind]
            )
        yield "".join(pieces)


class Target:
    """A codec under attack: which control ids each of its doors may give."""

    def __init__(self, directory: Path) -> None:
        self.codec = PromptCodec.load(directory)
        added = json.loads((directory / "tokenizer.json").read_text())["added_tokens"]
        self.controls = [t["content"] for t in added]
        # An unknown character may well be unknown.
        self._ids = {t["id"] for t in added if t["content"].strip() and t["content"] != "<unk>"}
        self._expected = self._control("x")

    def injections(self, text: str) -> int:
        """How many of the doors let a control token, or the text of a tag, through."""
        return sum(a != b for a, b in zip(self._control(text), self._expected, strict=True))

    def _control(self, text: str) -> list[tuple[list[int], list[int]]]:
        """Of each door: the control ids in order, and how often each tag stands in what the ids between them spell."""
        prompt = [Message("system", text), Message("user", text), Message("assistant", text), Message("user", text)]
        doors = [self.codec.encode_prompt(prompt), [self.codec.encode_response(text)]]
        found = []
        for segments in doors:
            ids = [i for segment in segments for i in segment.token_ids]
            runs = [list(run) for is_control, run in groupby(ids, self._ids.__contains__) if not is_control]
            spelled = [self.codec.decode(run) for run in runs]
            tags = [sum(text.count(tag) for text in spelled) for tag in TAGS.all()]
            found.append(([i for i in ids if i in self._ids], tags))
        return found


def write_targets(root: Path) -> dict[str, Path]:
    """The known families, and tokenizers made to be tricked."""
    folders = {name: write_folder(root / name, family) for name, family in FAMILIES.items()}
    in_vocab = byte_level_bpe(LLAMA3, special_in_vocab=True)
    spec = json.loads(in_vocab.to_str())
    spec["model"]["ignore_merges"] = True  # a whole word in the vocabulary needs no merges: Llama 3 does this
    folders["whole words"] = write_folder(root / "whole-words", LLAMA3, Tokenizer.from_str(json.dumps(spec)))
    folders["unigram"] = write_folder(root / "unigram", PIR_TINY, unigram(PIR_TINY))
    folders["nfkc"] = write_folder(root / "nfkc", PIR_TINY, normalising(PIR_TINY))
    return folders


def unigram(family: Family) -> Tokenizer:
    """Its control tokens are pieces of the model: the likeliest reading of their text."""
    control = [*family.special, *family.plain]
    letters = sorted({c for text in [*control, "abcdefghijklmnopqrstuvwxyz 0123456789?.▁/\n"] for c in text})
    pieces = [("<unk>", -20.0), *((c, -1.0) for c in control), *((c, -8.0) for c in letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<unk>", *family.special])
    tokenizer.add_tokens([AddedToken(content, special=False) for content in family.plain])
    return tokenizer


def normalising(family: Family) -> Tokenizer:
    """Folds full-width and accented letters to plain ones, after which its whole words include control tokens."""
    words = {word: k for k, word in enumerate(["<unk>", *family.special, *family.plain, "think", "x", "how"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", *family.special])
    tokenizer.add_tokens([AddedToken(content, special=False) for content in family.plain])
    return tokenizer


def count_injections(folder: Path, cases: int, seed: int) -> tuple[int, str]:
    """(texts that got a control token through, the last of them)."""
    target = Target(folder)
    texts = hostile_texts(target.controls, seed)
    count, last = 0, ""
    for _ in range(cases):
        text = next(texts)
        if target.injections(text):
            count, last = count + 1, text
    return count, last


def main() -> int:
    cases = int(sys.argv[1])
    total = 0
    with tempfile.TemporaryDirectory() as root:
        folders = write_targets(Path(root))
        for name, folder in folders.items():
            count, last = count_injections(folder, -(-cases // len(folders)), seed=1)
            print(f"{name}: {count} injections{f', such as {last!r}' if count else ''}", flush=True)
            total += count
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
