# SPDX-License-Identifier: Apache-2.0
"""Pipelines and stores in an asyncio loop.

Events come by the loop's add_reader on the event's descriptor: no thread is added, and nothing is
polled in vain. Use each object in the loop that was running when it was made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar

from .batch import BatchResult, Keys
from .buffers import Buffer
from .constants import BatchKind, EventKind, Status
from .events import Event
from .handles import Handle
from .library import SluiceError, lib
from .pipeline import Pipeline
from .store import Store

_Self = TypeVar("_Self", bound="_Reader")
_Result = TypeVar("_Result")

# Events or batches that one turn of the loop takes at most: others have their turn as well.
_POLL = 512


class _Reader:
    """A handle whose descriptor the loop reads.

    It reads a duplicate of its own: the handle's may be closed by any thread, and its number be
    another's before the loop has heard of it.
    """

    def __init__(self, handle: Handle, fd: int) -> None:
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._closing = asyncio.Lock()
        self._reading = False
        other = handle._reader
        if other is not None and not other._loop.is_closed():
            raise RuntimeError(f"another {type(other).__name__} takes what comes from {handle!r}")
        if other is not None:
            other._close_descriptor()
        self._fd = os.dup(fd)
        handle._reader = self
        self._start_reading()

    def _start_reading(self) -> None:
        if not self._reading and not self._closed:
            self._loop.add_reader(self._fd, self._read)
            self._reading = True

    def _stop_reading(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def _read(self) -> None:
        try:
            self._drain()
        except SluiceError:  # closed by another thread, which has not said so yet
            self._stop_reading()

    def _end(self) -> None:
        self._stop_reading()
        if not self._closed:
            self._closed = True
            self._close_descriptor()
            self._abandon()

    def _close_descriptor(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Whoever closes the handle, on whatever thread, calls these.

    def before_close(self) -> None:
        """Nothing is to be taken from it any more."""
        self._in_loop(self._stop_reading)

    def still_open(self) -> None:
        """It could not be closed."""
        self._in_loop(self._start_reading)

    def after_close(self) -> None:
        """Nothing comes any more."""
        self._in_loop(self._end)

    def _in_loop(self, function: Callable[[], object]) -> None:
        try:
            inside = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            inside = False
        if inside:
            function()
            return
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed
            if function == self._end:
                self._close_descriptor()

    def _drain(self) -> None:
        raise NotImplementedError

    def _abandon(self) -> None:
        """Nobody gets what they wait for."""
        raise NotImplementedError

    async def close(self) -> None:
        """Ends it and what it was made of. What is still awaited then raises SluiceError with
        CANCELLED. Raises SluiceError, and it goes on: something that is open uses it. Closing goes
        on if the task that awaits it is cancelled."""
        async with self._closing:
            if self._closed:
                return
            self._stop_reading()
            try:
                await self._loop.run_in_executor(None, self._handle.close)  # waits for transfers
            except SluiceError:
                self._start_reading()
                raise
            self._end()

    async def _end_of(
        self, table: dict[int, asyncio.Future[_Result]], key: int, stop: Callable[[int], object]
    ) -> _Result:
        """What comes for `key`. A cancellation of the task is raised after it has come."""
        end: asyncio.Future[_Result] = self._loop.create_future()
        table[key] = end
        try:
            return await end
        except asyncio.CancelledError:
            if table.get(key) is end:
                end = table[key] = self._loop.create_future()
                stop(key)
                try:
                    await end
                except SluiceError:
                    pass  # closed, after which nothing is under way
            raise

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()


def _closing() -> SluiceError:
    name = lib.sluice_status_name(Status.CANCELLED).decode()
    return SluiceError(Status.CANCELLED, name, "it was closed while this was awaited")


def _fail_all(futures: dict[int, Any]) -> None:
    for future in futures.values():
        if not future.done():
            future.set_exception(_closing())
    futures.clear()


class AsyncPipeline(_Reader):
    """A pipeline whose outcomes are awaited. Takes all of its events: do not poll it elsewhere.

    The calls that only start something (bind, detach, compute_done, release, ...) are made on
    `pipeline` itself.
    """

    def __init__(
        self, pipeline: Pipeline, on_event: Optional[Callable[[Event], object]] = None
    ) -> None:
        """on_event: called in the loop with each event that is not the outcome of a load() or the
        end of a store_blocks(): WANT_PAGES, LOADED, QUIESCED, STORED, and all events of requests
        that were submitted on `pipeline` itself."""
        self.pipeline = pipeline
        self._on_event = on_event
        self._outcomes: dict[int, asyncio.Future[Event]] = {}
        self._quiet: dict[int, asyncio.Future[None]] = {}
        self._stored: dict[int, asyncio.Future[Event]] = {}
        super().__init__(pipeline, pipeline.event_fd())

    async def load(self, keys: Keys, prompt_tokens: int, **options: Any) -> Event:
        """Submits a request and returns its outcome: READY, DETACHED or COMPUTED. The options are
        those of Pipeline.submit.

        Raises SluiceError if the outcome is FAILED, or CANCELLED by somebody else. A cancellation
        of the task cancels the request. However it raises, it waits first until no transfer touches
        the request's pages; a second cancellation of the task ends that waiting too.
        """
        request = self.pipeline.submit(keys, prompt_tokens, **options)
        outcome: asyncio.Future[Event] = self._loop.create_future()
        self._outcomes[request] = outcome
        try:
            event = await outcome
        except asyncio.CancelledError:
            await self._give_up(request, outcome)
            raise
        if event.is_loaded:
            return event
        await self._quiesced(request)
        if event.kind == EventKind.FAILED:
            name = lib.sluice_status_name(event.status).decode()
            raise SluiceError(event.status, name, event.text)
        raise SluiceError(Status.CANCELLED, "SLUICE_E_CANCELLED", "the request was cancelled")

    async def store_blocks(self, keys: Keys, pages: Sequence[int], **options: Any) -> int:
        """Stores blocks that are in L1; returns how many were. The pages must not change until it
        has returned or raised. It cannot be stopped: a cancellation of the task is raised at its
        end, a second one at once."""
        request = self.pipeline.store_blocks(keys, pages, **options)
        return (await self._end_of(self._stored, request, lambda _request: None)).blocks

    async def _give_up(self, request: int, outcome: asyncio.Future[Event]) -> None:
        try:
            if self._outcomes.get(request) is outcome:  # it has not come yet
                outcome = self._outcomes[request] = self._loop.create_future()
                self.pipeline.cancel(request)
                await outcome
            if not outcome.cancelled() and outcome.result().is_loaded:  # else _drain has done it
                self.pipeline.release(request)
        except SluiceError:
            return  # closed, after which nothing is under way
        await self._quiesced(request)

    async def _quiesced(self, request: int) -> None:
        quiet = self._quiet.get(request)
        if quiet is not None:
            await quiet

    def _drain(self) -> None:
        outcomes = self._outcomes
        raised: Optional[BaseException] = None
        for event in self.pipeline.poll(_POLL):
            kind = event.kind
            if EventKind.READY <= kind <= EventKind.FAILED:
                future = outcomes.pop(event.request, None)
                if future is not None:
                    if not future.done():
                        future.set_result(event)
                    elif event.is_loaded:  # nobody waits any more
                        self._release(event.request)
                    if event.busy:
                        self._quiet[event.request] = self._loop.create_future()
                    continue
            elif kind == EventKind.STORED:
                future = self._stored.pop(event.request, None)
                if future is not None:
                    if not future.done():
                        future.set_result(event)
                    continue
            elif kind == EventKind.QUIESCED:
                quiet = self._quiet.pop(event.request, None)
                if quiet is not None and not quiet.done():
                    quiet.set_result(None)
            if self._on_event is not None:
                try:
                    self._on_event(event)
                except Exception as error:  # the other events have not done it
                    self._loop.call_exception_handler(
                        {"message": "on_event of a sluice pipeline raised", "exception": error}
                    )
                except BaseException as error:  # SystemExit, KeyboardInterrupt: end the loop
                    raised = raised or error
        if raised is not None:
            raise raised

    def _release(self, request: int) -> None:
        try:
            self.pipeline.release(request)
        except SluiceError:
            pass  # closed meanwhile

    def _abandon(self) -> None:
        _fail_all(self._outcomes)
        _fail_all(self._stored)
        for quiet in self._quiet.values():
            if not quiet.done():
                quiet.set_result(None)
        self._quiet.clear()


class AsyncStore(_Reader):
    """A store whose batches are awaited. Takes all ended batches that nobody waits for in another
    way: do not poll it elsewhere."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ended: dict[int, asyncio.Future[BatchResult]] = {}
        super().__init__(store, store.event_fd())

    async def get(self, keys: Keys, buffers: Sequence[Buffer], **options: Any) -> BatchResult:
        """Reads blocks. The options are those of Store.submit, also for the others.

        A cancellation of the task cancels the batch, and is raised when no transfer touches the
        buffers any more; a second one at once.
        """
        return await self._run(BatchKind.GET, keys, buffers, options)

    async def put(self, keys: Keys, buffers: Sequence[Buffer], **options: Any) -> BatchResult:
        """Writes blocks."""
        return await self._run(BatchKind.PUT, keys, buffers, options)

    async def exists(self, keys: Keys, **options: Any) -> BatchResult:
        """Looks up blocks."""
        return await self._run(BatchKind.EXISTS, keys, None, options)

    async def remove(self, keys: Keys, **options: Any) -> BatchResult:
        """Removes blocks."""
        return await self._run(BatchKind.REMOVE, keys, None, options)

    async def _run(
        self, kind: int, keys: Keys, buffers: Optional[Sequence[Buffer]], options: dict[str, Any]
    ) -> BatchResult:
        ticket = self.store.submit(kind, keys, buffers, **options)
        return await self._end_of(self._ended, ticket, self.store.cancel)

    def _drain(self) -> None:
        for result in self.store.poll(_POLL):
            future = self._ended.pop(result.ticket, None)
            if future is not None and not future.done():
                future.set_result(result)

    def _abandon(self) -> None:
        _fail_all(self._ended)
