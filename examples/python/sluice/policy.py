# SPDX-License-Identifier: Apache-2.0
"""Policies, cost models and computations written in Python."""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple, Optional, Union

from . import pipeline_structs as p
from .callbacks import guarded, status_of
from .constants import NEVER, PolicyFlag, Status
from .library import complete

#: What a policy may know of a request: the members of sluice_request_view. A copy, to be kept.
RequestView = p.sluice_request_view
#: How much a request asks of one stage: the members of sluice_demand. A copy.
Demand = p.sluice_demand


class Policy:
    """An order of yours: override rank, and what else it needs.

    Called on one thread, the pipeline's control thread (or where its Loop runs). It may be as slow
    as it likes: ranks come late then, bytes do not. Requests that it has not got to yet are live,
    and count in max_requests, also when they have been released. Each call waits for the
    interpreter's lock, which a thread that computes in Python gives away every
    sys.getswitchinterval() seconds only.
    """

    #: Ranks depend on remaining time and improve with service.
    ranks_by_service = False
    #: How often all requests are ranked anew; 0: never.
    interval_ns = 0

    def rank(self, request: RequestView, stage: int, now_ns: int) -> float:
        """The place of an admitted request in a stage's queue: the smaller goes first. NaN, or an
        exception: last, and counted as a fault."""
        raise NotImplementedError

    def next_change(self, request: RequestView, now_ns: int) -> int:
        """When that changes although nothing happens to the request; NEVER."""
        return NEVER

    def submitted(self, request: RequestView, now_ns: int) -> None:
        """A request has come."""

    def served(self, request: RequestView, stage: int, seconds: float) -> None:
        """The request had so many seconds of a stage's resource."""

    def done(self, request: RequestView, now_ns: int) -> None:
        """It has had its outcome; the last call for it."""


class CostModel:
    """Predictions of yours. Called as a policy is."""

    def predict(self, stage: int, demand: Demand) -> float:
        """Seconds of the stage's resource. Negative, not finite, or an exception: taken as 0, and
        counted."""
        raise NotImplementedError

    def observe(self, stage: int, demand: Demand, seconds: float) -> None:
        """It took so many."""

    def generation(self) -> int:
        """Grows when queued requests should be ranked anew."""
        return 0


class ComputeJob(NamedTuple):
    """A request whose blocks are in L1."""

    op: int
    request: int
    user: int
    loaded_blocks: int  #: the leading blocks whose KV is in L1
    context_tokens: int  #: in the loaded blocks
    query_tokens: int  #: to compute
    pages: list[list[int]]  #: of each group

    def complete(self, status: int = Status.OK) -> None:
        """Ends a computation that returned PENDING, once. Any thread."""
        complete(self.op, status)


#: Computes the KV and the first token; on a thread of its own; may block. Returns None or a Status;
#: PENDING: it ends later, by job.complete(). An exception fails the request.
Compute = Callable[[ComputeJob], Optional[int]]


def _nothing(_error: BaseException) -> None:
    pass


def _overrides(one: Union[Policy, CostModel], of: type, name: str) -> bool:
    return getattr(type(one), name) is not getattr(of, name)


def policy_table(policy: Policy) -> p.sluice_policy:
    """The policy as C takes it."""

    def view(raw: Any) -> RequestView:
        return RequestView.from_buffer_copy(raw[0])

    table = p.sluice_policy(
        flags=PolicyFlag.RANKS_BY_SERVICE if policy.ranks_by_service else 0,
        interval_ns=policy.interval_ns,
        rank=p.rank_function(
            guarded(
                lambda _user, raw, stage, now: policy.rank(view(raw), stage, now),
                lambda _error: math.nan,
                float,
            )
        ),
    )
    if _overrides(policy, Policy, "next_change"):
        table.next_change = p.next_change_function(
            guarded(
                lambda _user, raw, now: policy.next_change(view(raw), now),
                lambda _error: NEVER,
                int,
            )
        )
    if _overrides(policy, Policy, "submitted"):
        table.submitted = p.submitted_function(
            guarded(lambda _user, raw, now: policy.submitted(view(raw), now), _nothing)
        )
    if _overrides(policy, Policy, "served"):
        table.served = p.served_function(
            guarded(
                lambda _user, raw, stage, seconds: policy.served(view(raw), stage, seconds),
                _nothing,
            )
        )
    if _overrides(policy, Policy, "done"):
        table.done = p.done_function(
            guarded(lambda _user, raw, now: policy.done(view(raw), now), _nothing)
        )
    return table


def cost_table(cost: CostModel) -> p.sluice_cost_model:
    """The cost model as C takes it."""

    def demand(raw: Any) -> Demand:
        return Demand.from_buffer_copy(raw[0])

    table = p.sluice_cost_model(
        predict=p.predict_function(
            guarded(
                lambda _user, stage, raw: cost.predict(stage, demand(raw)),
                lambda _error: math.nan,
                float,
            )
        )
    )
    if _overrides(cost, CostModel, "observe"):
        table.observe = p.observe_function(
            guarded(
                lambda _user, stage, raw, seconds: cost.observe(stage, demand(raw), seconds),
                _nothing,
            )
        )
    if _overrides(cost, CostModel, "generation"):
        last = [0]

        def generation(_user: Any) -> int:
            last[0] = int(cost.generation())
            return last[0]

        table.generation = p.generation_function(guarded(generation, lambda _error: last[0]))
    return table


def compute_table(compute: Compute, n_groups: int) -> p.sluice_compute:
    """The computation as C takes it."""

    def run(_user: Any, raw: Any) -> int:
        job = raw[0]
        n = job.pages_per_group
        status = compute(
            ComputeJob(
                job.op,
                job.request,
                job.user,
                job.loaded_blocks,
                job.context_tokens,
                job.query_tokens,
                [job.pages[g * n : (g + 1) * n] for g in range(n_groups)],
            )
        )
        return Status.OK if status is None else int(status)

    return p.sluice_compute(run=p.run_function(guarded(run, status_of)))
