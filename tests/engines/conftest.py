"""The engines under contract and their oracle: the local one, a real vLLM and a real SGLang, each over one checkpoint.

The local engine runs anywhere. A remote one runs where its venv is named (VLLM_PYTHON, SGLANG_PYTHON: the
venv's interpreter; the server is started here and killed by the last test), or where a server is up already
(ENGINE_TEST_VLLM_URL, ENGINE_TEST_SGLANG_URL, serving the checkpoint in ENGINE_TEST_MODEL_DIR). The checkpoint is the built-in
model where it is present, else a random one. The oracle for tokens and log-probabilities is transformers' own forward.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer

from pir_serve.engines.base import Engine
from pir_serve.engines.sglang import SglangEngine
from pir_serve.engines.vllm import VllmEngine
from tests.engines.servers import RealServer, serving
from tests.engines.tiny_checkpoint import corpus, write_checkpoint

if TYPE_CHECKING:
    from pir_serve.engines.local import LocalEngine

BUILTIN = Path(__file__).parents[2] / "pir_serve" / "builtin" / "pir-tiny"


@dataclass
class Oracle:
    """The checkpoint as transformers computes it."""

    directory: Path
    model: Any
    tokenizer: Tokenizer
    eos_ids: frozenset[int]
    _known: dict[tuple[tuple[int, ...], int], tuple[list[int], list[float], str]] = field(default_factory=dict)

    def prompt(self, k: int, num: int = 60) -> list[int]:
        ids: list[int] = self.tokenizer.encode(" ".join(corpus(12, seed=k))).ids[:num]
        return ids

    def greedy(self, prompt: list[int], num: int) -> tuple[list[int], list[float], str]:
        """Ids (EOS included), log-probabilities and text (EOS left out) of a greedy leg."""
        key = (tuple(prompt), num)
        if key not in self._known:
            self._known[key] = self._generate(prompt, num)
        return self._known[key]

    def _generate(self, prompt: list[int], num: int) -> tuple[list[int], list[float], str]:
        import torch

        ids: list[int] = []
        logprobs: list[float] = []
        with torch.no_grad():
            past = None
            feed = torch.tensor([prompt])
            while len(ids) < num and not (ids and ids[-1] in self.eos_ids):
                out = self.model(feed, past_key_values=past, use_cache=True)
                past = out.past_key_values
                row = out.logits[0, -1].log_softmax(-1)
                ids.append(int(row.argmax()))
                logprobs.append(float(row.max()))
                feed = torch.tensor([ids[-1:]])
        spelled = [i for i in ids if i not in self.eos_ids]
        return ids, logprobs, self.tokenizer.decode(spelled, skip_special_tokens=False)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    import torch
    import transformers

    named = os.environ.get("ENGINE_TEST_MODEL_DIR")
    directory = Path(named) if named else BUILTIN
    if not (directory / "config.json").exists():
        directory = tmp_path_factory.mktemp("tiny")
        write_checkpoint(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    eos = model.generation_config.eos_token_id
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    return Oracle(directory, model, tokenizer, frozenset(eos if isinstance(eos, list) else [eos]))


@dataclass
class Target:
    kind: str
    url: str = ""
    server: RealServer | None = None
    """Set where these tests have started it and may kill it."""


@pytest.fixture(
    scope="session",
    params=[
        "local",
        pytest.param("vllm", marks=pytest.mark.engines),
        pytest.param("sglang", marks=pytest.mark.engines),
    ],
)
def target(
    request: pytest.FixtureRequest, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    kind: str = request.param
    url, python = os.environ.get(f"ENGINE_TEST_{kind.upper()}_URL"), os.environ.get(f"{kind.upper()}_PYTHON")
    if kind == "local":
        yield Target(kind)
    elif url:
        if not os.environ.get("ENGINE_TEST_MODEL_DIR"):
            pytest.skip(
                f"ENGINE_TEST_{kind.upper()}_URL also needs ENGINE_TEST_MODEL_DIR, the checkpoint that it serves"
            )
        yield Target(kind, url)
    elif python:
        folder = Path(os.environ.get("ENGINE_TEST_LOGS") or tmp_path_factory.mktemp("logs"))
        with serving(kind, python, oracle.directory, folder / f"{kind}.log") as server:
            print(f"\n{kind} was ready after {server.start_s:.0f} s; log {server.log}")
            yield Target(kind, server.url, server)
    else:
        pytest.skip(f"no {kind}: set {kind.upper()}_PYTHON (a venv's python) or ENGINE_TEST_{kind.upper()}_URL")


@pytest.fixture
async def engine(target: Target, oracle: Oracle) -> AsyncIterator[Engine]:
    from pir_serve.engines.local import LocalEngine

    vocab_size = oracle.model.config.vocab_size
    engine: LocalEngine | VllmEngine | SglangEngine
    if target.kind == "local":
        engine = LocalEngine(oracle.directory)
    elif target.kind == "vllm":
        engine = VllmEngine(target.url, vocab_size=vocab_size)
    else:
        engine = SglangEngine(target.url, vocab_size=vocab_size)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()
