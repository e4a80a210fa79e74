# SPDX-License-Identifier: Apache-2.0
"""The way between L2 and L1."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

from . import structs as s
from .buffers import Memory
from .callbacks import guarded, status_of
from .constants import Status
from .handles import Handle, handle_value, open_with
from .layout import Group, python_groups
from .library import complete, lib
from .loop import Loop


class Copy(NamedTuple):
    """One block between L2, where it is contiguous, and its pieces in L1."""

    op: int
    host: int  #: address of the block's bytes in L2
    group: Group
    slot: int

    def complete(self, status: int = Status.OK) -> None:
        """Ends it, once. Any thread. The memory must not be touched any more."""
        complete(self.op, status)

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """Of each piece its address on the device, in host memory, and its bytes."""
        at = self.host
        for r in self.group.regions:
            yield r.base + r.stride * self.slot, at, r.bytes
            at += r.bytes


class DeviceDriver:
    """A device of yours: override what it has. Called on threads of the library's, several at once.

    copy_in and copy_out must not block: they start copies, each of which ends by its complete().
    What raises SluiceError ends with its code, what raises something else with INTERNAL.
    """

    def allocate_pinned(self, size: int) -> Memory:
        """Page-locked host memory, page aligned; not overridden: ordinary memory. The library gives
        it back by free_pinned, until when it is kept alive."""
        raise NotImplementedError

    def free_pinned(self, memory: Memory) -> None:
        """The library does not use it any more."""

    def register_layout(self, groups: Sequence[Group]) -> None:
        """Checks that the regions can be reached."""

    def copy_in(self, copies: Sequence[Copy]) -> None:
        """L2 to L1."""
        raise NotImplementedError

    def copy_out(self, copies: Sequence[Copy]) -> None:
        """L1 to L2."""
        raise NotImplementedError


class Device(Handle):
    """A device: host(), or a driver of yours."""

    _close_function = lib.sluice_device_close

    def __init__(self, driver: DeviceDriver) -> None:
        """Of a driver, which is used until the device is closed."""
        table = _table_of(driver)
        self._opened(open_with(lib.sluice_device_open, ctypes.byref(table)), (table, driver))

    @classmethod
    def host(cls, *, bytes_per_second: float = 0, loop: Optional[Loop] = None) -> Device:
        """A device whose L1 is host memory. bytes_per_second 0: as fast as memory is."""
        options = s.sluice_host_device_options(
            loop=handle_value(loop), bytes_per_second=bytes_per_second
        )
        device = cls.__new__(cls)
        device._opened(open_with(lib.sluice_device_open_host, ctypes.byref(options)), loop)
        return device


def _table_of(driver: DeviceDriver) -> s.sluice_device_driver:
    groups: dict[int, Group] = {}  # by the address of what the library calls them
    pinned: dict[int, Memory] = {}

    def allocate(_user: Any, size: int, out: Any) -> int:
        memory = driver.allocate_pinned(size)
        pinned[memory.address] = memory
        out[0] = memory.address
        return Status.OK

    def free(_user: Any, address: int, _size: int) -> None:
        driver.free_pinned(pinned.pop(address))

    def register(_user: Any, array: Any, n: int) -> int:
        listed = python_groups(array, n)
        driver.register_layout(listed)
        for i, group in enumerate(listed):
            groups[ctypes.addressof(array[i])] = group
        return Status.OK

    def hand_out(function: Callable[[Sequence[Copy]], None]) -> Any:
        def call(_user: Any, array: Any, n: int) -> None:
            copies: list[Copy] = [
                Copy(c.op, c.host, groups[ctypes.addressof(c.group[0])], c.slot) for c in array[:n]
            ]
            end_if_raised(function, copies)

        return s.copy_function(guarded(call, lambda _error: None))

    table = s.sluice_device_driver(
        register_layout=s.register_layout_function(guarded(register, status_of)),
        copy_in=hand_out(driver.copy_in),
        copy_out=hand_out(driver.copy_out),
    )
    if type(driver).allocate_pinned is not DeviceDriver.allocate_pinned:
        table.allocate_pinned = s.allocate_pinned_function(guarded(allocate, status_of))
        table.free_pinned = s.free_pinned_function(guarded(free, lambda _error: None))
    return table


def end_if_raised(function: Callable[[Any], None], operations: Any) -> None:
    """Calls it; if it raises, ends those of the operations that it has not ended."""
    try:
        function(operations)
    except BaseException as error:
        for operation in operations:
            lib.sluice_complete(operation.op, status_of(error))  # NOT_FOUND: it had been
        raise
