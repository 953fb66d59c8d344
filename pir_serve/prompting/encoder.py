"""Text to token ids where every piece of text is trusted or not: from text that is not, no control token can arise.

How: the tokenizer is loaded a second time with the string of every added token replaced by a private-use character, its
guard. In trusted text (templates, tags that we write) the tokens' strings become guards; from other text private-use
characters are taken out. All is then encoded in ONE call, so that merges, normalisers, prefix spaces and the stripping
around tokens come out as the original tokenizer would have them. What still reaches an added token's id by way of the
model's own vocabulary is cut in two and encoded again.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer

from pir_serve.errors import ConfigError
from pir_serve.trajectory import Author, Segment

# Plane 16, which nothing else uses: icon fonts live in planes 0 and 15.
_FIRST_GUARD = 0x100000
_FIRST_SLOT = 0x108000
_BREAK = "\U0010fffd"
"""A guard that stands for no token: text before and behind it is encoded apart."""
_PRIVATE = re.compile("[\U00100000-\U0010ffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def slot(number: int) -> str:
    """A character that stands for a message's content while a template is rendered; no text can hold it."""
    return chr(_FIRST_SLOT + number)


SLOTS = re.compile(f"[{slot(0)}-\U0010fffc]")


def without_private(text: str) -> str:
    """`text` without what stands for something here, and with half characters (lone surrogates) replaced."""
    return _SURROGATES.sub("\ufffd", _PRIVATE.sub("", text))


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of text with one author."""

    author: Author
    text: str
    trusted: bool = False
    """Whether control tokens and tags in it are meant."""


def make_tokenizer(spec: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a parsed tokenizer.json. Raises: ConfigError."""
    try:
        return Tokenizer.from_str(json.dumps(spec))
    except Exception as error:  # the library raises no narrower type
        raise ConfigError(f"tokenizer.json cannot be used: {error}") from error


def unknown_id(spec: dict[str, Any]) -> int | None:
    """Id of the token for what a tokenizer has no tokens for; None if it has one for every byte."""
    model = spec["model"]
    if "unk_id" in model:
        return model["unk_id"]  # type: ignore[no-any-return]
    added = (token["id"] for token in spec.get("added_tokens") or [] if token["content"] == model.get("unk_token"))
    return next(added, None)


