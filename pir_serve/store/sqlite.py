"""The store in an SQLite file, which several gateway processes of one machine may share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pir_serve.store.lanes import SqliteLanes
from pir_serve.store.owner import FileOwner
from pir_serve.store.schema import MEMORY
from pir_serve.store.sealed import Sealer
from pir_serve.store.sql import SqlStore


class SqliteStore(SqlStore):
    """`Store` in the file `path` (":memory:" for a store that dies with its process); the rest as `SqlStore`."""

    def __init__(
        self,
        path: Path | str,
        *,
        sealer: Sealer | None = None,
        max_per_tenant: int = 10_000,
        busy_timeout_s: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        file = None if str(path) == MEMORY else Path(path)
        super().__init__(
            SqliteLanes(str(path), busy_timeout_s=busy_timeout_s),
            lambda: FileOwner(file),
            sealer=sealer,
            max_per_tenant=max_per_tenant,
            now=now,
        )
