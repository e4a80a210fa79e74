# SPDX-License-Identifier: Apache-2.0
"""The pipeline: requests and their events."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Optional, Union

from . import pipeline_structs as p
from .apps import AppOptions, Applications
from .batch import Keys
from .buffers import c_pages, join_keys
from .constants import PipelineFlag, RequestFlag, Reservation
from .device import Device
from .events import Event, event_array, read_events
from .handles import Handle, handle_value, open_with
from .layout import Group, c_groups
from .library import check, error_of, lib
from .loop import Loop
from .policy import Compute, CostModel, Policy, compute_table, cost_table, policy_table
from .store import Store
from .structs import sluice_group

Progress = p.sluice_progress
Report = p.sluice_report
Stats = p.sluice_stats


class Pipeline(Applications, Handle):
    """Loads cached KV blocks, L3 to L2 to L1, in the order of a policy, and tells by events what is
    in place. Any thread may use it; only the opening and close() block."""

    _close_function = lib.sluice_pipeline_close

    def __init__(
        self,
        groups: Sequence[Group],
        device: Device,
        store: Optional[Store] = None,
        *,
        loop: Optional[Loop] = None,
        policy: Union[str, Policy, None] = None,
        cost: Union[str, CostModel, None] = None,
        compute: Optional[Compute] = None,
        engine_owns_l1: bool = False,
        split_loads: bool = False,
        fail_on_loss: bool = False,
        block_tokens: int = 0,
        l2_bytes: int = 0,
        max_requests: int = 0,
        concurrent_computes: int = 0,
        reservation: int = Reservation.PROACTIVE,
        fetch_operations: int = 0,
        fetch_bytes: int = 0,
        copy_operations: int = 0,
        copy_bytes: int = 0,
        write_back_operations: int = 0,
        write_back_bytes: int = 0,
        write_back_share: float = 0,
        quarantine_share: float = 0,
        fetch_soft_timeout_ns: int = 0,
        fetch_hard_timeout_ns: int = 0,
        load_timeout_ns: int = 0,
        apps: Optional[AppOptions] = None,
    ) -> None:
        """The numbers are those of sluice_pipeline_options: 0 is the default.

        groups: the layout of L1, whose memory is kept alive. loop: None: two threads of its own.
        policy: "fifo", "sjf", "external", ... or a Policy. compute: the library drives, and calls
        it; None: the engine drives.
        """
        array, regions = c_groups(groups)
        options = p.sluice_pipeline_options(
            flags=(PipelineFlag.ENGINE_OWNS_L1 if engine_owns_l1 else 0)
            | (PipelineFlag.SPLIT_LOADS if split_loads else 0)
            | (PipelineFlag.FAIL_ON_LOSS if fail_on_loss else 0),
            groups=ctypes.cast(array, ctypes.POINTER(sluice_group)),
            n_groups=len(groups),
            block_tokens=block_tokens,
            device=handle_value(device),
            store=handle_value(store),
            loop=handle_value(loop),
            l2_bytes=l2_bytes,
            max_requests=max_requests,
            concurrent_computes=concurrent_computes,
            reservation=reservation,
            fetch_operations=fetch_operations,
            fetch_bytes=fetch_bytes,
            copy_operations=copy_operations,
            copy_bytes=copy_bytes,
            write_back_operations=write_back_operations,
            write_back_bytes=write_back_bytes,
            write_back_share=write_back_share,
            quarantine_share=quarantine_share,
            fetch_soft_timeout_ns=fetch_soft_timeout_ns,
            fetch_hard_timeout_ns=fetch_hard_timeout_ns,
            load_timeout_ns=load_timeout_ns,
            apps=None if apps is None else ctypes.pointer(apps),
        )
        tables: list[Any] = set_order(options, policy, cost)
        if compute is not None:
            tables.append(compute_table(compute, len(groups)))
            options.compute = ctypes.pointer(tables[-1])
        handle = open_with(lib.sluice_pipeline_open, ctypes.byref(options))
        del regions  # borrowed for the call
        self._opened(handle, (groups, device, store, loop, tables))

    # ---- requests

    def submit(
        self,
        keys: Keys,
        prompt_tokens: int,
        *,
        key_size: int = 0,
        user: int = 0,
        pages: int = 0,
        resident_blocks: int = 0,
        max_load_blocks: int = 0,
        min_query_tokens: int = 0,
        priority: int = 0,
        tenant: int = 0,
        tenant_weight: float = 0,
        rank: float = 0,
        arrival_ns: int = 0,
        deadline_ns: int = 0,
        load_timeout_ns: int = 0,
        write_back: bool = True,
        tell_lookup: bool = False,
        app: int = 0,
        prewarm: bool = False,
    ) -> int:
        """Starts a request, and returns its id. Lookup and loading to L2 begin at once.

        keys: of the prompt's full blocks, group-major, of one size of 1 to 32 bytes; a sequence, or
        one bytes object with key_size. The rest is as in sluice_request. The id is live until the
        outcome has been polled and, after READY, DETACHED or COMPUTED, release() called. app: the
        application that it is a part of. prewarm: its blocks are brought near for requests to come;
        its outcome is its last event.
        """
        joined, size, n = join_keys(keys, key_size)
        request = p.sluice_request(
            flags=(0 if write_back else RequestFlag.NO_WRITE_BACK)
            | (RequestFlag.TELL_LOOKUP if tell_lookup else 0)
            | (RequestFlag.PREWARM if prewarm else 0),
            keys=joined,
            key_size=size,
            n_keys=n,
            prompt_tokens=prompt_tokens,
            user=user,
            pages=pages,
            resident_blocks=resident_blocks,
            max_load_blocks=max_load_blocks,
            min_query_tokens=min_query_tokens,
            priority=priority,
            tenant=tenant,
            tenant_weight=tenant_weight,
            rank=rank,
            arrival_ns=arrival_ns,
            deadline_ns=deadline_ns,
            load_timeout_ns=load_timeout_ns,
            app=app,
        )
        out = ctypes.c_uint64()
        check(lib.sluice_submit(self._handle, ctypes.byref(request), ctypes.byref(out)))
        return out.value

    def query(self, request: int) -> Progress:
        """How far a request is."""
        out = Progress()
        check(lib.sluice_query(self._handle, request, ctypes.byref(out)))
        return out

    def bind(self, request: int, pages: Sequence[int]) -> None:
        """Engine-owned L1: gives a request its pages, all in one call, group-major. NO_PAGE is a
        hole. WANT_PAGES says when loading needs them."""
        numbers = c_pages(pages)
        check(lib.sluice_bind(self._handle, request, numbers, len(numbers)))

    def detach(self, request: int) -> None:
        """Stops waiting: the request ends DETACHED with what has arrived."""
        check(lib.sluice_detach(self._handle, request))

    def cancel(self, request: int) -> None:
        """Ends a request early: its outcome is CANCELLED unless it has had one."""
        check(lib.sluice_cancel(self._handle, request))

    def release(self, request: int) -> None:
        """The engine has no more use for the request and its pages. Before an outcome: cancels."""
        status = lib.sluice_release(self._handle, request)
        if status:
            raise error_of(status)

    def set_rank(self, request: int, rank: float) -> None:
        """Gives a request another rank, for the policy "external"."""
        check(lib.sluice_set_rank(self._handle, request, rank))

    def compute_done(self, request: int, compute_ns: int = 0) -> None:
        """The engine drives: the first token is there. Computed blocks go to L2 and the store.
        compute_ns: what it took, for the cost model; 0: not known."""
        check(lib.sluice_compute_done(self._handle, request, compute_ns))

    def store_blocks(
        self, keys: Keys, pages: Sequence[int], *, key_size: int = 0, user: int = 0
    ) -> int:
        """Stores blocks that are in L1, for example generated ones. The pages must not change until
        STORED says how many were, by the id that is returned; no release()."""
        joined, size, n = join_keys(keys, key_size)
        if n != len(pages):
            raise ValueError(f"{n} keys take {n} pages")
        out = ctypes.c_uint64()
        check(
            lib.sluice_store_blocks(
                self._handle,
                joined,
                size,
                c_pages(pages),
                n,
                user,
                ctypes.byref(out),
            )
        )
        return out.value

    def pages(self, request: int) -> list[int]:
        """The pages of a request that is loaded, group-major."""
        n = ctypes.c_uint32()
        capacity = 512
        while True:
            out = (ctypes.c_uint32 * capacity)()
            status = lib.sluice_pages(self._handle, request, out, capacity, ctypes.byref(n))
            if n.value <= capacity:
                check(status)
                return out[: n.value]
            capacity = n.value

    # ---- events

    def event_fd(self) -> int:
        """Readable while events wait. For select, poll, asyncio. Owned by the pipeline."""
        fd = ctypes.c_int()
        check(lib.sluice_event_fd(self._handle, ctypes.byref(fd)))
        return fd.value

    def poll(self, capacity: int = 512) -> list[Event]:
        """Takes up to `capacity` events, oldest first. Many at once cost much less each."""
        raw = event_array(capacity)
        n = ctypes.c_uint32()
        status = lib.sluice_poll(self._handle, raw, capacity, ctypes.byref(n))
        if status:
            raise error_of(status)
        return read_events(raw, n.value)

    # ---- order

    def sort(self, requests: Sequence[int]) -> list[int]:
        """The ids by the last published ranks, best first, stale ones last."""
        n = len(requests)
        ids = (ctypes.c_uint64 * n)(*requests)
        check(lib.sluice_sort(self._handle, ids, n))
        return list(ids)

    def next_ready(self) -> int:
        """The best request that is ready and has not been given out here; 0 if there is none."""
        out = ctypes.c_uint64()
        check(lib.sluice_next_ready(self._handle, ctypes.byref(out)))
        return out.value

    # ---- what happened

    def report(self, request: int) -> Report:
        """The story of a request that has had its outcome and is not released."""
        out = Report()
        check(lib.sluice_request_report(self._handle, request, ctypes.byref(out)))
        return out

    def stats(self) -> Stats:
        """Counts since the pipeline was opened."""
        out = Stats()
        check(lib.sluice_pipeline_stats(self._handle, ctypes.byref(out)))
        return out

    def metrics(self) -> str:
        """All of that and more as Prometheus text."""
        needed = ctypes.c_uint64()
        capacity = 16384
        while True:
            text = ctypes.create_string_buffer(capacity)
            status = lib.sluice_metrics(self._handle, text, capacity, ctypes.byref(needed))
            if needed.value <= capacity:
                check(status)
                return text.value.decode()
            capacity = needed.value


def set_order(
    options: Any, policy: Union[str, Policy, None], cost: Union[str, CostModel, None]
) -> list[Any]:
    """Sets policy and cost model in options. Returns what C keeps of them."""
    keep: list[Any] = [policy, cost]
    if isinstance(policy, Policy):
        keep.append(policy_table(policy))
        options.custom_policy = ctypes.pointer(keep[-1])
    elif policy is not None:
        options.policy = policy.encode()
    if isinstance(cost, CostModel):
        keep.append(cost_table(cost))
        options.custom_cost = ctypes.pointer(keep[-1])
    elif cost is not None:
        options.cost = cost.encode()
    return keep
