# SPDX-License-Identifier: Apache-2.0
"""Sluice from Python, by ctypes; sluice.h has the contract of each call.

SLUICE_LIBRARY says where libsluice.so is. sluice.aio is for asyncio. Put a block into a store, and
load it for a prompt that begins with it:

>>> import select, sluice
>>> l1 = bytearray(64 * 4096)                     # the KV memory of an engine: 64 pages
>>> layout = [sluice.Group([sluice.Region.over(l1, 4096)])]
>>> with sluice.Device.host() as device, sluice.Store.memory() as store:
...     put = store.put([b"hash of the block"], [b"k" * 4096])
...     with sluice.Pipeline(layout, device, store, block_tokens=16) as pipeline:
...         request = pipeline.submit([b"hash of the block"], prompt_tokens=20)
...         _ = select.select([pipeline.event_fd()], [], [])
...         (event,) = pipeline.poll()
...         page = pipeline.pages(request)[0]
...         l1[page * 4096 : page * 4096 + 4]     # compute the other four tokens from here
...         pipeline.compute_done(request)
...         pipeline.release(request)
bytearray(b'kkkk')
>>> event.kind == sluice.EventKind.READY, event.blocks
(True, 1)
"""

from .apps import AppOptions
from .batch import BatchResult
from .buffers import Buffer, Memory
from .constants import (
    EVENT_BUSY,
    LOAD_NOTHING,
    NEVER,
    NO_PAGE,
    AppFlag,
    AppsFlag,
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
from .split import Planner, export_report, import_plan, merge_reports
from .store import Store

__all__ = [
    "AppFlag",
    "AppOptions",
    "AppsFlag",
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
    "Planner",
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
    "export_report",
    "import_plan",
    "merge_reports",
    "open_driver",
    "version",
]
