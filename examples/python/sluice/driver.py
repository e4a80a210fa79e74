# SPDX-License-Identifier: Apache-2.0
"""Stores written in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

from . import structs as s
from .buffers import Memory, view_of
from .callbacks import guarded, status_of
from .constants import KEY_STRIDE, Status
from .device import end_if_raised
from .handles import open_with
from .library import complete, lib
from .store import Store


class Transfer(NamedTuple):
    """A block to move. `memory` is valid until the operation has ended."""

    op: int
    key: bytes
    memory: memoryview  #: get: to here; put: from here. Exactly the block's bytes

    def complete(self, status: int = Status.OK) -> None:
        """Ends it, once. Any thread, also inside the driver's function."""
        complete(self.op, status)


class KeyList:
    """Keys to look up or to remove."""

    def __init__(self, raw: Any) -> None:
        at = raw.keys
        self.op: int = raw.op
        self.keys: list[bytes] = [
            ctypes.string_at(at + i * KEY_STRIDE, raw.sizes[i]) for i in range(raw.n)
        ]
        self._present = [raw.present]  # whoever pops it may write there

    def complete(self, present: Iterable[bool] = (), status: int = Status.OK) -> None:
        """Ends it, once. Any thread. present: of a lookup, for each key."""
        there = [1 if p else 0 for _, p in zip(self.keys, present)]
        try:
            memory = self._present.pop()
        except IndexError:
            pass  # it has ended, its memory is gone; this raises
        else:
            for i, value in enumerate(there):
                memory[i] = value
        complete(self.op, status)


class StoreDriver:
    """A store of yours: override what it has. Called on threads of the library's, several at once.

    Nothing may block: functions start operations, each of which ends by its complete(). Gets end
    OK, NOT_FOUND (a miss), INVALID_ARGUMENT (another size), DATA_LOSS, UNAVAILABLE or
    DEADLINE_EXCEEDED; puts OK or RESOURCE_EXHAUSTED. A block is visible when its put has ended;
    blocks never change. What raises SluiceError ends with its code, what raises something else with
    INTERNAL.
    """

    def register_memory(self, memory: Memory) -> None:
        """Memory that gets write and puts read."""

    def unregister_memory(self, memory: Memory) -> None:
        """The library does not name it any more."""

    def lookup(self, keys: KeyList) -> None:
        """Which of the keys are there."""
        raise NotImplementedError

    def get(self, transfers: Sequence[Transfer]) -> None:
        """Reads blocks."""
        raise NotImplementedError

    def put(self, transfers: Sequence[Transfer]) -> None:
        """Writes blocks. Not overridden: the store is read-only."""
        raise NotImplementedError

    def remove(self, keys: KeyList) -> None:
        """Removes blocks. Not overridden: not possible."""
        raise NotImplementedError

    def abort(self, op: int) -> None:
        """The operation is overdue: end it soon. Not overridden: not possible; a get that never
        ends keeps its memory for ever then, and closing waits for it."""
        raise NotImplementedError


def open_driver(driver: StoreDriver) -> Store:
    """A store that is the driver, which is used until the store is closed."""
    table = _table_of(driver)
    return Store(open_with(lib.sluice_store_open, ctypes.byref(table)), (table, driver))


def _table_of(driver: StoreDriver) -> s.sluice_store_driver:
    def overrides(name: str) -> bool:
        return getattr(type(driver), name) is not getattr(StoreDriver, name)

    def nothing(_error: BaseException) -> None:
        pass

    def register(_user: Any, address: int, size: int) -> int:
        driver.register_memory(Memory(address, size))
        return Status.OK

    def unregister(_user: Any, address: int, size: int) -> None:
        driver.unregister_memory(Memory(address, size))

    def keys(function: Callable[[KeyList], None]) -> Any:
        def call(_user: Any, raw: Any) -> None:
            def run(lists: Sequence[KeyList]) -> None:
                try:
                    function(lists[0])
                except BaseException:
                    lists[0]._present.clear()
                    raise

            end_if_raised(run, [KeyList(raw[0])])

        return s.keys_function(guarded(call, nothing))

    def transfers(function: Callable[[Sequence[Transfer]], None]) -> Any:
        def call(_user: Any, array: Any, n: int) -> None:
            listed = [
                Transfer(t.op, ctypes.string_at(t.key, t.key_size), view_of(t.memory, t.bytes))
                for t in array[:n]
            ]
            end_if_raised(function, listed)

        return s.transfer_function(guarded(call, nothing))

    table = s.sluice_store_driver(lookup=keys(driver.lookup), get=transfers(driver.get))
    if overrides("register_memory") or overrides("unregister_memory"):
        table.register_memory = s.register_memory_function(guarded(register, status_of))
        table.unregister_memory = s.unregister_memory_function(guarded(unregister, nothing))
    if overrides("put"):
        table.put = transfers(driver.put)
    if overrides("remove"):
        table.remove = keys(driver.remove)
    if overrides("abort"):
        table.abort = s.abort_function(guarded(lambda _user, op: driver.abort(op), nothing))
    return table
