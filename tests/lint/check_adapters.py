#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that an adapter to an engine is under 200 lines: a source, or a source and its header.

    check_adapters.py ROOT
    check_adapters.py --self-test
"""

import pathlib
import sys
import tempfile

MOST = 200
SOURCES = {".c", ".cpp", ".h", ".hpp", ".py"}


def findings(root):
    lines = {}
    for path in (root / "examples/adapters").glob("*"):
        if path.suffix in SOURCES:
            kind = "py" if path.suffix == ".py" else "native"
            n = len(path.read_text("utf-8").splitlines())
            lines[path.stem, kind] = lines.get((path.stem, kind), 0) + n
    if not lines:
        yield "examples/adapters: there are no adapters"
    for (name, _), n in sorted(lines.items()):
        if n >= MOST:
            yield f"examples/adapters/{name}: {n} lines; an adapter has fewer than {MOST}"


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        none = list(findings(root))
        (root / "examples/adapters").mkdir(parents=True)
        sizes = {
            "a.py": 199, "a.hpp": 100, "b.hpp": 200, "c.cpp": 120, "c.hpp": 80, "d.py": 300,
            "CMakeLists.txt": 300,
        }
        for name, lines in sizes.items():
            (root / "examples/adapters" / name).write_text("x\n" * lines, "utf-8")
        found = list(findings(root))
    print("\n".join(none + found))
    return len(none) != 1 or [f.split(":")[0][-1] for f in found] != ["b", "c", "d"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    faults = list(findings(pathlib.Path(sys.argv[1])))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)
