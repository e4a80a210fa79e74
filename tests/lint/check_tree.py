#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler does not: licence lines, the top level, sleeps, forgotten files.

    check_tree.py ROOT
    check_tree.py --self-test

  spdx    a source file says `SPDX-License-Identifier: Apache-2.0` in its first three lines
  top     the top level has the agreed entries and dot files, nothing else
  sleep   no test sleeps: tests own their time
  listed  every source and public header stands in a CMakeLists.txt, as there are no globs
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = set("CMakeLists.txt CMakePresets.json README.md LICENSE include src cuda examples tests docs".split())
CODE = {".c", ".cpp", ".h", ".hpp", ".cu", ".cuh"}
SPDX_SUFFIXES = CODE | {".py", ".rs", ".sh", ".cmake", ".in", ".map"}
SPDX_NAMES = {"CMakeLists.txt", ".ci/run"}
# On virtual time nobody sleeps: sluice::sleep_for is an awaitable.
SLEEP = re.compile(r"(?<!sluice::)\b(?:sleep_for|sleep_until|u?sleep|nanosleep)\s*\(")


def files_of(root):
    """The files under version control, and those about to be; without git, all but build."""
    try:
        names = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"],
            check=True, capture_output=True, text=True,
        ).stdout.split("\0")
        return sorted({n for n in names if n and (root / n).is_file()})
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, dirs, names in os.walk(root):
            here = pathlib.Path(folder)
            if here == root:
                dirs[:] = [d for d in dirs if d not in ("build", ".git")]
            found += [str((here / n).relative_to(root)) for n in names]
        return sorted(found)


def is_listed(root, name):
    """Whether the nearest CMakeLists.txt that can know the file names it."""
    path = pathlib.PurePosixPath(name)
    # Public headers belong to the library target.
    folders = [pathlib.PurePosixPath("src"), pathlib.PurePosixPath("cuda")]
    if path.parts[0] != "include":
        folders = list(path.parents)
    for folder in folders:
        lists = root / folder / "CMakeLists.txt"
        if lists.is_file():
            relative = os.path.relpath(name, folder)
            if re.search(rf"(?<![\w./-]){re.escape(relative)}(?![\w./-])", lists.read_text("utf-8")):
                return True
    return False


def findings(root):
    for name in files_of(root):
        path = pathlib.PurePosixPath(name)
        if path.parts[0] not in TOP and not name.startswith("."):
            yield f"{name}: not an agreed top-level entry"
        is_source = path.suffix in SPDX_SUFFIXES or path.name in SPDX_NAMES or name in SPDX_NAMES
        if not is_source:
            continue
        text = (root / name).read_text("utf-8")
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.split("\n")[:3]):
            yield f"{name}: no SPDX line in the first three lines"
        if path.suffix not in CODE:
            continue
        if path.parts[0] == "tests":
            for number, line in enumerate(text.split("\n"), 1):
                if SLEEP.search(line.split("//")[0]):
                    yield f"{name}:{number}: a test must not sleep"
        # Private headers come in through the files that include them.
        if path.suffix in (".c", ".cpp", ".cu") or path.parts[0] == "include":
            if not is_listed(root, name):
                yield f"{name}: in no CMakeLists.txt"


def self_test():
    spdx = "// SPDX-License-Identifier: Apache-2.0\n"
    tree = {
        "CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\n",
        "src/CMakeLists.txt": "#\n# SPDX-License-Identifier: Apache-2.0\n  a.cpp\n  ../include/sluice/a.hpp\n",
        "src/a.cpp": spdx,
        "src/deep/a.cpp": spdx,
        "src/private.hpp": spdx,
        "include/sluice/a.hpp": spdx,
        "include/sluice/b.hpp": spdx,
        "tests/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nsluice_test(x_test.cpp LABELS tsan)\n",
        "tests/x_test.cpp": spdx + "// sleep_for(1) is bad\nint asleep(int);\nint y = asleep(1);\n",
        "tests/support/s.hpp": spdx + "std::this_thread::sleep_for(x);\n",
        "tests/run.sh": "echo\n",
        "scripts/x.txt": "",
        ".hidden": "",
    }
    expected = [
        "include/sluice/b.hpp: in no CMakeLists.txt",
        "scripts/x.txt: not an agreed top-level entry",
        "src/deep/a.cpp: in no CMakeLists.txt",
        "tests/run.sh: no SPDX line in the first three lines",
        "tests/support/s.hpp:2: a test must not sleep",
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        found = sorted(findings(root))
    for line in sorted(set(found) ^ set(expected)):
        print(("unexpected: " if line in found else "missed: ") + line)
    print(f"{len(expected)} faults planted, {len(found)} found")
    return found != expected


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    faults = list(findings(pathlib.Path(sys.argv[1])))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)
