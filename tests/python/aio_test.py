# SPDX-License-Identifier: Apache-2.0
"""Loads and batches that are awaited."""

import asyncio
import threading
import unittest

import support
from support import BLOCK, FOR_EVER, TOKENS, Rig, content, keys

import sluice
from sluice import EventKind, Status, aio


class Held(sluice.StoreDriver):
    """Has everything; its gets wait until they are ended. wait() says when they are there."""

    def __init__(self):
        self.lock = threading.Lock()
        self.given = []
        self.wanted = None

    def lookup(self, keys):
        keys.complete(True for _ in keys.keys)

    def get(self, transfers):
        with self.lock:
            self.given += transfers
            self.tell()

    def tell(self):
        if self.wanted is not None and len(self.given) >= self.wanted[0]:
            _, loop, future = self.wanted
            self.wanted = None
            loop.call_soon_threadsafe(lambda: future.done() or future.set_result(None))

    async def wait(self, n):
        """Until n gets are under way."""
        loop = asyncio.get_running_loop()
        with self.lock:
            self.wanted = (n, loop, loop.create_future())
            future = self.wanted[2]
            self.tell()
        await asyncio.wait_for(future, FOR_EVER)

    def end_all(self):
        with self.lock:
            given, self.given = self.given, []
        for transfer in given:
            transfer.memory[:] = b"h" * len(transfer.memory)
            transfer.complete()


class AsyncRig(Rig, unittest.IsolatedAsyncioTestCase):
    def held_store(self):
        self.held = Held()
        store = self.closed(sluice.open_driver(self.held))
        self.addCleanup(self.held.end_all)
        return store


