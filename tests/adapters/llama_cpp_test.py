# SPDX-License-Identifier: Apache-2.0
"""The llama.cpp adapter with llama.cpp itself: processes that share nothing but a memory node.

The model has random weights and is made on the spot. Needs an interpreter with llama_cpp
(llama_cpp_setup.sh), this one or that of SLUICE_LLAMA_PYTHON, and the command in SLUICE_COMMAND.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from tiny_gguf import write_model

CHUNK = 64
HERE = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("SLUICE_LLAMA_PYTHON") or sys.executable
COMMAND = os.environ.get("SLUICE_COMMAND", "")


class Node:
    """A memory node as a process."""

    def __init__(self, folder):
        self.secret = folder / "secret"
        self.secret.write_text("a secret of the test's\n")
        self.secret.chmod(0o600)
        self._process = subprocess.Popen(
            [COMMAND, "node", "--listen", "tcp://127.0.0.1:0", "--memory", "256MiB"]
            + ["--secret-file", str(self.secret)],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        self.address = line.split("serving ", 1)[1].strip()

    def end(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def prompt(n, seed):
    rng = random.Random(seed)
    return [rng.randrange(512) for _ in range(n)]


class LlamaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sluice-llama-")
        cls.addClassCleanup(cls.folder.cleanup)
        folder = pathlib.Path(cls.folder.name)
        cls.model = folder / "model.gguf"
        write_model(cls.model)
        cls.other_model = folder / "other.gguf"
        write_model(cls.other_model, seed=2)

    def setUp(self):
        self.node = Node(pathlib.Path(self.folder.name))
        self.addCleanup(self.node.end)

    def run_process(self, *steps, model=None, **options):
        """A serving process; its answers, when it has ended."""
        result = subprocess.run(
            [
                PYTHON,
                str(HERE / "llama_process.py"),
                str(model or self.model),
                self.node.address,
                str(self.node.secret),
                json.dumps(steps),
                json.dumps(options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
        )
        if result.returncode != 0:
            raise AssertionError(result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def same(self, found, reference):
        """The next token's logits, bit by bit, and what follows."""
        self.assertEqual(found["digest"], reference["digest"])
        self.assertEqual(found["next"], reference["next"])

    def test_saved_by_one_process_restored_by_another(self):
        for n in (6 * CHUNK, 5 * CHUNK + 9):
            with self.subTest(n):
                tokens, cut = prompt(n, n), 5 * CHUNK
                (saved,) = self.run_process({"serve": tokens})
                self.assertEqual((saved["done"], saved["saved"]), (0, n // CHUNK))
                (restored,) = self.run_process({"serve": tokens})
                self.assertEqual((restored["done"], restored["saved"]), (cut, 0))
                parts, _, whole = self.run_process(
                    {"prefill": tokens, "cuts": [0, cut]},
                    {"clear": True},
                    {"prefill": tokens, "cuts": [0]},
                )
                self.same(restored, parts)
                self.same(restored, saved)
                # llama.cpp has a kernel of its own for few tokens, which rounds otherwise.
                other = max(abs(a - b) for a, b in zip(parts["logits"], whole["logits"]))
                print(
                    f"{cut} tokens restored, {n - cut} computed: logits (up to "
                    f"{max(parts['logits']):.2f}) are bit by bit those of a full prefill in these "
                    f"two batches; one in one batch differs by {other:.2g}"
                )

    def test_the_longest_stored_prefix(self):
        tokens = prompt(5 * CHUNK, 1)
        other = tokens[: 2 * CHUNK + 10] + prompt(2 * CHUNK, 2)
        self.run_process({"serve": tokens})
        restored, _, full = self.run_process(
            {"serve": other}, {"clear": True}, {"prefill": other, "cuts": [0, 2 * CHUNK, 4 * CHUNK]}
        )
        self.assertEqual((restored["done"], restored["saved"]), (2 * CHUNK, 2))
        self.same(restored, full)

    def test_two_sequences_of_one_context(self):
        a, b = prompt(3 * CHUNK + 1, 3), prompt(4 * CHUNK + 1, 4)
        self.run_process({"serve": a}, {"serve": b, "seq": 1})
        restored = self.run_process({"serve": a}, {"serve": b, "seq": 1})
        self.assertEqual([r["done"] for r in restored], [3 * CHUNK, 4 * CHUNK])
        full = self.run_process(
            {"prefill": a, "cuts": [0, 3 * CHUNK]},
            {"prefill": b, "cuts": [0, 4 * CHUNK], "seq": 1},
        )
        for found, reference in zip(restored, full):
            self.same(found, reference)

    def test_nothing_of_another_model_or_another_layout(self):
        tokens = prompt(3 * CHUNK + 1, 1)
        self.run_process({"serve": tokens})
        steps = {"serve": tokens}, {"clear": True}, {"prefill": tokens, "cuts": [0, 3 * CHUNK]}
        served, _, full = self.run_process(*steps, model=self.other_model)
        self.assertEqual((served["done"], served["saved"]), (0, 3))
        self.same(served, full)
        # Without flash attention V lies otherwise. That is to be named; if it is not, llama.cpp
        # refuses the states.
        served, _, full = self.run_process(*steps, flash=False)
        self.assertEqual((served["done"], served["saved"]), (0, 0))
        self.same(served, full)
        served, _, full = self.run_process(*steps, flash=False, named=["flash_attn off"])
        self.assertEqual((served["done"], served["saved"]), (0, 3))
        self.same(served, full)

    def test_sliding_windows(self):
        model = self.model.with_name("window.gguf")
        write_model(model, window=CHUNK)
        tokens = prompt(20 * CHUNK + 9, 1)
        steps = {"serve": tokens}, {"clear": True}, {"prefill": tokens, "cuts": [0, 20 * CHUNK]}
        # Of the first chunks, what no later token attends to is gone already.
        served, _, full = self.run_process(*steps, model=model, swa_full=False)
        self.assertEqual((served["done"], served["saved"]), (0, 0))
        self.same(served, full)
        served, _, full = self.run_process(*steps, model=model)
        self.assertEqual((served["done"], served["saved"]), (0, 20))
        for swa_full in (True, False):
            restored, *_ = self.run_process(*steps, model=model, swa_full=swa_full)
            self.assertEqual((restored["done"], restored["saved"]), (20 * CHUNK, 0))
            self.same(restored, full)
        write_model(model, window=CHUNK - 1)  # of such a chunk llama.cpp drops the first token
        served, *_ = self.run_process(*steps, model=model)
        self.assertEqual((served["done"], served["saved"]), (0, 0))

    def test_a_node_that_is_gone(self):
        tokens = prompt(2 * CHUNK + 1, 1)
        self.node.end()
        served, _, full = self.run_process(
            {"serve": tokens}, {"clear": True}, {"prefill": tokens, "cuts": [0, 2 * CHUNK]}
        )
        self.assertEqual((served["done"], served["saved"]), (0, 0))
        self.same(served, full)

    def test_a_context_without_a_unified_cache_is_refused(self):
        with self.assertRaisesRegex(AssertionError, "ValueError: the context needs kv_unified"):
            self.run_process(unified=False)

    def test_what_it_saves(self):
        """Prints times; they are not asserted."""
        lengths = [128, 512, 1024, 2048]
        prompts = [prompt(n + 1, n) for n in lengths]
        steps = [s for p in prompts for s in ({"serve": p}, {"clear": True})]
        computed = self.run_process(*steps)[::2]
        restored = self.run_process(*steps)[::2]
        print("tokens  prefill ms   load ms  restore ms  rest ms")
        for n, c, r in zip(lengths, computed, restored):
            self.assertEqual(r["done"], n)
            times = (c["compute_s"], r["load_s"], r["restore_s"], r["compute_s"])
            print(f"{n:6}" + "".join(f"{1e3 * t:11.2f}" for t in times))


def missing():
    """What the test cannot do without, if it is not there."""
    if not COMMAND:
        return "the sluice command is not built"
    try:
        subprocess.run([PYTHON, "-c", "import llama_cpp"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return (
            f"{PYTHON} has no llama_cpp; tests/adapters/llama_cpp_setup.sh installs it, and "
            "SLUICE_LLAMA_PYTHON names the interpreter"
        )
    return ""


if __name__ == "__main__":
    if missing():
        print(f"skipped: {missing()}")
        sys.exit(77)
    unittest.main()
