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
from .device import Copy, Device, DeviceDriver
from .driver import KeyList, StoreDriver, Transfer, open_driver
from .events import Event
from .layout import Group, Region
from .library import SluiceError, complete, version
from .loop import Loop
from .pipeline import Pipeline, Progress, Report, Stats
from .policy import Compute, ComputeJob, CostModel, Demand, Policy, RequestView
from .store import Store

__all__ = [
    "BatchKind",
    "BatchResult",
    "Buffer",
    "Compute",
    "ComputeJob",
    "Copy",
    "CostModel",
    "Demand",
    "Device",
    "DeviceDriver",
    "EVENT_BUSY",
    "Event",
    "EventKind",
    "Group",
    "HitRule",
    "KeyList",
    "LOAD_NOTHING",
    "Loop",
    "Memory",
    "NEVER",
    "NO_PAGE",
    "Pipeline",
    "PipelineFlag",
    "Policy",
    "Progress",
    "Region",
    "Report",
    "RequestFlag",
    "RequestView",
    "Reservation",
    "SluiceError",
    "Stage",
    "Stats",
    "Status",
    "Store",
    "StoreDriver",
    "StoreFlag",
    "Transfer",
    "complete",
    "open_driver",
    "version",
]
