"""vLLM's dialect of the completions door. Measured on 0.32; needs a version that knows `return_token_ids`."""

from __future__ import annotations

from typing import Any, ClassVar

from pir_serve.engines.base import LegRequest
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.errors import ConfigError


class VllmEngine(CompletionsEngine):
    """Also what stands in front of vLLM and forwards id prompts unchanged, such as vllm-router."""

    kind: ClassVar[str] = "vllm"
    health_path: ClassVar[str] = "/health"

    async def _learn_limits(self) -> None:
        entry = (await self._served_models())[self.model]
        limit = entry.get("max_model_len")
        if not isinstance(limit, int):
            raise ConfigError(f"{self.name} does not tell max_model_len in /v1/models; is it vLLM?")
        self.max_model_len = limit

    def _dialect(self, request: LegRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "include_stop_str_in_output": True,
            "spaces_between_special_tokens": False,
            # Effective only with --scheduling-policy priority, where lower is sooner.
            "priority": -1 if request.interactive else 0,
        }
        if request.logprobs:
            fields["return_tokens_as_token_ids"] = True  # spares the server decoding each once more
        if request.stream_interval > 1:
            fields["stream_interval"] = request.stream_interval
        return fields
