# SPDX-License-Identifier: Apache-2.0
"""What the tests share."""

import os
import pathlib
import select
import sys
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "python"))

import sluice  # noqa: E402

BLOCK = 512  # bytes
TOKENS = 16  # of a block
FOR_EVER = 60.0  # seconds; only a test that has failed waits for so long


def keys(first, n):
    """Names of n blocks."""
    return [(first + i).to_bytes(8, "little") for i in range(n)]


def content(number):
    """Of the block of that number."""
    return bytes([number % 251]) * BLOCK


def wait_readable(fd):
    """Until there is something to poll."""
    assert select.select([fd], [], [], FOR_EVER)[0], "nothing has come"


class Gate:
    """Where a callback waits until the test lets it go."""

    def __init__(self):
        self.entered = threading.Event()
        self.open = threading.Event()

    def wait(self):
        self.entered.set()
        assert self.open.wait(FOR_EVER)


class Rig(unittest.TestCase):
    """A host device, a store with blocks 0 to 31 and, on request, a pipeline."""

    slots = 64

    def setUp(self):
        self.l1 = bytearray(self.slots * BLOCK)
        self.device = self.closed(sluice.Device.host())
        self.store = self.closed(sluice.Store.memory())
        filled = self.store.put(keys(0, 32), [content(i) for i in range(32)])
        self.assertEqual(filled.status, sluice.Status.OK)
        self.reported = []
        self.old_hook = sys.unraisablehook
        sys.unraisablehook = lambda args: self.reported.append(args.exc_value)
        self.addCleanup(self.restore_hook)

    def restore_hook(self):
        sys.unraisablehook = self.old_hook

    def closed(self, handle):
        """The handle, which is closed when the test is over."""
        self.addCleanup(handle.close)
        return handle

    def groups(self):
        return [sluice.Group([sluice.Region.over(self.l1, BLOCK)])]

    def pipeline(self, **options):
        options.setdefault("store", self.store)
        options.setdefault("device", self.device)
        options.setdefault("l2_bytes", 64 * BLOCK)
        options.setdefault("block_tokens", TOKENS)
        return self.closed(sluice.Pipeline(self.groups(), **options))

    def submit(self, pipeline, first, n, **options):
        return pipeline.submit(keys(first, n), n * TOKENS + 1, **options)

    def events_of(self, pipeline, n):
        """The next n events."""
        events = []
        while len(events) < n:
            wait_readable(pipeline.event_fd())
            events += pipeline.poll()
        return events

    def outcomes_of(self, pipeline, n):
        """The next n outcomes; events of other kinds are left out."""
        outcomes = []
        while len(outcomes) < n:
            wait_readable(pipeline.event_fd())
            outcomes += [event for event in pipeline.poll() if event.is_outcome]
        return outcomes

    def stats_once(self, pipeline, reached):
        """The stats, when reached(stats) is true: they follow the events."""
        end = time.monotonic() + FOR_EVER
        while not reached(pipeline.stats()):
            self.assertLess(time.monotonic(), end)
        return pipeline.stats()

    def page(self, slot):
        return bytes(self.l1[slot * BLOCK : (slot + 1) * BLOCK])

    def raises(self, code):
        """Fails unless the block raises SluiceError with that code."""
        return _Raises(self, code)


class _Raises:
    def __init__(self, case, code):
        self.case = case
        self.code = code
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.case.fail(f"nothing was raised, {self.code!r} was expected")
        if not isinstance(error, sluice.SluiceError):
            return False
        self.case.assertEqual(error.code, self.code, str(error))
        self.case.assertEqual(error.name, "SLUICE_E_" + sluice.Status(self.code).name)
        self.case.assertTrue(error.text)
        self.error = error
        return True


def main():
    """Runs the tests of the calling file."""
    unittest.main(verbosity=2 if os.environ.get("VERBOSE") else 1)
