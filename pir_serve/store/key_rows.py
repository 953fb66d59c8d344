"""API keys as rows: hashes, whom they let in, and what those may use."""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pir_serve.access.keys import ApiKey, Limits
from pir_serve.store.connection import Lanes

_COLUMNS = ("id", "hash", "tenant", "name", "limits", "created", "revoked")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM api_keys"
_INSERT = f"INSERT INTO api_keys ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class KeyRows:
    """`ApiKeys`."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def put(self, key: ApiKey) -> None:
        limits = json.dumps({name: value for name, value in asdict(key.limits).items() if value is not None})
        row = (key.id, key.hash, key.tenant, key.name, limits, key.created, key.revoked)
        await self._lanes.write(lambda db: db.execute(_INSERT, row).rowcount)

    async def find(self, hash: str) -> ApiKey | None:
        sql = f"{_SELECT} WHERE hash = ? AND revoked IS NULL"
        found = await self._lanes.read(lambda db: db.execute(sql, (hash,)).fetchone())
        return None if found is None else _key(found)

    async def list(self) -> builtins.list[ApiKey]:
        found = await self._lanes.read(lambda db: db.execute(f"{_SELECT} ORDER BY created, id").fetchall())
        return [_key(row) for row in found]

    async def revoke(self, key_id: str, now: float) -> bool:
        sql = "UPDATE api_keys SET revoked = ? WHERE id = ? AND revoked IS NULL"
        return await self._lanes.write(lambda db: db.execute(sql, (now, key_id)).rowcount > 0)

    async def any(self) -> bool:
        return await self._lanes.read(lambda db: db.execute("SELECT 1 FROM api_keys LIMIT 1").fetchone() is not None)


def _key(row: Sequence[Any]) -> ApiKey:
    key_id, hashed, tenant, name, limits, created, revoked = row
    return ApiKey(key_id, hashed, tenant, name, Limits.read(json.loads(limits)), created, revoked)
