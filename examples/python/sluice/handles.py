# SPDX-License-Identifier: Apache-2.0
"""What is open: kept alive, with all that the library may touch or call, until it is closed."""

from __future__ import annotations

import atexit
import ctypes
import os
import warnings
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar

from .constants import Status
from .library import SluiceError, check, error_of

_Self = TypeVar("_Self", bound="Handle")

# Whoever forgets to close leaks; nobody reads freed memory.
_open: dict[int, Handle] = {}


class Handle:
    """A handle of the library's. Close it, or use `with`.

    Any thread may use it. Closing it again is no error; using it afterwards raises SluiceError with
    NOT_FOUND, as does using it in a forked child. close() may wait, and callbacks may not call it.
    """

    _handle: int = 0
    _keep: Any = None
    _close_function: Callable[[int], int]

    def _opened(self, handle: ctypes.c_void_p, keep: Any) -> None:
        self._handle = handle.value or 0
        self._keep = keep  # buffers, callbacks, other handles
        _open[self._handle] = self

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return not self._handle

    def close(self) -> None:
        """Ends it. Raises SluiceError: something else that is open uses it; inside a callback."""
        handle = self._handle
        if not handle:
            return
        status = type(self)._close_function(handle)
        if status == Status.NOT_FOUND:
            # Another thread closes it right now, and lets go then; or this is a forked child.
            self._handle = 0
            return
        check(status)
        self._handle = 0
        _open.pop(handle, None)
        self._keep = None

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self._handle:#x}"
        return f"<sluice.{type(self).__name__} {state}>"


def handle_value(handle: Optional[Handle]) -> Optional[int]:
    """The number that C takes; NULL for None."""
    if handle is None:
        return None
    # A closed one must not pass for "none".
    return handle._handle or 1


@atexit.register
def _close_all() -> None:
    """No thread of the library's may call into an interpreter that is gone."""
    forgotten = [repr(handle) for handle in _open.values()]
    for handle in reversed(list(_open.values())):
        try:
            handle.close()
        except SluiceError as error:
            forgotten.append(str(error))
    if forgotten:
        warnings.warn(f"not closed: {', '.join(forgotten)}", ResourceWarning, stacklevel=1)


def _forget_all() -> None:
    """In a forked child: nothing is open, and what the parent's threads use is the parent's."""
    _open.clear()


os.register_at_fork(after_in_child=_forget_all)


def open_with(function: Callable[..., int], *arguments: Any) -> ctypes.c_void_p:
    """Calls a function whose last parameter is where the handle goes."""
    out = ctypes.c_void_p()
    status = function(*arguments, ctypes.byref(out))
    if status != Status.OK:
        raise error_of(status)
    return out
