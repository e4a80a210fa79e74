# SPDX-License-Identifier: Apache-2.0
"""As much of a tensor as an adapter sees: indices, and memory by address."""

from __future__ import annotations

import ctypes
from typing import Iterable, List, Sequence


class Tensor:
    """Host indices, or bytes at an address."""

    def __init__(self, values: Sequence[int] = (), data: "bytearray | None" = None) -> None:
        self._values = list(values)
        self.data = data

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, at: slice) -> "Tensor":
        return Tensor(self._values[at])

    def tolist(self) -> List[int]:
        return list(self._values)

    def data_ptr(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self.data))

    def numel(self) -> int:
        return len(self.data) // 2

    def element_size(self) -> int:
        return 2  # bfloat16


def tensor(values: Iterable[int]) -> Tensor:
    return Tensor(list(values))


def arange(end: int) -> Tensor:
    return Tensor(range(end))
