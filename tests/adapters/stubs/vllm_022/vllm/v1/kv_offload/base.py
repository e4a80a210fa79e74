# SPDX-License-Identifier: Apache-2.0
"""The names of vLLM 0.22's module that a tier needs, written from its contract."""

from dataclasses import dataclass
from typing import Any, Dict, NewType, Optional

OffloadKey = NewType("OffloadKey", bytes)


@dataclass
class ReqContext:
    req_id: str
    kv_transfer_params: Optional[Dict[str, Any]] = None


@dataclass
class RequestOffloadingContext:
    policy: str = "block"
