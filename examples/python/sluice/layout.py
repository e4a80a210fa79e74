# SPDX-License-Identifier: Apache-2.0
"""L1: where the engine's KV is."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import structs as s
from .buffers import Buffer, memory_of
from .constants import HitRule


@dataclass(frozen=True)
class Region:
    """Slot i is `bytes` bytes at base + stride * i. `owner` keeps the memory alive."""

    base: int  #: address on the device
    stride: int  #: at least bytes
    bytes: int
    slots: int
    layer: int = -1  #: whose KV it holds; -1: all layers
    owner: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def over(cls, buffer: Buffer, block_bytes: int, layer: int = -1) -> Region:
        """All of a buffer in host memory, slot after slot."""
        memory = memory_of(buffer)
        return cls(
            memory.address, block_bytes, block_bytes, memory.size // block_bytes, layer, memory
        )


@dataclass(frozen=True)
class Group:
    """All KV that is paged by the same slot numbers: a block has a piece in each region."""

    regions: Sequence[Region]
    hit_rule: HitRule = HitRule.ALL_BLOCKS
    last_n: int = 0

    @property
    def block_bytes(self) -> int:
        """Of a block in L2 and L3."""
        return sum(r.bytes for r in self.regions)


def c_groups(groups: Sequence[Group]) -> tuple[Any, Any]:
    """The groups as C takes them, and what they need alive for the call."""
    keep: list[Any] = []
    array = (s.sluice_group * len(groups))()
    for c, group in zip(array, groups):
        regions = (s.sluice_region * len(group.regions))(
            *[s.sluice_region(r.base, r.stride, r.bytes, r.slots, r.layer) for r in group.regions]
        )
        keep.append(regions)
        c.regions = ctypes.cast(regions, ctypes.POINTER(s.sluice_region))
        c.n_regions = len(group.regions)
        c.hit_rule = group.hit_rule
        c.last_n = group.last_n
    return array, keep


def python_groups(array: Any, n: int) -> list[Group]:
    """Groups that C gave."""
    return [
        Group(
            [
                Region(r.base, r.stride, r.bytes, r.slots, r.layer)
                for r in array[g].regions[: array[g].n_regions]
            ],
            HitRule(array[g].hit_rule),
            array[g].last_n,
        )
        for g in range(n)
    ]
