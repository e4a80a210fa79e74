# SPDX-License-Identifier: Apache-2.0
"""Stores and devices that are written in Python."""

import ctypes
import threading

import support
from support import BLOCK, Rig, content, keys

import sluice
from sluice import EventKind, Status, structs


class Dictionary(sluice.StoreDriver):
    """A store that is a dict, and ends its operations where it is called, or raises."""

    def __init__(self):
        self.blocks = {}
        self.memory = []
        self.raises = None

    def register_memory(self, memory):
        if self.raises is OSError:
            raise OSError("no more memory can be pinned")
        self.memory.append(memory)

    def unregister_memory(self, memory):
        self.memory.remove(memory)

    def lookup(self, keys):
        if self.raises is KeyError:
            raise KeyError("lookup")
        keys.complete(key in self.blocks for key in keys.keys)

    def get(self, transfers):
        for transfer in transfers:
            block = self.blocks.get(transfer.key)
            if block is None:
                transfer.complete(Status.NOT_FOUND)
            elif self.raises is not None and transfer.key == keys(2, 1)[0]:
                raise self.raises
            else:
                transfer.memory[:] = block
                transfer.complete()

    def put(self, transfers):
        for transfer in transfers:
            self.blocks.setdefault(transfer.key, bytes(transfer.memory))
            transfer.complete()

    def remove(self, keys):
        for key in keys.keys:
            self.blocks.pop(key, None)
        keys.complete()


class Hung(sluice.StoreDriver):
    """Has everything and never delivers it."""

    def __init__(self):
        self.given = []
        self.aborted = []

    def lookup(self, keys):
        keys.complete(True for _ in keys.keys)

    def get(self, transfers):
        self.given += transfers

    def end_all(self):
        for transfer in self.given:
            try:
                transfer.complete(Status.UNAVAILABLE)
            except sluice.SluiceError:
                pass  # it had ended


class HungWithAbort(Hung):
    """Ends what it is told to."""

    def abort(self, op):
        self.aborted.append(op)
        sluice.complete(op, Status.DEADLINE_EXCEEDED)


