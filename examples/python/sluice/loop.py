# SPDX-License-Identifier: Apache-2.0
"""A loop without a thread, for engines that want none and for virtual time."""

from __future__ import annotations

import ctypes
from typing import Callable, Optional

from . import structs as s
from .callbacks import guarded
from .handles import Handle, open_with
from .library import check, lib


def clock_of(now: Optional[Callable[[], int]]) -> s.sluice_clock:
    """A clock as C takes it. None: CLOCK_MONOTONIC."""
    clock = s.sluice_clock()
    if now is not None:
        last = [0]

        def read(_user: Optional[int]) -> int:
            last[0] = int(now())
            return last[0]

        # A clock that fails stands still.
        clock.now = s.now_function(guarded(read, lambda _error: last[0]))
    return clock


class Loop(Handle):
    """What is made with it progresses in run() only. Give it to the store, device and pipeline."""

    _close_function = lib.sluice_loop_close

    def __init__(self, now: Optional[Callable[[], int]] = None) -> None:
        """now: nanoseconds, never decreasing; called by run(). None: CLOCK_MONOTONIC."""
        clock = clock_of(now)
        self._opened(open_with(lib.sluice_loop_create, ctypes.byref(clock)), clock)

    def run(self) -> int:
        """Does all that is due. Returns when to call again, or NEVER.

        Operations that other threads end, or a file descriptor, also need a call.
        """
        next_ns = ctypes.c_uint64()
        check(lib.sluice_loop_run(self._handle, ctypes.byref(next_ns)))
        return next_ns.value
