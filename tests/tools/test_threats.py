#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_threats.py - every claim of docs/threat-model.md names tests that exist.

In the tables whose last column is "test", and in prose, a test is written
`SUITE/CASE` (a case of a meson test, or of tests/vm/run for `vm/...`), or `SUITE`
alone for one that is a whole: the simulator and the fuzz targets. A test that is
renamed or removed is missed here, with the line that counted on it.

Exit status: 0 all there, 1 something is not.
"""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
DOC = "docs/threat-model.md"
WHOLE = re.compile(r"sim-\w+|fuzz-\w+|model")
# Where the cases of a meson test are written, if not in tests/unit.
FILES = {
    "vmchanneld": "tests/host/run.py",
    "kill": "tests/host/kill.py",
    "upgrade": "tests/host/upgrade.py",
    "worker": "tests/host/worker.py",
    "host-qmp": "tests/host/qmp.py",
    "vmstate": "tests/host/vmstate.py",
    "brokers": "tests/broker/run.py",
    "cli": "tests/cli/test_cli.py",
}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def meson_files():
    return "\n".join(read(os.path.relpath(p, ROOT)) for p in
                     glob.glob(f"{ROOT}/tests/**/meson.build", recursive=True))


def vm_tests():
    out = subprocess.run([f"{ROOT}/tests/vm/run", "--list"], check=True,
                         capture_output=True, text=True).stdout
    return {line.split()[0] for line in out.splitlines()}


def python_cases(text):
    return set(re.findall(r"^@test\b.*(?:\n#.*|\n@.*)*\ndef (\w+)\(", text,
                          re.M)) | \
        set(re.findall(r"^def test_(\w+)\(", text, re.M))


def c_cases(text):
    """Defined and named a second time: a case that is in no list would be an
    unused function, which does not compile."""
    return set(re.findall(r"^static void (?:test_)?(\w+)\(void \*\*", text,
                          re.M))


class Tests:
    def __init__(self):
        self.meson = meson_files()
        self.vm = vm_tests()
        self.seen = {}

    def is_registered(self, suite):
        name = suite.removeprefix("fuzz-")
        return re.search(rf"'{re.escape(name)}'", self.meson) is not None

    def cases(self, suite):
        path = FILES.get(suite,
                         f"tests/unit/test_{suite.replace('-', '_')}.c")
        if not os.path.exists(os.path.join(ROOT, path)):
            return None
        if suite not in self.seen:
            find = c_cases if path.endswith(".c") else python_cases
            self.seen[suite] = find(read(path))
        return self.seen[suite]

    def missing(self, ref):
        """Why there is no such test; None: there is."""
        suite, _, case = ref.partition("/")
        if suite == "vm":
            return None if case in self.vm else "tests/vm/run --list has none"
        if not self.is_registered(suite):
            return f"no meson test {suite}"
        if not case:
            return None if WHOLE.fullmatch(suite) else "which case?"
        cases = self.cases(suite)
        if cases is None:
            return f"no file for {suite}"
        return None if case in cases else f"{suite} has no such case"


def references(text):
    return re.findall(r"`([a-z_-]+/[a-z0-9_]+|sim-[a-z]+|fuzz-\w+)`", text)


def rows(lines):
    """(number, cells) of each row of a table whose last column is "test"."""
    inside = False
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if cells[-1] == "test":
            inside = True
        elif inside and not set(cells[-1]) <= {"-"}:
            yield number, cells


def complaints(text, tests):
    lines = text.splitlines()
    for number, cells in rows(lines):
        if not references(cells[-1]):
            yield number, f"names no test: {cells[0]}"
    for number, line in enumerate(lines, 1):
        for ref in references(line):
            why = tests.missing(ref)
            if why:
                yield number, f"{ref}: {why}"


def self_test(tests):
    """The check sees what is wrong, or it proves nothing."""
    wrong = ("| a | test |\n|---|---|\n| b | by luck |\n| c | `vm/no_such` |\n"
             "| d | `session/no_such` |\n| e | `fuzz-nothing` |\n"
             "| f | `nothing/x` |\n| g | `session/stop_ends_one_direction` |\n"
             "| h | `vmchanneld/start_and_end`, `sim-storm` |\n")
    found = [n for n, _ in complaints(wrong, tests)]
    assert found == [3, 4, 5, 6, 7], found


def main():
    tests = Tests()
    self_test(tests)
    bad = list(complaints(read(DOC), tests))
    for number, what in bad:
        print(f"{DOC}:{number}: {what}")
    print(f"{len(references(read(DOC)))} tests named, {len(bad)} complaints")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