class Stores(Rig):
    def setUp(self):
        super().setUp()
        self.driver = Dictionary()
        self.own = self.closed(sluice.open_driver(self.driver))

    def test_batches(self):
        put = self.own.put(keys(0, 70), [content(i) for i in range(70)])
        self.assertEqual(put.succeeded, 70)
        self.assertEqual(self.driver.blocks[keys(69, 1)[0]], content(69))
        self.assertEqual(self.own.exists(keys(60, 20)).leading, 10)
        into = [bytearray(BLOCK) for _ in range(80)]
        self.assertEqual(self.own.get(keys(0, 80), into).leading, 70)
        self.assertEqual(bytes(into[42]), content(42))
        self.own.remove(keys(0, 10))
        self.assertEqual(self.own.exists(keys(0, 11)).succeeded, 1)
        self.assertEqual(self.driver.memory, [])  # it is made known for each batch

    def test_a_pipeline_on_it(self):
        self.own.put(keys(0, 3), [content(i) for i in range(3)])
        pipeline = self.pipeline(store=self.own)
        self.assertEqual(len(self.driver.memory), 1)  # L2
        request = self.submit(pipeline, 0, 4)
        self.assertEqual(self.events_of(pipeline, 1)[0].blocks, 3)
        self.assertEqual(self.page(pipeline.pages(request)[2]), content(2))
        pipeline.compute_done(request)
        self.assertEqual(self.events_of(pipeline, 1)[0].kind, EventKind.STORED)
        self.assertIn(keys(3, 1)[0], self.driver.blocks)
        pipeline.close()
        self.assertEqual(self.driver.memory, [])

    def test_exceptions_become_codes(self):
        self.own.put(keys(0, 4), [content(i) for i in range(4)])
        into = [bytearray(BLOCK) for _ in range(4)]
        self.driver.raises = ZeroDivisionError()
        got = self.own.get(keys(0, 4), into)
        # Block 2 raised; what came before it in the call had been ended, what comes after is too.
        self.assertEqual(got.results[2], Status.INTERNAL)
        self.assertEqual(got.leading, 2)
        self.assertEqual([type(e) for e in self.reported], [ZeroDivisionError])
        self.driver.raises = sluice.SluiceError(Status.DATA_LOSS, "SLUICE_E_DATA_LOSS", "bad sum")
        self.assertEqual(self.own.get(keys(2, 1), into[:1]).status, Status.DATA_LOSS)
        self.assertEqual(len(self.reported), 1)  # that was an answer
        self.driver.raises = KeyError
        self.assertEqual(self.own.exists(keys(0, 1)).status, Status.INTERNAL)
        self.driver.raises = OSError
        with self.raises(Status.INTERNAL) as refused:
            self.pipeline(store=self.own)
        self.assertIn("register_memory", refused.error.text)

    def test_memory_of_a_lookup_that_has_ended_is_left_alone(self):
        present = (ctypes.c_uint8 * 2)()
        names = ctypes.create_string_buffer(64)
        raw = structs.sluice_keys(
            keys=ctypes.addressof(names),
            sizes=(ctypes.c_uint8 * 2)(8, 8),
            present=present,
            n=2,
        )
        listed = sluice.KeyList(raw)
        for expected in ([1, 0], [0, 0]):
            present[0] = 0
            with self.raises(Status.NOT_FOUND):  # there is no operation 0
                listed.complete([True, False])
            self.assertEqual(list(present), expected)

    def test_a_lost_block_shortens_the_prefix(self):
        self.own.put(keys(0, 4), [content(i) for i in range(4)])
        pipeline = self.pipeline(store=self.own)
        self.driver.raises = sluice.SluiceError(Status.UNAVAILABLE, "SLUICE_E_UNAVAILABLE", "gone")
        self.submit(pipeline, 0, 4)
        event = self.events_of(pipeline, 1)[0]
        self.assertEqual((event.kind, event.blocks), (EventKind.READY, 2))

    def test_what_it_does_not_override_it_cannot(self):
        read_only = self.closed(sluice.open_driver(Hung()))
        put = read_only.put(keys(0, 1), [content(0)])
        self.assertEqual(put.status, Status.UNSUPPORTED)
        self.assertEqual(read_only.remove(keys(0, 1)).status, Status.UNSUPPORTED)

    def test_closing_inside_a_callback_is_refused(self):
        codes = []

        class Closes(Dictionary):
            def lookup(self, keys):
                try:
                    store.close()
                except sluice.SluiceError as error:
                    codes.append(error.code)
                super().lookup(keys)

        store = self.closed(sluice.open_driver(Closes()))
        store.exists(keys(0, 1))
        self.assertEqual(codes, [Status.FAILED_PRECONDITION])
        self.assertFalse(store.closed)


class NeverCompletes(Rig):
    def test_a_get_that_never_ends(self):
        hung = Hung()
        store = self.closed(sluice.open_driver(hung))
        pipeline = self.pipeline(
            store=store, fetch_soft_timeout_ns=1_000_000, fetch_hard_timeout_ns=20_000_000
        )
        self.addCleanup(hung.end_all)
        self.submit(pipeline, 0, 2)
        event = self.events_of(pipeline, 1)[0]
        # Nothing came in time: all is to be computed.
        self.assertEqual((event.kind, event.blocks), (EventKind.READY, 0))
        self.stats_once(pipeline, lambda stats: stats.soft_timeouts == 2)
        # Closing waits for the driver: its memory is the library's.
        closing = threading.Thread(target=pipeline.close)
        closing.start()
        self.assertFalse(pipeline.closed)
        self.assertEqual(len(hung.given), 2)
        for transfer in hung.given:
            transfer.memory[:] = bytes(BLOCK)
        hung.end_all()
        closing.join(support.FOR_EVER)
        self.assertTrue(pipeline.closed)
        with self.raises(Status.NOT_FOUND):
            hung.given[0].complete()

    def test_one_that_is_aborted(self):
        hung = HungWithAbort()
        store = self.closed(sluice.open_driver(hung))
        pipeline = self.pipeline(
            store=store, fetch_soft_timeout_ns=1_000_000, fetch_hard_timeout_ns=20_000_000
        )
        self.submit(pipeline, 0, 1)
        event = self.events_of(pipeline, 1)[0]
        self.assertEqual((event.kind, event.blocks), (EventKind.READY, 0))
        pipeline.close()
        self.assertEqual({t.op for t in hung.given}, set(hung.aborted))


