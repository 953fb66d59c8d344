"""A suspension as text that the client keeps for us: resuming takes no database, and only the tenant it was sealed for
can use it.

About 25 KB for a reasoning of 4,000 tokens with log-probabilities; the trajectory comes back exactly.
"""

from __future__ import annotations

import logging

from pir_serve.store import codec
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import Sealer
from pir_serve.trajectory import Status

logger = logging.getLogger(__name__)

_FIELDS = ("scope", "model", "request", "question_key", "message_keys", "system_key", "parent", "created")
"""Of the suspension, beside the trajectory and what the claims say."""


def seal_suspension(sealer: Sealer, suspension: Suspension) -> str | None:
    """None where it is too large (`sealed.MAX_STATE_CHARS`): such a one can only be kept in a store."""
    assert suspension.status is Status.AWAITING_USER
    return sealer.seal_state(
        codec.dump(suspension.trajectory, {name: getattr(suspension, name) for name in (*_FIELDS, "trace")}),
        sid=suspension.sid,
        tenant=suspension.tenant,
        digest=suspension.digest,
        transcript_key=suspension.transcript_key,
        expires=suspension.expires,
    )


def open_suspension(sealer: Sealer, sealed: object, *, tenant: str, digest: str) -> Suspension | None:
    """What was sealed for this tenant and model and has not expired; None of anything else, whatever it is.

    `expires` comes back in whole seconds.
    """
    state = sealer.open_state(sealed, tenant=tenant, digest=digest)
    if state is None:
        return None
    try:
        trajectory, extra = codec.load(state.data)
        fields = (
            {name: extra[name] for name in _FIELDS}
            | {"trace": extra.get("trace", "")}
            | {"message_keys": tuple(extra["message_keys"])}
        )
    except (codec.CodecError, KeyError, TypeError) as error:  # ours, but of a newer version
        logger.info("sealed state ignored: %s", error)
        return None
    return Suspension(
        sid=state.claims.sid,
        tenant=tenant,
        digest=digest,
        trajectory=trajectory,
        transcript_key=state.claims.transcript_key,
        expires=state.claims.expires,
        **fields,
    )
