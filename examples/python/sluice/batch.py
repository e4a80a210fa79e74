# SPDX-License-Identifier: Apache-2.0
"""Batches: blocks between a store and memory of yours, without a pipeline."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional, Union

from . import structs as s
from .buffers import Buffer, join_keys, memory_of
from .constants import BatchKind

Keys = Union[bytes, Iterable[bytes]]


class BatchResult(NamedTuple):
    """How a batch ended."""

    ticket: int
    user: int
    kind: int
    status: int  #: OK, or the first failure, misses included
    succeeded: int  #: keys whose result is OK
    leading: int  #: of those, the ones before the first that is not
    results: tuple[int, ...]  #: of each key


class Prepared:
    """A batch as C takes it, and what it needs alive until it has ended."""

    def __init__(
        self,
        kind: int,
        keys: Keys,
        buffers: Optional[Sequence[Buffer]],
        key_size: int,
        rank: float,
        user: int,
    ) -> None:
        joined, size, n = join_keys(keys, key_size)
        self.results = (ctypes.c_int32 * n)()
        self.memory: Any = None
        self.struct = s.sluice_batch(
            kind=kind, keys=joined, key_size=size, n=n, results=self.results, rank=rank, user=user
        )
        if kind in (BatchKind.GET, BatchKind.PUT):
            if buffers is None or len(buffers) != n:
                raise ValueError(f"{n} keys take {n} buffers")
            self.memory = [memory_of(b, kind == BatchKind.GET) for b in buffers]
            self.struct.memory = (ctypes.c_void_p * n)(*[m.address for m in self.memory])
            self.struct.bytes = (ctypes.c_uint64 * n)(*[m.size for m in self.memory])

    def ended(self, raw: Any) -> BatchResult:
        """The result, of a sluice_batch_result; lets go of the memory."""
        self.memory = None
        return BatchResult(
            raw.ticket,
            raw.user,
            raw.kind,
            raw.status,
            raw.succeeded,
            raw.leading,
            tuple(self.results),
        )
