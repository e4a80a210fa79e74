# SPDX-License-Identifier: Apache-2.0
"""Memory of Python objects, for C."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Iterable
from typing import Any, NamedTuple, Union


class Memory(NamedTuple):
    """`size` bytes at an address. `owner` is whatever keeps them alive."""

    address: int
    size: int
    owner: Any = None

    def view(self) -> memoryview:
        """The bytes, to read and write."""
        return view_of(self.address, self.size)


#: bytearray, memoryview, mmap, numpy array, ctypes array: what has a contiguous buffer. Or Memory,
#: for memory that Python does not know.
Buffer = Union[Memory, bytearray, memoryview, Any]


def memory_of(buffer: Buffer, writable: bool = True) -> Memory:
    """Where the buffer's bytes are. While the result is alive, a bytearray cannot be resized.

    Bytes objects do if writable is False; other memory that can only be read is copied then.
    """
    if isinstance(buffer, Memory):
        return buffer
    if isinstance(buffer, bytes) and not writable:
        return Memory(
            ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value or 0, len(buffer), buffer
        )
    view = memoryview(buffer)
    if view.readonly and not writable:
        return memory_of(view.tobytes(), False)
    if view.nbytes == 0:
        return Memory(0, 0)
    # Raises TypeError if it is not writable, or not contiguous.
    first = ctypes.c_char.from_buffer(view)
    return Memory(ctypes.addressof(first), view.nbytes, first)


def view_of(address: int, size: int) -> memoryview:
    """Memory of the library's as a buffer. Valid as long as the library says."""
    view: memoryview = _from_memory(address, size, 0x200)  # to read and write
    return view


_from_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_from_memory.restype = ctypes.py_object
_from_memory.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)


def c_pages(pages: Iterable[int]) -> Any:
    """Slot numbers as C takes them. Raises OverflowError for what is none: a page that is close to
    it would be written to."""
    listed = array.array("I", list(pages))
    if not listed:
        return (ctypes.c_uint32 * 0)()
    return (ctypes.c_uint32 * len(listed)).from_buffer(listed)


def join_keys(keys: Union[bytes, Iterable[bytes]], key_size: int = 0) -> tuple[bytes, int, int]:
    """Keys one after the other, the size of each, and how many there are.

    Either a sequence of keys of one size, or all of them in one bytes object and key_size.
    """
    if isinstance(keys, (bytes, bytearray, memoryview)):
        joined = bytes(keys)
        if key_size < 1 or len(joined) % key_size != 0:
            raise ValueError(f"{len(joined)} bytes are no keys of {key_size} bytes")
        return joined, key_size, len(joined) // key_size
    listed: list[bytes] = list(keys)
    if not listed:
        return b"", key_size or 1, 0
    size = len(listed[0])
    if any(len(key) != size for key in listed):
        raise ValueError("the keys of one call have one size")
    joined = b"".join(listed)
    if len(joined) != size * len(listed):  # len() of an array counts items
        raise ValueError("keys are made of bytes")
    return joined, size, len(listed)