class Loads(AsyncRig):
    async def test_outcomes_are_awaited(self):
        async with aio.AsyncPipeline(self.pipeline()) as pipe:
            tokens = 4 * TOKENS + 1
            events = await asyncio.gather(
                *[pipe.load(keys(4 * i, 4), tokens, user=i) for i in range(8)]
            )
            self.assertEqual([e.user for e in events], list(range(8)))
            self.assertEqual({(e.kind, e.blocks) for e in events}, {(EventKind.READY, 4)})
            for event in events:
                page = pipe.pipeline.pages(event.request)[0]
                self.assertEqual(self.page(page), content(4 * event.user))
                pipe.pipeline.release(event.request)
        self.assertTrue(pipe.pipeline.closed)
        with self.raises(Status.NOT_FOUND):
            await pipe.load(keys(0, 1), TOKENS + 1)

    async def test_other_events_go_to_on_event(self):
        seen = []

        def on_event(event):
            seen.append(event)
            if event.kind == EventKind.WANT_PAGES:
                pipe.pipeline.bind(event.request, [3, 4, 5])
            raise RuntimeError("on_event")

        loop = asyncio.get_running_loop()
        trouble = []
        loop.set_exception_handler(lambda _loop, context: trouble.append(context["exception"]))
        async with aio.AsyncPipeline(self.pipeline(engine_owns_l1=True), on_event) as pipe:
            event = await pipe.load(keys(0, 2), 2 * TOKENS + 1)
            self.assertEqual(self.page(4), content(1))
            self.assertEqual([e.kind for e in seen], [EventKind.WANT_PAGES])
            self.assertEqual([type(e) for e in trouble], [RuntimeError])
            self.assertEqual(await pipe.store_blocks(keys(800, 2), [3, 4]), 2)
            self.assertEqual(len(seen), 1)
            # What is submitted beside it is told of as well.
            late = pipe.pipeline.submit((), 1)
            pipe.pipeline.cancel(late)
            again = await pipe.load(keys(0, 1), TOKENS + 1, resident_blocks=1, pages=3)
            self.assertEqual(again.kind, EventKind.READY)
            self.assertIn((late, EventKind.CANCELLED), [(e.request, e.kind) for e in seen])
            pipe.pipeline.release(event.request)

    async def test_failures_raise(self):
        def compute(job):
            return Status.UNAVAILABLE if job.user == 1 else None

        async with aio.AsyncPipeline(self.pipeline(compute=compute)) as pipe:
            self.assertEqual((await pipe.load((), 1)).kind, EventKind.COMPUTED)
            with self.raises(Status.UNAVAILABLE):
                await pipe.load((), 1, user=1)
            with self.raises(Status.INVALID_ARGUMENT):
                await pipe.load(keys(0, 1), 1)

    async def test_a_cancelled_task_cancels_its_request(self):
        pipeline = self.pipeline(store=self.held_store())
        async with aio.AsyncPipeline(pipeline) as pipe:
            task = asyncio.create_task(pipe.load(keys(0, 2), 2 * TOKENS + 1))
            await self.held.wait(2)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.stats_once(pipeline, lambda s: (s.outcomes, s.live_requests) == (1, 0))
            self.held.end_all()

    async def test_a_timeout_cancels_as_well(self):
        pipeline = self.pipeline(store=self.held_store())
        async with aio.AsyncPipeline(pipeline) as pipe:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(pipe.load(keys(0, 2), 2 * TOKENS + 1), 0.001)
            self.stats_once(pipeline, lambda s: s.live_requests == 0)
            self.held.end_all()

    async def test_a_task_cancelled_when_its_outcome_is_there_releases_it(self):
        pipeline = self.pipeline()
        async with aio.AsyncPipeline(pipeline) as pipe:
            for turns in range(6):
                task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
                await asyncio.sleep(0)
                support.wait_readable(pipeline.event_fd())  # but the loop has not seen it
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    pipeline.release((await task).request)
                except asyncio.CancelledError:
                    pass
            while pipeline.stats().live_requests:  # nothing is left behind
                await asyncio.sleep(0)

    async def test_somebody_else_cancels(self):
        pipeline = self.pipeline(store=self.held_store())
        async with aio.AsyncPipeline(pipeline) as pipe:
            task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
            await self.held.wait(1)
            pipeline.cancel(next(iter(pipe._outcomes)))
            with self.raises(Status.CANCELLED):
                await task
            self.held.end_all()

    async def test_pages_are_quiet_when_a_cancellation_is_raised(self):
        copies = []
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Slow(sluice.DeviceDriver):
            def copy_in(self, given):
                copies.extend(given)
                loop.call_soon_threadsafe(started.set)

            def copy_out(self, given):
                for copy in given:
                    copy.complete()

        device = self.closed(sluice.Device(Slow()))

        def on_event(event):
            if event.kind == EventKind.WANT_PAGES:
                pipe.pipeline.bind(event.request, [0, 1])

        pipeline = self.pipeline(device=device, engine_owns_l1=True)
        async with aio.AsyncPipeline(pipeline, on_event) as pipe:
            task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
            await asyncio.wait_for(started.wait(), FOR_EVER)
            task.cancel()
            while pipeline.stats().outcomes == 0:
                await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            self.assertFalse(task.done())  # a copy may still write the page
            copies[0].complete()
            with self.assertRaises(asyncio.CancelledError):
                await task

    async def test_closing_ends_what_is_awaited(self):
        pipe = aio.AsyncPipeline(self.pipeline(store=self.held_store()))
        task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
        await self.held.wait(1)
        closing = asyncio.gather(pipe.close(), pipe.close())
        await asyncio.sleep(0)
        self.held.end_all()
        await closing
        with self.raises(Status.CANCELLED):
            await task
        await pipe.close()

    async def test_closing_goes_on_without_the_task_that_awaits_it(self):
        pipe = aio.AsyncPipeline(self.pipeline(store=self.held_store()))
        task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
        await self.held.wait(1)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(pipe.close(), 0.001)
        self.held.end_all()
        with self.raises(Status.CANCELLED):
            await asyncio.wait_for(task, FOR_EVER)
        await pipe.close()

    async def test_whoever_closes_ends_what_is_awaited(self):
        loop = asyncio.get_running_loop()
        for close in (
            lambda pipeline: pipeline.close(),
            lambda pipeline: loop.run_in_executor(None, pipeline.close),
        ):
            pipeline = self.pipeline(store=self.held_store())
            pipe = aio.AsyncPipeline(pipeline)
            task = asyncio.create_task(pipe.load(keys(0, 1), TOKENS + 1))
            await self.held.wait(1)
            self.held.end_all()
            closing = close(pipeline)
            # Its descriptor's number goes to another one, which pipe leaves alone.
            async with aio.AsyncPipeline(self.pipeline()) as other:
                await pipe.close()
                event = await asyncio.wait_for(other.load(keys(0, 1), TOKENS + 1), FOR_EVER)
                self.assertEqual(event.kind, EventKind.READY)
            if closing is not None:
                await closing
            try:
                await asyncio.wait_for(task, FOR_EVER)
            except sluice.SluiceError as error:
                self.assertEqual(error.code, Status.CANCELLED)

    async def test_one_takes_the_events(self):
        pipeline = self.pipeline()
        async with aio.AsyncPipeline(pipeline) as pipe:
            with self.assertRaisesRegex(RuntimeError, "another AsyncPipeline"):
                aio.AsyncPipeline(pipeline)
            await asyncio.wait_for(pipe.load(keys(0, 1), TOKENS + 1), FOR_EVER)


