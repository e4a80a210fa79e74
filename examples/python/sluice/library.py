# SPDX-License-Identifier: Apache-2.0
"""Finds and loads libsluice.so, and declares its functions."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_uint32, c_uint64, c_void_p
from typing import Any

from . import pipeline_structs as p
from . import structs as s
from .constants import Status


class SluiceError(Exception):
    """What a call of the library failed with.

    code is a Status, name its name in C ("SLUICE_E_NOT_FOUND"), text says what went wrong, where,
    and what to do.
    """

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(code, name, text)
        self.code = code
        self.name = name
        self.text = text

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def _candidates() -> list[str]:
    """Where the library may be, the best first."""
    given = os.environ.get("SLUICE_LIBRARY")
    if given:
        return [given]  # whoever says so wants this one and no other
    here = pathlib.Path(__file__).resolve().parent
    found = [here / "libsluice.so"]
    for above in list(here.parents)[:4]:
        found += sorted(above.glob("build/*/src/libsluice.so"))
        found += sorted(above.glob("build/src/libsluice.so"))
    return [str(f) for f in found if f.exists()] + [f"libsluice.so.{API_MAJOR}", "libsluice.so"]


# The header's SLUICE_API_VERSION that this module was written against.
API_MAJOR, API_MINOR = 0, 1


def _load() -> ctypes.CDLL:
    # Parts of libfabric would take over signals when it is loaded: Ctrl-C would end the process
    # without KeyboardInterrupt.
    os.environ.setdefault("IPATH_NO_BACKTRACE", "1")
    os.environ.setdefault("HFI_NO_BACKTRACE", "1")
    tried = []
    for name in _candidates():
        try:
            loaded = ctypes.CDLL(name)
        except OSError as error:
            tried.append(f"  {name}: {error}")
            continue
        loaded.sluice_api_version.restype = c_uint32
        version = loaded.sluice_api_version()
        major, minor = version >> 16, version & 0xFFFF
        # While the major version is 0, another minor one is another API.
        if major == API_MAJOR and (minor == API_MINOR or (major > 0 and minor > API_MINOR)):
            return loaded
        tried.append(f"  {name}: its API is {major}.{minor}, this is for {API_MAJOR}.{API_MINOR}")
    raise ImportError(
        "libsluice.so cannot be loaded; set SLUICE_LIBRARY to its path. Tried:\n" + "\n".join(tried)
    )


_ptr = c_void_p
_out_ptr = POINTER(c_void_p)
_out32 = POINTER(c_uint32)
_out64 = POINTER(c_uint64)
_fd = POINTER(c_int)

# Of those that return a sluice_status: the arguments. Arrays are void pointers, so that any ctypes
# array will do.
STATUS_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "sluice_complete": (c_uint64, c_int32),
    "sluice_loop_create": (POINTER(s.sluice_clock), _out_ptr),
    "sluice_loop_run": (_ptr, _out64),
    "sluice_loop_close": (_ptr,),
    "sluice_device_open_host": (POINTER(s.sluice_host_device_options), _out_ptr),
    "sluice_device_open": (POINTER(s.sluice_device_driver), _out_ptr),
    "sluice_device_close": (_ptr,),
    "sluice_store_open_memory": (POINTER(s.sluice_memory_store_options), _out_ptr),
    "sluice_store_open_fabric": (POINTER(s.sluice_fabric_store_options), _out_ptr),
    "sluice_store_open": (POINTER(s.sluice_store_driver), _out_ptr),
    "sluice_store_close": (_ptr,),
    "sluice_store_register": (_ptr, _ptr, c_uint64),
    "sluice_store_unregister": (_ptr, _ptr, c_uint64),
    "sluice_store_submit": (_ptr, POINTER(s.sluice_batch), _out64),
    "sluice_store_event_fd": (_ptr, _fd),
    "sluice_store_poll": (_ptr, _ptr, c_uint32, _out32),
    "sluice_store_wait": (_ptr, c_uint64, c_uint64, POINTER(s.sluice_batch_result)),
    "sluice_store_cancel": (_ptr, c_uint64),
    "sluice_pipeline_open": (POINTER(p.sluice_pipeline_options), _out_ptr),
    "sluice_pipeline_close": (_ptr,),
    "sluice_submit": (_ptr, POINTER(p.sluice_request), _out64),
    "sluice_query": (_ptr, c_uint64, POINTER(p.sluice_progress)),
    "sluice_bind": (_ptr, c_uint64, _ptr, c_uint32),
    "sluice_detach": (_ptr, c_uint64),
    "sluice_cancel": (_ptr, c_uint64),
    "sluice_release": (_ptr, c_uint64),
    "sluice_set_rank": (_ptr, c_uint64, c_double),
    "sluice_compute_done": (_ptr, c_uint64, c_uint64),
    "sluice_store_blocks": (_ptr, c_char_p, c_uint32, _ptr, c_uint32, c_uint64, _out64),
    "sluice_pages": (_ptr, c_uint64, _ptr, c_uint32, _out32),
    "sluice_event_fd": (_ptr, _fd),
    "sluice_poll": (_ptr, _ptr, c_uint32, _out32),
    "sluice_sort": (_ptr, _ptr, c_uint32),
    "sluice_next_ready": (_ptr, _out64),
    "sluice_request_report": (_ptr, c_uint64, POINTER(p.sluice_report)),
    "sluice_pipeline_stats": (_ptr, POINTER(p.sluice_stats)),
    "sluice_metrics": (_ptr, _ptr, c_uint64, _out64),
    "sluice_app_model_load": (_ptr, c_char_p, c_uint64),
    "sluice_app_begin": (_ptr, POINTER(p.sluice_app), _out64),
    "sluice_app_end": (_ptr, c_uint64, c_uint32),
    "sluice_unit_begin": (_ptr, c_uint64, POINTER(p.sluice_unit)),
    "sluice_unit_progress": (_ptr, c_uint64, c_uint64, c_uint64, c_uint64),
    "sluice_unit_end": (_ptr, c_uint64, POINTER(p.sluice_unit_result)),
    "sluice_app_rank": (_ptr, c_uint64, POINTER(c_double), _out32),
    "sluice_planner_open": (POINTER(p.sluice_planner_options), _out_ptr),
    "sluice_plan_export": (_ptr, _ptr, c_uint64, _out64),
    "sluice_plan_import": (_ptr, _ptr, c_uint64, c_char_p, c_uint32),
    "sluice_worker_report_export": (_ptr, c_uint32, _ptr, c_uint64, _out64),
    "sluice_report_merge": (_ptr, _ptr, c_uint32, _ptr, c_uint64, _out64),
    "sluice_report_import": (_ptr, _ptr, c_uint64),
}

OTHER_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sluice_status_name": (c_char_p, (c_int32,)),
    "sluice_last_error": (c_char_p, ()),
    "sluice_api_version": (c_uint32, ()),
    "sluice_version": (c_char_p, ()),
}


def _declare(loaded: ctypes.CDLL) -> None:
    for name, arguments in STATUS_FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype = c_int32
        function.argtypes = arguments
    for name, (result, arguments) in OTHER_FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments


#: The library. Calls release the interpreter's lock: the library's threads need it for callbacks,
#: and may hold locks of their own when they do.
lib = _load()
_declare(lib)


def error_of(status: int) -> SluiceError:
    """What this thread's last call that failed says, which returned `status`."""
    text = lib.sluice_last_error().decode(errors="replace")
    return SluiceError(code_of(status), lib.sluice_status_name(status).decode(), text)


def code_of(status: int) -> int:
    """The number as a Status if it is one."""
    try:
        return Status(status)
    except ValueError:
        return status


def check(status: int) -> None:
    """Raises SluiceError unless `status` is OK."""
    if status != 0:
        raise error_of(status)


def version() -> str:
    """The library's release, "0.1.0"."""
    return str(lib.sluice_version().decode())


def complete(op: int, status: int = Status.OK) -> None:
    """Ends an operation that a driver was given, or a computation that is PENDING. Any thread."""
    check(lib.sluice_complete(op, status))
