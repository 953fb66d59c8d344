"""A compact Llama-family forward pass for small checkpoints on a CPU: fused weights, plain matmul attention, no
autograd.

It knows nothing of requests. `Decoder.forward` runs any flat run of tokens; where their keys and values live, and
which of them each token may see, is the business of the `attend` callback (`kv.py`). Against transformers' own
forward of the same checkpoint greedy ids are identical and log-probabilities agree within 1e-4
(tests/serve/engines/test_decoder.py).

Norm weights are folded into the matrices that follow them, the attention scale into the query projection, and each
head's rotary pairs are laid side by side so that one complex multiplication rotates them. All three leave the
function unchanged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pir_serve.errors import ConfigError

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q (T, heads, head_dim), k and v (T, kv_heads, head_dim)) -> (T, heads * head_dim); stores k and v on the
way.
"""

_FAMILIES = ("llama", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The part of a checkpoint's config.json that shapes the forward pass."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_len: int
    rope_theta: float
    norm_eps: float
    eos_ids: tuple[int, ...]

    @classmethod
    def load(cls, directory: Path) -> DecoderConfig:
        """Read config.json and, for the EOS ids, generation_config.json.

        Raises:
            ConfigError: a missing file, or an architecture that this decoder does not compute.
        """
        raw = _read_json(directory / "config.json")
        _refuse_unsupported(raw, directory)
        rope = raw.get("rope_parameters") or {}
        heads = raw["num_attention_heads"]
        generation = directory / "generation_config.json"
        eos = _read_json(generation).get("eos_token_id") if generation.exists() else None
        eos = raw.get("eos_token_id") if eos is None else eos
        return cls(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            num_layers=raw["num_hidden_layers"],
            num_heads=heads,
            num_kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            max_len=raw["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0),
            norm_eps=float(raw["rms_norm_eps"]),
            eos_ids=() if eos is None else tuple(eos) if isinstance(eos, list) else (eos,),
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        needed = "config.json, model.safetensors and tokenizer.json"
        raise ConfigError(f"{path} is missing; a checkpoint directory has {needed}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    return loaded


def _refuse_unsupported(raw: dict[str, Any], directory: Path) -> None:
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    layer_types = set(raw.get("layer_types") or ["full_attention"])
    faults = []
    if raw.get("model_type") not in _FAMILIES:
        faults.append(f"model_type {raw.get('model_type')!r} (known: {', '.join(_FAMILIES)})")
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        faults.append(f"rope scaling {rope}")
    if raw.get("use_sliding_window") or layer_types != {"full_attention"}:
        faults.append("sliding-window attention")
    if raw.get("hidden_act", "silu") != "silu":
        faults.append(f"hidden_act {raw['hidden_act']!r}")
    if raw.get("quantization_config"):
        faults.append("quantised weights")
    if faults:
        found = "; ".join(faults)
        raise ConfigError(f"the local engine cannot run {directory}: {found}. Serve it with vLLM or SGLang instead")


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Tensor
    """(hidden, (heads + 2 kv_heads) * head_dim), input norm and attention scale folded in."""
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    """(heads + kv_heads, head_dim): Qwen3's per-head norm weights; None elsewhere."""
    out: Tensor
    gate_up: Tensor
    down: Tensor


class Decoder:
    """Weights and forward pass. Not thread safe only in that torch's thread count belongs to the calling thread."""

    def __init__(self, config: DecoderConfig, weights: dict[str, Tensor]) -> None:
        """`weights` carries transformers' names; any float type, computed in float32."""
        self.config = config
        take = _Taker(weights)
        self._embed = take("model.embed_tokens.weight")
        head = take.maybe("lm_head.weight")
        norm = take("model.norm.weight")
        self._head = ((self._embed if head is None else head) * norm).T.contiguous()
        self._layers = [_fuse_layer(config, take, f"model.layers.{i}.") for i in range(config.num_layers)]
        self._rotations = _rotations(config)
        self._eps = torch.tensor(config.norm_eps)

    @classmethod
    def load(cls, directory: Path) -> Decoder:
        """Raises: ConfigError: files are missing, unreadable or do not fit the config."""
        config = DecoderConfig.load(directory)
        weights: dict[str, Tensor] = {}
        files = sorted(directory.glob("model*.safetensors"))
        if not files:
            raise ConfigError(f"{directory} has no model.safetensors")
        for file in files:
            weights.update(load_file(file))
        return cls(config, weights)

    def forward(self, ids: Tensor, positions: Tensor, attend: Attend, last: Tensor | None = None) -> Tensor:
        """Logits (R, vocab) of the tokens at the indexes `last` (R,), or of all of them.

        Args:
            ids: (T,) token ids, of any number of sequences laid end to end.
            positions: (T,) the place of each in its own sequence.
        """
        c = self.config
        num_qk = c.num_heads + c.num_kv_heads
        x = self._embed.index_select(0, ids)
        rotation = self._rotations.index_select(0, positions).unsqueeze(1)
        for number, layer in enumerate(self._layers):
            h = self._normalise(x)
            qkv = h @ layer.qkv if layer.qkv_bias is None else torch.addmm(layer.qkv_bias, h, layer.qkv)
            heads = qkv.view(-1, num_qk + c.num_kv_heads, c.head_dim)
            qk = heads[:, :num_qk]
            if layer.qk_norm is not None:
                qk = self._normalise(qk) * layer.qk_norm
            pairs = torch.view_as_complex(qk.unflatten(-1, (-1, 2)))
            qk = torch.view_as_real(pairs * rotation).flatten(-2)
            attended = attend(number, qk[:, : c.num_heads], qk[:, c.num_heads :], heads[:, num_qk:])
            x = torch.addmm(x, attended, layer.out)
            gate, up = (self._normalise(x) @ layer.gate_up).chunk(2, dim=-1)
            x = torch.addmm(x, torch.nn.functional.silu(gate).mul_(up), layer.down)
        if last is not None:
            x = x.index_select(0, last)
        return self._normalise(x) @ self._head

    def _normalise(self, x: Tensor) -> Tensor:
        """RMS norm without weight; four small kernels where torch's own takes twice as long at these sizes."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self._eps, length, length, value=1.0 / x.shape[-1]).rsqrt_()


class _Taker:
    """Weights by name, as float32."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights

    def maybe(self, name: str) -> Tensor | None:
        weight = self._weights.get(name)
        return None if weight is None else weight.float()

    def __call__(self, name: str) -> Tensor:
        weight = self.maybe(name)
        if weight is None:
            raise ConfigError(f"the checkpoint has no weight named {name}")
        return weight


def _fuse_layer(config: DecoderConfig, take: _Taker, prefix: str) -> _Layer:
    order = torch.arange(config.head_dim).view(2, -1).T.reshape(-1)  # rotary pairs (i, i + head_dim/2) side by side
    scale = 1.0 / math.sqrt(config.head_dim)

    def paired(weight: Tensor) -> Tensor:
        """(heads * head_dim, ...) with each head's rows in rotary order."""
        return weight.unflatten(0, (-1, config.head_dim))[:, order].flatten(0, 1)

    attention, mlp = prefix + "self_attn.", prefix + "mlp."
    q_norm, k_norm = take.maybe(attention + "q_norm.weight"), take.maybe(attention + "k_norm.weight")
    qk_norm = None
    if q_norm is not None and k_norm is not None:
        qk_norm = torch.stack([q_norm[order] * scale] * config.num_heads + [k_norm[order]] * config.num_kv_heads)
        scale = 1.0  # the norm would undo a scale folded into the projection
    q, k, v = (take(f"{attention}{name}_proj.weight") for name in "qkv")
    before = take(prefix + "input_layernorm.weight")
    biases = [take.maybe(f"{attention}{name}_proj.bias") for name in "qkv"]
    bias = None
    if biases[0] is not None and biases[1] is not None and biases[2] is not None:
        bias = torch.cat([paired(biases[0]) * scale, paired(biases[1]), biases[2]])
    if take.maybe(attention + "o_proj.bias") is not None or take.maybe(mlp + "up_proj.bias") is not None:
        raise ConfigError("the local engine cannot run checkpoints with output or MLP biases")
    gate_up = torch.cat([take(mlp + "gate_proj.weight"), take(mlp + "up_proj.weight")])
    return _Layer(
        qkv=(torch.cat([paired(q) * scale, paired(k), v]) * before).T.contiguous(),
        qkv_bias=bias,
        qk_norm=qk_norm,
        out=take(attention + "o_proj.weight").T.contiguous(),
        gate_up=(gate_up * take(prefix + "post_attention_layernorm.weight")).T.contiguous(),
        down=take(mlp + "down_proj.weight").T.contiguous(),
    )


def _rotations(config: DecoderConfig) -> Tensor:
    """(max_len, head_dim / 2) unit complex numbers: position times frequency as an angle."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(config.max_len, dtype=torch.float32), config.rope_theta**-exponents)
    return torch.polar(torch.ones_like(angles), angles)
