# SPDX-License-Identifier: Apache-2.0
"""Runs the commands that the documentation shows."""

import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

import names
import pages

LIMIT_S = 300  # of one block
READY_S = 60  # until a background command serves


def free_ports(n):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [str(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


class PageRun:
    """One page's commands, in a directory of their own."""

    def __init__(self, folder, environment, source):
        self.folder = folder
        self.environment = environment
        self.source = source
        self.processes = []

    def shell(self, script, cwd):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=cwd, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}:\n{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, line):
        """Starts a command that goes on, and waits until it says that it serves."""
        # A session of its own, so that it can be ended with all of its children.
        process = subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        self.processes.append(process)
        said = b""
        end = time.monotonic() + READY_S
        while b"serving" not in said:
            if select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    raise RuntimeError(f"ended at once:\n{line}\n{said.decode()}")
                said += part
            elif time.monotonic() >= end:
                raise RuntimeError(f"did not say that it serves:\n{line}\n{said.decode()}")

    def run(self, block):
        """What the block's commands print."""
        text = block.text
        for option in block.option("with"):
            old, new = option.split("=", 1)
            if old not in text:
                raise RuntimeError(f"with {option}: not in the block")
            text = text.replace(old, new)
        cwd = self.source if block.option("in") == ["source"] else self.folder
        for command in block.option("first"):
            self.shell(command, cwd)
        background = tuple(block.option("background"))
        waiting = []
        out = ""
        lines = names.joined(text) if background else [text]
        for line in lines + [None]:
            if line is not None and not (background and line.startswith(background)):
                waiting.append(line)
                continue
            if waiting:
                out += self.shell("\n".join(waiting), cwd)
                waiting = []
            if line is not None:
                self.start(line.rstrip(" &"))
        return out

    def end(self):
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            process.stdout.close()


def matches(expected, out):
    """Whether `out` is what was expected, where `...` is anything."""
    parts = [re.escape(part) for part in expected.strip().split("...")]
    tidy = "\n".join(line.rstrip() for line in out.strip().split("\n"))
    return re.fullmatch(".*?".join(parts), tidy, re.S) is not None


def run_page(page, root, environment):
    """Faults of one page's commands; each is (place, text)."""
    with tempfile.TemporaryDirectory(prefix="sluice-docs-") as folder:
        ports = free_ports(2)
        here = PageRun(folder, {**environment, "HOME": folder, "PORT": ports[0], "PORT2": ports[1]}, root)
        out = None
        try:
            for block in page.blocks:
                if block.kind == "quote":
                    text, name, fault = pages.quoted(root, block.argument)
                    if name and not fault:
                        (pathlib.Path(folder) / name).write_text(text + "\n", "utf-8")
                elif block.kind == "run":
                    out = here.run(block)
                    print(f"{block.where()}: ran", flush=True)
                elif block.kind == "output" and out is not None and not matches(block.text, out):
                    yield block.where(), f"the commands above printed this instead:\n{out}"
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            yield block.where(), str(error)
        finally:
            here.end()


def installed(build, folder):
    """Installs a build; returns the prefix."""
    prefix = pathlib.Path(folder) / "prefix"
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], check=True,
                   stdout=subprocess.DEVNULL, timeout=LIMIT_S)
    return prefix


def check(root, all_pages, program, build):
    with tempfile.TemporaryDirectory(prefix="sluice-docs-") as folder:
        environment = {
            **os.environ,
            "PATH": f"{pathlib.Path(program).parent}:{os.environ.get('PATH', '')}",
            "SOURCE_DIR": str(root),
            "PREFIX": str(installed(build, folder)),
            "IPATH_NO_BACKTRACE": "1",
            "HFI_NO_BACKTRACE": "1",
        }
        for page in all_pages:
            if any(block.kind == "run" for block in page.blocks):
                yield from run_page(page, root, environment)
