# SPDX-License-Identifier: Apache-2.0
"""L3: stores, and batches on them."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any, Optional, Union

from . import structs as s
from .batch import BatchResult, Keys, Prepared
from .buffers import Buffer, memory_of
from .constants import BatchKind, Status, StoreFlag
from .handles import Handle, handle_value, open_with
from .library import check, error_of, lib
from .loop import Loop


_WAIT_NS = 100_000_000  # the longest time that wait() is deaf to signals


class Store(Handle):
    """L3. Made by one of the classmethods. Closing it ends its batches and waits for them.

    Each key of a call is 1 to 32 bytes, all of one size. They come as a sequence of bytes objects,
    or as one bytes object with key_size. Buffers are anything with a contiguous buffer, or Memory;
    they are kept alive until their batch has ended, and must be left alone until then.
    """

    _close_function = lib.sluice_store_close

    def __init__(self, handle: ctypes.c_void_p, keep: Any) -> None:
        """Of what sluice_store_open_* gave. Use a classmethod."""
        self._lock = threading.RLock()  # guards what follows
        self._running: dict[int, Prepared] = {}
        self._registered: dict[Any, Any] = {}
        self._opened(handle, keep)

    @classmethod
    def memory(
        cls,
        *,
        capacity: int = 0,
        bytes_per_second: float = 0,
        latency_ns: int = 0,
        evict: bool = False,
        checksums: bool = True,
        loop: Optional[Loop] = None,
    ) -> Store:
        """A store in this process. capacity 0: 1 GiB; evict: when full, the least recently used
        blocks go; bytes_per_second 0: as fast as memory is."""
        options = s.sluice_memory_store_options(
            flags=(StoreFlag.EVICT if evict else 0) | (0 if checksums else StoreFlag.NO_CHECKSUMS),
            loop=handle_value(loop),
            capacity=capacity,
            bytes_per_second=bytes_per_second,
            latency_ns=latency_ns,
        )
        return cls(open_with(lib.sluice_store_open_memory, ctypes.byref(options)), loop)

    @classmethod
    def fabric(
        cls,
        nodes: Union[str, Sequence[str]],
        *,
        secret: Optional[str] = None,
        secret_file: Union[str, os.PathLike[str], None] = None,
        provider: Optional[str] = None,
        replicas: int = 0,
        connections: int = 0,
        soft_timeout_ns: int = 0,
        bytes_per_second: float = 0,
        checksums: bool = True,
    ) -> Store:
        """A store on memory nodes, "tcp://host:port". Returns before they are connected to."""
        options = s.sluice_fabric_store_options(
            flags=0 if checksums else StoreFlag.NO_CHECKSUMS,
            nodes=(nodes if isinstance(nodes, str) else ",".join(nodes)).encode(),
            secret=None if secret is None else secret.encode(),
            secret_file=None if secret_file is None else os.fsencode(secret_file),
            provider=None if provider is None else provider.encode(),
            replicas=replicas,
            connections=connections,
            soft_timeout_ns=soft_timeout_ns,
            bytes_per_second=bytes_per_second,
        )
        return cls(open_with(lib.sluice_store_open_fabric, ctypes.byref(options)), None)

    def _forked(self) -> None:
        super()._forked()
        self._lock = threading.RLock()

    def close(self) -> None:
        super().close()
        if self.closed:
            with self._lock:
                self._running.clear()
                self._registered.clear()

    # ---- memory

    def register(self, buffer: Buffer) -> None:
        """Makes memory known that batches name, once instead of for each batch. It is kept alive
        until it is unregistered, or the store closed. A memory store does not need it."""
        memory = memory_of(buffer)
        with self._lock:
            check(lib.sluice_store_register(self._handle, memory.address, memory.size))
            self._registered[memory.address, memory.size] = memory

    def unregister(self, buffer: Buffer) -> None:
        """NOT_FOUND: exactly this was not registered; FAILED_PRECONDITION: batches use it."""
        memory = memory_of(buffer)
        with self._lock:
            check(lib.sluice_store_unregister(self._handle, memory.address, memory.size))
            self._registered.pop((memory.address, memory.size), None)

    # ---- batches that are under way

    def submit(
        self,
        kind: int,
        keys: Keys,
        buffers: Optional[Sequence[Buffer]] = None,
        *,
        key_size: int = 0,
        rank: float = 0,
        user: int = 0,
    ) -> int:
        """Starts a batch, and returns its ticket, to be waited for or polled.

        kind: a BatchKind. buffers: of GET and PUT, one per key. rank: the smaller goes first.
        """
        batch = Prepared(kind, keys, buffers, key_size, rank, user)
        ticket = ctypes.c_uint64()
        with self._lock:  # who polls the end finds the batch
            check(
                lib.sluice_store_submit(
                    self._handle, ctypes.byref(batch.struct), ctypes.byref(ticket)
                )
            )
            self._running[ticket.value] = batch
        return ticket.value

    def event_fd(self) -> int:
        """Readable while ended batches wait for poll(). Owned by the store."""
        fd = ctypes.c_int()
        check(lib.sluice_store_event_fd(self._handle, ctypes.byref(fd)))
        return fd.value

    def poll(self, capacity: int = 256) -> list[BatchResult]:
        """Takes up to `capacity` ended batches, oldest end first."""
        raw = (s.sluice_batch_result * capacity)()
        n = ctypes.c_uint32()
        check(lib.sluice_store_poll(self._handle, raw, capacity, ctypes.byref(n)))
        return [self._ended(raw[i]) for i in range(n.value)]

    def wait(self, ticket: int, timeout_s: Optional[float] = None) -> BatchResult:
        """Waits for one batch and takes it. Raises DEADLINE_EXCEEDED after timeout_s: the batch
        goes on, as after KeyboardInterrupt. Not for a store with a Loop."""
        left_ns = None if timeout_s is None else max(0, int(timeout_s * 1e9))
        raw = s.sluice_batch_result()
        while True:
            # Python's signal handlers, which Ctrl-C calls, run between calls only.
            slice_ns = _WAIT_NS if left_ns is None else min(left_ns, _WAIT_NS)
            status = lib.sluice_store_wait(self._handle, ticket, slice_ns, ctypes.byref(raw))
            if status == Status.OK:
                return self._ended(raw)
            if left_ns is not None:
                left_ns -= slice_ns
            if status != Status.DEADLINE_EXCEEDED or left_ns == 0:
                raise error_of(status)

    def cancel(self, ticket: int) -> None:
        """Blocks not started yet end CANCELLED; those under way end as they do."""
        check(lib.sluice_store_cancel(self._handle, ticket))

    def _ended(self, raw: Any) -> BatchResult:
        with self._lock:
            batch = self._running.pop(raw.ticket, None)
        # The store has been closed meanwhile: then there is nothing to let go of.
        return (batch or Prepared(raw.kind, (), (), 0, 0, 0)).ended(raw)

    # ---- batches that are waited for

    def get(
        self, keys: Keys, buffers: Sequence[Buffer], *, key_size: int = 0, rank: float = 0
    ) -> BatchResult:
        """Reads blocks into buffers, each of exactly the block's size."""
        return self.wait(self.submit(BatchKind.GET, keys, buffers, key_size=key_size, rank=rank))

    def put(
        self, keys: Keys, buffers: Sequence[Buffer], *, key_size: int = 0, rank: float = 0
    ) -> BatchResult:
        """Writes blocks. Those that the store has are OK, and stay as they are."""
        return self.wait(self.submit(BatchKind.PUT, keys, buffers, key_size=key_size, rank=rank))

    def exists(self, keys: Keys, *, key_size: int = 0, rank: float = 0) -> BatchResult:
        """Looks up blocks: `leading` of the result is how long a prefix is there."""
        return self.wait(self.submit(BatchKind.EXISTS, keys, key_size=key_size, rank=rank))

    def remove(self, keys: Keys, *, key_size: int = 0, rank: float = 0) -> BatchResult:
        """Removes blocks."""
        return self.wait(self.submit(BatchKind.REMOVE, keys, key_size=key_size, rank=rank))
