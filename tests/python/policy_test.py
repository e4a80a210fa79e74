# SPDX-License-Identifier: Apache-2.0
"""Policies and cost models written in Python, also slow and faulty ones."""

import threading

import support
from support import BLOCK, FOR_EVER, TOKENS, Gate, Rig, keys

import sluice
from sluice import EventKind, Stage, Status


class Recorder(sluice.Policy):
    """The larger user goes first; remembers its calls."""

    def __init__(self):
        self.calls = []
        self.views = []
        self.all_done = threading.Event()
        self.expected = 0

    def rank(self, request, stage, now_ns):
        self.calls.append("rank")
        self.views.append(request)
        return -request.user

    def submitted(self, request, now_ns):
        self.calls.append("submitted")

    def served(self, request, stage, seconds):
        self.calls.append("served")

    def next_change(self, request, now_ns):
        return sluice.NEVER

    def done(self, request, now_ns):
        self.calls.append("done")
        if self.calls.count("done") == self.expected:
            self.all_done.set()


class Policies(Rig):
    def test_it_orders_and_sees_what_it_may_know(self):
        policy = Recorder()
        policy.expected = 3
        pipeline = self.pipeline(policy=policy)
        requests = [
            self.submit(pipeline, 4 * i, 4, user=i, tenant=5, tenant_weight=2.0, priority=-3)
            for i in range(3)
        ]
        self.events_of(pipeline, 3)
        self.assertTrue(policy.all_done.wait(FOR_EVER))
        self.assertEqual(pipeline.sort(requests), requests[::-1])
        self.assertEqual(pipeline.next_ready(), requests[2])
        self.assertEqual(policy.calls.count("submitted"), 3)
        self.assertIn("served", policy.calls)
        # Views are copies: they stay what they were.
        view = policy.views[0]
        self.assertEqual((view.tenant, view.tenant_weight, view.priority), (5, 2.0, -3))
        self.assertEqual(view.load_tokens, 4 * TOKENS)
        self.assertEqual(pipeline.stats().policy_faults, 0)

    def test_what_raises_or_returns_nonsense_is_a_fault(self):
        class Faulty(sluice.Policy):
            def rank(self, request, stage, now_ns):
                if request.user == 1:
                    raise ValueError("no rank")
                return None if request.user == 2 else 0.0

            def submitted(self, request, now_ns):
                raise KeyError("submitted")

            def next_change(self, request, now_ns):
                return "soon"

        pipeline = self.pipeline(policy=Faulty())
        for user in range(3):
            self.submit(pipeline, 4 * user, 4, user=user)
        events = self.events_of(pipeline, 3)
        self.assertEqual({e.kind for e in events}, {EventKind.READY})
        self.stats_once(pipeline, lambda stats: stats.policy_faults >= 6)
        self.assertEqual({type(e) for e in self.reported}, {ValueError, TypeError, KeyError})

    def test_it_may_call_the_pipeline_but_not_close_it(self):
        codes = []

        class Calls(sluice.Policy):
            def rank(self, request, stage, now_ns):
                pipeline.query(request.request)
                try:
                    pipeline.close()
                except sluice.SluiceError as error:
                    codes.append(error.code)
                return 0.0

        pipeline = self.pipeline(policy=Calls())
        self.submit(pipeline, 0, 2)
        self.assertEqual(self.events_of(pipeline, 1)[0].blocks, 2)
        self.assertEqual(set(codes), {Status.FAILED_PRECONDITION})
        self.assertEqual(self.reported, [])

    def test_a_cost_model(self):
        class Bytes(sluice.CostModel):
            def __init__(self):
                self.observed = []

            def predict(self, stage, demand):
                if stage == Stage.COMPUTE:
                    raise OverflowError
                return float(demand.bytes)

            def observe(self, stage, demand, seconds):
                self.observed.append((stage, demand.bytes, seconds))

            def generation(self):
                return len(self.observed)

        cost = Bytes()
        pipeline = self.pipeline(cost=cost, engine_owns_l1=True)
        request = self.submit(pipeline, 0, 4)
        self.events_of(pipeline, 1)
        self.stats_once(pipeline, lambda stats: stats.cost_faults > 0)
        progress = pipeline.query(request)
        self.assertEqual(progress.predicted_fetch_s, 4.0 * BLOCK)
        self.assertEqual(progress.predicted_compute_s, 0)
        pipeline.bind(request, [0, 1, 2, 3, 4])
        self.events_of(pipeline, 1)
        pipeline.close()
        self.assertIn((Stage.FETCH, 4 * BLOCK), [(s, b) for s, b, _ in cost.observed])
        self.assertEqual({type(e) for e in self.reported}, {OverflowError})


