"""PostgreSQL's tables, and the steps that bring older ones up to date. The same columns as in `schema`."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from pir_serve.errors import ConfigError

_CREATE = """
CREATE TABLE nodes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL, sid text NOT NULL, status text NOT NULL,
    transcript_key text NOT NULL, question_key text NOT NULL, system_key text NOT NULL,
    scope text NOT NULL, session text NOT NULL, model text NOT NULL, digest text NOT NULL, parent text,
    created double precision NOT NULL, expires double precision NOT NULL,
    brief bytea, payload bytea NOT NULL,
    UNIQUE (tenant, sid)
);
CREATE INDEX nodes_by_session ON nodes (tenant, session, seq, expires);
CREATE INDEX nodes_by_status ON nodes (tenant, status);
CREATE INDEX nodes_by_expiry ON nodes (expires);
CREATE INDEX nodes_newest ON nodes (tenant, seq);
CREATE INDEX waiting_by_transcript_key ON nodes (tenant, transcript_key) WHERE status = 'awaiting_user';
CREATE INDEX waiting_by_question_key ON nodes (tenant, question_key) WHERE status = 'awaiting_user';
CREATE TABLE titles (
    tenant text NOT NULL, session text NOT NULL, title bytea NOT NULL, PRIMARY KEY (tenant, session)
);
CREATE FUNCTION end_title() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM titles WHERE tenant = old.tenant AND session = old.session AND NOT EXISTS (
        SELECT 1 FROM nodes WHERE tenant = old.tenant AND session = old.session
    );
    RETURN NULL;
END $$;
CREATE TRIGGER titles_end AFTER DELETE ON nodes FOR EACH ROW EXECUTE FUNCTION end_title();
CREATE TABLE responses (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL, id text NOT NULL, status text NOT NULL, owner text, reason text,
    created double precision NOT NULL, expires double precision NOT NULL, payload bytea NOT NULL,
    UNIQUE (tenant, id)
);
CREATE INDEX responses_by_expiry ON responses (expires);
CREATE INDEX responses_running ON responses (owner) WHERE owner IS NOT NULL;
CREATE TABLE response_events (
    response bigint NOT NULL REFERENCES responses (seq) ON DELETE CASCADE,
    first bigint NOT NULL, count bigint NOT NULL, events bytea NOT NULL, PRIMARY KEY (response, first)
);
CREATE TABLE api_keys (
    id text PRIMARY KEY, hash text NOT NULL UNIQUE, tenant text NOT NULL, name text NOT NULL, limits text NOT NULL,
    created double precision NOT NULL, revoked double precision
);
"""
_CREATE_TALLIES = """
CREATE UNLOGGED TABLE tallies (owner text PRIMARY KEY, at double precision NOT NULL, body text NOT NULL);
"""
MIGRATIONS: tuple[str, ...] = (_CREATE, _CREATE_TALLIES)
"""Forward only, and never edited once released; `schema_version` holds how many of them a database has seen."""


def prepare(connection: Any, schema: str) -> None:
    """Create or migrate; several processes may do so at once.

    Raises:
        ConfigError: a newer version wrote it.
        psycopg.Error
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"pir schema {schema}",))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version int NOT NULL)")
        found = connection.execute("SELECT version FROM schema_version").fetchone()
        version = found[0] if found else 0
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"the database was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
                "upgrade, or give the store another database"
            )
        for step in MIGRATIONS[version:]:
            connection.execute(step)
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (%s)", (len(MIGRATIONS),))
