# SPDX-License-Identifier: Apache-2.0
"""SGLang's HiCache over Sluice: a HiCacheStorage with the batch interface v1.

Written against SGLang 0.5.23 (October 2026), sglang/srt/mem_cache/hicache_storage.py. This folder
and examples/python are on PYTHONPATH; SLUICE_LIBRARY names libsluice.so. SGLang is told:

    --enable-hierarchical-cache --hicache-mem-layout page_first
    --hicache-storage-backend dynamic --hicache-storage-backend-extra-config '{
        "backend_name": "sluice", "module_path": "sglang_hicache", "class_name": "SluiceStorage",
        "interface_v1": 1, "nodes": "tcp://a:7070,tcp://b:7070", "secret_file": "/etc/secret"}'

Further keys: namespace, replicas, connections, capacity (see open_store), timeout_s.

A page is one block per piece that the host pool names: K and V, or one for MLA. It moves straight
between the pool's memory and the store. Failures of the store are misses, never exceptions: an
exception would end SGLang's prefetch thread for good.
"""

from __future__ import annotations

import logging
from typing import Any, List, Optional, Sequence

import sluice
import torch
from sglang.srt.mem_cache.hicache_storage import (
    HiCacheStorage,
    HiCacheStorageConfig,
    HiCacheStorageExtraInfo,
)
from sluice import BatchKind, Status

from adapter_store import RANKS, block_key, open_store_of

logger = logging.getLogger(__name__)

#: Where a page's pieces are few and large, and follow each other in its flat form.
LAYOUTS = ("page_first", "page_first_direct", "page_head")


