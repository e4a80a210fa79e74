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
from .library import SluiceError, error_of

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
    _reader: Any = None  #: of sluice.aio: reads the descriptor, and is told of the end
    _close_function: Callable[[int], int]

    def _opened(self, handle: ctypes.c_void_p, keep: Any) -> None:
        self._handle = handle.value or 0
        self._keep = keep  # buffers, callbacks, other handles
        _open[self._handle] = self

    def _forked(self) -> None:
        """In a forked child. Locks may be held by threads that are not there."""
        self._reader = None

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return not self._handle

    def close(self) -> None:
        """Ends it. Raises SluiceError: something else that is open uses it; inside a callback."""
        handle = self._handle
        if not handle:
            return
        reader = self._reader
        if reader is not None:
            reader.before_close()
        status = type(self)._close_function(handle)
        if status == Status.NOT_FOUND:
            # Another thread closes it right now, and lets go then; or this is a forked child.
            self._handle = 0
            return
        if status != Status.OK:
            error = error_of(status)
            if reader is not None:
                reader.still_open()
            raise error
        self._handle = 0
        _open.pop(handle, None)
        self._keep = None
        if reader is not None:
            reader.after_close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Its number means nothing, or something else, in another process; a copy would close it.
        raise TypeError(f"a sluice.{type(self).__name__} can be neither copied nor pickled")

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
    left = list(_open.values())  # daemon threads may open and close others meanwhile
    forgotten = [repr(handle) for handle in left]
    for handle in reversed(left):
        try:
            handle.close()
        except SluiceError as error:
            forgotten.append(str(error))
    if forgotten:
        warnings.warn(f"not closed: {', '.join(forgotten)}", ResourceWarning, stacklevel=1)


def _forget_all() -> None:
    """In a forked child: nothing is open, and what the parent's threads use is the parent's."""
    for handle in list(_open.values()):
        handle._forked()
    _open.clear()


os.register_at_fork(after_in_child=_forget_all)


def open_with(function: Callable[..., int], *arguments: Any) -> ctypes.c_void_p:
    """Calls a function whose last parameter is where the handle goes."""
    out = ctypes.c_void_p()
    status = function(*arguments, ctypes.byref(out))
    if status != Status.OK:
        raise error_of(status)
    return out
