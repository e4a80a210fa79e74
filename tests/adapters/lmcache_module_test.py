# SPDX-License-Identifier: Apache-2.0
"""The Python module as LMCache's native_plugin adapter uses it: made by name with keyword
arguments, driven by memoryviews, its descriptor polled."""

from __future__ import annotations

import importlib
import select
import unittest

from nodes import PATIENCE_S, Nodes, documented, needs_nodes, pattern, until

METHODS = "event_fd submit_batch_get submit_batch_set submit_batch_exists drain_completions close"


class OverMemory(unittest.TestCase):
    options: dict = {}

    def made(self):
        made = getattr(importlib.import_module("sluice_lmcache"), "SluiceConnector")(**self.options)
        for method in METHODS.split() + ["submit_batch_delete"]:
            self.assertTrue(callable(getattr(made, method)))
        self.addCleanup(made.close)
        return made

    def wait(self, client, future: int):
        poller = select.poll()
        poller.register(client.event_fd(), select.POLLIN)
        while True:
            self.assertTrue(poller.poll(PATIENCE_S * 1000), "no completion came")
            for ended, ok, error, results in client.drain_completions():
                self.assertEqual(ended, future)
                self.assertEqual((ok, error), (True, ""))
                return results

    def test_round_trip(self):
        client = self.made()
        keys = [f"m@00000001@0@{i:064x}" for i in range(8)]
        written = [bytearray(pattern(4096, i)) for i in range(8)]
        future = client.submit_batch_set(keys, [memoryview(b) for b in written])
        self.assertEqual(self.wait(client, future), [True] * 8)
        asked = keys[6:] + ["other"]
        want = [True, True, False]
        self.assertEqual(self.wait(client, client.submit_batch_exists(asked)), want)
        read = [bytearray(4096) for _ in range(3)]
        future = client.submit_batch_get(asked, [memoryview(b) for b in read])
        self.assertEqual(self.wait(client, future), want)
        self.assertEqual(read, written[6:] + [bytearray(4096)])
        self.assertEqual(self.wait(client, client.submit_batch_delete(asked)), want)
        left = [True] * 6 + [False] * 2
        self.assertEqual(self.wait(client, client.submit_batch_exists(keys)), left)
        with self.assertRaises(RuntimeError):
            client.submit_batch_get(keys, [])

    def test_bytes_move_while_python_does_not_let_go(self):
        client = self.made()
        written = bytearray(pattern(4096, 1))
        future = client.submit_batch_set(["a"], [memoryview(written)])
        self.assertEqual(self.wait(client, future), [True])
        read = bytearray(4096)
        future = client.submit_batch_get(["a"], [memoryview(read)])
        until(lambda: read == written)
        self.assertEqual(self.wait(client, future), [True])


@needs_nodes
class OverNodes(OverMemory):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)

    def setUp(self):
        self.options = {**self.nodes.options(), "namespace": self.id(), "connections": 2}

    def test_the_documented_settings(self):
        """Those of docs/adapters.md, with these nodes."""
        settings = documented("SluiceConnector")
        made = getattr(importlib.import_module(settings["module_path"]), settings["class_name"])
        client = made(**{**settings["adapter_params"], **self.nodes.options()})
        self.addCleanup(client.close)
        self.assertEqual(self.wait(client, client.submit_batch_exists(["a"])), [False])


if __name__ == "__main__":
    unittest.main()