class Memmove(sluice.DeviceDriver):
    """Copies on a thread of its own, or not at all."""

    def __init__(self):
        self.groups = []
        self.raises = None
        self.freed = []

    def register_layout(self, groups):
        if self.raises is ValueError:
            raise sluice.SluiceError(
                Status.INVALID_ARGUMENT, "SLUICE_E_INVALID_ARGUMENT", "not on this device"
            )
        self.groups = groups

    def copy_in(self, copies):
        if self.raises:
            raise self.raises
        threading.Thread(target=self.run, args=(copies, True)).start()

    def copy_out(self, copies):
        self.run(copies, False)

    def run(self, copies, inwards):
        for copy in copies:
            for device, host, size in copy.pieces():
                into, out_of = (device, host) if inwards else (host, device)
                ctypes.memmove(into, out_of, size)
            copy.complete()


class Pinning(Memmove):
    """Has memory of its own, in pages."""

    def allocate_pinned(self, size):
        if self.raises is MemoryError:
            raise MemoryError
        raw = (ctypes.c_uint8 * (size + 4096))()
        return sluice.Memory(-(-ctypes.addressof(raw) // 4096) * 4096, size, raw)

    def free_pinned(self, memory):
        self.freed.append(memory.size)


class Devices(Rig):
    def groups(self):
        # A block has a piece in each of two layers.
        half = BLOCK // 2
        view = memoryview(self.l1)
        layers = [view[: 16 * BLOCK], view[16 * BLOCK : 32 * BLOCK]]
        return [
            sluice.Group(
                [sluice.Region.over(v[: 16 * half], half, layer=i) for i, v in enumerate(layers)]
            )
        ]

    def test_blocks_go_in_and_out_in_pieces(self):
        driver = Pinning()
        device = self.closed(sluice.Device(driver))
        pipeline = self.pipeline(device=device)
        self.assertEqual(driver.groups, self.groups())
        block = bytes(range(256)) * (BLOCK // 256)
        self.store.put(keys(100, 1), [block])
        request = self.submit(pipeline, 100, 2)
        self.assertEqual(self.events_of(pipeline, 1)[0].blocks, 1)
        half = BLOCK // 2
        pages = pipeline.pages(request)
        pieces = [
            bytes(self.l1[first + pages[0] * half : first + (pages[0] + 1) * half])
            for first in (0, 16 * BLOCK)
        ]
        self.assertEqual(b"".join(pieces), block)
        for first in (0, 16 * BLOCK):
            self.l1[first + pages[1] * half : first + (pages[1] + 1) * half] = b"y" * half
        pipeline.compute_done(request)
        self.assertEqual(self.events_of(pipeline, 1)[0].blocks, 1)
        into = bytearray(BLOCK)
        self.store.get(keys(101, 1), [into])
        self.assertEqual(bytes(into), b"y" * BLOCK)
        pipeline.close()
        self.assertEqual(driver.freed, [64 * BLOCK])

    def test_what_raises(self):
        driver = Pinning()
        device = self.closed(sluice.Device(driver))
        driver.raises = ValueError
        with self.raises(Status.INVALID_ARGUMENT):
            self.pipeline(device=device)
        driver.raises = MemoryError
        with self.raises(Status.RESOURCE_EXHAUSTED):
            self.pipeline(device=device)
        driver.raises = None
        pipeline = self.pipeline(device=device, fail_on_loss=True)
        driver.raises = RuntimeError("no stream")
        self.submit(pipeline, 0, 2)
        event = self.events_of(pipeline, 1)[0]
        self.assertEqual((event.kind, event.status), (EventKind.FAILED, Status.UNAVAILABLE))
        self.assertIn(RuntimeError, [type(e) for e in self.reported])


if __name__ == "__main__":
    support.main()
