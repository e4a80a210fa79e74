# SPDX-License-Identifier: Apache-2.0
"""The tier as vLLM's tiering manager drives it: step by step on one thread, with lookups that may
be answered later, loads gathered until a step's end, and jobs that are polled. By the interface of
vLLM 0.22 or 0.33, as PYTHONPATH says."""

from __future__ import annotations

import array
import unittest
from unittest import mock

from vllm.v1.kv_offload import base
from vllm.v1.kv_offload.base import OffloadKey, ReqContext, RequestOffloadingContext
from vllm.v1.kv_offload.tiering import base as tiering
from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory

import sluice
import vllm_tier
from nodes import Nodes, documented, needs_nodes, pattern, until

NEW = hasattr(base, "LookupResult")
ROW = 1024


def key(number: int, group: int = 0) -> OffloadKey:
    """As vLLM makes them: 36 bytes with SHA-256."""
    return OffloadKey(number.to_bytes(32, "big") + group.to_bytes(4, "big"))


class Engine:
    """The tiering manager's side: the primary tier's memory, slots, and the calls of a step."""

    def __init__(self, rows: int = 64, row: int = ROW, **options) -> None:
        self.memory = bytearray(rows * row)
        self.row = row
        self.view = memoryview(self.memory).cast("B", shape=[rows, row])
        config = {"type": "SluiceTier", "module_path": "vllm_tier", "namespace": "m", **options}
        spec = object()
        self.tier = SecondaryTierFactory.create_secondary_tier(config, self.view, spec)
        self.results = {}
        self.next_job = 0

    def context(self, name: str) -> ReqContext:
        context = ReqContext(name)
        if NEW:
            assert isinstance(self.tier.on_new_request(context), RequestOffloadingContext)
        else:
            self.tier.get_request_offloading_context(context)
        return context

    def lookup(self, k: OffloadKey, context: ReqContext):
        """True, False or None."""
        found = self.tier.lookup(k, context)
        if not NEW:
            return found
        names = base.LookupResult
        return {names.HIT: True, names.MISS: False, names.RETRY: None}[found]

    def poll(self) -> None:
        get = self.tier.get_finished_jobs if NEW else self.tier.get_finished
        for result in get():
            assert result.job_id not in self.results
            self.results[result.job_id] = result

    def end_step(self) -> None:
        if NEW:
            self.tier.on_schedule_end(base.ScheduleEndContext())

    def find(self, keys, context):
        """Steps until every lookup has an answer; the answers."""
        answers = []

        def step() -> bool:
            self.poll()
            answers[:] = [self.lookup(k, context) for k in keys]
            self.end_step()
            return None not in answers

        until(step)
        return answers

    def submit(self, keys, slots, context, promotion: bool) -> int:
        self.next_job += 1
        job_type = tiering.TransferJob if NEW else tiering.JobMetadata
        ids = array.array("q", slots)
        job = job_type(self.next_job, keys, ids, promotion, context)
        (self.tier.submit_load if promotion else self.tier.submit_store)(job)
        return self.next_job

    def wait(self, *jobs: int) -> list:
        until(lambda: self.poll() or all(job in self.results for job in jobs))
        return [self.results[job].success for job in jobs]

    def fill(self, slot: int, seed: int) -> bytes:
        self.memory[slot * self.row : (slot + 1) * self.row] = pattern(self.row, seed)
        return self.get(slot)

    def get(self, slot: int) -> bytes:
        return bytes(self.memory[slot * self.row : (slot + 1) * self.row])

    def finish(self, context: ReqContext) -> None:
        (self.tier.on_request_finished if NEW else self.tier.request_finished)(context)

    def close(self) -> None:
        self.tier.shutdown()
        self.view.release()  # as vLLM does, before it unmaps the memory
        self.memory.clear()  # refused while anything refers to it


