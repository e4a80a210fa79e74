# SPDX-License-Identifier: Apache-2.0
"""Requests and events from Python."""

import contextlib
import doctest
import io
import sys
import unittest

import support
from support import BLOCK, TOKENS, Rig, content, keys, wait_readable

import sluice
from sluice import EventKind, Status


class Documentation(unittest.TestCase):
    def test_the_modules_example_runs(self):
        done = doctest.testmod(sluice)
        self.assertEqual(done.failed, 0)
        self.assertGreater(done.attempted, 3)


class EngineDrives(Rig):
    def test_ready_computed_stored_and_loaded_the_next_time(self):
        pipeline = self.pipeline()
        names = keys(28, 6)  # four of them are in the store
        request = pipeline.submit(names, 6 * TOKENS + 1, user=77)
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual(event, sluice.Event(request, 77, EventKind.READY, 0, 4, Status.OK, ""))
        self.assertTrue(event.is_outcome and event.is_loaded and not event.busy)
        pages = pipeline.pages(request)
        self.assertEqual(len(pages), 7)
        self.assertEqual([self.page(p) for p in pages[:4]], [content(28 + i) for i in range(4)])
        story = pipeline.report(request)
        self.assertEqual((story.hit_blocks, story.bytes_fetched), (4, 4 * BLOCK))
        self.assertEqual(story.first_token_ns, sluice.NEVER)
        for i in (4, 5):  # the computation
            self.l1[pages[i] * BLOCK : (pages[i] + 1) * BLOCK] = content(28 + i)
        pipeline.compute_done(request, 1_000_000)
        with self.raises(Status.FAILED_PRECONDITION):
            pipeline.compute_done(request)
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual((event.kind, event.blocks), (EventKind.STORED, 2))
        pipeline.release(request)
        into = bytearray(BLOCK)
        self.assertEqual(self.store.get(keys(33, 1), [into]).succeeded, 1)
        self.assertEqual(bytes(into), content(33))
        stats = self.stats_once(pipeline, lambda stats: stats.stored_blocks == 2)
        self.assertEqual((stats.submitted, stats.outcomes, stats.fetched_bytes), (1, 1, 4 * BLOCK))
        self.assertIn("sluice_", pipeline.metrics())

    def test_the_engine_owns_l1(self):
        pipeline = self.pipeline(engine_owns_l1=True)
        request = self.submit(pipeline, 3, 3)
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual(event.kind, EventKind.WANT_PAGES)
        progress = pipeline.query(request)
        self.assertEqual((progress.looked_up, progress.hit_blocks), (1, 3))
        with self.raises(Status.INVALID_ARGUMENT):
            pipeline.bind(request, [1, 2])
        pipeline.bind(request, [9, 8, 7, 6])
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual((event.kind, event.blocks), (EventKind.READY, 3))
        self.assertEqual(pipeline.pages(request), [9, 8, 7, 6])
        self.assertEqual([self.page(p) for p in (9, 8, 7)], [content(i) for i in (3, 4, 5)])
        pipeline.compute_done(request)
        (event,) = self.events_of(pipeline, 1)  # the pages are the engine's again
        self.assertEqual(event.kind, EventKind.STORED)
        stored = pipeline.store_blocks(keys(500, 1), [9], user=5)
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual((event.request, event.user, event.blocks), (stored, 5, 1))
        self.assertEqual(self.store.exists(keys(500, 1)).succeeded, 1)
        with self.assertRaises(ValueError):
            pipeline.store_blocks(keys(500, 2), [9])

    def test_cancel_detach_and_ranks(self):
        pipeline = self.pipeline(engine_owns_l1=True, policy="external")
        first = self.submit(pipeline, 0, 4, rank=2)
        second = self.submit(pipeline, 4, 4, rank=1)
        pipeline.set_rank(first, 3)
        with self.raises(Status.INVALID_ARGUMENT):
            pipeline.set_rank(first, float("nan"))
        wanted = self.events_of(pipeline, 2)
        self.assertEqual({e.kind for e in wanted}, {EventKind.WANT_PAGES})
        self.assertEqual(pipeline.sort([12345, first, second]), [second, first, 12345])
        self.assertEqual(pipeline.next_ready(), 0)
        pipeline.cancel(first)
        pipeline.detach(second)
        kinds = {e.request: e.kind for e in self.events_of(pipeline, 2)}
        self.assertEqual(kinds, {first: EventKind.CANCELLED, second: EventKind.DETACHED})
        self.assertEqual(pipeline.next_ready(), second)

    def test_stale_ids(self):
        pipeline = self.pipeline()
        request = self.submit(pipeline, 0, 1)
        with self.raises(Status.FAILED_PRECONDITION):
            other = self.pipeline()
            late = other.submit(keys(0, 1), TOKENS + 1, max_load_blocks=sluice.LOAD_NOTHING)
            self.events_of(other, 1)
            other.bind(late, [0, 1])  # the library owns L1
        self.events_of(pipeline, 1)
        pipeline.release(request)
        for stale in (0, 1, request + (1 << 40)):
            for use in (pipeline.query, pipeline.cancel, pipeline.release, pipeline.report):
                with self.raises(Status.NOT_FOUND):
                    use(stale)

    def test_options_that_cannot_be(self):
        for options in (
            {"policy": "no such order"},
            {"reservation": 17},
            {"write_back_share": 2.0},
        ):
            with self.assertRaises(sluice.SluiceError):
                self.pipeline(**options)
        with self.raises(Status.INVALID_ARGUMENT) as refused:
            self.pipeline(cost="cheap")
        self.assertIn("cheap", refused.error.text)
        pipeline = self.pipeline()
        with self.raises(Status.INVALID_ARGUMENT):
            pipeline.submit(keys(0, 4), TOKENS)
        with self.raises(Status.OUT_OF_RANGE):
            self.submit(pipeline, 0, 2 * self.slots)

    def test_numbers_that_do_not_fit_are_refused(self):
        for options in (
            {"block_tokens": 2**32 + TOKENS},
            {"l2_bytes": -1},
            {"max_requests": 2**32},
        ):
            with self.assertRaisesRegex(OverflowError, next(iter(options))):
                self.pipeline(**options)
        pipeline = self.pipeline(engine_owns_l1=True)
        for options in ({"max_load_blocks": 2**32}, {"user": -1}, {"priority": 2**31}):
            with self.assertRaisesRegex(OverflowError, next(iter(options))):
                self.submit(pipeline, 0, 1, **options)
        request = self.submit(pipeline, 0, 1, priority=-(2**31), user=2**64 - 1)
        for page in (-1, 2**32 + 3):
            with self.assertRaises(OverflowError):
                pipeline.bind(request, [page, 1])
            with self.assertRaises(OverflowError):
                pipeline.store_blocks(keys(0, 1), [page])
        pipeline.bind(request, [3, sluice.NO_PAGE])
        self.assertEqual(self.events_of(pipeline, 1)[-1].user, 2**64 - 1)

    def test_what_lookup_found_is_told_if_asked_for(self):
        pipeline = self.pipeline(engine_owns_l1=True)
        self.submit(pipeline, 30, 4, tell_lookup=True)
        looked_up, wanted = self.events_of(pipeline, 2)
        self.assertEqual((looked_up.kind, looked_up.blocks), (EventKind.LOOKED_UP, 2))
        self.assertFalse(looked_up.is_outcome)
        self.assertEqual(wanted.kind, EventKind.WANT_PAGES)

    def test_many_events_at_once(self):
        pipeline = self.pipeline()
        requests = [pipeline.submit((), 1, user=i) for i in range(60)]
        taken = []
        while len(taken) < 60:
            wait_readable(pipeline.event_fd())
            events = pipeline.poll(capacity=7)
            self.assertLessEqual(len(events), 7)
            taken += events
        self.assertEqual(sorted(e.request for e in taken), sorted(requests))
        self.assertEqual([requests[e.user] for e in taken], [e.request for e in taken])
        self.assertEqual(pipeline.poll(), [])

    def test_a_policy_of_the_librarys(self):
        pipeline = self.pipeline(policy="aging:after=30(sjf)", cost="calvo")
        self.submit(pipeline, 0, 2)
        self.assertEqual(self.events_of(pipeline, 1)[0].kind, EventKind.READY)


