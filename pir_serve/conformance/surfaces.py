"""The surfaces that the suite knows. One more is one more adapter here, to which the same checks apply."""

from __future__ import annotations

from collections.abc import Mapping

from pir_serve.conformance.chat import Chat, ChatTool
from pir_serve.conformance.responses import Responses, ResponsesTool
from pir_serve.conformance.responses_background import ResponsesBackground
from pir_serve.conformance.responses_socket import ResponsesSocket
from pir_serve.conformance.surface import Surface

_ALL: tuple[Surface, ...] = (
    Chat(), ChatTool(), Responses(), ResponsesTool(), ResponsesBackground(), ResponsesSocket(),
)  # fmt: skip
SURFACES: Mapping[str, Surface] = {surface.name: surface for surface in _ALL}
