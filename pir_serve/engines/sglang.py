"""SGLang's dialect of the completions door. Measured on 0.5.23.

Three traps of that server shape this file: /health generates a token each time, ids outside the vocabulary kill the
process, and prompts must stay a few tokens below the context length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pir_serve.engines.base import LegRequest
from pir_serve.engines.completions import CompletionsEngine, log
from pir_serve.errors import ConfigError, EngineError


class SglangEngine(CompletionsEngine):
    kind: ClassVar[str] = "sglang"
    health_path: ClassVar[str] = "/ready"

    _priority: tuple[int, int] | None = None
    """Of interactive and other legs, where the server schedules by priority; None where it does not."""

    async def _learn_limits(self) -> None:
        entry = (await self._served_models())[self.model]
        try:
            info = await self._call("GET", "/server_info")
            limits = [
                entry.get("max_model_len"),
                info.get("context_length"),
                info.get("max_total_num_tokens"),
                info["max_req_input_len"],  # prompts must be shorter than this
            ]
        except (EngineError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.name} has no usable /server_info ({error}); is it SGLang?") from error
        self.max_model_len = min(limit for limit in limits if limit)
        if info.get("enable_priority_scheduling"):
            self._priority = (-1, 0) if info.get("schedule_low_priority_values_first") else (1, 0)
        if self.vocab_size is None:
            self.vocab_size = _vocab_size(info.get("model_path"))
        if self.vocab_size is None:
            log.warning("%s: the vocabulary size is unknown; an id outside it would kill the server", self.name)

    def _dialect(self, request: LegRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {"no_stop_trim": True}
        if request.request_id:
            fields["rid"] = self._upstream_id(request)
        if self._priority is not None:
            fields["priority"] = self._priority[0 if request.interactive else 1]
        return fields


def _vocab_size(model_path: object) -> int | None:
    """From the checkpoint's config.json, where server and gateway share a file system."""
    try:
        config = json.loads((Path(str(model_path)) / "config.json").read_text(encoding="utf-8"))
        return int(config["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
