"""Messages to token ids, the junction after an ask, and ids back to text, for one model's tokenizer and chat template.

Works from the files of a model's folder with `tokenizers` and Jinja; needs neither torch nor transformers. The prompt
is rendered once with the model's own template, and never again within a turn: legs grow by ids. What people wrote can
not become a control token or a tag (`prompting/encoder.py`; tags are neutralised besides, for models to which they are
plain text).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pir_serve.errors import ConfigError, EngineProtocolError, RequestError
from pir_serve.markup import TAGS
from pir_serve.presets import GENERIC, ModeChoice, Preset, find_preset, preset_for
from pir_serve.prompting.contract import (
    Contract,
    check_hashes,
    check_tag_ids,
    read_contract,
    read_json,
    split_format,
)
from pir_serve.prompting.decoder import IncrementalDecoder, Spelling
from pir_serve.prompting.encoder import Part, SafeEncoder, unknown_id
from pir_serve.prompting.folding import fold_system, folds_system
from pir_serve.prompting.golden import check_golden
from pir_serve.prompting.messages import Message, ToolCall, harmless, turns_of
from pir_serve.prompting.template import ChatTemplate, read_template
from pir_serve.trajectory import Author, Segment

__all__ = ["IncrementalDecoder", "Message", "PromptCodec", "Regime", "ToolCall", "check_golden"]

Regime = Literal["atomic", "plain", "special"]
"""How a tokenizer knows the tags: an added token each, ordinary text, or an added token flagged as special."""


class PromptCodec:
    """Encodes and decodes for one model. Made by `load`; safe to share between requests."""

    def __init__(
        self,
        spec: dict[str, Any],
        template: ChatTemplate,
        *,
        preset: Preset = GENERIC,
        eos_ids: Iterable[int] = (),
        contract: Contract | None = None,
    ) -> None:
        """`spec`: a parsed tokenizer.json. Raises: ConfigError."""
        self.preset = preset
        self.contract = contract
        self.template = template
        added = spec.get("added_tokens") or []
        tag_tokens = {token["content"]: token for token in added if token["content"] in TAGS.all()}
        tag_ids = {token["id"] for token in tag_tokens.values()}
        self.regime: Regime = _regime(tag_tokens)
        if preset.junction != "segmented" and self.regime == "plain":
            raise ConfigError(f"junction {preset.junction!r} is not supported where tags are text; use segmented")
        self._before_response, self._behind_response = split_format(preset.observation_format)
        self.eos_ids = tuple(sorted(set(eos_ids) - tag_ids))
        """Ids that end a turn; never a tag's, whatever the model's files say."""
        self.eos_texts = {token["id"]: str(token["content"]) for token in added if token["id"] in self.eos_ids}
        """How they are written, though they spell nothing for a client."""
        self.folds_system = folds_system(template, preset)
        """Whether system texts go before the first user message's."""
        closing = tag_tokens.get(TAGS.ask_close)
        self.ask_stop_ids: tuple[int, ...] = () if closing is None else (closing["id"],)
        """The id of `</asking>` where it is one token."""
        hidden = {token["id"] for token in added if token["special"]} - tag_ids - {unknown_id(spec)}
        self._spelling = Spelling(spec, hidden | set(self.eos_ids))
        self._encoder = SafeEncoder(spec)
        self.vocab_size = 1 + max(*_vocab_ids(spec), *(token["id"] for token in added))
        """The largest id and one; engines may pad beyond."""
        self.digest = _digest(spec, template.source, preset.observation_format)
        """Hex; equal for equal tokenizer, template and tags: trajectories of one are never resumed with another."""

    @classmethod
    def load(cls, directory: Path, *, preset: Preset | None = None, mode: ModeChoice = "auto") -> PromptCodec:
        """The codec of a model's folder. Its `pir.json` goes before `preset`, which by default is found by name.

        `codec.preset.mode` is what `mode` came to.

        Raises:
            ConfigError: a file is missing, unreadable, or does not keep what `pir.json` says.
        """
        if not (directory / "tokenizer.json").is_file():
            raise ConfigError(
                f"{directory} has no tokenizer.json; "
                "point --tokenizer at the folder of the model that the engine serves"
            )
        spec = read_json(directory / "tokenizer.json")
        config = _read_optional(directory / "tokenizer_config.json")
        contract = read_contract(directory)
        chosen = preset_for(preset or find_preset(str(directory)), mode, has_contract=contract is not None)
        if contract is not None:
            check_hashes(directory, contract)
            check_tag_ids(directory, contract, spec)
            chosen = contract.over(chosen)
        try:
            codec = cls(
                spec,
                read_template(directory, config),
                preset=chosen,
                eos_ids=_eos_ids(directory, config, spec),
                contract=contract,
            )
            codec.encode_prompt([Message("user", "1 + 1?")])
        except (KeyError, TypeError, RequestError) as error:
            raise ConfigError(f"the tokenizer or chat template in {directory} cannot be used: {error}") from error
        if contract is not None and contract.golden is not None:
            check_golden(codec, directory / contract.golden)
        return codec

    def digest_as(self, name: str) -> str:
        """`digest` together with the name that the model is served under: what stored trajectories and exports bear."""
        return hashlib.sha256(f"{name}\0{self.digest}".encode()).hexdigest()[:32]

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[str] = ()) -> tuple[Segment, ...]:
        """The prompt of a turn, up to and including `<think>` and its newline, as segments of template and user.

        Equals what transformers' `apply_chat_template` gives for ordinary text, but for the opening of the think block
        where the template has none. A token over both the template's and a user's text counts as the user's; white
        space at the edges of a message counts as the template's. `tools`: definitions as JSON, where
        `template.knows_tools`.

        Raises:
            RequestError: roles that are unknown or that the template refuses; no user message, or not at the end.
        """
        if (tools or any(m.role == "tool" for m in messages)) and not self.template.knows_tools:
            raise RequestError("role 'tool', or tools, and a chat template that knows none", param="messages")
        turns = turns_of(messages, self.preset)
        if self.folds_system:
            turns = fold_system(turns)
        parts = self.template.render(turns, [harmless(tool) for tool in tools])
        tail = parts[-1].text if parts[-1].trusted else ""
        if tail.rfind(TAGS.think_open) <= tail.rfind(TAGS.think_close):
            parts.append(Part(Author.TEMPLATE, f"{TAGS.think_open}\n", trusted=True))
        return self._encoder.encode(parts, at_start=True)

    def encode_response(self, text: str, by: Author = Author.USER) -> Segment:
        """A reply to an ask, in its tags, as one segment; `by` TEMPLATE where the policy replies for the user."""
        parts = [
            Part(Author.TEMPLATE, self._before_response, trusted=True),
            Part(Author.USER, harmless(text)),
            Part(Author.TEMPLATE, self._behind_response, trusted=True),
        ]
        return self._joined(parts, by)

    def encode_ask_open(self) -> Segment:
        """`<asking>` alone: the model is to go on with a question."""
        return self._joined([Part(Author.TEMPLATE, TAGS.ask_open, trusted=True)], Author.TEMPLATE)

    def encode_closing(self, text: str) -> Segment:
        """A tag that the model has left out, with what stands around it."""
        return self._joined([Part(Author.TEMPLATE, text, trusted=True)], Author.TEMPLATE)

    def encode_model(self, text: str, *, at_start: bool = False) -> Segment:
        """Text that the model wrote or is to learn to write: tags and control tokens in it are meant.

        `at_start` says that nothing comes before; some tokenizers put a space there.
        """
        ids = self._encoder.ids([Part(Author.MODEL, text, trusted=True)], at_start=at_start)
        return Segment(Author.MODEL, text, ids)

    def close_ask(self, segment: Segment, end: int) -> Segment:
        """A leg's segment cut behind the ask that ends at character `end` of its text.

        Where `</asking>` ends inside a token (tags as plain text), that token is replaced by the tokens of what remains
        of it, so that the reply can follow (the junction "segmented"). What was sampled stays in
        `sampled_ids` wherever it differs, and `logprobs` are those of the sampled ids.

        Raises:
            EngineProtocolError: the ids do not spell the text.
        """
        text = self.decode(segment.token_ids)
        cut = _same_tag(segment.text, end, text)
        if cut is None:
            raise EngineProtocolError("the engine's token ids do not spell its text")
        return self._cut(segment, end, text, cut)

    def cut(self, segment: Segment, end: int) -> Segment:
        """A leg's segment cut behind the first `end` characters of its text, by the same rule as `close_ask`.

        Raises:
            EngineProtocolError: the ids do not spell these characters.
        """
        text = self.decode(segment.token_ids)
        if not text.startswith(segment.text[:end]):
            raise EngineProtocolError("the engine's token ids do not spell its text")
        return self._cut(segment, end, text, end)

    def _cut(self, segment: Segment, end: int, text: str, cut: int) -> Segment:
        """`text` is what the ids spell; its first `cut` characters are the first `end` of the segment's."""
        ids = segment.token_ids
        keep, spelled = self._longest_within(ids, text, cut)
        rest = text[spelled:cut]
        kept = ids[:keep]
        if rest:
            kept += self._encoder.ids([Part(Author.MODEL, rest)])
        if kept == ids:
            return replace(segment, text=segment.text[:end])
        return replace(segment, text=segment.text[:end], token_ids=kept, sampled_ids=segment.sampled_ids or ids)

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ids as a continuation. Control tokens (EOS and the like) spell nothing, tags do."""
        decoder = self.incremental()
        return decoder.feed(token_ids) + decoder.finish()

    def incremental(self) -> IncrementalDecoder:
        return IncrementalDecoder(self._spelling)

    def _joined(self, parts: Sequence[Part], author: Author) -> Segment:
        segments = self._encoder.encode(parts)
        ids = tuple(i for segment in segments for i in segment.token_ids)
        return Segment(author, "".join(segment.text for segment in segments), ids)

    def _longest_within(self, ids: Sequence[int], text: str, cut: int) -> tuple[int, int]:
        """(how many of `ids`, how many characters they spell): all that lie within the first `cut` characters."""
        decoder = self.incremental()
        keep = spelled = at = 0
        for k, token in enumerate(ids, start=1):
            at += len(decoder.feed([token]))
            if at > cut:
                break
            if not decoder.is_mid_character:
                keep, spelled = k, at
                if at == cut:
                    break
        return keep, spelled


def _regime(tag_tokens: Mapping[str, dict[str, Any]]) -> Regime:
    exchange = (TAGS.ask_open, TAGS.ask_close, TAGS.response_open, TAGS.response_close)
    if not all(tag in tag_tokens for tag in exchange):
        return "plain"
    return "special" if any(tag_tokens[tag]["special"] for tag in exchange) else "atomic"


def _same_tag(said: str, end: int, spelled: str) -> int | None:
    """Where in `spelled` the tag ends that ends at `end` of `said`; the two differ where bytes make no character."""
    assert said[:end].endswith(TAGS.ask_close)
    if spelled.startswith(said[:end]):
        return end
    at = 0
    for _ in range(said.count(TAGS.ask_close, 0, end)):
        found = spelled.find(TAGS.ask_close, at)
        if found < 0:
            return None
        at = found + len(TAGS.ask_close)
    return at


def _vocab_ids(spec: dict[str, Any]) -> Iterable[int]:
    vocab = spec["model"]["vocab"]
    return vocab.values() if isinstance(vocab, dict) else range(len(vocab))


def _digest(spec: dict[str, Any], template: str, observation_format: str) -> str:
    parts = [json.dumps(spec, sort_keys=True), template, *TAGS.all(), observation_format]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _eos_ids(directory: Path, config: dict[str, Any], spec: dict[str, Any]) -> set[int]:
    """Of generation_config.json (else config.json), and the tokenizer's own EOS."""
    generation = _read_optional(directory / "generation_config.json").get("eos_token_id")
    ids = generation if generation is not None else _read_optional(directory / "config.json").get("eos_token_id")
    found = {i for i in (ids if isinstance(ids, list) else [ids]) if isinstance(i, int)}
    eos = config.get("eos_token")
    content = eos.get("content") if isinstance(eos, dict) else eos
    return found | {token["id"] for token in spec.get("added_tokens") or [] if token["content"] == content}