class OverMemory(unittest.TestCase):
    """In a store of this process."""

    options: dict = {}

    def made(self, **options) -> Engine:
        engine = Engine(**{**self.options, **options})
        self.addCleanup(engine.close)
        return engine

    def test_blocks_come_back(self):
        e = self.made()
        self.assertEqual(e.tier.tier_type, "SluiceTier")
        a = e.context("a")
        keys = [key(i) for i in range(20)]
        written = [e.fill(slot, slot) for slot in range(20)]
        job = e.submit(keys, range(20), a, False)
        self.assertEqual(e.wait(job), [True])
        e.finish(a)

        b = e.context("b")
        self.assertEqual(e.find(keys + [key(99), key(0, 1)], b), [True] * 20 + [False] * 2)
        there = list(range(63, 43, -1))
        job = e.submit(tuple(keys), there, b, True)
        self.assertEqual(e.wait(job), [True])
        self.assertEqual([e.get(slot) for slot in there], written)

    def test_a_lookup_answers_at_once_and_remembers(self):
        e = self.made()
        a = e.context("a")
        self.assertEqual(e.wait(e.submit([key(1)], [0], a, False)), [True])
        # Asked, not answered: the store's answer is not waited for.
        self.assertIsNone(e.lookup(key(1), a))
        self.assertIsNone(e.lookup(key(1), a))
        self.assertTrue(e.tier.has_pending_work())
        self.assertEqual(e.find([key(1), key(2)], a), [True, False])
        # Known until the request ends, so that all of a prompt's blocks are known in one step.
        self.assertEqual([e.lookup(k, a) for k in (key(1), key(2))], [True, False])
        self.assertFalse(e.tier.has_pending_work())
        e.finish(a)
        self.assertIsNone(e.lookup(key(1), e.context("a")))

    def test_an_answer_for_a_request_that_has_ended_is_dropped(self):
        e = self.made()
        a, b = e.context("a"), e.context("b")
        self.assertIsNone(e.lookup(key(1), a))
        self.assertIsNone(e.lookup(key(1), b))
        e.end_step()
        e.finish(a)
        self.assertEqual(e.find([key(1)], b), [False])
        self.assertEqual(list(e.tier._known), ["b"])

    def test_storing_again_changes_nothing(self):
        e = self.made()
        a = e.context("a")
        first = e.fill(0, 1)
        e.fill(1, 2)
        self.assertEqual(e.wait(e.submit([key(1)], [0], a, False)), [True])
        self.assertEqual(e.wait(e.submit([key(1)], [1], a, False)), [True])
        self.assertEqual(e.wait(e.submit([key(1)], [2], a, True)), [True])
        self.assertEqual(e.get(2), first)

    def test_a_load_that_misses_in_part(self):
        e = self.made()
        a = e.context("a")
        written = [e.fill(slot, slot) for slot in range(2)]
        self.assertEqual(e.wait(e.submit([key(0), key(1)], [0, 1], a, False)), [True])
        self.assertEqual(e.find([key(0), key(1)], a), [True, True])
        e.tier._store.remove([vllm_tier.block_key(e.tier._prefix, key(1))])
        job = e.submit([key(0), key(1)], [10, 11], a, True)
        self.assertEqual(e.wait(job), [False])
        if NEW:
            self.assertEqual(list(e.results[job].successful_keys), [key(0)])
            self.assertEqual(e.get(10), written[0])
        # It is not told again that the lost block is there, or it would try for ever.
        self.assertEqual(e.lookup(key(1), a), False)
        self.assertEqual(e.lookup(key(0), a), True)
        job = e.submit([key(7)], [12], a, True)
        self.assertEqual(e.wait(job), [False])
        if NEW:
            self.assertIsNone(e.results[job].successful_keys)

    def test_many_jobs(self):
        e = self.made(rows=256)
        contexts = [e.context(f"r{i}") for i in range(32)]
        written = [e.fill(slot, slot) for slot in range(128)]
        stores = [
            e.submit([key(4 * i + j) for j in range(4)], range(4 * i, 4 * i + 4), c, False)
            for i, c in enumerate(contexts)
        ]
        self.assertEqual(e.wait(*stores), [True] * 32)
        loads = [
            e.submit([key(4 * i + j) for j in range(4)], range(128 + 4 * i, 132 + 4 * i), c, True)
            for i, c in enumerate(contexts)
        ]
        self.assertEqual(e.wait(*loads), [True] * 32)
        self.assertEqual([e.get(128 + i) for i in range(128)], written)
        self.assertEqual(len(e.results), 64)

    def test_drain_leaves_nothing_under_way(self):
        e = self.made(rows=256)
        a = e.context("a")
        written = [e.fill(slot, slot) for slot in range(100)]
        e.wait(e.submit([key(i) for i in range(100)], range(100), a, False))
        job = e.submit([key(i) for i in range(100)], range(100, 200), a, True)
        e.tier.drain_jobs()
        # The bytes are there, and the result is waiting.
        self.assertEqual([e.get(100 + i) for i in range(100)], written)
        e.poll()
        self.assertTrue(e.results[job].success)
        e.tier.drain_jobs()

    def test_jobs_that_make_no_sense_raise(self):
        e = self.made()
        a = e.context("a")
        for keys, slots in (([key(1)], [64]), ([key(1)], [-1]), ([key(1), key(2)], [1])):
            with self.assertRaises(ValueError):
                e.submit(keys, slots, a, True)
        self.assertEqual(e.wait(e.submit([], [], a, True)), [True])
        self.assertFalse(e.tier.has_pending_work())


