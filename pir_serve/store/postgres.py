"""The store in a PostgreSQL database, which gateways on several hosts share."""

from __future__ import annotations

import time
from collections.abc import Callable

from pir_serve.errors import ConfigError
from pir_serve.store.sealed import Sealer
from pir_serve.store.sql import SqlStore

SCHEMA = "pir"


class PostgresStore(SqlStore):
    """`Store` in the schema `schema` of the database at `address` (`postgresql://user:password@host/database`), which
    is created if it is not there; the rest as `SqlStore`.

    Not through a pooler that takes connections away between transactions (pgbouncer's transaction mode): which process
    still runs is told by locks of its session.

    Raises:
        ConfigError: the extra `postgres` is not installed, or that is no address.
    """

    def __init__(
        self,
        address: str,
        *,
        schema: str = SCHEMA,
        sealer: Sealer | None = None,
        max_per_tenant: int = 10_000,
        timeout_s: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`timeout_s`: for each operation; a reply waits meanwhile, and then goes without the store."""
        try:
            from pir_serve.store.postgres_lanes import PostgresLanes, PostgresOwner, checked
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"a PostgreSQL store needs the Python module {error.name}: pip install 'pir-serve[postgres]'"
            ) from None
        address = checked(address)
        super().__init__(
            PostgresLanes(address, schema, timeout_s=timeout_s),
            lambda: PostgresOwner(address),
            sealer=sealer,
            max_per_tenant=max_per_tenant,
            now=now,
        )
