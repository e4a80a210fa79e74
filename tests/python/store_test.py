# SPDX-License-Identifier: Apache-2.0
"""Stores and batches from Python."""

import array
import ctypes
import gc
import mmap
import sys
import unittest

import support
from support import BLOCK, FOR_EVER, Rig, content, keys, wait_readable

import sluice
from sluice import BatchKind, Status


class Batches(Rig):
    def test_put_find_get_remove(self):
        names = keys(100, 5)
        put = self.store.put(names, [content(100 + i) for i in range(5)])
        self.assertEqual((put.status, put.succeeded), (Status.OK, 5))
        found = self.store.exists(names + keys(900, 1) + names)
        self.assertEqual((found.leading, found.succeeded), (5, 10))
        self.assertEqual(found.results, (0,) * 5 + (Status.NOT_FOUND,) + (0,) * 5)
        into = [bytearray(BLOCK) for _ in names]
        got = self.store.get(names, into)
        self.assertEqual(got.results, (0,) * 5)
        self.assertEqual([bytes(b) for b in into], [content(100 + i) for i in range(5)])
        self.assertEqual(self.store.remove(names).status, Status.OK)
        self.assertEqual(self.store.exists(names).succeeded, 0)

    def test_keys_come_joined_as_well(self):
        joined = b"".join(keys(0, 4))
        self.assertEqual(self.store.exists(joined, key_size=8).leading, 4)
        with self.assertRaises(ValueError):
            self.store.exists(joined, key_size=7)
        with self.assertRaises(ValueError):
            self.store.exists([b"one", b"three"])

    def test_keys_are_bytes_not_items(self):
        words = [array.array("I", [number]) for number in range(4)]
        with self.assertRaises(ValueError):
            self.store.exists(words)
        one = memoryview(array.array("I", range(4)))
        self.assertEqual(len(self.store.exists(one, key_size=8).results), 2)

    def test_any_writable_buffer_will_do(self):
        whole = bytearray(3 * BLOCK)
        mapped = mmap.mmap(-1, BLOCK)
        self.addCleanup(mapped.close)
        numbers = array.array("Q", bytes(BLOCK))
        raw = (ctypes.c_uint8 * BLOCK)()
        elsewhere = (ctypes.c_uint8 * BLOCK)()
        at = sluice.Memory(ctypes.addressof(elsewhere), BLOCK, elsewhere)
        into = [memoryview(whole)[BLOCK : 2 * BLOCK], mapped, numbers, raw, at]
        self.assertEqual(self.store.get(keys(1, 5), into).succeeded, 5)
        self.assertEqual(bytes(whole), bytes(BLOCK) + content(1) + bytes(BLOCK))
        self.assertEqual(mapped[:], content(2))
        self.assertEqual(numbers.tobytes(), content(3))
        self.assertEqual(bytes(raw), content(4))
        self.assertEqual(bytes(elsewhere), content(5))
        self.assertEqual(bytes(at.view()), content(5))
        gc.collect()
        into.clear()
        mapped.close()  # nothing holds on to it any more
        whole.append(0)

    def test_what_can_only_be_read_is_put_but_not_got(self):
        read_only = memoryview(bytearray(content(7))).toreadonly()
        self.assertEqual(self.store.put(keys(200, 2), [read_only, content(8)]).succeeded, 2)
        into = [bytearray(BLOCK), bytearray(BLOCK)]
        self.store.get(keys(200, 2), into)
        self.assertEqual([bytes(b) for b in into], [content(7), content(8)])
        for buffer in (content(0), read_only, memoryview(bytearray(2 * BLOCK))[::2], "text"):
            with self.assertRaises((TypeError, BufferError)):
                self.store.get(keys(0, 1), [buffer])

    def test_memory_lives_until_its_batch_has_ended(self):
        buffer = bytearray(BLOCK)
        before = sys.getrefcount(buffer)
        ticket = self.store.submit(BatchKind.GET, keys(3, 1), [buffer])
        self.assertGreater(sys.getrefcount(buffer), before)
        with self.assertRaises(BufferError):
            buffer.append(0)
        self.store.wait(ticket)
        gc.collect()
        buffer.append(0)
        self.assertEqual(bytes(buffer[:BLOCK]), content(3))

    def test_tickets_are_polled(self):
        fd = self.store.event_fd()
        self.assertEqual(self.store.poll(), [])
        tickets = {self.store.submit(BatchKind.EXISTS, keys(i, 1), user=i): i for i in range(40)}
        ended = []
        while len(ended) < len(tickets):
            wait_readable(fd)
            ended += self.store.poll(7)
        self.assertEqual({r.ticket: r.user for r in ended}, tickets)
        self.assertEqual([r.succeeded for r in ended if r.user < 32], [1] * 32)
        self.assertEqual([r.results[0] for r in ended if r.user >= 32], [Status.NOT_FOUND] * 8)
        with self.raises(Status.NOT_FOUND):
            self.store.wait(ended[0].ticket)

    def test_nonsense_is_refused(self):
        with self.raises(Status.INVALID_ARGUMENT) as refused:
            self.store.exists([b"x" * 33])
        self.assertIn("33", refused.error.text)
        self.assertIn("33", str(refused.error))
        with self.raises(Status.INVALID_ARGUMENT):
            self.store.exists([])
        with self.raises(Status.INVALID_ARGUMENT):
            self.store.submit(17, keys(0, 1))
        with self.raises(Status.INVALID_ARGUMENT):
            self.store.get(keys(0, 1), [bytearray(0)])
        with self.assertRaises(ValueError):
            self.store.get(keys(0, 2), [bytearray(BLOCK)])
        with self.raises(Status.NOT_FOUND):
            self.store.cancel(123456)
        wrong_size = self.store.get(keys(0, 1), [bytearray(BLOCK + 1)])
        self.assertEqual(wrong_size.results, (Status.INVALID_ARGUMENT,))

    def test_memory_is_registered_once(self):
        buffer = bytearray(8 * BLOCK)
        self.store.register(buffer)
        with self.raises(Status.ALREADY_EXISTS):
            self.store.register(memoryview(buffer)[BLOCK:])
        view = memoryview(buffer)
        self.store.get(keys(0, 2), [view[:BLOCK], view[BLOCK : 2 * BLOCK]])
        self.assertEqual(bytes(view[: 2 * BLOCK]), content(0) + content(1))
        self.store.unregister(buffer)
        with self.raises(Status.NOT_FOUND):
            self.store.unregister(buffer)
        view.release()
        gc.collect()
        buffer.append(0)

    def test_options_of_stores(self):
        with sluice.Store.memory(capacity=2 * BLOCK) as small:
            full = small.put(keys(0, 8), [content(i) for i in range(8)])
            self.assertEqual(full.status, Status.RESOURCE_EXHAUSTED)
        with sluice.Store.memory(capacity=4 * BLOCK, evict=True, checksums=False) as small:
            self.assertEqual(small.put(keys(0, 8), [content(i) for i in range(8)]).succeeded, 8)
            self.assertLess(small.exists(keys(0, 8)).succeeded, 8)
        with self.assertRaises(sluice.SluiceError) as refused:
            sluice.Store.fabric("nowhere", secret="0123456789abcdef")
        self.assertIn(refused.exception.code, (Status.INVALID_ARGUMENT, Status.UNSUPPORTED))


