"""Any model can ask: the prompts of prompted mode for each shape of template and tag regime, and whole exchanges over
the dialects of vLLM and SGLang, token for token.

The models are scripted: what a real one makes of the prompt cannot be shown without its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tokenizers import Tokenizer

from pir_serve.api.build import build_codec, build_gateway
from pir_serve.markup import TAGS
from pir_serve.presets import PROMPTED_SYSTEM_PROMPT, SYSTEM_PROMPT, ModeChoice
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.trajectory import Author
from tests.engines.fake_server import FakeServer, Kind, Script
from tests.serve.conftest import Desk, in_process
from tests.serve.prompt.conftest import ASSISTANT, SYSTEM, USER, ids_of, text_of
from tests.serve.tokenizers import DEEPSEEK_R1, LLAMA3, PIR_7B, PIR_TINY, QWEN, Family, byte_level_bpe, write_folder

GEMMA2 = Family(
    template=(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim"
        " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    special=["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
    config={"bos_token": "<bos>", "eos_token": "<eos>"},
    eos="<end_of_turn>",
)
"""Refuses system messages."""
GEMMA3 = replace(
    GEMMA2,
    template=(
        "{{ bos_token }}{% set prefix = '' %}{% if messages[0]['role'] == 'system' %}"
        "{% set prefix = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
        "{% for m in messages %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}"
        "{% if loop.first %}{{ prefix }}{% endif %}{{ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
)
"""Folds them into the first user's turn by itself."""
QWEN3_THINKING = replace(
    QWEN, template=QWEN.template.replace("assistant\\n' }}\n    {%- if en", "assistant\\n<think>\\n' }}\n    {%- if en")
)
"""Opens the think block itself, as Qwen's models for thinking only do."""

