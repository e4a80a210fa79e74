# SPDX-License-Identifier: Apache-2.0
"""vLLM's KV offloading over Sluice: a SecondaryTierManager.

Written against vLLM 0.33.0 (vllm/v1/kv_offload/tiering/base.py); runs with 0.22's interface too,
where lookup answers True, False or None. This folder and examples/python are on PYTHONPATH;
SLUICE_LIBRARY names libsluice.so. vLLM is told:

    --kv-transfer-config '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both",
        "kv_connector_extra_config": {
            "spec_name": "TieringOffloadingSpec", "cpu_bytes_to_use": 10737418240,
            "secondary_tiers": [{
                "type": "SluiceTier", "module_path": "vllm_tier",
                "namespace": "llama-3.1-70b bf16 tp4",
                "nodes": "tcp://a:7070,tcp://b:7070", "secret_file": "/etc/secret"}]}}'

Without module_path: type "sluice", and an entry point vllm.general_plugins, vllm_tier:register.
Further keys: see open_store. A chunk of the primary tier, parts of all ranks, is one block.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Dict, Hashable, Iterable, List, Optional, Tuple

import sluice
from sluice import BatchKind, Status
from sluice.buffers import memory_of
from vllm.v1.kv_offload import base
from vllm.v1.kv_offload.base import OffloadKey, ReqContext, RequestOffloadingContext
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager

from adapter_store import RANKS, block_key, open_store

logger = logging.getLogger(__name__)

if hasattr(base, "LookupResult"):
    HIT, MISS, RETRY = base.LookupResult.HIT, base.LookupResult.MISS, base.LookupResult.RETRY
else:
    HIT, MISS, RETRY = True, False, None

#: vLLM keeps what came of a load that failed in part.
TELLS_PARTS = "successful_keys" in {field.name for field in dataclasses.fields(JobResult)}


class SluiceTier(SecondaryTierManager):
    """Called by the scheduler's thread. Only drain_jobs and shutdown wait."""

    def __init__(
        self,
        offloading_spec: Any,
        primary_kv_view: memoryview,
        tier_type: str,
        namespace: str = "",
        backpressure_detector: Any = None,
        **store: Any,
    ) -> None:
        """namespace: the model, its KV's type and how it is sharded; required, as blocks of another
        would be taken for one's own. store: as open_store."""
        detector = backpressure_detector
        late = {} if detector is None else {"backpressure_detector": detector}
        super().__init__(offloading_spec, primary_kv_view, tier_type, **late)
        if not namespace:
            raise ValueError("a tier of Sluice needs a namespace")
        if primary_kv_view.ndim != 2 or primary_kv_view.readonly:
            raise ValueError("the primary tier's view is one writable row per block")
        self._rows, self._row_bytes = primary_kv_view.shape[0], primary_kv_view.strides[0]
        # The address only: the view must not be held, as vLLM releases it.
        self._base, size, _ = memory_of(primary_kv_view)
        self._prefix = block_key(namespace, self._row_bytes)
        self._jobs: Dict[int, Tuple[Any, List[OffloadKey]]] = {}  # by ticket
        self._finished: List[JobResult] = []
        # What lookups know, by request: None while the store is asked.
        self._known: Dict[Hashable, Dict[OffloadKey, Optional[bool]]] = {}
        self._to_ask: List[Tuple[Hashable, OffloadKey]] = []
        self._asked: Dict[int, List[Tuple[Hashable, OffloadKey]]] = {}  # by ticket
        self._store = open_store(**store)
        self._store.register(sluice.Memory(self._base, size))

    # ---- lookup: answers what is known; questions go to the store once per step

    def lookup(self, key: OffloadKey, req_context: ReqContext) -> Any:
        request = _request(req_context)
        known = self._known.setdefault(request, {})
        if key not in known:
            known[key] = None
            self._to_ask.append((request, key))
        found = known[key]
        return RETRY if found is None else HIT if found else MISS

    def on_new_request(self, req_context: ReqContext) -> RequestOffloadingContext:
        return RequestOffloadingContext()

    def on_request_finished(self, req_context: ReqContext) -> None:
        self._known.pop(_request(req_context), None)

    request_finished = on_request_finished  # its name in 0.22

    def on_schedule_end(self, context: Any = None) -> None:
        if not self._to_ask:
            return
        asked, self._to_ask = self._to_ask, []
        ticket = self._submit(BatchKind.EXISTS, [key for _, key in asked], None)
        if ticket:
            self._asked[ticket] = asked
        else:
            self._learn(asked, [Status.UNAVAILABLE] * len(asked))

    # ---- jobs

    def submit_load(self, job_metadata: Any) -> None:
        self._start(BatchKind.GET, job_metadata)

    def submit_store(self, job_metadata: Any) -> None:
        """Blocks that the store has are not moved again."""
        self._start(BatchKind.PUT, job_metadata)

    def get_finished_jobs(self) -> Iterable[JobResult]:
        self.on_schedule_end()  # 0.22 does not call it
        for ended in iter(self._store.poll, []):
            for result in ended:
                self._end(result)
        finished, self._finished = self._finished, []
        return finished

    get_finished = get_finished_jobs  # its name in 0.22

    def has_pending_work(self) -> bool:
        """Keeps an idle engine stepping while something comes that a step would take."""
        return bool(self._jobs or self._asked or self._to_ask or self._finished)

    def drain_jobs(self) -> None:
        for ticket in list(self._jobs):
            self._end(self._store.wait(ticket))

    def shutdown(self) -> None:
        """Cancels what has not started and waits for the rest: the primary tier is free then."""
        self._store.close()

    # ---- the rest

    def _start(self, kind: int, job: Any) -> None:
        keys = list(job.keys)
        slots = [int(s) for s in (job.block_ids if hasattr(job, "block_ids") else job.chunk_ids)]
        if len(slots) != len(keys) or any(not 0 <= s < self._rows for s in slots):
            raise ValueError(f"job {job.job_id}: {len(keys)} keys, slots {slots} of {self._rows}")
        rows = [sluice.Memory(self._base + s * self._row_bytes, self._row_bytes) for s in slots]
        ticket = self._submit(kind, keys, rows)
        if ticket:
            self._jobs[ticket] = (job, keys)
        else:
            self._report(job, keys, [Status.OK if not keys else Status.UNAVAILABLE] * len(keys))

    def _submit(self, kind: int, keys: List[OffloadKey], rows: Any) -> int:
        if not keys:
            return 0
        try:
            names = [block_key(self._prefix, bytes(key)) for key in keys]
            return self._store.submit(kind, names, rows, rank=RANKS[BatchKind(kind)])
        except sluice.SluiceError as error:
            logger.warning("%d blocks: %s", len(keys), error)
            return 0

    def _end(self, result: sluice.BatchResult) -> None:
        if result.ticket in self._asked:
            self._learn(self._asked.pop(result.ticket), result.results)
        else:
            self._report(*self._jobs.pop(result.ticket), result.results)

    def _learn(self, asked: List[Tuple[Hashable, OffloadKey]], codes: Iterable[int]) -> None:
        for (request, key), code in zip(asked, codes):
            if request in self._known:
                self._known[request][key] = code == Status.OK

    def _report(self, job: Any, keys: List[OffloadKey], codes: Iterable[int]) -> None:
        came = [key for key, code in zip(keys, codes) if code == Status.OK]
        parts: Dict[str, Any] = {}
        if job.is_promotion and len(came) < len(keys):
            # The request that waits must not be told again that they are there.
            lost = set(keys).difference(came)
            self._known.get(_request(job.req_context), {}).update(dict.fromkeys(lost, False))
            if TELLS_PARTS and came:
                parts["successful_keys"] = tuple(came)
        self._finished.append(JobResult(job_id=job.job_id, success=len(came) == len(keys), **parts))


def _request(context: ReqContext) -> Hashable:
    return getattr(context, "req_id", None)


def register() -> None:
    """For an entry point; vLLM may call it several times in a process."""
    from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory

    if "sluice" not in SecondaryTierFactory._registry:
        SecondaryTierFactory.register_tier("sluice", "vllm_tier", "SluiceTier")
