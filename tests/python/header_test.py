# SPDX-License-Identifier: Apache-2.0
"""The Python module follows sluice.h: structs, constants, functions, version."""

import ctypes
import enum
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import support

from sluice import constants, events, library, pipeline_structs, structs

HEADER = (support.ROOT / "include" / "sluice" / "sluice.h").read_text("utf-8")
# Comments and the continuation of lines away.
CODE = re.sub(r"/\*.*?\*/", " ", HEADER, flags=re.S).replace("\\\n", " ")

# Where constants of the header are in Python: the longest prefix counts.
PREFIXES = {
    "SLUICE_": constants,
    "SLUICE_E_": constants.Status,
    "SLUICE_STAGE_": constants.Stage,
    "SLUICE_HIT_": constants.HitRule,
    "SLUICE_RESERVE_": constants.Reservation,
    "SLUICE_BATCH_": constants.BatchKind,
    "SLUICE_EVENT_": constants.EventKind,
    "SLUICE_STORE_": constants.StoreFlag,
    "SLUICE_PIPELINE_": constants.PipelineFlag,
    "SLUICE_POLICY_": constants.PolicyFlag,
    "SLUICE_REQUEST_": constants.RequestFlag,
    "SLUICE_APPS_": constants.AppsFlag,
    "SLUICE_APP_": constants.AppFlag,
}
SPECIAL = {
    "SLUICE_OK": constants.Status.OK,
    "SLUICE_PENDING": constants.Status.PENDING,
    "SLUICE_EVENT_BUSY": constants.EVENT_BUSY,
}
NO_NUMBERS = ("SLUICE_API", "SLUICE_NOEXCEPT", "SLUICE_SLUICE_H", "SLUICE_API_VERSION")


def python_structs():
    found = {}
    for module in (structs, pipeline_structs):
        for name, value in vars(module).items():
            if name.startswith("sluice_") and issubclass(value, ctypes.Structure):
                found[name] = value
    return found


def header_structs():
    """Each struct with the names of its members."""
    found = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", CODE, flags=re.S):
        members = []
        for line in body.split(";"):
            function = re.search(r"\(\*(\w+)\)", line)
            if function:
                members.append(function.group(1))
            elif line.strip():
                members += [re.search(r"(\w+)\s*$", part).group(1) for part in line.split(",")]
        found[name] = members
    return found


def header_numbers():
    names = re.findall(r"^#define (SLUICE_\w+)[ \t]+\S", CODE, flags=re.M)
    return [n for n in names if n not in NO_NUMBERS and not n.endswith("_INIT")]


def python_number(name):
    if name in SPECIAL:
        return int(SPECIAL[name])
    prefix = max((p for p in PREFIXES if name.startswith(p)), key=len)
    return int(getattr(PREFIXES[prefix], name[len(prefix) :]))


class Names(unittest.TestCase):
    def test_structs_and_their_members(self):
        ours = {n: [f[0] for f in t._fields_] for n, t in python_structs().items()}
        self.assertEqual(ours, header_structs())
        self.assertGreater(len(ours), 20)

    def test_functions(self):
        ours = dict(library.STATUS_FUNCTIONS)
        ours.update({n: arguments for n, (_, arguments) in library.OTHER_FUNCTIONS.items()})
        theirs = {}
        for name, parameters in re.findall(r"^SLUICE_API [\w\s*]+?(\w+)\(([^)]*)\)", CODE, re.M):
            listed = parameters.strip()
            theirs[name] = 0 if listed == "void" else listed.count(",") + 1
        self.assertEqual({n: len(a) for n, a in ours.items()}, theirs)
        self.assertGreater(len(theirs), 40)

    def test_every_constant_is_the_headers(self):
        ours = set()
        for prefix, place in PREFIXES.items():
            if isinstance(place, enum.EnumMeta):
                ours |= {prefix + name for name in place.__members__}
        ours -= {"SLUICE_E_OK", "SLUICE_E_PENDING"}
        self.assertEqual(ours - set(header_numbers()), set())


class Compiled(unittest.TestCase):
    """What a C compiler makes of the header."""

    @classmethod
    def setUpClass(cls):
        compiler = os.environ.get("SLUICE_CC") or shutil.which("cc")
        if not compiler:
            raise unittest.SkipTest("there is no C compiler")
        lines = []
        for name, members in header_structs().items():
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            for m in members:
                lines.append(f'printf("{name}.{m} %zu\\n", offsetof({name}, {m}));')
                lines.append(f'printf("{name}:{m} %zu\\n", sizeof((({name}*)0)->{m}));')
        for name in header_numbers():
            lines.append(f'printf("{name} %lld\\n", (long long)({name}));')
        lines.append('printf("SLUICE_API_VERSION %lld\\n", (long long)SLUICE_API_VERSION);')
        program = (
            "#include <sluice/sluice.h>\n#include <stddef.h>\n#include <stdio.h>\n"
            "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "truth.c"
            source.write_text(program, "utf-8")
            binary = pathlib.Path(folder) / "truth"
            include = f"-I{support.ROOT / 'include'}"
            subprocess.run([compiler, "-std=c11", include, source, "-o", binary], check=True)
            text = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
        cls.truth = {n: int(v) for n, v in (line.split() for line in text.splitlines())}

    def test_sizes_and_offsets(self):
        for name, cls in python_structs().items():
            self.assertEqual(ctypes.sizeof(cls), self.truth[name], name)
            for member, _ in cls._fields_:
                field = getattr(cls, member)
                self.assertEqual(field.offset, self.truth[f"{name}.{member}"], f"{name}.{member}")
                self.assertEqual(field.size, self.truth[f"{name}:{member}"], f"{name}.{member}")

    def test_numbers(self):
        for name in header_numbers():
            # C's are signed here, so that -1 is; Python's masks are not.
            self.assertEqual(python_number(name), self.truth[name], name)

    def test_events_are_read_by_the_same_layout(self):
        self.assertEqual(events.LAYOUT.size, self.truth["sluice_event"])
        packed = events.LAYOUT.pack(1, 2, 3, 4, 5, -6, 0)
        event = pipeline_structs.sluice_event.from_buffer_copy(packed)
        values = [getattr(event, m) for m, _ in event._fields_]
        self.assertEqual(values, [1, 2, 3, 4, 5, -6, None])

    def test_version(self):
        ours = library.API_MAJOR << 16 | library.API_MINOR
        self.assertEqual(ours, self.truth["SLUICE_API_VERSION"])
        self.assertEqual(library.lib.sluice_api_version(), ours)


if __name__ == "__main__":
    support.main()