class MemoryOnly(unittest.TestCase):
    def test_what_is_refused(self):
        memory = bytearray(4096)
        rows = memoryview(memory).cast("B", shape=[4, 1024])
        for view, options in (
            (rows, {"namespace": ""}),
            (memoryview(memory), {"namespace": "m"}),
            (rows.toreadonly(), {"namespace": "m"}),
        ):
            with self.assertRaises(ValueError):
                vllm_tier.SluiceTier(None, view, "sluice", **options)
        with self.assertRaises(TypeError):
            vllm_tier.SluiceTier(None, rows, "sluice", namespace="m", nodez="tcp://a:1")
        with self.assertRaises(sluice.SluiceError):
            vllm_tier.SluiceTier(None, rows, "sluice", namespace="m", nodes="tcp://127.0.0.1:1")

    def test_the_entry_point(self):
        vllm_tier.register()
        vllm_tier.register()
        engine = Engine(type="sluice")
        self.assertEqual(engine.tier.tier_type, "sluice")
        engine.close()

    @unittest.skipUnless(NEW, "0.22 has no such thing")
    def test_a_detector_of_backpressure_is_handed_on(self):
        detector = object()
        engine = Engine(backpressure=detector)
        self.assertIs(engine.tier.bp_detector, detector)
        engine.close()

    def slow(self, **options) -> Engine:
        store = sluice.Store.memory(bytes_per_second=16 << 20)
        with mock.patch("vllm_tier.open_store", return_value=store):
            return Engine(rows=64, row=1 << 18, **options)

    def test_nothing_blocks_and_loads_overtake_stores(self):
        e = self.slow()
        a = e.context("a")
        self.assertEqual(e.wait(e.submit([key(0)], [0], a, False)), [True])
        # 12 MiB of stores at 16 MiB/s, of which 4 MiB are under way at once; a load and a lookup
        # behind them come first.
        store = e.submit([key(1 + i) for i in range(48)], range(1, 49), a, False)
        load = e.submit([key(0)], [60], a, True)
        self.assertEqual(e.find([key(0)], a), [True])
        self.assertEqual(e.wait(load, store), [True, True])
        self.assertLess(list(e.results).index(load), list(e.results).index(store))
        e.close()

    def test_shutdown_with_jobs_under_way(self):
        e = self.slow()
        a = e.context("a")
        e.submit([key(i) for i in range(48)], range(48), a, False)
        e.submit([key(i) for i in range(16)], range(48, 64), a, True)
        e.lookup(key(1), a)
        e.end_step()
        e.close()  # which frees the memory

    def test_bytes_move_while_python_does_not_let_go(self):
        e = Engine()
        a = e.context("a")
        written = e.fill(0, 5)
        self.assertEqual(e.wait(e.submit([key(1)], [0], a, False)), [True])
        e.submit([key(1)], [9], a, True)
        # No call into the library, and no other Python thread: only memory is looked at.
        until(lambda: e.get(9) == written)
        e.close()

    def test_a_store_that_is_full_fails_the_job_and_no_more(self):
        store = sluice.Store.memory(capacity=4 * ROW)
        with mock.patch("vllm_tier.open_store", return_value=store):
            e = Engine()
        a = e.context("a")
        job = e.submit([key(i) for i in range(8)], range(8), a, False)
        self.assertEqual(e.wait(job), [False])
        if NEW:
            self.assertIsNone(e.results[job].successful_keys)  # of loads only
        self.assertIn(True, e.find([key(i) for i in range(8)], a))
        e.close()

    def test_a_store_that_is_gone(self):
        e = Engine()
        a = e.context("a")
        e.tier._store.close()
        e.lookup(key(1), a)
        e.tier.on_schedule_end()
        self.assertEqual(e.lookup(key(1), a), False)
        e.submit([key(1)], [0], a, True)
        self.assertEqual([r.success for r in e.tier._finished], [False])
        e.close()


