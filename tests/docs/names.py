# SPDX-License-Identifier: Apache-2.0
"""Checks what the documentation names: identifiers, files, links, flags of the command."""

import os
import pathlib
import re
import subprocess

import pages

SOURCES = {".c", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".txt", ".in", ".json", ".map", ".rs"}
FILES = SOURCES | {".md", ".pc", ".toml"}
FOLDERS = ("include", "src", "examples", "tests", "cuda")


def words_of(root):
    """Every word of the sources. The documentation and its tests do not count."""
    words = set()
    root = pathlib.Path(root)
    for folder in FOLDERS:
        for here, dirs, names in os.walk(root / folder):
            if pathlib.Path(here) == root / "tests" / "docs":
                dirs[:] = []
                continue
            for name in names:
                if pathlib.PurePath(name).suffix in SOURCES:
                    words |= set(re.findall(r"\w+", (pathlib.Path(here) / name).read_text("utf-8", "replace")))
                words.add(pathlib.PurePath(name).stem)
    for name in ("CMakeLists.txt", "CMakePresets.json"):
        if (root / name).is_file():
            words |= set(re.findall(r"\w+", (root / name).read_text("utf-8")))
    return words


class Command:
    """What the `sluice` command accepts, as its help says."""

    def __init__(self, program):
        self.program = program
        self.known = {}

    def help(self, words):
        if words not in self.known:
            done = subprocess.run([self.program, *words, "--help"], capture_output=True, text=True, timeout=60)
            self.known[words] = done.stdout if done.returncode == 0 else None
        return self.known[words]

    def flags(self, words):
        return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", self.help(words) or "")) | {"--help"}

    def subcommands(self, words):
        text = (self.help(words) or "").partition("Subcommands:")[2]
        return re.findall(r"^  ([a-z_]+)\s", text, re.M)

    def all_flags(self):
        flags = set()
        for name in self.subcommands(()):
            flags |= self.flags((name,))
            for inner in self.subcommands((name,)):
                flags |= self.flags((name, inner))
        return flags

    def faults(self, text):
        """What is wrong with the first command line `sluice ...` in a text."""
        tokens = text.split()
        for at, token in enumerate(tokens):
            if pathlib.PurePath(token).name != "sluice":
                continue
            words = ()
            rest = tokens[at + 1:]
            while rest and rest[0] in self.subcommands(words):
                words += (rest.pop(0),)
            if not words and rest and re.fullmatch(r"[a-z]+", rest[0]):
                yield f"`sluice {rest[0]}`: no such subcommand"
            for flag in rest:
                name = flag.split("=")[0].rstrip(".,;:")
                if re.fullmatch(r"--[a-z][\w-]*", name) and name not in self.flags(words):
                    yield f"`sluice {' '.join(words)}` has no flag {name}"
            return


def joined(text):
    """The command lines of a block, those with \\ at the end made one."""
    lines = [line.strip() for line in text.replace("\\\n", " ").split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def identifier_faults(text, words, others):
    for token in re.findall(r"[A-Za-z_]\w*(?:\*|\b)", text):
        if token in others or token.startswith("_"):
            continue
        if token.endswith("*"):
            if token[:-1].startswith(("sluice_", "SLUICE_")) and not any(w.startswith(token[:-1]) for w in words):
                yield f"`{token}`: nothing in the sources begins like that"
        elif ("_" in token or f"::{token}" in text or f"{token}::" in text) and not {token, token.removeprefix("lib")} & words:
            yield f"`{token}` is not in the sources"


def path_faults(root, page, text, made):
    """Spans that look like a path of the repository have to be one."""
    root = pathlib.Path(root)
    if re.search(r"[\s<>{}()*=$,;~|'\"]", text) or text.startswith(("/", "-", "http", "tcp:")):
        return
    path = pathlib.PurePosixPath(text.split("#")[0])
    if "/" in text.strip("/"):
        if path.parts[0] not in FOLDERS + ("docs", "sluice"):
            return
    elif path.suffix not in FILES or text in made:
        return
    here = (root / page.name).parent
    if not any((place / path).exists() for place in (root, here, root / "include", root / "examples")):
        # A header or source may be named without its suffix.
        if not list((root / path.parent).glob(path.name + ".*")) and not (root / path).is_dir():
            yield f"`{text}`: there is no such file"


def slug(heading):
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda m: m[1] or "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page):
    return {slug(line.lstrip("#")) for _, line in page.prose if re.match(r"#+ ", line)}


def link_faults(root, page, by_name):
    here = (pathlib.Path(root) / page.name).parent
    for number, line in page.prose:
        # Without inline code, which may look like a link.
        for target in re.findall(r"\]\(([^)\s]+)\)", pages.SPAN.sub("", line)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = here / path if path else pathlib.Path(root) / page.name
            if not file.exists():
                yield number, f"link to {path}, which is not there"
            elif anchor:
                name = os.path.relpath(file, root)
                if name in by_name and anchor not in anchors(by_name[name]):
                    yield number, f"link to {target}: no such heading"


def check(root, all_pages, program):
    """(place, fault) for all pages. `program` is the command, or None."""
    words = words_of(root)
    command = Command(program) if program else None
    known_flags = command.all_flags() if command else set()
    runner = pathlib.Path(root) / "tests" / "run.sh"
    if runner.is_file():
        known_flags |= set(re.findall(r"--[a-z]+", runner.read_text("utf-8")))
    by_name = {page.name: page for page in all_pages}
    for page in all_pages:
        made = {b.argument.split(" as ")[1].strip() for b in page.blocks if " as " in b.argument}
        used = set()
        for number, text in pages.spans(page):
            where = f"{page.name}:{number}"
            used |= set(re.findall(r"[\w-]+", text)) | {text}
            found = list(identifier_faults(text, words, page.others))
            if text not in page.others:
                found += path_faults(root, page, text, made)
            if command and text.startswith("sluice ") and text not in page.others:
                found += command.faults(text)
            elif command:
                flag = text.split()[0].split("=")[0] if text.split() else ""
                if re.fullmatch(r"--[a-z][\w-]*", flag) and flag not in known_flags | page.others:
                    found.append(f"`{flag}`: no command has it")
            for fault in found:
                yield where, fault
        for block in page.blocks:
            for line in joined(block.text) if block.language == "sh" else []:
                found = list(command.faults(line)) if command else []
                for token in line.split():
                    if token.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
                        found += path_faults(root, page, token, made)
                for fault in found:
                    yield block.where(), fault
        for name in sorted(page.others - used):
            yield page.name, f"{name} is called a name of others and is not on the page"
        for number, fault in link_faults(root, page, by_name):
            yield f"{page.name}:{number}", fault
