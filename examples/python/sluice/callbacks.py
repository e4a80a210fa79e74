# SPDX-License-Identifier: Apache-2.0
"""What keeps exceptions of Python functions from reaching C."""

from __future__ import annotations

import functools
import sys
import traceback
from types import SimpleNamespace
from typing import Any, Callable

from .constants import Status
from .library import SluiceError


def report(error: BaseException, function: Any) -> None:
    """Lets sys.unraisablehook know of an exception that nobody can catch; prints it if that is the
    interpreter's own, which takes nothing but what the interpreter has made, or fails."""
    try:
        sys.unraisablehook(
            SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=error.__traceback__,
                err_msg="Exception ignored in a callback of sluice",
                object=function,
            )
        )
        return
    except BaseException:
        pass
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        sys.stderr.write("Exception ignored in a callback of sluice\n" + "".join(lines))
    except BaseException:
        pass  # there is nowhere to write to


def status_of(error: BaseException) -> int:
    """What C is told: a SluiceError's own code, else INTERNAL."""
    if isinstance(error, SluiceError) and error.code < 0:
        return int(error.code)
    if isinstance(error, MemoryError):
        return Status.RESOURCE_EXHAUSTED
    return Status.INTERNAL


def guarded(
    function: Callable[..., Any],
    otherwise: Callable[[BaseException], Any],
    convert: Callable[[Any], Any] = lambda result: result,
) -> Any:
    """The function, returning otherwise(error) when it raises, or when convert does, which makes
    what C takes of the result. SluiceErrors are answers, and are not reported."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return convert(function(*arguments))
        except BaseException as error:
            if not isinstance(error, SluiceError):
                report(error, function)
            return otherwise(error)

    return call
