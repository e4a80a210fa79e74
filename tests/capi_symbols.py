#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the C library exports what its header declares, and nothing else.

    capi_symbols.py NM LIBRARY HEADER
"""

import re
import subprocess
import sys


def declared(header):
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|^#.*?$", "", file.read(), flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"SLUICE_API\s[^;(]*?\b(\w+)\s*\(", text))


def exported(nm, library):
    """Every dynamic symbol, functions and data, strong and weak."""
    lines = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines if line.strip()}


def main(nm, library, header):
    want, have = declared(header), exported(nm, library)
    for name in sorted(want - have):
        print(f"{name}: declared, not exported")
    for name in sorted(have - want):
        print(f"{name}: exported, not declared")
    print(f"{len(want)} functions declared, {len(have)} symbols exported")
    return len(want) < 10 or want != have


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(1 if main(*sys.argv[1:]) else 0)
