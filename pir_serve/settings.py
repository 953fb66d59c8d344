"""Every knob of the gateway with its default, unit and reason; filled once from `PIR_*` variables and flags.

A field's variable is its name in capitals behind `PIR_`; flags win over variables. Lists are separated by commas. A
variable that names no field is an error: a misspelt knob must not be a silent default.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pir_serve.errors import ConfigError
from pir_serve.presets import ModeChoice
from pir_serve.setting_values import choices_of, read_value

BUILTIN_MODEL = Path(__file__).parent / "builtin" / "pir-tiny"
AUTO_RESPONSE = "No user is available. Use your best judgment: take the most likely reading and go on."
EngineKind = Literal["local", "vllm", "sglang"]
PREFIX = "PIR_"
CONFIG_VARIABLE = "PIR_CONFIG"
"""Names the config file."""
MODELS_PREFIX = "PIR_MODELS__"
"""Of a variable for one of several models: PIR_MODELS__<NAME>__<KEY>."""


def data_dir() -> Path:
    """Where this user's programs keep state; not created here."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pir"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "pir"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pir"


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked on construction. Raises: ConfigError, with what was found and what to do."""

    host: str = "127.0.0.1"
    """Address to listen on. Loopback, because without `api_key` anybody who reaches the port may use the model."""
    port: int = 8000
    """TCP port; vLLM's default, so that copied examples work. 0 picks a free one."""

    engine: EngineKind = "local"
    """`local` runs the model in this process; `vllm` and `sglang` speak to running servers."""
    engine_url: tuple[str, ...] = ()
    """Base addresses of the engine's servers, without `/v1`; empty for `local`."""
    engine_api_key: str | None = None
    """Bearer token for the engine, if it wants one."""
    model: str | None = None
    """`local`: a model's folder (None: the built-in one). Otherwise the name under which the engine serves the
    model."""
    tokenizer: Path | None = None
    """Folder with tokenizer.json and the chat template. None: the model's own folder."""
    model_name: str | None = None
    """Name that clients use. None: the last part of `model`."""
    mode: ModeChoice = "auto"
    """`trained`: the model learnt to ask; `prompted`: a system prompt tells it to. `auto`: trained where the model's
    pir.json or preset says so."""
    threads: int = 1
    """CPU threads of the local engine: 1, because small models are slower on more."""

    store: Path | None = None
    """SQLite file of suspended trajectories. None: pir.db in the user's data folder, so that a restart from anywhere
    finds it."""
    database: str | None = None
    """Address of a PostgreSQL database (`postgresql://user:password@host/name`) in place of `store`: several gateways
    share it, and `secret`."""
    secret: str | None = None
    """Keys the hashes and sealed state that find a suspension again. None: made once and kept beside the store (mode
    600)."""
    ttl_s: float = 86_400.0
    """Seconds a suspension waits for its user: a day, so that "tomorrow morning" still resumes."""

    keep_s: float = 2_592_000.0
    """Seconds that finished reasoning and objects of the Responses API are kept: 30 days, as at OpenAI. 0: finished
    reasoning is not kept at all."""

    api_key: tuple[str, ...] = ()
    """Keys that clients may use (`Authorization: Bearer`); each is a tenant of its own. None: everybody, on loopback
    only."""
    requests_per_minute: int | None = None
    """POST requests of one key, where it has no limit of its own (`pir keys create`). None: any number."""
    tokens_per_minute: int | None = None
    """Prompt and completion tokens of one key, likewise."""
    max_streams: int | None = None
    """Replies generated for one key at a time, likewise."""
    max_stored: int = 10_000
    """Trajectories, and objects of the Responses API, kept of one tenant; the oldest go first."""
    seal_key: tuple[str, ...] = ()
    """Secrets that encrypt what is stored: the first encrypts, all decrypt, so that one can be replaced (`pir store
    reseal`). None: stored as it is."""
    ask: str = "auto"
    """When asking is allowed unless a request says otherwise: `auto`, `never`, `max=N` or N."""
    max_asks: int = 16
    """Loop guard: asks of one trajectory, answered by whom ever, before it ends as incomplete. The paper's runs stay
    below 10."""
    temperature: float | None = None
    """Of requests that say nothing of their own. None: what the model's preset says, else 1."""
    top_p: float | None = None
    """Likewise."""
    top_k: int | None = None
    """Likewise. None: what the engine does."""
    max_tokens: int | None = None
    """Tokens that the model may write in a reply, reasoning included, of requests that say nothing. None: what the
    model's preset says."""
    auto_response: str = AUTO_RESPONSE
    """What answers an ask where asking is not allowed."""
    screen: Path | None = None
    """TOML file that changes and adds rules of the question screen (`pir_serve.screening.config`). None: the built-in
    rules."""
    gate_nats: float | None = None
    """Predictive entropy of a reasoning step, in nats a token, above which the model is made to ask. None: never; what
    is much differs from model to model, and models that learnt to ask need no gate."""
    gate_max: int = 2
    """Questions of one reasoning that the gate may open: a model that was never taught to ask repeats itself soon."""
    ask_via: Literal["auto", "content", "tool"] = "auto"
    """How a question comes to a client that offers a question tool: `auto` and `tool` as a call of it, where it can
    carry the question; `content` as text."""
    tools: Literal["auto", "pass", "ask_only", "strip"] = "auto"
    """What becomes of a request's other tools. `pass`: the model sees and calls them, where its chat template's way to
    write calls is known; `ask_only`: it does not, and the reply says so; `strip`: nor is the question tool used.
    `auto`: `pass` where that is known, else `ask_only`."""
    strict_resume: bool = False
    """Whether a session id that is gone is refused (400) instead of rebuilt from the visible text."""

    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """Name of the one reasoning field in replies: `reasoning_content` is read by every stock client, vLLM's
    `reasoning` by most."""
    show_reasoning: Literal["full", "none"] = "full"
    """Whether reasoning is sent to clients at all."""
    keepalive_s: float = 10.0
    """Seconds of silence after which a stream gets a comment line: below the 15-30 s at which common proxies give
    up."""
    max_body_bytes: int = 4 * 1024 * 1024
    """Largest request body: a 128k-token history with room to spare."""
    shutdown_s: float = 10.0
    """Seconds that running replies may take to finish after Ctrl-C or SIGTERM."""
    workers: int = 1
    """Processes that serve the port, each with its own engine connections (`local`: its own copy of the model). One
    streams some thousands of tokens a second; they share the store, so a conversation may go from one to another."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of our own log lines; what people wrote is never in them."""
    log_format: Literal["text", "json"] = "text"
    """`json`: one object a line, for log collectors."""
    traces: bool = False
    """Whether OpenTelemetry traces are made (extra `otel`); where they go, the standard OTEL_* variables say."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65_535),
            ("threads", 1, 1_024),
            ("workers", 1, 256),
            ("ttl_s", 1, 10 * 365 * 86_400),
            ("keep_s", 0, 10 * 365 * 86_400),
            ("max_asks", 0, 1_000),
            ("gate_max", 0, 1_000),
            ("keepalive_s", 0.01, 3_600),
            ("max_body_bytes", 1_024, 1 << 30),
            ("shutdown_s", 0, 3_600),
            ("max_stored", 1, 1_000_000_000),
            ("requests_per_minute", 1, 1_000_000_000),
            ("tokens_per_minute", 1, 1_000_000_000),
            ("max_streams", 1, 1_000_000),
            ("temperature", 0, 2),
            ("top_p", 0.001, 1),
            ("top_k", 1, 1_000_000_000),
            ("max_tokens", 1, 1_000_000_000),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} is {value}; it must lie between {low} and {high}")
        if self.gate_nats is not None and not 0 <= self.gate_nats <= 100:
            raise ConfigError(f"gate_nats is {self.gate_nats}; it must lie between 0 and 100 nats")
        for field in dataclasses.fields(self):
            choices = choices_of(field_types()[field.name])
            if choices and getattr(self, field.name) not in choices:
                raise ConfigError(
                    f"{field.name} is {getattr(self, field.name)!r}; it must be one of {', '.join(choices)}"
                )
        if not re.fullmatch(r"auto|never|(max=)?[0-9]{1,4}", self.ask):
            raise ConfigError(f"ask is {self.ask!r}; it must be auto, never, max=N or N")
        if not self.auto_response.strip():
            raise ConfigError("auto_response is empty; it must say how the model should go on without a user")
        self._check_engine()
        if any(len(key) < 8 for key in self.api_key):
            raise ConfigError("an API key is shorter than 8 characters; use a long random string")
        if self.database is not None and self.store is not None:
            raise ConfigError("store and database are both set; the one is a file, the other its replacement")
        if self.database is not None and self.secret is None:
            raise ConfigError("a database is shared by several gateways, and so must their secret be: set PIR_SECRET")
        if any(len(key) < 16 for key in self.seal_key):
            raise ConfigError("a seal_key is shorter than 16 characters; use a long random string")

    def _check_engine(self) -> None:
        if self.engine == "local":
            if self.engine_url:
                raise ConfigError(
                    "engine local runs in this process and takes no engine_url; did you mean --engine vllm?"
                )
            return
        if not self.engine_url:
            raise ConfigError(
                f"engine {self.engine} needs the address of its server: --engine-url http://127.0.0.1:8001"
            )
        for url in self.engine_url:
            if not url.startswith(("http://", "https://")):
                raise ConfigError(f"engine_url {url!r} must start with http:// or https://")
        if not self.model:
            raise ConfigError(f"engine {self.engine} needs --model: the name under which it serves the model")

    @property
    def name(self) -> str:
        """The model's public name."""
        return self.model_name or (Path(self.model).name or self.model if self.model else BUILTIN_MODEL.name)

    @property
    def sampling(self) -> dict[str, float | int]:
        """What a request that says nothing of its own goes by, in the words of `TurnRequest.options`; where it is
        set."""
        values = {key: getattr(self, key) for key in ("temperature", "top_p", "top_k", "max_tokens")}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def model_dir(self) -> Path | None:
        """Folder of the model's files on this machine, if there is one."""
        if self.model is None:
            return BUILTIN_MODEL
        path = Path(self.model).expanduser()
        return path if path.is_dir() else None

    @property
    def tokenizer_dir(self) -> Path:
        """Raises: ConfigError, when none is known."""
        found = self.tokenizer or self.model_dir
        if found is None:
            raise ConfigError(
                f"the tokenizer of {self.model} is needed here to build exact prompts, but {self.model!r} is no "
                "folder on this machine: pass --tokenizer DIR with the model's tokenizer.json and chat template"
            )
        if found == BUILTIN_MODEL and not found.is_dir():
            raise ConfigError(f"the built-in model is missing from {found}: reinstall, or let `pir train tiny` make it")
        if not (found / "tokenizer.json").is_file():
            raise ConfigError(f"{found} has no tokenizer.json; pass --tokenizer with a folder that has one")
        return found

    @property
    def store_path(self) -> Path:
        return (self.store or data_dir() / "pir.db").expanduser()

    @property
    def store_name(self) -> str:
        """For people; without a password."""
        return "PostgreSQL" if self.database is not None else str(self.store_path)

    @property
    def secret_path(self) -> Path:
        """Where the secret is kept when none is given."""
        return self.store_path.with_name(self.store_path.name + ".secret")

    @classmethod
    def from_env(cls, env: Mapping[str, str], file: Mapping[str, Any] | None = None, **flags: Any) -> Settings:
        """Settings from what a `file` says, `PIR_*` variables and `flags`; the later win, where flags are not None (or
        empty tuples). The variables that `pir_serve.config` reads are left alone.

        Raises:
            ConfigError: an unknown `PIR_*` variable or a value that cannot be read.
        """
        hints = field_types()
        values = dict(file or {})
        for key, text in env.items():
            if not key.startswith(PREFIX) or key == CONFIG_VARIABLE or key.startswith(MODELS_PREFIX):
                continue
            name = key.removeprefix(PREFIX).lower()
            if name not in hints:
                near = difflib.get_close_matches(name, hints, n=1, cutoff=0.5)
                hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else "; see `pir serve --help`"
                raise ConfigError(f"{key} is not a setting{hint}")
            values[name] = read_value(key, text, hints[name])
        for name, value in flags.items():
            if name not in hints:
                raise ConfigError(f"{name} is not a setting")
            if value is not None and value != ():
                values[name] = value
        return cls(**values)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def field_types() -> dict[str, Any]:
    """Of `Settings`, by name."""
    return typing.get_type_hints(Settings)
