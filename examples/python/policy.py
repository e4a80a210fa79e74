#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A policy written in Python, and what happens when it is slow.

    SLUICE_LIBRARY=.../libsluice.so python3 policy.py

The policy is called on the pipeline's control thread, which waits for the interpreter's lock at
each call. Only that thread waits. Blocks are fetched and copied by other threads, which take ranks
from where the policy's answers have been put, and need neither the policy nor Python (unless the
store or the device is written in Python). So, while rank() does not return:

  goes on  blocks are looked up, fetched and copied, and outcomes come: of what is ranked by the
           ranks that it has, then (5 ms after lookup) of what is not, by arrival
  waits    new ranks; the end of the pipeline

A policy that does not block but computes in Python for long does the same, and also shares the
interpreter's lock with the engine. The other way round, a thread that computes in Python gives the
lock away every sys.getswitchinterval() seconds (5 ms) only, and each call of the policy may have to
wait for that; rank() is called three times when a request is admitted. An engine that waits in
asyncio, or computes in C, does not notice.
"""

from __future__ import annotations

import threading

import sluice

BLOCK_BYTES = 16 * 1024
BLOCK_TOKENS = 16
BLOCKS = 64  # of a request


class ShortestByWeight(sluice.Policy):
    """The predicted time to the first token, over the tenant's weight: the smaller goes first."""

    def rank(self, request: sluice.RequestView, stage: int, now_ns: int) -> float:
        seconds = request.predicted_fetch_s + request.predicted_copy_s + request.predicted_compute_s
        return float(seconds / request.tenant_weight)


class Sometimes(ShortestByWeight):
    """The same, but it does not return for one user's requests until it may."""

    def __init__(self, slow_user: int) -> None:
        self.slow_user = slow_user
        self.entered = threading.Event()  # rank() is in there
        self.may_return = threading.Event()
        self.ranked: set[int] = set()  # users; only this thread changes it

    def rank(self, request: sluice.RequestView, stage: int, now_ns: int) -> float:
        if request.user == self.slow_user:
            self.entered.set()
            self.may_return.wait()
        self.ranked.add(request.user)
        return super().rank(request, stage, now_ns)


def keys_of(user: int) -> list[bytes]:
    """Names of a user's blocks. Engines take a hash of the tokens and of all before them."""
    return [(user * BLOCKS + i).to_bytes(8, "little") for i in range(BLOCKS)]


def outcomes_of(pipeline: sluice.Pipeline, n: int) -> list[sluice.Event]:
    """The next n outcomes. An engine waits for the descriptor and has other things to do."""
    events: list[sluice.Event] = []
    while len(events) < n:
        events += [event for event in pipeline.poll() if event.is_outcome]
    return events


def main() -> None:
    users = 8
    slow_user = users
    policy = Sometimes(slow_user)
    l1 = bytearray((users + 1) * (BLOCKS + 1) * BLOCK_BYTES)
    with sluice.Device.host() as device, sluice.Store.memory(bytes_per_second=100e6) as store:
        for user in range(users + 1):
            written = store.put(keys_of(user), [bytes([user]) * BLOCK_BYTES] * BLOCKS)
            assert written.succeeded == BLOCKS
        with sluice.Pipeline(
            [sluice.Group([sluice.Region.over(l1, BLOCK_BYTES)])], device, store, policy=policy
        ) as pipeline:
            try:
                demonstrate(pipeline, policy, users)
            finally:
                policy.may_return.set()  # the end of the pipeline waits for it
    assert l1.count(bytes([slow_user])) == BLOCKS * BLOCK_BYTES


def demonstrate(pipeline: sluice.Pipeline, policy: Sometimes, users: int) -> None:
    """That all is loaded while rank() does not return."""
    tokens = BLOCKS * BLOCK_TOKENS + 1
    for user in range(users):
        pipeline.submit(keys_of(user), tokens, user=user, tenant_weight=1 + user)
    while len(policy.ranked) < users:
        pass  # all of them are to be ranked before the policy stops
    late = pipeline.submit(keys_of(policy.slow_user), tokens, user=policy.slow_user)
    policy.entered.wait()
    in_l1 = pipeline.stats().copied_bytes
    print(f"rank() does not return; {in_l1 / 1e6:.1f} MB are in L1")

    loaded = outcomes_of(pipeline, users + 1)
    assert not policy.may_return.is_set()
    assert all(e.kind == sluice.EventKind.READY and e.blocks == BLOCKS for e in loaded)
    order = " ".join(str(event.user) for event in loaded[:-1])
    print(f"{users} ranked requests are loaded, in the order of users {order}")
    assert loaded[-1].request == late
    print("the one without a rank is loaded too, after them")
    policy.may_return.set()


if __name__ == "__main__":
    main()
