# SPDX-License-Identifier: Apache-2.0
"""The structs of sluice.h about loops, devices, stores and batches, under their names there."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any


_LIMITS = {c_uint32: (0, 2**32 - 1), c_uint64: (0, 2**64 - 1), c_int32: (-(2**31), 2**31 - 1)}


class Sized(Structure):
    """A struct that begins with its size, which is set."""

    _limits: dict[str, tuple[int, int]]  # of members that are whole numbers

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._limits = {f[0]: _LIMITS[f[1]] for f in cls._fields_ if f[1] in _LIMITS}

    def __init__(self, **members: Any) -> None:
        """Raises OverflowError, where ctypes would take the low bits."""
        super().__init__(struct_size=ctypes.sizeof(type(self)), **members)
        limits = self._limits
        for name, value in members.items():
            if value and name in limits:
                low, high = limits[name]
                if not low <= value <= high:
                    raise OverflowError(f"{name}: {value} is not between {low} and {high}")


# ---- loop

now_function = CFUNCTYPE(c_uint64, c_void_p)


class sluice_clock(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("now", now_function),
    ]


# ---- L1 layout


class sluice_region(Structure):
    _fields_ = [
        ("base", c_uint64),
        ("stride", c_uint64),
        ("bytes", c_uint64),
        ("slots", c_uint32),
        ("layer", c_int32),
    ]


class sluice_group(Structure):
    _fields_ = [
        ("regions", POINTER(sluice_region)),
        ("n_regions", c_uint32),
        ("hit_rule", c_uint32),
        ("last_n", c_uint32),
        ("reserved", c_uint32),
    ]


# ---- device


class sluice_host_device_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("loop", c_void_p),
        ("bytes_per_second", c_double),
    ]


class sluice_copy(Structure):
    _fields_ = [
        ("op", c_uint64),
        ("host", c_void_p),
        ("group", POINTER(sluice_group)),
        ("slot", c_uint32),
        ("reserved", c_uint32),
    ]


allocate_pinned_function = CFUNCTYPE(c_int32, c_void_p, c_uint64, POINTER(c_void_p))
free_pinned_function = CFUNCTYPE(None, c_void_p, c_void_p, c_uint64)
register_layout_function = CFUNCTYPE(c_int32, c_void_p, POINTER(sluice_group), c_uint32)
copy_function = CFUNCTYPE(None, c_void_p, POINTER(sluice_copy), c_uint32)


class sluice_device_driver(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("allocate_pinned", allocate_pinned_function),
        ("free_pinned", free_pinned_function),
        ("register_layout", register_layout_function),
        ("copy_in", copy_function),
        ("copy_out", copy_function),
    ]


# ---- store


class sluice_memory_store_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("loop", c_void_p),
        ("capacity", c_uint64),
        ("bytes_per_second", c_double),
        ("latency_ns", c_uint64),
    ]


class sluice_fabric_store_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("nodes", c_char_p),
        ("secret_file", c_char_p),
        ("secret", c_char_p),
        ("provider", c_char_p),
        ("replicas", c_uint32),
        ("connections", c_uint32),
        ("soft_timeout_ns", c_uint64),
        ("bytes_per_second", c_double),
    ]


class sluice_transfer(Structure):
    _fields_ = [
        ("op", c_uint64),
        ("key", c_void_p),
        ("key_size", c_uint32),
        ("reserved", c_uint32),
        ("memory", c_void_p),
        ("bytes", c_uint64),
    ]


class sluice_keys(Structure):
    _fields_ = [
        ("op", c_uint64),
        ("keys", c_void_p),
        ("sizes", POINTER(c_uint8)),
        ("present", POINTER(c_uint8)),
        ("n", c_uint32),
        ("reserved", c_uint32),
    ]


register_memory_function = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_uint64)
unregister_memory_function = CFUNCTYPE(None, c_void_p, c_void_p, c_uint64)
keys_function = CFUNCTYPE(None, c_void_p, POINTER(sluice_keys))
transfer_function = CFUNCTYPE(None, c_void_p, POINTER(sluice_transfer), c_uint32)
abort_function = CFUNCTYPE(None, c_void_p, c_uint64)


class sluice_store_driver(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("register_memory", register_memory_function),
        ("unregister_memory", unregister_memory_function),
        ("lookup", keys_function),
        ("get", transfer_function),
        ("put", transfer_function),
        ("remove", keys_function),
        ("abort", abort_function),
    ]


# ---- batches


class sluice_batch(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("keys", c_char_p),
        ("key_size", c_uint32),
        ("n", c_uint32),
        ("memory", POINTER(c_void_p)),
        ("bytes", POINTER(c_uint64)),
        ("results", POINTER(c_int32)),
        ("rank", c_double),
        ("user", c_uint64),
    ]


class sluice_batch_result(Structure):
    _fields_ = [
        ("ticket", c_uint64),
        ("user", c_uint64),
        ("kind", c_uint32),
        ("status", c_int32),
        ("succeeded", c_uint32),
        ("leading", c_uint32),
    ]
