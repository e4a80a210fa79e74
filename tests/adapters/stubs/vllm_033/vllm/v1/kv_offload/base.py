# SPDX-License-Identifier: Apache-2.0
"""The names of vLLM 0.33's module that a tier needs, written from its contract."""

import enum
from dataclasses import dataclass
from typing import Any, Dict, NewType, Optional

OffloadKey = NewType("OffloadKey", bytes)


class LookupResult(enum.Enum):
    MISS = enum.auto()
    HIT = enum.auto()
    HIT_PENDING = enum.auto()
    RETRY = enum.auto()


@dataclass
class ReqContext:
    req_id: str
    kv_transfer_params: Optional[Dict[str, Any]] = None


@dataclass
class RequestOffloadingContext:
    policy: str = "block"


@dataclass
class ScheduleEndContext:
    pass
