# SPDX-License-Identifier: Apache-2.0
"""Opening and closing, forks, and where the library is looked for."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings

import support
from support import BLOCK, Rig, content, keys

import sluice
from sluice import Status


class Closing(Rig):
    def test_closing_twice_is_no_error(self):
        pipeline = self.pipeline()
        with pipeline:
            self.assertFalse(pipeline.closed)
        self.assertTrue(pipeline.closed)
        pipeline.close()
        with self.store, self.device:
            pass
        self.store.close()
        self.assertEqual(repr(self.store), "<sluice.Store closed>")

    def test_use_after_close(self):
        pipeline = self.pipeline()
        request = self.submit(pipeline, 0, 1)
        pipeline.close()
        for use in (
            lambda: self.submit(pipeline, 0, 1),
            lambda: pipeline.release(request),
            lambda: pipeline.pages(request),
            pipeline.event_fd,
            pipeline.poll,
            pipeline.stats,
            pipeline.metrics,
        ):
            with self.raises(Status.NOT_FOUND):
                use()
        self.store.close()
        for use in (
            lambda: self.store.exists(keys(0, 1)),
            lambda: self.store.wait(1),
            self.store.poll,
            lambda: self.pipeline(store=self.store),  # not "no store"
        ):
            with self.raises(Status.NOT_FOUND):
                use()

    def test_what_is_in_use_stays_open(self):
        pipeline = self.pipeline()
        with self.raises(Status.FAILED_PRECONDITION):
            self.store.close()
        with self.raises(Status.FAILED_PRECONDITION):
            self.device.close()
        self.assertFalse(self.store.closed)
        self.assertEqual(self.store.exists(keys(0, 1)).succeeded, 1)
        pipeline.close()
        self.store.close()

    def test_two_threads_close(self):
        for _ in range(20):
            store = sluice.Store.memory()
            raised = []

            def close(store=store, raised=raised):
                try:
                    store.close()
                except sluice.SluiceError as error:
                    raised.append(error)

            threads = [threading.Thread(target=close) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(raised, [])
            self.assertTrue(store.closed)

    def test_a_forgotten_pipeline_goes_on(self):
        # Nobody holds it, its memory or its policy; the library uses all three.
        def forget():
            class Order(sluice.Policy):
                def rank(self, request, stage, now_ns):
                    ranked.set()
                    return 0.0

            ranked = threading.Event()
            memory = bytearray(4 * BLOCK)
            pipeline = sluice.Pipeline(
                [sluice.Group([sluice.Region.over(memory, BLOCK)])],
                self.device,
                self.store,
                policy=Order(),
                l2_bytes=8 * BLOCK,
            )
            return pipeline, pipeline.event_fd(), ranked

        pipeline, fd, ranked = forget()
        pipeline.submit(keys(0, 2), 33)
        handle = id(pipeline)
        del pipeline
        gc.collect()
        support.wait_readable(fd)
        self.assertTrue(ranked.wait(support.FOR_EVER))
        (again,) = [h for h in gc.get_objects() if id(h) == handle]
        again.close()

    def test_they_are_not_copied(self):
        for handle in (self.device, self.store, self.pipeline()):
            for function in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, "neither copied nor pickled"):
                    function(handle)

    def test_a_handle_of_another_kind(self):
        with self.raises(Status.NOT_FOUND):
            sluice.Pipeline(self.groups(), self.store)


class Children(Rig):
    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork")
    def test_after_fork_handles_are_stale_and_new_ones_work(self):
        pipeline = self.pipeline()
        self.submit(pipeline, 0, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are threads
            child = os.fork()
        if child == 0:
            os._exit(self.in_child(pipeline))
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertEqual(self.events_of(pipeline, 1)[0].blocks, 2)

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork")
    def test_locks_of_threads_that_are_not_in_the_child(self):
        gate = support.Gate()

        def hold():
            with self.store._lock:
                gate.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        gate.entered.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            signal.alarm(int(support.FOR_EVER))
            try:
                self.store.exists(keys(0, 1))
            except sluice.SluiceError as error:
                os._exit(0 if error.code == Status.NOT_FOUND else 1)
            os._exit(2)
        _, status = os.waitpid(child, 0)
        gate.open.set()
        thread.join()
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def in_child(self, pipeline):
        for number, use in enumerate(
            (
                lambda: pipeline.submit(keys(0, 1), 17),
                pipeline.poll,
                lambda: self.store.exists(keys(0, 1)),
            ),
            1,
        ):
            try:
                use()
                return number
            except sluice.SluiceError as error:
                if error.code != Status.NOT_FOUND:
                    return 10 + number
        for handle in (pipeline, self.store, self.device):
            handle.close()
        with sluice.Store.memory() as store:
            return 0 if store.put(keys(0, 1), [content(0)]).succeeded == 1 else 20


class Processes(unittest.TestCase):
    """What only shows in a process of its own."""

    def run_python(self, code, **environment):
        return subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONPATH": str(support.ROOT / "examples" / "python"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=support.FOR_EVER,
        )

    def test_what_is_open_at_exit_is_closed(self):
        # The policy would be called by a thread while the interpreter ends.
        done = self.run_python(
            """
import sluice
class Order(sluice.Policy):
    interval_ns = 1000
    def rank(self, request, stage, now_ns):
        return 0.0
l1 = bytearray(1 << 16)
pipeline = sluice.Pipeline([sluice.Group([sluice.Region.over(l1, 1024)])],
                           sluice.Device.host(), policy=Order())
for _ in range(50):
    pipeline.submit((), 16)
print("end")
""",
            PYTHONWARNINGS="default",
        )
        self.assertEqual((done.returncode, done.stdout), (0, "end\n"), done.stderr)
        self.assertIn("ResourceWarning", done.stderr)

    def test_signals_stay_pythons(self):
        done = self.run_python(
            """
import os, signal, threading
def caught():
    with open("/proc/self/status") as lines:
        return next(line for line in lines if line.startswith("SigCgt"))
before = caught()
import sluice
print(caught() == before)
class Held(sluice.StoreDriver):
    def lookup(self, keys):
        keys.complete()
    def get(self, transfers):
        held.extend(transfers)
        os.kill(os.getpid(), signal.SIGINT)
held = []
with sluice.open_driver(Held()) as store:
    try:
        store.get([b"key"], [bytearray(8)])
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
    held[0].complete()
"""
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "True\nKeyboardInterrupt\n")

    def test_a_missing_library_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            missing = os.path.join(folder, "libnothing.so")
            done = self.run_python("import sluice", SLUICE_LIBRARY=missing)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("ImportError", done.stderr)
        self.assertIn(missing, done.stderr)
        self.assertIn("SLUICE_LIBRARY", done.stderr)

    def test_a_library_of_another_api_is_refused(self):
        done = self.run_python(
            "import ctypes\n"
            "class Other(ctypes.CDLL):\n"
            "    @property\n"
            "    def sluice_api_version(self):\n"
            "        return lambda: 7 << 16 | 3\n"
            "    def __getattr__(self, name):\n"
            "        raise AttributeError(name)\n"
            "ctypes.CDLL = Other\n"
            "import sluice\n"
        )
        self.assertIn("its API is 7.3", done.stderr)
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    support.main()
