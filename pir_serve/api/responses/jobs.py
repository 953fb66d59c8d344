"""Background responses: they run on when their client has gone, and their events can be read again.

Each event is in the store's log a moment after it was made; what a client follows in the process that makes it comes
from memory, elsewhere from the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from pir_serve.api.gateway import Gateway
from pir_serve.api.pump import ClientGone, Pump
from pir_serve.api.responses.generation import Generation
from pir_serve.api.responses.objects import error_object
from pir_serve.api.responses.writer import Event
from pir_serve.api.sse import DONE, KEEPALIVE, STOPPING, end_stream, start_stream, write
from pir_serve.api.turn import TurnEvent
from pir_serve.errors import EngineUnavailable, PirError, StoreError
from pir_serve.store.responses import ResponseRecord, ResponseStatus

logger = logging.getLogger(__name__)

MAX_JOBS = 256
"""That run at a time in one process; each holds its events in memory."""
_LOG_EVERY_S = 0.2
"""Events are written to the log in batches: a durable write costs milliseconds."""
_ASK_EVERY = 3
"""Times that there is nothing to write, the store is asked whether somebody else has ended the response."""
_POLL_S = 0.5
"""Of the log, where another process makes the response."""


class Job:
    """A response that is made by this process."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.events: list[Event] = []
        self.is_over = False
        self._changed = asyncio.Event()
        self._num_logged = 0
        self._is_cancelled = False
        self._is_deleted = False
        self._task: asyncio.Task[None] | None = None

    async def body(self) -> dict[str, Any]:
        """The response as it is; one that has ended can be gone on from when this returns."""
        while not (self.is_over or self.generation.status.is_running):
            await self.changed()
        return self.generation.body

    def begin(self) -> None:
        self.generation.turn.visit.stay()
        self._task = self.generation.gateway.spawn(self._run())
        self.generation.gateway.presence.follow(self._task)

    def stop(self) -> None:
        """It has been deleted."""
        self._is_deleted = True
        self._end_task()

    async def cancel(self) -> None:
        """What has ended already is let be put into the store."""
        if self.generation.status.is_running:
            self._is_cancelled = True
            self._end_task()
        assert self._task is not None
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._task)

    async def changed(self) -> None:
        """Returns when there are more events, or it is over."""
        await self._changed.wait()

    async def _run(self) -> None:
        generation = self.generation
        logging_ = asyncio.create_task(self._log_for_ever())
        last: list[Event] = []
        try:
            async with Pump[TurnEvent]([generation.turn.events()], _never) as pump:
                while (burst := await pump.take()) is not None:
                    made = await generation.take(burst[1])
                    if generation.status.is_running:
                        self._publish(made)
                    else:
                        last = made
        except asyncio.CancelledError:
            if self._is_cancelled:
                generation.cancel()
            elif not self._is_deleted:
                last = await generation.fail(STOPPING)
        except PirError as error:
            logger.error("%s: a background response failed: %s", generation.id, error)
            last = await generation.fail(error)
        except Exception:  # the edge of a request
            logger.exception("%s: internal error in a background response", generation.id)
            last = await generation.fail(None)
        logging_.cancel()
        await asyncio.gather(logging_, return_exceptions=True)
        try:
            await self._put(last)
        finally:
            self.is_over = True
            self._publish(last)
        generation.keep()

    def _publish(self, events: list[Event]) -> None:
        self.events += events
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _log_for_ever(self) -> None:
        """Ends the generation when the response has been ended by somebody else."""
        generation = self.generation
        tenant = generation.turn.params.tenant
        num_quiet = 0
        while True:
            await asyncio.sleep(_LOG_EVERY_S)
            batch = [event.data for event in self.events[self._num_logged :]]
            num_quiet = 0 if batch else num_quiet + 1
            if num_quiet % _ASK_EVERY:
                continue
            try:
                runs = await generation.gateway.store.responses.append(
                    tenant, generation.id, batch, first=self._num_logged
                )
            except StoreError as error:
                logger.warning("%s: its events could not be stored: %s", generation.id, error)
                continue
            self._num_logged += len(batch)
            if not runs:
                self.stop()

    async def _put(self, last: list[Event]) -> None:
        """The end of it, before anybody hears of it, with the events that are not in the log yet."""
        if self._is_deleted:
            return
        generation = self.generation
        record = generation.record(_reason(generation))
        rest = [event.data for event in (*self.events[self._num_logged :], *last)]
        try:
            await generation.gateway.store.responses.put(record, events=rest, first=self._num_logged)
        except StoreError as error:
            logger.error("%s: the response could not be stored: %s", generation.id, error)

    def _end_task(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Jobs:
    """The background responses of this process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._running: dict[tuple[str, str], Job] = {}

    async def start(self, generation: Generation) -> Job:
        """It is in the store when this returns. Raises: StoreError; EngineUnavailable, if very many run."""
        if len(self._running) >= MAX_JOBS:
            raise EngineUnavailable(f"{MAX_JOBS} background responses are being made; try again later")
        job = Job(generation)
        place = (generation.turn.params.tenant, generation.id)
        self._running[place] = job
        try:
            generation.body["status"] = ResponseStatus.QUEUED.value
            generation.status = ResponseStatus.QUEUED
            await self._gateway.store.responses.put(generation.record())
        except StoreError:
            del self._running[place]
            raise
        generation.body["status"] = ResponseStatus.IN_PROGRESS.value
        generation.status = ResponseStatus.IN_PROGRESS
        job.events += generation.opening()
        job.begin()
        assert job._task is not None

        def ended(_: asyncio.Task[None]) -> None:
            self._running.pop(place, None)
            generation.turn.visit.leave()

        job._task.add_done_callback(ended)
        return job

    def find(self, record: ResponseRecord) -> Job | None:
        return self._running.get((record.tenant, record.id))

    async def cancel(self, record: ResponseRecord) -> dict[str, Any]:
        """The response as it is then; one that has ended stays as it is. Raises: StoreError."""
        if job := self.find(record):
            await job.cancel()
            return await job.body()
        if not record.status.is_running:
            return body_of(record)
        responses = self._gateway.store.responses
        ended = ResponseRecord(
            id=record.id,
            tenant=record.tenant,
            status=ResponseStatus.CANCELLED,
            body={**record.body, "status": ResponseStatus.CANCELLED.value},
            input=record.input,
            conversation=record.conversation,
            sid=None,
            created=record.created,
            expires=record.expires,
            reason="cancelled",
        )
        if await responses.put(ended):
            return ended.body
        return body_of(await responses.get(record.tenant, record.id) or ended)


class Replay:
    """The events of a background response from a number on, as a stream; with it to its end while it runs."""

    def __init__(
        self, gateway: Gateway, source: Job | ResponseRecord, *, headers: Mapping[str, str], after: int = -1
    ) -> None:
        self._gateway = gateway
        self._source = source
        self._headers = headers
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keepalive_s = self._gateway.settings.keepalive_s
        source = self._source
        events = _followed(source, self._after) if isinstance(source, Job) else self._read(source)
        try:
            async with Pump[bytes]([events], receive) as pump:
                send = await start_stream(scope, send, self._headers)
                while (burst := await pump.take(keepalive_s)) is not None:
                    await write(send, b"".join(burst[1]) or KEEPALIVE)
            await write(send, DONE)
        except ClientGone:
            return
        except StoreError as error:
            logger.error("the events of a response could not be read: %s", error)
        await end_stream(send)

    async def _read(self, record: ResponseRecord) -> AsyncGenerator[bytes, None]:
        """From the log; polled while another process writes it."""
        responses, at = self._gateway.store.responses, self._after
        while True:
            now = await responses.get(record.tenant, record.id)
            batch = await responses.events(record.tenant, record.id, after=at)
            for number, data in batch:
                at = number
                yield Event.read(data).sse()
            if now is None or (not batch and not now.status.is_running):
                break
            if not batch:
                await asyncio.sleep(_POLL_S)
        if now is not None and now.status is ResponseStatus.FAILED and now.body.get("status") != now.status.value:
            yield Event.of("response.failed", at + 1, response=body_of(now)).sse()  # its process could not tell


def body_of(record: ResponseRecord) -> dict[str, Any]:
    """As the client is to see it: a response whose process died does not know of its failure."""
    if record.body.get("status") == record.status.value:
        return record.body
    body = {**record.body, "status": record.status.value}
    if record.status is ResponseStatus.FAILED:
        body["error"] = error_object(None, record.reason or "the gateway was stopped")
    return body


async def _followed(job: Job, after: int) -> AsyncGenerator[bytes, None]:
    at = after + 1
    while True:
        for event in job.events[at:]:
            at += 1
            yield event.sse()
        if job.is_over and at >= len(job.events):
            return
        if at >= len(job.events):
            await job.changed()


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


def _reason(generation: Generation) -> str | None:
    error = generation.body.get("error")
    if error:
        return str(error["message"])
    return "cancelled" if generation.status is ResponseStatus.CANCELLED else None
