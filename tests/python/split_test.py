# SPDX-License-Identifier: Apache-2.0
"""A scheduler and two workers that know each other by bytes."""

import unittest

import support
from support import BLOCK, TOKENS, content, keys

import sluice
from sluice import EventKind, Status


class Worker:
    """A rank, whose blocks have names of their own."""

    def __init__(self, rank, slots):
        self.rank = rank
        self.suffix = bytes([rank])
        self.loop = sluice.Loop()
        self.l1 = bytearray(slots * BLOCK)
        self.store = sluice.Store.memory(loop=self.loop)
        self.device = sluice.Device.host(loop=self.loop)
        self.pipeline = sluice.Pipeline(
            [sluice.Group([sluice.Region.over(self.l1, BLOCK)])],
            self.device,
            self.store,
            loop=self.loop,
            engine_owns_l1=True,
            policy="external",
            block_tokens=TOKENS,
            l2_bytes=64 * BLOCK,
        )

    def fill(self, n):
        names = [key + self.suffix for key in keys(0, n)]
        self.store.submit(
            sluice.BatchKind.PUT, names, [content(10 * self.rank + i) for i in range(n)]
        )
        self.loop.run()
        (result,) = self.store.poll()
        assert result.succeeded == n

    def carry_out(self, plan):
        """The plan, and all that is to be done then. Returns the report."""
        sluice.import_plan(self.pipeline, plan, self.suffix)
        self.loop.run()
        return sluice.export_report(self.pipeline, self.rank)

    def close(self):
        for handle in (self.pipeline, self.store, self.device, self.loop):
            handle.close()


class Split(unittest.TestCase):
    slots = 32

    def setUp(self):
        self.workers = [Worker(rank, self.slots) for rank in range(2)]
        for worker in self.workers:
            self.addCleanup(worker.close)
        self.planner = sluice.Planner(
            workers=2, n_groups=1, pages=self.slots, block_bytes=BLOCK, block_tokens=TOKENS
        )
        self.addCleanup(self.planner.close)

    def step(self):
        """Of the engine: one message to all, one back."""
        plan = self.planner.export_plan()
        reports = [worker.carry_out(plan) for worker in self.workers]
        self.planner.import_report(sluice.merge_reports(reports))
        return self.planner.poll()

    def test_a_request_is_where_the_last_rank_is(self):
        self.workers[0].fill(6)
        self.workers[1].fill(4)
        request = self.planner.submit(keys(0, 6), 6 * TOKENS + 1, user=7, tell_lookup=True)
        events = self.step()
        self.assertEqual(
            [(e.kind, e.user) for e in events],
            [(EventKind.LOOKED_UP, 7), (EventKind.WANT_PAGES, 7)],
        )
        self.assertEqual((events[0].blocks, events[0].is_outcome), (4, False))
        self.planner.bind(request, [8, 7, 6, 5, 4, 3, 2])
        (event,) = self.step()
        self.assertEqual((event.kind, event.blocks), (EventKind.READY, 4))
        for worker in self.workers:
            page = bytes(worker.l1[8 * BLOCK : 9 * BLOCK])
            self.assertEqual(page, content(10 * worker.rank))
        self.planner.compute_done(request)
        (event,) = self.step()
        self.assertEqual(event.kind, EventKind.STORED)
        self.planner.release(request)
        self.assertEqual(self.step(), [])
        self.assertEqual(self.planner.stats().live_requests, 0)

    def test_messages_of_any_length(self):
        # More than the room that is offered first.
        n = 400
        for i in range(n):
            self.planner.submit(keys(100 + 4 * i, 4), 4 * TOKENS + 1, tell_lookup=True)
        plan = self.planner.export_plan()
        self.assertGreater(len(plan), 10000)
        reports = [worker.carry_out(plan) for worker in self.workers]
        self.planner.import_report(sluice.merge_reports(reports))
        self.assertGreaterEqual(len(self.planner.poll(2 * n)), n)

    def test_nothing_to_tell_is_no_message(self):
        self.assertEqual(self.planner.export_plan(), b"")
        self.assertEqual(sluice.merge_reports([b"", b""]), b"")
        self.assertEqual(self.step(), [])

    def test_nonsense_is_refused(self):
        def refused(call):
            with self.assertRaises(sluice.SluiceError) as raised:
                call()
            return raised.exception.code

        worker = self.workers[0].pipeline
        self.assertEqual(
            refused(lambda: sluice.import_plan(worker, b"no plan")), Status.INVALID_ARGUMENT
        )
        self.assertEqual(
            refused(lambda: self.planner.import_report(b"no report")), Status.INVALID_ARGUMENT
        )
        self.assertEqual(
            refused(lambda: sluice.merge_reports([b"no report"])), Status.INVALID_ARGUMENT
        )
        self.assertEqual(
            refused(lambda: sluice.import_plan(self.planner, b"no plan")),
            Status.FAILED_PRECONDITION,
        )
        with self.assertRaises(sluice.SluiceError):
            sluice.Planner(workers=65, n_groups=1, pages=1, block_bytes=1)


if __name__ == "__main__":
    support.main()
