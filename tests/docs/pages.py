# SPDX-License-Identifier: Apache-2.0
"""Reads the documentation: its fenced blocks, where each comes from, and its inline code.

An HTML comment before a fenced block says where the block comes from:

  <!-- quote PATH -->              the file PATH, without its licence line
  <!-- quote PATH [MARK] -->       what stands in it between the two comment lines `[MARK]`
  <!-- quote PATH [MARK] as F -->  also the file F of the commands of this page
  <!-- run -->                     commands, which the tests run; options follow, one per line:
      with A=B       B stands for A in the test; $VARIABLES in it are the shell's
      first COMMAND  runs before the block
      background A   lines that begin with A go on running until the page ends; what follows waits
                     for the line `...: serving ...` of theirs
      in source      the directory is the repository, not the page's own
  <!-- used by PATH -->            the test PATH takes it from here, and compiles or runs it
  <!-- output -->                  what the commands before it print; `...` is anything
  <!-- shown: REASON -->           no test can run it or compare it, because ...

And before a table, which figures of an experiment it shows:

  <!-- table PATH FIGURE N -->     the N-th table of FIGURE in PATH, which `sluice sim sweep` wrote

Commands find `sluice` on the PATH and these variables: SOURCE_DIR, PREFIX (the library as
installed), PORT and PORT2 (free ones). Each block of commands starts in the page's directory.

  <!-- names of others: a, b -->   inline code on this page that is not Sluice's
"""

import dataclasses
import pathlib
import re
import textwrap

FENCE = re.compile(r"^(\s*)(```+)\s*(\S*)\s*$")
COMMENT = re.compile(r"<!--(.*?)-->", re.S)
SPDX = re.compile(r"^\s*(//|#|/\*).*SPDX-License-Identifier.*$")
KINDS = {"quote", "run", "used", "output", "shown", "table"}


@dataclasses.dataclass
class Block:
    page: str
    line: int  # of the opening fence
    language: str
    text: str
    first: int  # lines of the page that hold the text: [first, last)
    last: int
    indent: str = ""
    kind: str = ""
    argument: str = ""
    options: list = dataclasses.field(default_factory=list)

    def where(self):
        return f"{self.page}:{self.line}"

    def option(self, name):
        """The values of one option."""
        return [o[len(name):].strip() for o in self.options if o.split(" ")[0] == name]


@dataclasses.dataclass
class Table:
    page: str
    argument: str
    text: str
    first: int  # lines of the page: [first, last)
    last: int

    def where(self):
        return f"{self.page}:{self.first + 1}"


@dataclasses.dataclass
class Page:
    name: str
    lines: list
    blocks: list
    tables: list  # those that are copies
    prose: list  # (line number, text) outside fenced blocks and comments
    others: set  # names of others
    faults: list


def directive(comment):
    """(kind, argument, options) of a comment's text, or None."""
    lines = [line.strip() for line in comment.strip().split("\n")]
    head = re.match(r"(\w+):?\s*(.*)", lines[0])
    if head is None or head[1] not in KINDS:
        return None
    argument, options = head[2], [line for line in lines[1:] if line]
    if head[1] == "shown":
        argument, options = " ".join([argument] + options), []
    return head[1], argument, options


def parse(name, text):
    lines = text.split("\n")
    page = Page(name, lines, [], [], [], set(), [])
    pending = None  # the comment that waits for its block
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = FENCE.match(line)
        if fence:
            end = number + 1
            while end < len(lines) and lines[end].strip() != fence[2]:
                end += 1
            block = Block(name, number + 1, fence[3], textwrap.dedent("\n".join(lines[number + 1:end])),
                          number + 1, end, fence[1])
            if pending:
                block.kind, block.argument, block.options = pending
            page.blocks.append(block)
            pending = None
            number = end + 1
            continue
        if line.lstrip().startswith("<!--"):
            end = number
            while end < len(lines) and "-->" not in lines[end]:
                end += 1
            comment = COMMENT.search("\n".join(lines[number:end + 1]))
            inside = comment[1] if comment else ""
            pending = directive(inside)
            others = re.match(r"\s*names of others:(.*)", inside, re.S)
            if others:
                page.others |= {n.strip() for n in others[1].split(",") if n.strip()}
            elif pending is None:
                page.faults.append(f"{name}:{number + 1}: not a comment that the tests know")
            number = end + 1
            continue
        if pending and pending[0] == "table" and line.startswith("|"):
            end = number
            while end < len(lines) and lines[end].startswith("|"):
                page.prose.append((end + 1, lines[end]))
                end += 1
            page.tables.append(Table(name, pending[1], "\n".join(lines[number:end]), number, end))
            pending = None
            number = end
            continue
        if line.strip():
            if pending:
                page.faults.append(f"{name}:{number + 1}: the comment above is before no block")
            pending = None
            page.prose.append((number + 1, line))
        number += 1
    return page


def pages_of(root):
    """README.md and docs/*.md."""
    root = pathlib.Path(root)
    files = [root / "README.md"] + sorted((root / "docs").glob("*.md"))
    return [parse(str(f.relative_to(root)), f.read_text("utf-8")) for f in files if f.is_file()]


def quoted(root, argument):
    """(text, file name or None, fault or None) of what a quote names."""
    asked = re.fullmatch(r"(\S+)(?:\s+\[(\w+)\])?(?:\s+as\s+(\S+))?", argument)
    if asked is None:
        return "", None, f"cannot read `quote {argument}`"
    path, mark, name = asked.groups()
    source = pathlib.Path(root) / path
    if not source.is_file():
        return "", name, f"quotes {path}, which is not there"
    any_mark = re.compile(r"^\s*(?://|#|/\*)\s*\[(\w+)\]\s*(?:\*/)?\s*$")
    lines = source.read_text("utf-8").split("\n")
    if mark:
        at = [i for i, line in enumerate(lines) if (m := any_mark.match(line)) and m[1] == mark]
        if len(at) != 2:
            return "", name, f"{path} has {len(at)} lines [{mark}], not 2"
        lines = lines[at[0] + 1:at[1]]
    lines = [line for line in lines if not any_mark.match(line) and not SPDX.match(line)]
    return textwrap.dedent("\n".join(lines)).strip("\n"), name, None


def copied_table(root, argument):
    """(text, fault or None) of what a table's comment names."""
    asked = re.fullmatch(r"(\S+) (\S+ \d+)", argument)
    source = pathlib.Path(root) / asked[1] if asked else None
    if asked is None or not source.is_file():
        return "", f"cannot read `table {argument}`"
    lines = source.read_text("utf-8").split("\n")
    mark = f"<!-- table {asked[2]} -->"
    if mark not in lines:
        return "", f"{asked[1]} has no `{mark}`"
    first = last = lines.index(mark) + 1
    while last < len(lines) and lines[last].startswith("|"):
        last += 1
    return "\n".join(lines[first:last]), None


SPAN = re.compile(r"(`+)(.+?)\1(?!`)")


def spans(page):
    """(line number, text) of inline code, also where a span goes over a line end."""
    for number, line in page.prose:
        for span in SPAN.finditer(line):
            yield number, span[2].strip().replace("\\|", "|")