class Ends(Rig):
    def test_an_on_event_that_ends_the_program_loses_no_outcome(self):
        def on_event(_event):
            raise SystemExit(3)

        async def main():
            pipe = aio.AsyncPipeline(self.pipeline(), on_event)
            pipe.pipeline.submit(keys(0, 1), TOKENS + 1)
            tasks = [asyncio.create_task(pipe.load(keys(i, 1), TOKENS + 1)) for i in range(8)]
            await asyncio.sleep(0)
            self.stats_once(pipe.pipeline, lambda s: s.outcomes == 9)  # the loop sees them at once
            await asyncio.gather(*tasks)

        with self.assertRaises(SystemExit):
            asyncio.run(main())  # which waits for its tasks

    def test_a_store_is_taken_over_when_its_loop_is_gone(self):
        async def use():
            return await aio.AsyncStore(self.store).exists(keys(0, 2))

        for _ in range(2):
            self.assertEqual(asyncio.run(use()).leading, 2)


class Batches(AsyncRig):
    async def test_they_are_awaited(self):
        async with aio.AsyncStore(self.store) as store:
            into = [bytearray(BLOCK) for _ in range(32)]
            results = await asyncio.gather(
                *[store.get(keys(i, 1), into[i : i + 1]) for i in range(32)]
            )
            self.assertEqual([r.status for r in results], [Status.OK] * 32)
            self.assertEqual(bytes(into[31]), content(31))
            put = await store.put(keys(60, 2), [content(60), content(61)], rank=1)
            self.assertEqual(put.succeeded, 2)
            self.assertEqual((await store.exists(keys(60, 3))).leading, 2)
            self.assertEqual((await store.remove(keys(60, 2))).status, Status.OK)
            with self.raises(Status.INVALID_ARGUMENT):
                await store.exists([])
        self.assertTrue(self.store.closed)

    async def test_a_cancellation_waits_for_what_is_under_way(self):
        async with aio.AsyncStore(self.held_store()) as store:
            into = bytearray(200 * BLOCK)
            view = memoryview(into)
            blocks = [view[i * BLOCK : (i + 1) * BLOCK] for i in range(200)]
            task = asyncio.create_task(store.get(keys(0, 200), blocks))
            await self.held.wait(64)  # as many as are under way at once
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            self.assertFalse(task.done())
            self.held.end_all()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(into.count(b"h"), 64 * BLOCK)

    async def test_a_second_cancellation_does_not_wait(self):
        async with aio.AsyncStore(self.held_store()) as store:
            into = bytearray(BLOCK)
            task = asyncio.create_task(store.get(keys(0, 1), [into]))
            await self.held.wait(1)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            with self.assertRaises(BufferError):
                into.append(0)  # the store still writes it
            self.held.end_all()
            self.assertEqual((await store.exists(keys(1, 1))).succeeded, 1)  # it goes on

    async def test_a_store_in_use_stays_open(self):
        pipeline = self.pipeline()
        store = aio.AsyncStore(self.store)
        with self.raises(Status.FAILED_PRECONDITION):
            await store.close()
        self.assertEqual((await store.exists(keys(0, 4))).leading, 4)
        pipeline.close()
        await store.close()


if __name__ == "__main__":
    support.main()
