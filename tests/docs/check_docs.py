#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps README.md and docs/ true: code is quoted from files that the tests compile, commands are run,
names and links exist. pages.py says how a page tells where its blocks come from.

    check_docs.py text ROOT [--command SLUICE]
    check_docs.py run ROOT --command SLUICE --build DIR [PAGE...]
    check_docs.py fix ROOT            writes quotes and copied tables anew, from the files
    check_docs.py --self-test

`run` needs a build: DIR is installed to a folder of its own, which programs on the pages are built
against. `text` without a command does not check its subcommands and flags.
"""

import argparse
import os
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is written to the source tree

import commands
import names
import pages

CODE = {"c", "cpp", "python", "rust", "cmake", "json"}
LANGUAGES = CODE | {"sh", "text", "ini"}


def block_faults(root, block):
    if not block.language:
        yield "has no language"
    elif block.language not in LANGUAGES:
        yield f"is in {block.language}; known are {', '.join(sorted(LANGUAGES))}"
    if not block.kind:
        yield "does not say where it comes from"
    elif block.kind == "table":
        yield "is no table"
    elif block.kind == "quote":
        text, _, fault = pages.quoted(root, block.argument)
        if fault:
            yield fault
        elif text != block.text:
            yield f"differs from `quote {block.argument}`; check_docs.py fix writes it anew"
    elif block.kind == "used":
        user = root / block.argument.removeprefix("by ")
        if not user.is_file() or block.page not in user.read_text("utf-8"):
            yield f"is not `used {block.argument}`, which does not read {block.page}"
    elif block.language in CODE:
        yield "is code and quotes no file"
    elif block.kind == "run" and block.language != "sh":
        yield "is run and is not sh"
    elif block.kind == "output" and block.language != "text":
        yield "is output and is not text"
    elif block.kind == "shown" and not block.argument:
        yield "is shown without a reason"
    elif block.language == "sh" and block.kind == "output":
        yield "is sh and output"


def text_faults(root, program):
    all_pages = pages.pages_of(root)
    for page in all_pages:
        yield from ((fault, "") for fault in page.faults)
        for block in page.blocks:
            yield from ((block.where(), fault) for fault in block_faults(root, block))
        for table in page.tables:
            text, fault = pages.copied_table(root, table.argument)
            if fault or text != table.text:
                yield table.where(), fault or f"differs from `table {table.argument}`; check_docs.py fix writes it anew"
    yield from names.check(root, all_pages, program)


def fix(root):
    for page in pages.pages_of(root):
        lines = list(page.lines)
        copies = [(table, *pages.copied_table(root, table.argument)) for table in page.tables]
        for block in page.blocks:
            if block.kind == "quote":
                text, _, fault = pages.quoted(root, block.argument)
                text = "\n".join((block.indent + line).rstrip() for line in text.split("\n"))
                copies.append((block, text, fault))
        for copy, text, fault in sorted(copies, key=lambda c: c[0].first, reverse=True):
            if not fault:
                lines[copy.first:copy.last] = text.split("\n")
        if lines != page.lines:
            (pathlib.Path(root) / page.name).write_text("\n".join(lines), "utf-8")
            print(f"{page.name}: written anew")


SELF_TEST = {
    "include/sluice/a.hpp": "// SPDX-License-Identifier: Apache-2.0\nint known_name(int);\nstruct part { int split; };\n",
    "examples/a/main.cpp": "// SPDX-License-Identifier: Apache-2.0\nint a;\n    // [one]\n    int b;\n\n    int c;\n"
                           "    // [one]\n",
    "README.md": """# Title of it

