# SPDX-License-Identifier: Apache-2.0
"""The storage backend as SGLang's controller drives it: made by the dynamic loader, given the host
pool, asked for leading runs, and told to move pages by host index from two threads."""

from __future__ import annotations

import hashlib
import importlib
import sys
import threading
import unittest
from unittest import mock

import torch
from sglang.srt.mem_cache.hicache_storage import (
    STORAGE_BATCH_SIZE,
    HiCacheStorage,
    HiCacheStorageConfig,
    HiCacheStorageExtraInfo,
)

import sluice
from nodes import Nodes, documented, needs_nodes, pattern, until

PAGE = 4  # tokens


class HostPool:
    """A pool of two parts, K and V, page first: as SGLang's for multi-head attention. One part: as
    for MLA."""

    def __init__(self, pages: int, token_bytes: int = 256, parts: int = 2, layout="page_first"):
        self.layout = layout
        self.dtype = "bfloat16"
        self.page_size = PAGE
        self.parts = parts
        self.token_bytes = token_bytes
        self.part_bytes = pages * PAGE * token_bytes
        self.kv_buffer = torch.Tensor(data=bytearray(parts * self.part_bytes))

    def get_page_buffer_meta(self, indices):
        assert len(indices) % PAGE == 0
        base = self.kv_buffer.data_ptr()
        at = [
            base + part * self.part_bytes + index * self.token_bytes
            for index in indices.tolist()[::PAGE]
            for part in range(self.parts)
        ]
        return at, [PAGE * self.token_bytes] * len(at)

    def get_dummy_flat_data_page(self):
        return torch.Tensor(data=bytearray(self.parts * PAGE * self.token_bytes))

    def page(self, index: int) -> bytes:
        size = PAGE * self.token_bytes
        starts = (part * self.part_bytes + index * size for part in range(self.parts))
        return b"".join(self.kv_buffer.data[at : at + size] for at in starts)

    def fill(self, index: int, seed: int) -> bytes:
        size = PAGE * self.token_bytes
        for part in range(self.parts):
            at = part * self.part_bytes + index * size
            self.kv_buffer.data[at : at + size] = pattern(size, seed * 2 + part)
        return self.page(index)


def indices(pages) -> torch.Tensor:
    return torch.tensor(page * PAGE + i for page in pages for i in range(PAGE))


def hashes(first: int, n: int):
    """Keys as SGLang makes them."""
    return [hashlib.sha256(f"page {first + i}".encode()).hexdigest() for i in range(n)]


def make(pool=None, rank=0, ranks=1, mla=False, **extra) -> HiCacheStorage:
    """What the dynamic loader and attach_storage_backend do."""
    extra = {
        "backend_name": "sluice",
        "module_path": "sglang_hicache",
        "class_name": "SluiceStorage",
        "interface_v1": 1,
        **extra,
    }
    config = HiCacheStorageConfig(
        rank, ranks, 0, 1, 0, 1, mla, False, True, "meta/llama", extra_config=extra
    )
    backend_class = getattr(importlib.import_module(extra["module_path"]), extra["class_name"])
    assert issubclass(backend_class, HiCacheStorage)
    backend = backend_class(config, {})
    try:
        backend.register_mem_pool_host(pool or HostPool(1))
    except Exception:
        backend.close()
        raise
    return backend