class LibraryDrives(Rig):
    def test_what_raises_is_printed_unless_a_hook_takes_it(self):
        def compute(job):
            raise RuntimeError("no kernel")

        def failing_hook(_args):
            raise ValueError

        pipeline = self.pipeline(compute=compute)
        for hook in sys.__unraisablehook__, failing_hook:
            sys.unraisablehook = hook
            with contextlib.redirect_stderr(io.StringIO()) as said:
                self.submit(pipeline, 0, 1)
                self.events_of(pipeline, 2)
            self.assertIn("in compute", said.getvalue())
            self.assertIn("RuntimeError: no kernel", said.getvalue())

    def test_jobs_now_later_and_failing(self):
        jobs = []

        def compute(job):
            jobs.append(job)
            if job.user == 1:
                return Status.PENDING
            if job.user == 2:
                raise RuntimeError("no kernel")
            if job.user == 3:
                raise MemoryError
            return sluice.Status.UNAVAILABLE if job.user == 4 else None

        pipeline = self.pipeline(compute=compute)
        self.submit(pipeline, 0, 2, user=0)
        events = self.events_of(pipeline, 3)
        kinds = [EventKind.LOADED, EventKind.COMPUTED, EventKind.STORED]
        self.assertEqual([e.kind for e in events], kinds)
        (job,) = jobs
        self.assertEqual((job.loaded_blocks, job.context_tokens, job.query_tokens), (2, 32, 1))
        self.assertEqual(len(job.pages[0]), 3)
        self.assertEqual(self.page(job.pages[0][1]), content(1))
        with self.raises(Status.NOT_FOUND):
            job.complete()

        self.submit(pipeline, 4, 1, user=1)
        self.assertEqual(self.events_of(pipeline, 1)[0].kind, EventKind.LOADED)
        while len(jobs) < 2:  # it is called after the event
            pass
        jobs[1].complete()
        done = self.events_of(pipeline, 2)
        self.assertEqual([e.kind for e in done], [EventKind.COMPUTED, EventKind.STORED])

        failures = {2: Status.INTERNAL, 3: Status.RESOURCE_EXHAUSTED, 4: Status.UNAVAILABLE}
        for user, status in failures.items():
            self.submit(pipeline, 8 + user, 1, user=user)
            event = self.events_of(pipeline, 2)[1]
            self.assertEqual((event.kind, event.status), (EventKind.FAILED, status))
            self.assertTrue(event.text)
            self.assertTrue(event.is_outcome and not event.is_loaded)
        self.assertEqual([type(e) for e in self.reported], [RuntimeError, MemoryError])


if __name__ == "__main__":
    support.main()