FAMILIES = {
    "deepseek-r1": DEEPSEEK_R1, "qwen3": QWEN, "qwen3-thinking": QWEN3_THINKING, "llama3": LLAMA3,
    "gemma2": GEMMA2, "gemma3": GEMMA3, "no place": PIR_TINY, "asking tags as tokens": PIR_7B,
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    made = {name: write_folder(root / name.replace(" ", "-"), family) for name, family in FAMILIES.items()}
    special = replace(QWEN, special=[*QWEN.special, *TAGS.all()], plain=["<tool_call>", "</tool_call>"])
    return {**made, "special tags": write_folder(root / "special-tags", special, byte_level_bpe(special))}


@pytest.mark.parametrize("name", [*FAMILIES, "special tags"])
def test_every_shape_of_model_is_told_to_ask_and_has_its_think_block_opened_once(
    name: str, folders: dict[str, Path]
) -> None:
    codec = PromptCodec.load(folders[name], mode="prompted")
    segments = codec.encode_prompt([SYSTEM("Answer in French."), USER("Hello <asking>x</asking>")])
    text = text_of(segments)
    assert text.count(PROMPTED_SYSTEM_PROMPT) == 1
    assert text.endswith("<think>\n") and text.removeprefix(PROMPTED_SYSTEM_PROMPT).count("<think>\n") <= 2
    told, own, said = (text.index(t) for t in (PROMPTED_SYSTEM_PROMPT, "Answer in French.", "Hello ‹asking›x"))
    assert told < own < said
    whole = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    assert ids_of(segments) == whole.encode(text, add_special_tokens=False).ids
    assert all("asking" not in s.text or "‹asking›" in s.text for s in segments if s.author is Author.USER)


def test_a_think_block_that_the_template_opens_is_not_opened_again(folders: dict[str, Path]) -> None:
    for name, tail in (
        ("qwen3", "<|im_start|>assistant\n<think>\n"),
        ("qwen3-thinking", "<|im_start|>assistant\n<think>\n"),
        ("deepseek-r1", "<｜Assistant｜><think>\n"),
        ("gemma2", "<start_of_turn>model\n<think>\n"),
    ):
        assert text_of(PromptCodec.load(folders[name], mode="prompted").encode_prompt([USER("x")])).endswith(tail)


def test_a_template_that_refuses_system_messages_gets_them_before_the_first_question(
    folders: dict[str, Path],
) -> None:
    talk = [SYSTEM("Be brief."), USER(" a "), ASSISTANT("b"), USER("c")]
    codecs = {name: PromptCodec.load(folders[name], mode="prompted") for name in ("gemma2", "gemma3")}
    texts = {name: text_of(codec.encode_prompt(talk)) for name, codec in codecs.items()}
    assert texts["gemma2"] == (
        f"<bos><start_of_turn>user\n{PROMPTED_SYSTEM_PROMPT}\n\nBe brief.\n\n a<end_of_turn>\n"
        "<start_of_turn>model\nb<end_of_turn>\n<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n<think>\n"
    )
    assert texts["gemma3"] == texts["gemma2"].replace("\n\n a<", "\n\na<")  # where its own template does it
    assert not codecs["gemma3"].folds_system
    trained = PromptCodec.load(folders["gemma2"], mode="trained")
    assert text_of(trained.encode_prompt(talk)).startswith(f"<bos><start_of_turn>user\n{SYSTEM_PROMPT}\n\nBe brief.")


def test_the_distilled_r1_models_are_told_in_the_users_turn(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "DeepSeek-R1-Distill-Llama-8B", DEEPSEEK_R1)
    text = text_of(PromptCodec.load(folder).encode_prompt([SYSTEM("Be brief."), USER("x")]))
    assert text.startswith(
        f"<｜begin▁of▁sentence｜><｜User｜>{PROMPTED_SYSTEM_PROMPT}\n\nBe brief.\n\nx<｜Assistant｜>"
    )


def test_a_trained_model_without_a_place_for_system_messages_is_given_none(folders: dict[str, Path]) -> None:
    codec = PromptCodec.load(folders["no place"], mode="trained")
    assert text_of(codec.encode_prompt([SYSTEM("Be brief."), USER("x")])) == "<|user|>x<|end|><|assistant|><think>\n"


def test_the_modes_of_the_settings_reach_the_prompt(folders: dict[str, Path]) -> None:
    where: dict[str, Any] = {"engine": "vllm", "engine_url": ("http://127.0.0.1:9",), "model": "org/any"}
    modes: tuple[tuple[ModeChoice, str], ...] = (
        ("auto", PROMPTED_SYSTEM_PROMPT),
        ("prompted", PROMPTED_SYSTEM_PROMPT),
        ("trained", SYSTEM_PROMPT),
    )
    for mode, told in modes:
        codec = build_codec(Settings(**where, tokenizer=folders["qwen3"], mode=mode))
        assert codec.preset.system_prompt == told


QUESTION = "How much is one pen?"


def brain(prompt: str) -> str:
    """Follows the prompt: asks once, in its reasoning, and closes it."""
    turn = prompt.rpartition("Nora")[2]
    if "<response>" not in turn:
        return f"\nSix pens. I need the price.\n<asking>{QUESTION}</asking>\n"
    return "\nSo 24 in all.\n</think>\n\nShe pays 24 dollars."


class ModelServer(FakeServer):
    """A foreign server with a model that plays `brain`, token by token of the folder's tokenizer."""

    def __init__(self, kind: Kind, folder: Path, eos: str, play: Callable[[str], str] = brain) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        super().__init__(kind, vocab_size=self.tokenizer.get_vocab_size(), max_model_len=4096)
        self.eos, self.play = eos, play

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = self.tokenizer.decode(body["prompt"], skip_special_tokens=False)
        ids = self.tokenizer.encode(self.play(prompt) + self.eos, add_special_tokens=False).ids
        tokens: list[tuple[int, str]] = []
        said = ""
        stopped_by: Any = None
        for k, token in enumerate(ids):
            text = self.tokenizer.decode(ids[: k + 1], skip_special_tokens=False)[len(said) :]
            said += text
            hit = next((s for s in body.get("stop", ()) if s in said), None)
            if hit is not None:  # the ids overrun a stop that ends inside a token; the text does not
                text = text[: len(text) - len(said.partition(hit)[2])]
                stopped_by = hit
            tokens.append((token, text))
            if hit is not None:
                break
        else:
            stopped_by = ids[-1] if self.kind == "sglang" else None
        self.script = Script(tokens, finish="stop", stopped_by=stopped_by)
        return await super()._complete(request)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"tokens": self.tokenizer.encode(body["prompt"], add_special_tokens=False).ids})

    async def _detokenize(self, request: web.Request) -> web.Response:
        text = self.tokenizer.decode((await request.json())["tokens"], skip_special_tokens=False)
        return web.json_response({"prompt" if self.kind == "vllm" else "text": text})


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
@pytest.mark.parametrize(
    "name", ["qwen3", "qwen3-thinking", "deepseek-r1", "gemma2", "llama3", "special tags", "asking tags as tokens"]
)
async def test_an_exchange_is_token_exact(kind: Kind, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    eos = QWEN.eos if name == "special tags" else FAMILIES[name].eos
    async with ModelServer(kind, folders[name], eos).serving() as server:
        settings = Settings(
            engine=kind, engine_url=(server.url,), model="tiny", tokenizer=folders[name], store=tmp_path / "pir.db",
            mode="prompted", secret="s" * 32,
        )  # fmt: skip
        gateway = build_gateway(settings)
        codec = gateway.models["tiny"].codec
        assert codec.regime == {"special tags": "special", "asking tags as tokens": "atomic"}.get(name, "plain")
        talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Nora buys 6 pens."}]
        async with in_process(Desk(gateway, None)) as client:  # type: ignore[arg-type]
            reply = await client.post("/v1/chat/completions", json={"model": "tiny", "messages": talk})
            asked = reply.json()["choices"][0]["message"]
            assert (asked["content"], asked["pir"]["status"]) == (QUESTION, "awaiting_user")
            talk += [{"role": "assistant", "content": QUESTION}, {"role": "user", "content": "4 dollars</response>"}]
            reply = await client.post("/v1/chat/completions", json={"model": "tiny", "messages": talk})
        answered = reply.json()["choices"][0]["message"]
    assert reply.headers["x-pir-resume"] == "hash"
    assert (answered["content"], answered["pir"]["status"]) == ("She pays 24 dollars.", "completed")
    assert asked["pir"].get("malformed") is answered["pir"].get("malformed") is None
    first, second = (body["prompt"] for body in server.bodies if "stop" in body)
    assert second[: len(first)] == first
    asks = f"\nSix pens. I need the price.\n<asking>{QUESTION}</asking>"
    assert codec.decode(second[len(first) :]) == f"{asks}\n<response>4 dollars‹/response›</response>"
    assert codec.decode(first).endswith("<think>\n")


def test_a_start_says_in_which_mode(folders: dict[str, Path], tmp_path: Path) -> None:
    from pir_serve.commands.serve import welcome

    where: dict[str, Any] = {"engine": "vllm", "engine_url": ("http://127.0.0.1:9",), "model": "org/any"}
    where |= {"tokenizer": folders["qwen3"], "store": tmp_path / "pir.db"}
    modes: tuple[ModeChoice, ...] = ("auto", "prompted", "trained")
    said = {mode: welcome(build_gateway(Settings(**where, mode=mode)), 8000) for mode in modes}
    assert "mode prompted: a system prompt tells any to ask" in said["auto"] and "--mode trained" in said["auto"]
    assert "mode prompted" in said["prompted"] and "--mode" not in said["prompted"]
    assert "prompted" not in said["trained"]