class Held(sluice.StoreDriver):
    """Has everything; hands its gets to the test, or ends them."""

    def __init__(self):
        self.condition = threading.Condition()  # may be entered again
        self.given = []
        self.ends = False

    def lookup(self, keys):
        keys.complete(True for _ in keys.keys)

    def get(self, transfers):
        with self.condition:
            self.given += transfers
            self.condition.notify_all()
            if self.ends:
                self.end_all()

    def end_all(self):
        """These and all to come."""
        with self.condition:
            self.ends = True
            while self.given:
                self.given.pop().complete()

    def take(self):
        """The next get, when the library has called for it."""
        with self.condition:
            assert self.condition.wait_for(lambda: self.given, FOR_EVER)
            return self.given.pop(0)


class SlowPolicy(Rig):
    """rank() does not return until the test lets it go."""

    def setUp(self):
        super().setUp()
        gate = self.gate = Gate()
        ranked = self.ranked = threading.Semaphore(0)

        class Slow(sluice.Policy):
            def rank(self, request, stage, now_ns):
                if request.user == 99:
                    gate.wait()
                if stage == Stage.COMPUTE:  # the last of the three that are asked for
                    ranked.release()
                return 0.0

        self.held = Held()
        store = self.closed(sluice.open_driver(self.held))
        # One get at a time: each is started after the one before it has ended.
        self.pipe = self.pipeline(store=store, policy=Slow(), fetch_operations=1)
        self.addCleanup(self.finish)

    def finish(self):
        self.held.end_all()
        self.gate.open.set()

    def block_rank(self):
        """After the requests before it have been admitted."""
        late = self.submit(self.pipe, 100, 1, user=99)
        self.assertTrue(self.gate.entered.wait(FOR_EVER))
        return late

    def serve(self, n):
        """The store delivers the next n blocks."""
        for _ in range(n):
            transfer = self.held.take()
            transfer.memory[:] = transfer.key * (BLOCK // 8)
            transfer.complete()

    def test_bytes_flow_and_outcomes_come(self):
        requests = [self.submit(self.pipe, 10 * i, 5, user=i) for i in range(3)]
        for _ in requests:
            self.assertTrue(self.ranked.acquire(timeout=FOR_EVER))
        late = self.block_rank()
        # Nothing has been delivered yet. From here on all is done while rank() is in there.
        self.assertEqual(self.pipe.stats().fetched_bytes, 0)
        self.serve(15)
        events = self.events_of(self.pipe, 3)
        self.assertEqual({e.request for e in events}, set(requests))
        self.assertEqual([(e.kind, e.blocks) for e in events], [(EventKind.READY, 5)] * 3)
        for i, request in enumerate(requests):
            for page, key in zip(self.pipe.pages(request), keys(10 * i, 5)):
                self.assertEqual(self.page(page), key * (BLOCK // 8))
        self.stats_once(self.pipe, lambda stats: stats.copied_bytes == 15 * BLOCK)
        self.assertFalse(self.gate.open.is_set())
        # The engine goes on as well: computed, released, and new ones are taken.
        for request in requests:
            self.pipe.compute_done(request)
            self.pipe.release(request)
        # What has no rank is loaded as well.
        another = self.submit(self.pipe, 50, 1)
        self.serve(2)
        self.assertEqual({e.request for e in self.outcomes_of(self.pipe, 2)}, {late, another})
        self.assertFalse(self.gate.open.is_set())

    def test_requests_can_be_cancelled(self):
        admitted = self.submit(self.pipe, 0, 2, user=1)
        self.assertTrue(self.ranked.acquire(timeout=FOR_EVER))
        late = self.block_rank()
        unseen = self.submit(self.pipe, 200, 1)
        for request in (admitted, late, unseen):
            self.pipe.cancel(request)
        self.serve(1)  # of the first; the store has it, nobody else can end it
        events = self.events_of(self.pipe, 3)
        self.assertFalse(self.gate.open.is_set())
        self.assertEqual({e.request for e in events if e.is_outcome}, {admitted, late, unseen})
        self.assertTrue(all(e.kind != EventKind.READY for e in events))

    def test_closing_waits_for_it(self):
        self.block_rank()
        closing = threading.Thread(target=self.pipe.close)
        closing.start()
        self.addCleanup(closing.join, FOR_EVER)
        self.addCleanup(self.finish)
        with self.raises(Status.NOT_FOUND):
            while True:  # until it is closing
                self.pipe.stats()
        self.assertFalse(self.pipe.closed)
        self.finish()
        closing.join(FOR_EVER)
        self.assertTrue(self.pipe.closed)


if __name__ == "__main__":
    support.main()
