#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that an adapter to an engine stays a page or two: each source in a folder is under 200 lines.

    check_adapters.py ROOT
    check_adapters.py --self-test
"""

import pathlib
import sys
import tempfile

MOST = 200
SOURCES = {".c", ".cpp", ".h", ".hpp", ".py"}


def findings(root):
    sources = [p for p in (root / "examples/adapters").glob("*") if p.suffix in SOURCES]
    if not sources:
        yield "examples/adapters: there are no adapters"
    for path in sorted(sources):
        n = len(path.read_text("utf-8").splitlines())
        if n >= MOST:
            yield f"{path.relative_to(root)}: {n} lines; an adapter has fewer than {MOST}"


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        none = list(findings(root))
        (root / "examples/adapters").mkdir(parents=True)
        for name, lines in {"a.py": 199, "b.hpp": 200, "c.cpp": 201, "CMakeLists.txt": 300}.items():
            (root / "examples/adapters" / name).write_text("x\n" * lines, "utf-8")
        found = list(findings(root))
    print("\n".join(none + found))
    return len(none) != 1 or [f.split(":")[0][-5:] for f in found] != ["b.hpp", "c.cpp"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    faults = list(findings(pathlib.Path(sys.argv[1])))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)
