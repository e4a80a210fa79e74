# SPDX-License-Identifier: Apache-2.0
"""Memory nodes as processes, and other things that the adapters' tests share."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest
from typing import Callable, List

COMMAND = os.environ.get("SLUICE_COMMAND", "")
PATIENCE_S = 60.0  # a guard against hanging; nothing is measured by it

needs_nodes = unittest.skipUnless(COMMAND, "the sluice command is not built")


class Nodes:
    """Two memory nodes on loopback, until close()."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        secret = pathlib.Path(self.folder.name) / "secret"
        secret.write_text("a secret that both ends know")
        self.secret_file = str(secret)
        self.processes: List[subprocess.Popen] = []
        addresses = []
        for _ in range(2):
            process = subprocess.Popen(
                [COMMAND, "node", "--listen", "tcp://127.0.0.1:0", "--memory", "64MiB"]
                + ["--secret-file", self.secret_file],
                stdout=subprocess.PIPE,
                text=True,
            )
            self.processes.append(process)
            line = process.stdout.readline()
            before = "sluice node: serving "
            if not line.startswith(before):
                self.close()
                raise RuntimeError(f"the node says {line!r}")
            addresses.append(line[len(before) :].strip())
        self.addresses = ",".join(addresses)

    def options(self) -> dict:
        return {"nodes": self.addresses, "secret_file": self.secret_file}

    def kill(self, index: int) -> None:
        """At once, as a machine that fails does."""
        self.processes[index].kill()
        self.processes[index].wait()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.folder.cleanup()


def documented(type_name: str) -> dict:
    """The settings on docs/adapters.md that name this class."""
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "adapters.md"
    blocks = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.S)
    (settings,) = [json.loads(block) for block in blocks if f'"{type_name}"' in block]
    return settings


def until(true: Callable[[], bool]) -> None:
    """Spins without letting go of anything; an error if it takes for ever."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it never came true")


def pattern(size: int, seed: int) -> bytes:
    """Bytes that differ from other seeds' everywhere."""
    return bytes((i * 7 + (i >> 8) + seed * 13) & 0xFF for i in range(size))
