# SPDX-License-Identifier: Apache-2.0
"""The numbers of sluice.h. SLUICE_EVENT_READY is EventKind.READY, and so on.

They are ints: what functions return are plain numbers, to be compared with these.
"""

from __future__ import annotations

import enum

NO_PAGE = 0xFFFFFFFF  #: a hole in a list of pages
LOAD_NOTHING = 0xFFFFFFFF  #: as max_load_blocks
NEVER = 0xFFFFFFFFFFFFFFFF  #: an instant that does not happen, or a timeout that does not pass
KEY_STRIDE = 32  #: bytes from key to key in lists that drivers are given


class Status(enum.IntEnum):
    """What functions and callbacks return."""

    OK = 0
    PENDING = 1  #: from a callback: it ends by complete()
    INVALID_ARGUMENT = -1
    NOT_FOUND = -2
    FAILED_PRECONDITION = -3
    OUT_OF_RANGE = -4
    RESOURCE_EXHAUSTED = -5
    UNSUPPORTED = -6
    CANCELLED = -7
    DEADLINE_EXCEEDED = -8
    UNAVAILABLE = -9
    DATA_LOSS = -10
    ALREADY_EXISTS = -11
    PERMISSION_DENIED = -12
    INTERNAL = -13
    TRUNCATED = -14


class Stage(enum.IntEnum):
    """Where a request is served."""

    LOOKUP = 0
    FETCH = 1  #: L3 to L2
    COPY = 2  #: L2 to L1
    COMPUTE = 3
    COPY_OUT = 4  #: L1 to L2
    PUT = 5  #: L2 to L3


class HitRule(enum.IntEnum):
    """Which blocks of a prefix a group must have."""

    ALL_BLOCKS = 0
    LAST_N = 1


class Reservation(enum.IntEnum):
    """When L1 is asked for."""

    PROACTIVE = 0
    JUST_IN_TIME = 1
    LATE = 2


class BatchKind(enum.IntEnum):
    """What a batch does."""

    GET = 0
    PUT = 1
    EXISTS = 2
    REMOVE = 3


class EventKind(enum.IntEnum):
    """What an event says. READY to FAILED are outcomes: each request has one of them."""

    WANT_PAGES = 0
    LOADED = 1
    READY = 2
    DETACHED = 3
    COMPUTED = 4
    CANCELLED = 5
    FAILED = 6
    QUIESCED = 7
    STORED = 8
    LOOKED_UP = 9


class StoreFlag(enum.IntFlag):
    """Flags of a store."""

    EVICT = 1
    NO_CHECKSUMS = 2


class PipelineFlag(enum.IntFlag):
    """Flags of a pipeline."""

    ENGINE_OWNS_L1 = 1
    SPLIT_LOADS = 2
    FAIL_ON_LOSS = 4


class PolicyFlag(enum.IntFlag):
    """Flags of a policy."""

    RANKS_BY_SERVICE = 1


class RequestFlag(enum.IntFlag):
    """Flags of a request."""

    NO_WRITE_BACK = 1
    TELL_LOOKUP = 2
    PREWARM = 4


class AppsFlag(enum.IntFlag):
    """Flags of how applications are followed."""

    NO_LEARNING = 1


class AppFlag(enum.IntFlag):
    """Flags of an application's end."""

    INCOMPLETE = 1


EVENT_BUSY = 1  #: in flags of an outcome: QUIESCED follows
