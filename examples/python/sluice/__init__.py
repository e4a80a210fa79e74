# SPDX-License-Identifier: Apache-2.0
"""Sluice from Python, by ctypes; sluice.h has the contract of each call.

SLUICE_LIBRARY says where libsluice.so is. sluice.aio is for asyncio.
"""

from .batch import BatchResult
from .buffers import Buffer, Memory
from .constants import (
    EVENT_BUSY,
    LOAD_NOTHING,
    NEVER,
    NO_PAGE,
    BatchKind,
    EventKind,
    HitRule,
    PipelineFlag,
    RequestFlag,
    Reservation,
    Stage,
    Status,
    StoreFlag,
)
from .library import SluiceError, complete, version
from .loop import Loop
from .store import Store

__all__ = [
    "BatchKind",
    "BatchResult",
    "Buffer",
    "EVENT_BUSY",
    "EventKind",
    "HitRule",
    "LOAD_NOTHING",
    "Loop",
    "Memory",
    "NEVER",
    "NO_PAGE",
    "PipelineFlag",
    "RequestFlag",
    "Reservation",
    "SluiceError",
    "Stage",
    "Status",
    "Store",
    "StoreFlag",
    "complete",
    "version",
]
