"""Every exception a caller of this package can meet, and the HTTP status and OpenAI error code of each.

PirError
├── RequestError         the client's doing; 4xx
│   ├── UnknownModel            404 model_not_found
│   ├── ResponseNotFound        404 response_not_found
│   ├── NotAwaitingUser         400 not_awaiting_user
│   ├── SuspensionNotFound      400 previous_response_not_found
│   ├── ContextLengthExceeded   400 context_length_exceeded
│   ├── SessionNotFound         404 session_not_found
│   ├── ReasoningHidden         403 reasoning_hidden
│   ├── Unauthorized            401 invalid_api_key
│   ├── Forbidden               403 forbidden
│   ├── RateLimited             429 rate_limit_exceeded
│   └── Unsupported             400 unsupported_value
├── EngineError          what turns prompts into tokens failed
│   ├── EngineUnavailable       503 engine_unavailable; nothing was produced
│   │   └── EngineBusy          503 engine_busy; it is well, but takes no more for now
│   ├── EngineRejected          502 engine_rejected; the engine refused our request
│   │   └── EngineMisconfigured 502 engine_misconfigured; whatever the request: our key, or no such model there
│   └── EngineProtocolError     502 engine_protocol_error; its reply made no sense
├── StoreError           503 store_unavailable
└── ConfigError          wrong settings or files; never reaches HTTP: the process says so and exits 2
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class PirError(Exception):
    """Base of all. `status`, `code` and `kind` make the HTTP reply (see `body`)."""

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str | None = None
    kind: str = "server_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self) -> dict[str, Any]:
        """OpenAI's error body."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


class RequestError(PirError):
    status = HTTPStatus.BAD_REQUEST
    kind = "invalid_request_error"


class UnknownModel(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "model_not_found"


class ResponseNotFound(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "response_not_found"


class NotAwaitingUser(RequestError):
    code = "not_awaiting_user"


class SuspensionNotFound(RequestError):
    code = "previous_response_not_found"


class SessionNotFound(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "session_not_found"


class ReasoningHidden(RequestError):
    status = HTTPStatus.FORBIDDEN
    code = "reasoning_hidden"


class ContextLengthExceeded(RequestError):
    code = "context_length_exceeded"


class Unauthorized(RequestError):
    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_api_key"


class Forbidden(RequestError):
    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class RateLimited(RequestError):
    """A limit of the caller's key. `kind` says which, as OpenAI does: `requests`, `tokens`; and `streams`."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, kind: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Unsupported(RequestError):
    code = "unsupported_value"


class EngineError(PirError):
    status = HTTPStatus.BAD_GATEWAY
    kind = "engine_error"


class EngineUnavailable(EngineError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "engine_unavailable"


class EngineBusy(EngineUnavailable):
    code = "engine_busy"


class EngineRejected(EngineError):
    code = "engine_rejected"


class EngineMisconfigured(EngineRejected):
    code = "engine_misconfigured"


class EngineProtocolError(EngineError):
    code = "engine_protocol_error"


class StoreError(PirError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "store_unavailable"


class ConfigError(PirError):
    code = "config_error"
