# SPDX-License-Identifier: Apache-2.0
"""Applications: runs of units, of which requests are parts."""

from __future__ import annotations

import ctypes
from typing import Any, Union

from . import pipeline_structs as p
from .constants import AppFlag
from .library import check, lib

#: How applications are followed: the members of sluice_app_options. 0 is the default.
AppOptions = p.sluice_app_options


class Applications:
    """What pipelines and planners have in common: sluice.h, "Applications", has the contract."""

    _handle: Any

    def load_model(self, json: Union[str, bytes]) -> None:
        """Takes what is known of a class, a file of `sluice demand learn`."""
        data = json.encode() if isinstance(json, str) else json
        check(lib.sluice_app_model_load(self._handle, data, len(data)))

    def begin_app(
        self,
        application: str,
        *,
        user: int = 0,
        arrival_ns: int = 0,
        deadline_ns: int = 0,
        tenant: int = 0,
        tenant_weight: float = 0,
    ) -> int:
        """A run begins. Returns its id, for `app` of submit()."""
        spec = p.sluice_app(
            application=application.encode(),
            user=user,
            arrival_ns=arrival_ns,
            deadline_ns=deadline_ns,
            tenant=tenant,
            tenant_weight=tenant_weight,
        )
        out = ctypes.c_uint64()
        check(lib.sluice_app_begin(self._handle, ctypes.byref(spec), ctypes.byref(out)))
        return out.value

    def end_app(self, app: int, *, complete: bool = True) -> None:
        """It has ended; its requests keep the rank that it had."""
        check(lib.sluice_app_end(self._handle, app, 0 if complete else AppFlag.INCOMPLETE))

    def begin_unit(
        self,
        app: int,
        unit: str,
        *,
        backend: str = "llm",
        calls: int = 1,
        prompt_tokens: int = 0,
        cached_tokens: int = 0,
        time_ns: int = 0,
    ) -> None:
        """A unit begins: one call, or several side by side. Tokens are those of all calls."""
        spec = p.sluice_unit(
            calls=calls,
            unit=unit.encode(),
            backend=backend.encode(),
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            time_ns=time_ns,
        )
        check(lib.sluice_unit_begin(self._handle, app, ctypes.byref(spec)))

    def unit_progress(
        self, app: int, prompt_tokens: int, cached_tokens: int, completion_tokens: int
    ) -> None:
        """What its calls have had so far, all together."""
        check(
            lib.sluice_unit_progress(
                self._handle, app, prompt_tokens, cached_tokens, completion_tokens
            )
        )

    def end_unit(
        self,
        app: int,
        *,
        prompt_tokens: int = 0,
        cached_tokens: int = 0,
        completion_tokens: int = 0,
        max_prompt_tokens: int = 0,
        max_completion_tokens: int = 0,
        seconds: float = 0,
        time_ns: int = 0,
    ) -> None:
        """The unit that was under way has ended."""
        result = p.sluice_unit_result(
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            completion_tokens=completion_tokens,
            max_prompt_tokens=max_prompt_tokens,
            max_completion_tokens=max_completion_tokens,
            seconds=seconds,
            time_ns=time_ns,
        )
        check(lib.sluice_unit_end(self._handle, app, ctypes.byref(result)))

    def app_rank(self, app: int) -> tuple[int, float]:
        """Its last rank as (tier, rank), for queues outside: the smaller goes first."""
        rank = ctypes.c_double()
        tier = ctypes.c_uint32()
        check(lib.sluice_app_rank(self._handle, app, ctypes.byref(rank), ctypes.byref(tier)))
        return tier.value, rank.value
