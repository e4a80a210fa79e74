# SPDX-License-Identifier: Apache-2.0
"""Events of a pipeline, as tuples."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from . import pipeline_structs as p
from .constants import EVENT_BUSY, EventKind


class Event(NamedTuple):
    """What has happened to a request."""

    request: int
    user: int  #: as submitted
    kind: int  #: an EventKind
    flags: int
    blocks: int
    status: int  #: FAILED: why; else OK
    text: str  #: FAILED: why; else ""

    @property
    def busy(self) -> bool:
        """Of an outcome: something may still touch the pages; QUIESCED follows."""
        return bool(self.flags & EVENT_BUSY)

    @property
    def is_outcome(self) -> bool:
        """Whether this is the one outcome of its request."""
        return EventKind.READY <= self.kind <= EventKind.FAILED

    @property
    def is_loaded(self) -> bool:
        """Whether its request is to be released some time."""
        return EventKind.READY <= self.kind <= EventKind.COMPUTED


# Ten times faster than reading the members of ctypes structs. The tests compare it with the header.
LAYOUT = struct.Struct("=QQIIIiQ")
_failed = int(EventKind.FAILED)


def read_events(raw: Any, n: int) -> list[Event]:
    """The first n of an array of sluice_event."""
    if n == 0:
        return []
    events = [
        Event(request, user, kind, flags, blocks, status, "")
        for request, user, kind, flags, blocks, status, _ in LAYOUT.iter_unpack(
            memoryview(raw).cast("B")[: n * LAYOUT.size]
        )
    ]
    for i, event in enumerate(events):
        if event.kind == _failed:
            events[i] = event._replace(text=(raw[i].text or b"").decode(errors="replace"))
    return events


def event_array(capacity: int) -> Any:
    """Room for events."""
    return (p.sluice_event * capacity)()
