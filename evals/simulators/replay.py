"""A user who says again what one said in a recorded run: the same asks get the same responses, anything else is an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from evals.rows import Transcript
from evals.simulators.base import Exchange, Intent, Response, ResponseKind, SimulatorError


@dataclass(frozen=True, slots=True)
class ReplayUser:
    """Responses by row, number of earlier exchanges and ask."""

    recorded: Mapping[tuple[str, int, str], Response]
    digest: str
    """sha256 of the file, so that runs over different recordings are told apart."""

    @classmethod
    def load(cls, path: Path) -> ReplayUser:
        """From a run's `transcripts.jsonl`; where a row was played more than once, the first response counts.

        Raises:
            ValueError: no such file, or a line that is no transcript.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read the recorded transcripts: {error}") from error
        recorded: dict[tuple[str, int, str], Response] = {}
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                transcript = Transcript.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number} is no transcript: {error}") from error
            for place, turn in enumerate(transcript.turns):
                kind: ResponseKind = turn.kind if turn.kind in get_args(ResponseKind) else "answer"  # type: ignore[assignment]
                response = Response(turn.response, turn.disclosed, kind)
                recorded.setdefault((transcript.row_id, place, turn.ask), response)
        return cls(recorded, sha256(content).hexdigest())

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        response = self.recorded.get((intent.row_id, len(history), ask))
        if response is None:
            raise SimulatorError(f"nothing is recorded for ask {len(history) + 1} of {intent.row_id}, worded like this")
        return response

    def describe(self) -> Mapping[str, Any]:
        return {"name": "replay", "transcripts_sha256": self.digest}