class VirtualTime(unittest.TestCase):
    """Stores on a loop of ours."""

    def setUp(self):
        self.now = 1_000_000_000
        self.loop = sluice.Loop(lambda: self.now)
        self.addCleanup(self.loop.close)
        self.store = sluice.Store.memory(loop=self.loop, bytes_per_second=1e6)
        self.addCleanup(self.store.close)

    def run_until_idle(self):
        next_ns = self.loop.run()
        while next_ns != sluice.NEVER:
            self.now = max(self.now, next_ns)
            next_ns = self.loop.run()

    def test_a_better_rank_overtakes_and_cancelled_blocks_are_not_moved(self):
        big = 1 << 20  # the store has four of them under way at most
        slow = self.store.submit(BatchKind.PUT, keys(0, 16), [bytes(big)] * 16, rank=2)
        self.loop.run()
        quick = self.store.submit(BatchKind.PUT, keys(50, 1), [bytes(big)], rank=1)
        self.run_until_idle()
        self.assertEqual([r.ticket for r in self.store.poll()], [quick, slow])
        stopped = self.store.submit(BatchKind.PUT, keys(100, 16), [bytes(big)] * 16)
        self.loop.run()
        self.store.cancel(stopped)
        self.run_until_idle()
        (ended,) = self.store.poll()
        self.assertEqual((ended.status, ended.succeeded), (Status.CANCELLED, 4))
        self.assertEqual(ended.results[4:], (Status.CANCELLED,) * 12)

    def test_waiting_would_block_the_loop(self):
        ticket = self.store.submit(BatchKind.EXISTS, keys(0, 1))
        with self.assertRaises(sluice.SluiceError) as refused:
            self.store.wait(ticket, FOR_EVER)
        self.assertEqual(refused.exception.code, Status.FAILED_PRECONDITION)

    def test_a_clock_that_raises_stands_still(self):
        reported = []
        hook, sys.unraisablehook = sys.unraisablehook, lambda a: reported.append(a.exc_value)
        try:
            self.now = "no number"
            self.loop.run()
            self.loop.run()
        finally:
            sys.unraisablehook = hook
        self.assertEqual([type(e) for e in reported][:1], [ValueError])
        self.now = 2_000_000_000


if __name__ == "__main__":
    support.main()
