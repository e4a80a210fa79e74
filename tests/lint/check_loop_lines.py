#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the lines that an engine in C adds to itself, from opening Sluice to the first token.

    check_loop_lines.py ROOT
    check_loop_lines.py --self-test

They stand in examples/c_engine/main.c between lines `// [loop]`; comments and blank lines are not
counted. At most LIMIT. So that the figure means something, nothing of Sluice may be called outside,
but for what comes after the first token (AFTER) and the text of errors.
"""

import pathlib
import re
import sys

LIMIT = 60
FOLDER = pathlib.Path("examples/c_engine")
AFTER = {
    "sluice_device_close", "sluice_last_error", "sluice_pipeline_close", "sluice_pipeline_stats",
    "sluice_status_name", "sluice_store_close",
}
MARKER = re.compile(r"^[ \t]*// \[loop\][ \t]*$", re.MULTILINE)
NOISE = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(text):
    return NOISE.sub(lambda m: '""' if m.group()[0] == '"' else " ", text)


def calls(text):
    return set(re.findall(r"\b(sluice_\w+)\s*\(", text))


def look_at(texts):
    """Texts of the example's files -> (lines counted, faults)."""
    counted, faults, regions = 0, [], 0
    for name, text in texts.items():
        parts = MARKER.split(text)
        if len(parts) % 2 == 0:
            faults.append(f"{name}: a [loop] marker has no partner")
        regions += len(parts) // 2
        for inside in parts[1::2]:
            counted += sum(1 for line in without_comments(inside).split("\n") if line.strip())
        for outside in parts[0::2]:
            for call in sorted(calls(without_comments(outside)) - AFTER):
                faults.append(f"{name}: {call} is called outside the counted lines")
    if regions == 0:
        faults.append(f"{FOLDER}: no [loop] markers")
    if counted > LIMIT:
        faults.append(f"{FOLDER}: {counted} lines from open to first token, more than {LIMIT}")
    return counted, faults


def self_test():
    good = '''int x;
// [loop]
/* Two
   lines. */
void f(void) {  // "not a string

    g("/* no comment */"); /* one */
}
  // [loop]
void h(void) { sluice_store_close(s); /* sluice_submit(s); */ }
'''
    cases = {
        "good": ({"a.c": good}, 3, 0),
        "call outside": ({"a.c": good, "b.c": "void i(void) { sluice_submit(p); }\n"}, 3, 1),
        "no partner": ({"a.c": good + "// [loop]\n"}, 3, 1),
        "no markers": ({"a.c": "int x;\n"}, 0, 1),
        "too long": ({"a.c": "// [loop]\n" + "x;\n" * (LIMIT + 1) + "// [loop]\n"}, LIMIT + 1, 1),
        "just fits": ({"a.c": "// [loop]\n" + "x;\n\n" * LIMIT + "// [loop]\n"}, LIMIT, 0),
    }
    bad = 0
    for name, (texts, lines, n_faults) in cases.items():
        counted, faults = look_at(texts)
        if (counted, len(faults)) != (lines, n_faults):
            print(f"{name}: {counted} lines, {faults}")
            bad += 1
    print(f"{len(cases)} cases, {bad} wrong")
    return bad


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    here = pathlib.Path(sys.argv[1])
    lines, found = look_at({
        str(p.relative_to(here)): p.read_text("utf-8") for p in sorted((here / FOLDER).glob("*.[ch]"))
    })
    print(f"{FOLDER}: {lines} lines from open to first token (at most {LIMIT})")
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