class SluiceStorage(HiCacheStorage):
    """Any thread may call it; SGLang's prefetch and backup threads do, and wait in it."""

    def __init__(self, storage_config: HiCacheStorageConfig, kwargs: Optional[dict] = None) -> None:
        config = dict(storage_config.extra_config or {})
        if not config.get("interface_v1"):
            raise ValueError('the storage backend\'s extra config needs "interface_v1": 1')
        self._timeout_s = float(config.get("timeout_s", 30.0))
        self._owner = [str(config.get("namespace", "")), str(storage_config.model_name)]
        # Ranks that hold different parts of a page have keys of their own.
        names = ["pp_rank", "pp_size", "attn_cp_rank", "attn_cp_size", "dcp_rank", "dcp_size"]
        if not storage_config.is_mla_model:
            names += ["tp_rank", "tp_size"]
        self._owner += [f"{name}={getattr(storage_config, name, 0)}" for name in names]
        self._cleared = 0
        self._sizes: List[int] = []  # bytes of each piece of a page
        self._prefix = b""
        self._store = open_store_of(config)

    def register_mem_pool_host(self, mem_pool_host: Any) -> None:
        super().register_mem_pool_host(mem_pool_host)
        pool = mem_pool_host
        if pool.layout not in LAYOUTS:
            raise ValueError(f"--hicache-mem-layout {pool.layout}: Sluice takes {LAYOUTS}")
        _, sizes = pool.get_page_buffer_meta(torch.arange(pool.page_size))
        self._sizes = [int(size) for size in sizes]
        self._set_prefix()
        memory = getattr(pool, "kv_buffer", None)
        if hasattr(memory, "data_ptr"):  # else it is made known for each batch
            size = memory.numel() * memory.element_size()
            self._store.register(sluice.Memory(memory.data_ptr(), size, memory))

    def batch_exists(
        self, keys: List[str], extra_info: Optional[HiCacheStorageExtraInfo] = None
    ) -> int:
        """How many of the first pages are there."""
        result = self._run(BatchKind.EXISTS, keys)
        return result.leading // len(self._sizes) if result else 0

    def batch_get_v1(
        self,
        keys: List[str],
        host_indices: torch.Tensor,
        extra_info: Optional[HiCacheStorageExtraInfo] = None,
    ) -> List[bool]:
        """Reads pages into the host pool. A page that is False has undefined contents."""
        return self._move(BatchKind.GET, keys, self._of_pool(keys, host_indices))

    def batch_set_v1(
        self,
        keys: List[str],
        host_indices: torch.Tensor,
        extra_info: Optional[HiCacheStorageExtraInfo] = None,
    ) -> List[bool]:
        """Writes pages of the host pool. Those that are there already are True, and stay."""
        return self._move(BatchKind.PUT, keys, self._of_pool(keys, host_indices))

    # ---- the older interface: flat pages in tensors

    def exists(self, key: str) -> bool:
        return self.batch_exists([key]) == 1

    def get(
        self, key: str, target_location: Optional[Any] = None, target_sizes: Optional[Any] = None
    ) -> Optional[torch.Tensor]:
        return self.batch_get([key], None if target_location is None else [target_location])[0]

    def batch_get(
        self,
        keys: List[str],
        target_locations: Optional[Any] = None,
        target_sizes: Optional[Any] = None,
    ) -> List[Optional[torch.Tensor]]:
        pages = target_locations
        if pages is None:
            pages = [self.mem_pool_host.get_dummy_flat_data_page() for _ in keys]
        done = self._move(BatchKind.GET, keys, self._of_pages(pages))
        return [page if ok else None for page, ok in zip(pages, done)]

    def set(
        self,
        key: str,
        value: Optional[Any] = None,
        target_location: Optional[Any] = None,
        target_sizes: Optional[Any] = None,
    ) -> bool:
        return self.batch_set([key], [target_location if value is None else value])

    def batch_set(
        self,
        keys: List[str],
        values: Optional[Any] = None,
        target_locations: Optional[Any] = None,
        target_sizes: Optional[Any] = None,
    ) -> bool:
        pages = target_locations if values is None else values
        return all(self._move(BatchKind.PUT, keys, self._of_pages(pages)))

    def clear(self) -> None:
        """What has been stored so far is found no more by this process; it ages out."""
        self._cleared += 1
        self._set_prefix()

    def close(self) -> None:
        """SGLang calls it when it detaches. Waits until no transfer touches the host pool."""
        self._store.close()

    # ---- the rest

    def _set_prefix(self) -> None:
        pool = self.mem_pool_host
        shape = [pool.layout, str(getattr(pool, "dtype", "")), *self._sizes]
        self._prefix = block_key(*self._owner, *shape, self._cleared)

    def _of_pool(self, keys: Sequence[str], host_indices: torch.Tensor) -> List[sluice.Memory]:
        if len(host_indices) != len(keys) * self.mem_pool_host.page_size:
            raise ValueError(f"{len(keys)} pages, but {len(host_indices)} host indices")
        addresses, sizes = self.mem_pool_host.get_page_buffer_meta(host_indices)
        return [sluice.Memory(int(at), int(size)) for at, size in zip(addresses, sizes)]

    def _of_pages(self, pages: Sequence[Any]) -> List[sluice.Memory]:
        out = []
        for page in pages:
            at = page.data_ptr()
            if page.numel() * page.element_size() != sum(self._sizes):
                raise ValueError(f"a page is {sum(self._sizes)} bytes")
            for size in self._sizes:
                out.append(sluice.Memory(at, size, page))
                at += size
        return out

    def _move(self, kind: int, keys: Sequence[str], pieces: List[sluice.Memory]) -> List[bool]:
        result = self._run(kind, keys, pieces)
        if result is None:
            return [False] * len(keys)
        n, codes = len(self._sizes), result.results
        return [all(c == Status.OK for c in codes[i * n : (i + 1) * n]) for i in range(len(keys))]

    def _run(
        self, kind: int, keys: Sequence[str], pieces: Optional[List[sluice.Memory]] = None
    ) -> Optional[sluice.BatchResult]:
        if not keys:
            return None
        names = [block_key(self._prefix, key, i) for key in keys for i in range(len(self._sizes))]
        try:
            ticket = self._store.submit(kind, names, pieces, rank=RANKS[BatchKind(kind)])
            try:
                return self._store.wait(ticket, self._timeout_s)
            except sluice.SluiceError as error:
                if error.code != Status.DEADLINE_EXCEEDED:
                    raise
            # The pool's pages are SGLang's again when no transfer touches them any more.
            self._store.cancel(ticket)
            return self._store.wait(ticket)
        except sluice.SluiceError as error:
            logger.warning("%d pages: %s", len(keys), error)
            return None
