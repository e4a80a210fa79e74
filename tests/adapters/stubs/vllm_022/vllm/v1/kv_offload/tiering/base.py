# SPDX-License-Identifier: Apache-2.0
"""vLLM 0.22's interface of a secondary tier, written from its contract."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Collection, Iterable, Optional

from vllm.v1.kv_offload.base import OffloadKey, ReqContext, RequestOffloadingContext


@dataclass
class JobMetadata:
    job_id: int
    keys: Collection[OffloadKey]
    block_ids: Any
    is_promotion: bool
    req_context: ReqContext


@dataclass
class JobResult:
    job_id: int
    success: bool


class SecondaryTierManager(ABC):
    def __init__(self, offloading_spec: Any, primary_kv_view: memoryview, tier_type: str) -> None:
        self._offloading_spec = offloading_spec
        self._primary_kv_view = primary_kv_view
        self.tier_type = tier_type

    @abstractmethod
    def lookup(self, key: OffloadKey, req_context: ReqContext) -> Optional[bool]: ...

    @abstractmethod
    def submit_store(self, job_metadata: JobMetadata) -> None: ...

    @abstractmethod
    def submit_load(self, job_metadata: JobMetadata) -> None: ...

    @abstractmethod
    def get_finished(self) -> Iterable[JobResult]: ...

    def touch(self, keys: Collection[OffloadKey], req_context: ReqContext) -> None: ...

    def get_request_offloading_context(self, req_context: ReqContext) -> RequestOffloadingContext:
        return RequestOffloadingContext()

    def request_finished(self, req_context: ReqContext) -> None: ...

    def shutdown(self) -> None: ...
