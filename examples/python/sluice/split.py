# SPDX-License-Identifier: Apache-2.0
"""Engines whose scheduler and workers are separate processes.

The scheduler has a Planner, a pipeline that moves no bytes. Each worker (rank) has a Pipeline with
engine_owns_l1 and the policy "external". Bytes travel between them on the engine's own messages:

    scheduler: planner.export_plan()      -> worker: import_plan(pipeline, plan)
    worker: export_report(pipeline, rank) -> merge_reports -> scheduler: planner.import_report()
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Callable, Optional, Union

from . import pipeline_structs as p
from .apps import AppOptions
from .constants import Status
from .handles import open_with
from .library import check, lib
from .loop import clock_of
from .pipeline import Pipeline, set_order
from .policy import CostModel, Policy


def _bytes_of(call: Callable[[ctypes.Array[ctypes.c_char], int, object], int]) -> bytes:
    """What a call writes that says how much room it needs."""
    needed = ctypes.c_uint64()
    capacity = 4096
    while True:
        buffer = ctypes.create_string_buffer(capacity)
        status = call(buffer, capacity, ctypes.byref(needed))
        if status != Status.TRUNCATED:
            check(status)
            return buffer.raw[: needed.value]
        capacity = needed.value


class Planner(Pipeline):
    """The scheduler's side: used like any pipeline; the workers carry out what it decides."""

    def __init__(
        self,
        *,
        workers: int,
        n_groups: int,
        pages: int,
        block_bytes: int,
        block_tokens: int = 0,
        block_pieces: int = 0,
        max_requests: int = 0,
        policy: Union[str, Policy, None] = None,
        cost: Union[str, CostModel, None] = None,
        now: Optional[Callable[[], int]] = None,
        apps: Optional[AppOptions] = None,
    ) -> None:
        """The numbers are those of sluice_planner_options. The policy is called inside export_plan
        and import_report. now: the clock, in nanoseconds; None: CLOCK_MONOTONIC."""
        clock = clock_of(now)
        options = p.sluice_planner_options(
            workers=workers,
            n_groups=n_groups,
            pages=pages,
            block_bytes=block_bytes,
            block_tokens=block_tokens,
            block_pieces=block_pieces,
            max_requests=max_requests,
            clock=ctypes.pointer(clock),
            apps=None if apps is None else ctypes.pointer(apps),
        )
        tables = set_order(options, policy, cost)
        handle = open_with(lib.sluice_planner_open, ctypes.byref(options))
        self._opened(handle, (clock, tables))

    def export_plan(self) -> bytes:
        """What has been decided since the last time, for every worker; b"": nothing. Once per step
        of the engine."""
        return _bytes_of(lambda *room: lib.sluice_plan_export(self._handle, *room))

    def import_report(self, report: bytes) -> None:
        """Lets the planner know; its events follow. In any order; empty ones are none."""
        if report:
            check(lib.sluice_report_import(self._handle, report, len(report)))


def import_plan(worker: Pipeline, plan: bytes, key_suffix: bytes = b"") -> None:
    """Carries out a plan at a worker; in order, each once. key_suffix: appended to every key, so
    that ranks name their own blocks."""
    if plan:
        check(lib.sluice_plan_import(worker._handle, plan, len(plan), key_suffix, len(key_suffix)))


def export_report(worker: Pipeline, rank: int) -> bytes:
    """What has happened at a worker since the last time; b"": nothing. The worker's event_fd() says
    when there is something."""
    return _bytes_of(lambda *room: lib.sluice_worker_report_export(worker._handle, rank, *room))


def merge_reports(reports: Sequence[bytes]) -> bytes:
    """One report of several, also of merged ones; empty ones are none."""
    given = [r for r in reports if r]
    if not given:
        return b""
    n = len(given)
    addresses = (ctypes.c_char_p * n)(*given)
    sizes = (ctypes.c_uint64 * n)(*[len(r) for r in given])
    return _bytes_of(lambda *room: lib.sluice_report_merge(addresses, sizes, n, *room))