See [the page](docs/page.md#a-part), [none](docs/none.md) and [no part](docs/page.md#none).
`known_name(1)`, `part::split`, `unknown_name`, `part::none`, `sluice/a.hpp`, `src/none.cpp`, `their_name`.

<!-- names of others: their_name, unused_name -->
""",
    "docs/page.md": """# Page

## A part

<!-- quote examples/a/main.cpp [one] -->
```cpp
int b;

int c;
```

<!-- quote examples/a/main.cpp [one] -->
```cpp
int d;
```

<!-- quote examples/a/main.cpp [two] -->
```cpp
```

```
a
```

```cpp
int e;
```

<!-- shown: -->
```text
a
```

<!-- run -->
```cpp
int f;
```

<!-- used by tests/reads.cmake -->
```cmake
add_library(a)
```

<!-- used by tests/reads_not.cmake -->
```cmake
add_library(b)
```

<!-- shown: it takes hours -->
```sh
tests/reads_never.sh tests/reads.cmake
```

<!-- unknown -->

<!-- table examples/a/figures.md one 1 -->
| a | b |
|---|---:|
| c | 2 |

<!-- table examples/a/figures.md one 2 -->
| d |

<!-- table examples/a/figures.md two 1 -->
| e |
""",
    "examples/a/figures.md": """## A figure

<!-- table one 1 -->
| a | b |
|---|---:|
| c | 1 |

<!-- table one 2 -->
| d |
""",
    "tests/reads.cmake": "# SPDX-License-Identifier: Apache-2.0\nfile(READ docs/page.md page)\n",
    "tests/reads_not.cmake": "# SPDX-License-Identifier: Apache-2.0\n",
    "docs/run.md": """# Run

<!-- quote examples/a/main.cpp as kept.cpp -->
```cpp
int a;
    int b;

    int c;
```

<!-- run
with NAME=world
first echo made > file
background sh serve
-->
```sh
cat file
sh serve.sh &
echo hello NAME \\
  again
ls kept.cpp
```

<!-- output -->
```text
made
hello ... again
...cpp
```

<!-- run -->
```sh
cat file
```

<!-- output -->
```text
other
```

<!-- run -->
```sh
exit 3
```
""",
}
EXPECTED = [
    "README.md:3 link to docs/none.md, which is not there",
    "README.md:3 link to docs/page.md#none: no such heading",
    "README.md:4 `unknown_name` is not in the sources",
    "README.md:4 `none` is not in the sources",
    "README.md:4 `src/none.cpp`: there is no such file",
    "README.md unused_name is called a name of others and is not on the page",
    "docs/page.md:13 differs from `quote examples/a/main.cpp [one]`; check_docs.py fix writes it anew",
    "docs/page.md:18 examples/a/main.cpp has 0 lines [two], not 2",
    "docs/page.md:21 has no language",
    "docs/page.md:21 does not say where it comes from",
    "docs/page.md:25 does not say where it comes from",
    "docs/page.md:30 is shown without a reason",
    "docs/page.md:35 is code and quotes no file",
    "docs/page.md:45 is not `used by tests/reads_not.cmake`, which does not read docs/page.md",
    "docs/page.md:50 `tests/reads_never.sh`: there is no such file",
    "docs/page.md:54: not a comment that the tests know ",
    "docs/page.md:57 differs from `table examples/a/figures.md one 1`; check_docs.py fix writes it anew",
    "docs/page.md:65 examples/a/figures.md has no `<!-- table two 1 -->`",
]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in SELF_TEST.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        found = [f"{where} {fault}" for where, fault in text_faults(root, None)]
        page = next(p for p in pages.pages_of(root) if p.name == "docs/run.md")
        page.blocks[1].options.append("first printf 'echo it is serving\\nsleep 100\\n' > serve.sh")
        ran = [f"{where} {fault}".split("\n")[0]
               for where, fault in commands.run_page(page, root, dict(os.environ))]
        fix(root)
        after = [f"{where} {fault}" for where, fault in text_faults(root, None)]
    expected_runs = ["docs/run.md:37 the commands above printed this instead:", "docs/run.md:42 exit code 3:"]
    wrong = sorted(set(found) ^ set(EXPECTED)) + sorted(set(ran) ^ set(expected_runs))
    if any("differs from" in line for line in after):
        wrong.append("fix did not write quotes and tables anew")
    print("\n".join(wrong) if wrong else f"{len(EXPECTED) + len(expected_runs)} faults planted, all found")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["text", "run", "fix"])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("page", nargs="*")
    parser.add_argument("--command", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path)
    asked = parser.parse_args()
    root = asked.root.resolve()
    if asked.verb == "fix":
        fix(root)
        return 0
    if asked.verb == "text":
        found = text_faults(root, asked.command)
    else:
        if not asked.command or not asked.build:
            parser.error("run needs --command and --build")
        chosen = [p for p in pages.pages_of(root) if not asked.page or p.name in asked.page]
        found = commands.check(root, chosen, asked.command.resolve(), asked.build.resolve())
    faults = 0
    for where, fault in found:
        faults += 1
        print(f"{where}: {fault}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