class SafeEncoder:
    """Encodes parts with the ids of one tokenizer."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """`spec`: a parsed tokenizer.json.

        Raises:
            ConfigError: the tokenizer cannot be guarded.
        """
        added = spec.get("added_tokens") or []
        # The post-processor would add BOS and trim offsets; the template writes all there is to write.
        bare = {**spec, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        self._tokenizer = make_tokenizer(bare)
        own = set(self._tokenizer.get_vocab(with_added_tokens=False).values())
        self._true_id: dict[int, int | None] = {}
        """Id in the guarded tokenizer -> id in the model; None for the break."""
        self._guards: dict[str, str] = {}
        self._spelling: dict[int, str | None] = {ord(_BREAK): None}
        forbidden = set()
        for token in added:
            content = token["content"]
            guard = content
            if token["special"] or content.strip():
                guard = chr(_FIRST_GUARD + len(self._guards))
                self._guards[content] = guard
                self._spelling[ord(guard)] = content
                forbidden.add(token["id"])
            self._true_id[self._add(guard, token)] = token["id"]
        self._true_id[self._add(_BREAK, {})] = None
        self._forbidden = (forbidden & own) - {unknown_id(spec)}
        """Ids that the model's vocabulary could give to ordinary text, and must not. Unknown words may stay unknown."""
        placed = {self._tokenizer.token_to_id(guard) for guard in (*self._guards.values(), _BREAK)}
        if placed & own or len(self._guards) > _FIRST_SLOT - _FIRST_GUARD:
            raise ConfigError("tokenizer.json: its vocabulary has holes or too many added tokens; re-export it")
        longest_first = sorted(self._guards, key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _add(self, content: str, flags: dict[str, Any]) -> int:
        """Register an added token; the strips around it are the original's."""
        is_guard = _PRIVATE.match(content) is not None
        token = AddedToken(
            content,
            single_word=flags.get("single_word", False),
            lstrip=flags.get("lstrip", False),
            rstrip=flags.get("rstrip", False),
            normalized=not is_guard and flags.get("normalized", False),
            special=is_guard,
        )
        self._tokenizer.add_tokens([token])
        added = self._tokenizer.token_to_id(content)
        assert added is not None
        return added

    def encode(self, parts: Sequence[Part], *, at_start: bool = False) -> tuple[Segment, ...]:
        """The parts as segments of their authors, neighbours of one author merged.

        The parts are encoded as one text: a token may hold characters of two of them. Such a token is the user's if any
        of it is. `at_start` says that nothing comes before (tokenizers may put a space there).
        """
        text, owners = self._guarded(parts)
        if not at_start:
            text, owners = _BREAK + text, Author.TEMPLATE.value[0] + owners
        while True:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            ids, offsets = encoding.ids, encoding.offsets
            if self._forbidden.isdisjoint(ids):
                return self._segments(text, owners, ids, offsets)
            bad = [offsets[k] for k, i in enumerate(ids) if i in self._forbidden]
            text, owners = _broken(text, owners, bad)

    def ids(self, parts: Sequence[Part], *, at_start: bool = False) -> tuple[int, ...]:
        return tuple(i for segment in self.encode(parts, at_start=at_start) for i in segment.token_ids)

    def _guarded(self, parts: Sequence[Part]) -> tuple[str, str]:
        """(text with guards, the first letter of each character's author)."""
        text = owners = ""
        for part in parts:
            words = without_private(part.text)
            if part.trusted:
                words = self._added.sub(lambda found: self._guards[found[0]], words)
            elif unicodedata.category(words[:1] or " ")[0] == "M":
                words = _BREAK + words  # a normaliser would make one character of it and the last of our own
            text += words
            owners += part.author.value[0] * len(words)
        return text, owners

    def _segments(self, text: str, owners: str, ids: list[int], offsets: list[tuple[int, int]]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        group: list[int] = []
        author = Author.TEMPLATE
        begin = reach = 0
        for true_id, owner, end in self._owned(text, owners, ids, offsets):
            if owner is not author and group:
                segments.append(Segment(author, text[begin:reach].translate(self._spelling), tuple(group)))
                group, begin = [], reach
            author = owner
            group.append(true_id)
            reach = max(reach, end)  # two tokens of one character share its offsets: a cut never goes back
        if group:
            segments.append(Segment(author, text[begin:].translate(self._spelling), tuple(group)))
        return tuple(segments)

    def _owned(
        self, text: str, owners: str, ids: list[int], offsets: list[tuple[int, int]]
    ) -> Iterator[tuple[int, Author, int]]:
        """Of each token: the model's id of it, whose it is, and where it ends.

        This runs for every token of every prompt; nearly all are ordinary ones that lie within one author's words.
        """
        runs = _RUNS.finditer(owners)
        run_start, run_end, run_author = 0, 0, Author.TEMPLATE
        for i, (start, end) in zip(ids, offsets, strict=True):
            if i in self._true_id:
                true_id = self._true_id[i]
                if true_id is not None:
                    guard = _PRIVATE.search(text, start, end)  # the white space that a token strips may be another's
                    yield true_id, _author(owners[guard.start()] if guard else owners[start:end]), end
                continue
            while start >= run_end and (run := next(runs, None)):
                run_start, run_end, run_author = run.start(), run.end(), _AUTHORS[run[0][0]]
            within = run_start <= start < end <= run_end
            yield i, run_author if within else _author(owners[start:end]), end


_AUTHORS = {author.value[0]: author for author in Author}
_USER = Author.USER.value[0]
_RUNS = re.compile("|".join(f"{letter}+" for letter in _AUTHORS))


def _author(owners: str) -> Author:
    """Whose a token is that covers characters of these owners."""
    return Author.USER if _USER in owners else _AUTHORS.get(owners[:1], Author.TEMPLATE)


def _broken(text: str, owners: str, spans: list[tuple[int, int]]) -> tuple[str, str]:
    """`text` with each of `spans` cut in the middle; a single character that cannot be cut is replaced."""
    for start, end in reversed(spans):
        if end - start > 1:
            middle = (start + end) // 2
            text = text[:middle] + _BREAK + text[middle:]
            owners = owners[:middle] + owners[middle - 1] + owners[middle:]
        else:
            text = text[:start] + "\ufffd" + text[end:]
    return text, owners