@needs_nodes
class OverNodes(OverMemory):
    """On two `sluice node` processes."""

    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)

    def setUp(self):
        self.options = {**self.nodes.options(), "namespace": self.id()}

    def test_the_documented_settings(self):
        """Those of docs/adapters.md, with these nodes."""
        settings = documented("SluiceTier")["kv_connector_extra_config"]
        (tier,) = settings["secondary_tiers"]
        e = Engine(**{**tier, **self.nodes.options()})
        self.addCleanup(e.close)
        self.assertEqual(e.wait(e.submit([key(1)], [0], e.context("a"), False)), [True])

    def test_another_instance_finds_the_blocks(self):
        e = self.made()
        a = e.context("a")
        written = e.fill(0, 3)
        self.assertEqual(e.wait(e.submit([key(1)], [0], a, False)), [True])
        other = self.made()
        b = other.context("b")
        self.assertEqual(other.find([key(1)], b), [True])
        self.assertEqual(other.wait(other.submit([key(1)], [9], b, True)), [True])
        self.assertEqual(other.get(9), written)
        apart = self.made(namespace="other")
        self.assertEqual(apart.find([key(1)], apart.context("c")), [False])

    def test_a_node_that_fails_costs_its_own_blocks_only(self):
        nodes = Nodes()
        self.addCleanup(nodes.close)
        self.options = nodes.options()
        e = self.made(rows=128, row=1 << 16)
        a = e.context("a")
        written = [e.fill(slot, slot) for slot in range(64)]
        keys = [key(i) for i in range(64)]
        self.assertEqual(e.wait(e.submit(keys, range(64), a, False)), [True])
        during = e.submit(keys, range(64, 128), a, True)
        nodes.kill(0)
        e.wait(during)
        after = e.submit(keys, range(64, 128), a, True)
        self.assertEqual(e.wait(after), [False])
        if NEW:
            came = e.results[after].successful_keys
            self.assertTrue(0 < len(came) < 64)
            for k in came:
                i = keys.index(k)
                self.assertEqual(e.get(64 + i), written[i])
        b = e.context("b")
        found = e.find(keys, b)
        self.assertIn(True, found)
        self.assertIn(False, found)


if __name__ == "__main__":
    unittest.main()