class OverMemory(unittest.TestCase):
    """In a store of this process."""

    options: dict = {}

    def made(self, pool=None, **options) -> HiCacheStorage:
        backend = make(pool, **{**self.options, **options})
        self.addCleanup(backend.close)
        return backend

    def test_pages_come_back(self):
        pool = HostPool(300)
        backend = self.made(pool)
        keys = hashes(0, STORAGE_BATCH_SIZE)
        written = [pool.fill(page, page) for page in range(128)]
        extra = HiCacheStorageExtraInfo(prefix_keys=None)
        self.assertEqual(backend.batch_exists(keys, extra), 0)
        self.assertEqual(backend.batch_set_v1(keys, indices(range(128)), extra), [True] * 128)
        self.assertEqual(backend.batch_exists(keys, extra), 128)
        # To other pages, in another order.
        there = list(range(299, 171, -1))
        self.assertEqual(backend.batch_get_v1(keys, indices(there), extra), [True] * 128)
        self.assertEqual([pool.page(page) for page in there], written)

    def test_a_run_ends_at_the_first_miss(self):
        pool = HostPool(10)
        backend = self.made(pool)
        stored = [0, 1, 2, 4]
        keys = hashes(0, 6)
        for page in range(6):
            pool.fill(page, page)
        some = [keys[i] for i in stored]
        self.assertEqual(backend.batch_set_v1(some, indices(stored)), [True] * 4)
        self.assertEqual(backend.batch_exists(keys), 3)
        self.assertEqual(backend.batch_exists(keys[3:]), 0)
        self.assertTrue(backend.exists(keys[4]))
        self.assertFalse(backend.exists(keys[5]))
        want = [True, True, True, False, True, False]
        self.assertEqual(backend.batch_get_v1(keys, indices(range(6))), want)

    def test_a_page_of_which_a_part_is_lost_is_a_miss(self):
        pool = HostPool(4)
        backend = self.made(pool)
        keys = hashes(0, 3)
        self.assertEqual(backend.batch_set_v1(keys, indices(range(3))), [True] * 3)
        module = sys.modules["sglang_hicache"]
        value_of_second = module.block_key(backend._prefix, keys[1], 1)
        self.assertEqual(backend._store.remove([value_of_second]).succeeded, 1)
        self.assertEqual(backend.batch_exists(keys), 1)
        got = backend.batch_get_v1(keys, indices(range(3)))
        self.assertEqual(got, [True, False, True])

    def test_setting_again_changes_nothing(self):
        pool = HostPool(4)
        backend = self.made(pool)
        first = pool.fill(0, 1)
        pool.fill(1, 2)
        key = hashes(0, 1)
        self.assertEqual(backend.batch_set_v1(key, indices([0])), [True])
        self.assertEqual(backend.batch_set_v1(key, indices([1])), [True])
        self.assertEqual(backend.batch_get_v1(key, indices([2])), [True])
        self.assertEqual(pool.page(2), first)

    def test_flat_pages(self):
        pool = HostPool(4)
        backend = self.made(pool)
        keys = hashes(0, 3)
        flat = [torch.Tensor(data=bytearray(pattern(2048, seed))) for seed in range(3)]
        self.assertTrue(backend.set(keys[0], flat[0]))
        self.assertTrue(backend.batch_set(keys[:2], flat[:2]))
        # The batch interface sees the same pages.
        self.assertEqual(backend.batch_exists(keys), 2)
        self.assertEqual(backend.batch_get_v1(keys[:2], indices([2, 3])), [True, True])
        self.assertEqual(pool.page(3), bytes(flat[1].data))
        into = pool.get_dummy_flat_data_page()
        self.assertIs(backend.get(keys[1], into), into)
        self.assertEqual(into.data, flat[1].data)
        self.assertEqual(backend.get(keys[0]).data, flat[0].data)
        self.assertIsNone(backend.get(keys[2]))
        pages = backend.batch_get(keys, [pool.get_dummy_flat_data_page() for _ in keys])
        self.assertEqual([page is None for page in pages], [False, False, True])
        with self.assertRaises(ValueError):
            backend.set(keys[2], torch.Tensor(data=bytearray(100)))

    def test_clear_forgets(self):
        backend = self.made()
        keys = hashes(0, 1)
        self.assertEqual(backend.batch_set_v1(keys, indices([0])), [True])
        backend.clear()
        self.assertEqual(backend.batch_exists(keys), 0)
        self.assertEqual(backend.batch_get_v1(keys, indices([0])), [False])
        self.assertEqual(backend.batch_set_v1(keys, indices([0])), [True])
        self.assertEqual(backend.batch_exists(keys), 1)

    def test_lists_that_do_not_match_raise(self):
        backend = self.made(HostPool(4))
        with self.assertRaises(ValueError):
            backend.batch_get_v1(hashes(0, 2), indices([0]))
        with self.assertRaises(ValueError):
            backend.batch_set_v1(hashes(0, 1), indices([0, 1]))
        self.assertEqual(backend.batch_get_v1([], indices([])), [])
        self.assertEqual(backend.batch_exists([]), 0)

    def test_threads(self):
        pool = HostPool(128)
        backend = self.made(pool)
        written = [pool.fill(page, page) for page in range(64)]
        problems = []

        def work(first: int) -> None:
            for i in range(first, first + 8):
                keys = hashes(i, 1)
                if backend.batch_set_v1(keys, indices([i])) != [True]:
                    problems.append(f"set {i}")
                if backend.batch_exists(keys) != 1:
                    problems.append(f"exists {i}")
                if backend.batch_get_v1(keys, indices([64 + i])) != [True]:
                    problems.append(f"get {i}")

        threads = [threading.Thread(target=work, args=(8 * t,)) for t in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertEqual([pool.page(64 + i) for i in range(64)], written)


class MemoryOnly(unittest.TestCase):
    def test_what_is_refused(self):
        with self.assertRaisesRegex(ValueError, "interface_v1"):
            make(interface_v1=0)
        with self.assertRaisesRegex(ValueError, "layer_first"):
            make(HostPool(1, layout="layer_first"))
        with self.assertRaises(sluice.SluiceError):
            make(nodes="tcp://127.0.0.1:1")  # no secret

    def test_who_shares_pages(self):
        """Ranks share pages of MLA only, models and layouts none: one store, several backends."""
        keys = hashes(0, 1)
        with sluice.Store.memory() as store, mock.patch(
            "sglang_hicache.open_store_of", return_value=store
        ):
            first = make(HostPool(1), 0, 2)
            self.assertEqual(first.batch_set_v1(keys, indices([0])), [True])
            self.assertEqual(make(HostPool(1), 0, 2).batch_exists(keys), 1)
            self.assertEqual(make(HostPool(1), 1, 2).batch_exists(keys), 0)
            self.assertEqual(make(HostPool(1, 128), 0, 2).batch_exists(keys), 0)
            self.assertEqual(make(HostPool(1), 0, 2, namespace="b").batch_exists(keys), 0)
            direct = HostPool(1, layout="page_first_direct")
            self.assertEqual(make(direct, 0, 2).batch_exists(keys), 0)
            mla = make(HostPool(1, parts=1), 0, 2, mla=True)
            self.assertEqual(mla.batch_set_v1(keys, indices([0])), [True])
            self.assertEqual(make(HostPool(1, parts=1), 1, 2, mla=True).batch_exists(keys), 1)

    def test_a_store_that_is_full_says_so_per_page(self):
        with sluice.Store.memory(capacity=8 * 1024) as store, mock.patch(
            "sglang_hicache.open_store_of", return_value=store
        ):
            backend = make(HostPool(8))
            done = backend.batch_set_v1(hashes(0, 8), indices(range(8)))
            self.assertIn(True, done)
            self.assertIn(False, done)
            # What says True is there.
            for key, ok in zip(hashes(0, 8), done):
                self.assertEqual(backend.exists(key), ok)

    def test_a_timeout_gives_the_pages_back(self):
        # 1 MiB/s: the batch takes 4 s; what has not started is cancelled at once.
        with sluice.Store.memory(bytes_per_second=1 << 20) as store, mock.patch(
            "sglang_hicache.open_store_of", return_value=store
        ):
            backend = make(HostPool(64, token_bytes=8192), timeout_s=0)
            done = backend.batch_set_v1(hashes(0, 64), indices(range(64)))
            self.assertIn(False, done)
            self.assertEqual(len(done), 64)
            # No transfer uses the pool's memory: it may be unregistered.
            memory = backend.mem_pool_host.kv_buffer
            size = memory.numel() * memory.element_size()
            store.unregister(sluice.Memory(memory.data_ptr(), size))

    def test_close_ends_what_is_under_way(self):
        with sluice.Store.memory(bytes_per_second=1 << 20) as store, mock.patch(
            "sglang_hicache.open_store_of", return_value=store
        ):
            pool = HostPool(64, token_bytes=8192)
            backend = make(pool)
            out = []

            def load() -> None:
                out.append(backend.batch_set_v1(hashes(0, 64), indices(range(64))))

            thread = threading.Thread(target=load)
            thread.start()
            until(lambda: bool(store._running))  # submitted
            backend.close()
            thread.join()
            self.assertEqual(len(out[0]), 64)
            self.assertIn(False, out[0])
        # SGLang's threads may still call: misses, no exceptions.
        self.assertEqual(backend.batch_exists(hashes(0, 2)), 0)
        self.assertEqual(backend.batch_get_v1(hashes(0, 2), indices([0, 1])), [False, False])
        backend.close()


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
        settings = {**documented("SluiceStorage"), **self.nodes.options()}
        self.assertEqual(settings["backend_name"], "sluice")
        backend = make(HostPool(1), **settings)
        self.addCleanup(backend.close)
        self.assertEqual(backend.batch_set_v1(hashes(0, 1), indices([0])), [True])

    def test_another_process_finds_the_pages(self):
        pool = HostPool(4)
        written = pool.fill(0, 7)
        first = self.made(pool)
        self.assertEqual(first.batch_set_v1(hashes(0, 1), indices([0])), [True])
        first.close()
        other = self.made(pool)
        self.assertEqual(other.batch_get_v1(hashes(0, 1), indices([3])), [True])
        self.assertEqual(pool.page(3), written)

    def test_a_node_that_fails_costs_its_own_pages_only(self):
        nodes = Nodes()
        self.addCleanup(nodes.close)
        self.options = nodes.options()
        pool = HostPool(128, token_bytes=4096)
        backend = self.made(pool)
        written = [pool.fill(page, page) for page in range(64)]
        keys = hashes(0, 64)
        self.assertEqual(backend.batch_set_v1(keys, indices(range(64))), [True] * 64)
        out = []
        there = range(64, 128)
        thread = threading.Thread(
            target=lambda: out.append(backend.batch_get_v1(keys, indices(there)))
        )
        thread.start()
        nodes.kill(0)
        thread.join()
        after = backend.batch_get_v1(keys, indices(there))
        self.assertIn(True, after)
        self.assertIn(False, after)
        for done in (out[0], after):
            self.assertEqual(len(done), 64)
        for page, ok in zip(there, after):
            self.assertTrue(not ok or pool.page(page) == written[page - 64])
        self.assertEqual(backend.batch_exists(keys), after.index(False))
        self.assertEqual(backend.batch_exists(hashes(500, 3)), 0)


if __name__ == "__main__":
    unittest.main()
