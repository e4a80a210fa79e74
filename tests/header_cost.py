#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints what including each public header costs: the compiler's front end, in a file of its own.

    header_cost.py [--once] [--compiler g++] [HEADER...]

Without headers, all of them. User time of `-fsyntax-only` with the flags of the release preset,
minimum and median of five (--once: of one), and lines after preprocessing. It judges nothing: times
are a machine's.
"""

import argparse
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = {"sluice/pipeline.hpp": 2.0}  # seconds, with GCC
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion",
         "-foptimize-sibling-calls", "-O3", "-DNDEBUG", f"-I{ROOT / 'include'}"]


def user_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def cost(compiler, header, runs):
    """Seconds of each run, and lines that are not empty."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "one.cpp"
        source.write_text(f"#include <{header}>\n", encoding="utf-8")
        command = [*compiler, *FLAGS, str(source)]
        text = subprocess.run([*command, "-E", "-P"], check=True, capture_output=True, text=True)
        times = [user_seconds([*command, "-fsyntax-only"]) for _ in range(runs)]
    return times, sum(1 for line in text.stdout.splitlines() if line.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="one run of each in place of five")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("headers", nargs="*", metavar="HEADER")
    args = parser.parse_args()
    compiler = args.compiler.split()
    version = subprocess.run([*compiler, "--version"], check=True, capture_output=True, text=True)
    print(version.stdout.splitlines()[0])
    headers = args.headers or sorted(
        str(path.relative_to(ROOT / "include"))
        for path in (ROOT / "include").rglob("*") if path.suffix in (".h", ".hpp"))
    print(f"{'lines':>7} {'min s':>6} {'median':>6}  header")
    for header in headers:
        times, lines = cost(compiler, header, 1 if args.once else 5)
        target = f"  (target: {TARGETS[header]:g} s)" if header in TARGETS else ""
        print(f"{lines:7} {min(times):6.2f} {statistics.median(times):6.2f}  {header}{target}",
              flush=True)


if __name__ == "__main__":
    sys.exit(main())
