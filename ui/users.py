"""Who may use the page, and with which key of the gateway: everybody with one key, or people who log in."""

from __future__ import annotations

import hmac
import tomllib
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from ui.client import Gateway


class UsersError(Exception):
    """The file of users cannot be used; the text says why."""


class Users:
    """Hands out one `Gateway` a person. People with different keys see nothing of each other: the gateway sees to it."""

    def __init__(
        self, base_url: str, api_key: str | None, accounts: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """`accounts`: password and gateway key by name; None lets everybody in, with `api_key`."""
        self._accounts = accounts
        self._shared = Gateway(base_url, api_key)
        self._gateways = {name: Gateway(base_url, key) for name, (_, key) in (accounts or {}).items()}

    @property
    def must_log_in(self) -> bool:
        return self._accounts is not None

    def knows(self, name: str, password: str) -> bool:
        account = (self._accounts or {}).get(name)
        given, right = password.encode(), (account[0] if account else "").encode()
        return hmac.compare_digest(given, right) and account is not None

    def gateway_of(self, request: gr.Request) -> Gateway:
        if self._accounts is None:
            return self._shared
        return self._gateways[str(request.username)]


def read_accounts(path: Path) -> dict[str, tuple[str, str]]:
    """Password and key by name, of a TOML file: `[ann]`, `password = "..."`, `api_key = "..."`.

    Raises:
        UsersError
    """
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsersError(f"{path} cannot be read: {error}") from None
    accounts = {}
    for name, entry in data.items():
        password, key = (entry.get("password"), entry.get("api_key")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(password, str) and password and isinstance(key, str) and key):
            raise UsersError(f'{path}: [{name}] needs password = "..." and api_key = "..."')
        accounts[name] = (password, key)
    if not accounts:
        raise UsersError(f"{path} has no users; each is a table: [ann] with password and api_key")
    return accounts
