"""A fake engine server behind which a model seems to think: what it says is decided from the prompt's text, and a leg
taken up again, here or on another such server, says the rest of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from tests.engines.fake_server import PROBE, FakeServer, Kind, Script
from tests.serve.brains import curious, turn_so_far

EOS = "<|im_end|>"


class ThinkingServer(FakeServer):
    def __init__(self, tokenizer: Path, brain: Callable[[str], str] = curious, *, kind: Kind = "vllm") -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        super().__init__(kind, vocab_size=self.tokenizer.get_vocab_size(), max_model_len=2048)
        self.brain = brain

    def spell(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def plan(self, script: Script, body: dict[str, Any]) -> Script:
        if body["prompt"] == PROBE:
            return script
        prompt = self.spell(body["prompt"])
        own = turn_so_far(prompt)
        said = own.rpartition("</response>")[2] if "</response>" in own else own.removeprefix("<think>\n")
        whole = self.brain(prompt)
        assert whole.startswith(said), f"the prompt goes on from {said!r}, which this model would not have said"
        eos = self.tokenizer.token_to_id(EOS)
        decoder = DecodeStream(skip_special_tokens=False)
        tokens: list[tuple[int, str]] = []
        finish: tuple[str, Any] = ("stop", None if self.kind == "vllm" else eos)
        for token in [*self.tokenizer.encode(whole[len(said) :], add_special_tokens=False).ids, eos]:
            tokens.append((token, decoder.step(self.tokenizer, token) or ""))
            text = said + "".join(part for _, part in tokens)
            if stop := next((stop for stop in body.get("stop", ()) if text.endswith(stop)), None):
                finish = ("stop", stop)
                break
            if len(tokens) == body["max_tokens"]:
                finish = ("length", None)
                break
        return replace(script, tokens=tokens, finish=finish[0], stopped_by=finish[1])

    async def _tokenize(self, request: web.Request) -> web.Response:
        ids = self.tokenizer.encode((await request.json())["prompt"], add_special_tokens=False).ids
        return web.json_response({"tokens": ids, "count": len(ids)})

    async def _detokenize(self, request: web.Request) -> web.Response:
        text = self.spell((await request.json())["tokens"])
        return web.json_response({"prompt" if self.kind == "vllm" else "text": text})


@asynccontextmanager
async def thinking(
    tokenizer: Path, num: int = 1, brain: Callable[[str], str] = curious, *, kind: Kind = "vllm"
) -> AsyncIterator[list[ThinkingServer]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ThinkingServer(tokenizer, brain, kind=kind).serving()) for _ in range(num)
        ]
