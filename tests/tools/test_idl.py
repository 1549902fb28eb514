#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/idl: what it reads, what it refuses, and that the documentation has
every operation with its class."""
import glob
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
IDL = os.path.join(SOURCE, "tools", "idl")
HEAD = "interface a.b\n"

# What stands after the head, and what is said about it.
REFUSED = {
    "": "without members",
    "method X()": "expected '->'",
    "method x() -> ()": "'x' is not a member's name",
    "method X() -> ()\nmethod X() -> ()": "X is there twice",
    "method X(a: int, a: int) -> ()": "a is there twice",
    "method X(a: int,) -> ()": "a comma before",
    "method X(a) -> ()": "fields with types",
    "method X(a_: int) -> ()": "'a_' is not a field's name",
    "method X(a: Y) -> ()": "there is no type Y",
    "method X(a: []?int) -> ()": "elements cannot be absent",
    "method X(a: [int]int) -> ()": "expected ']'",
    "method X(a: ()) -> ()": "an empty type",
    "method X(a: int) -> () $": "unexpected '$'",
    "type Y (a, b: int)": "fields with types, or words",
    "type Y (a: int)": "nothing uses the type Y",
    "thing X ()": "expected type, method or error",
    "# @clas read\nmethod X() -> ()": "@clas is not known",
    "# @class write\nmethod X() -> ()": "@class read|control|full",
    "# @class read\nerror X ()": "above a method",
    "# @more now\nmethod X() -> ()": "stands alone",
    "# @event\nmethod X() -> ()": "above a type",
    "# @event\ntype X (a, b)": "above a type",
    "# @range b 0..1\nmethod X(a: int) -> ()": "has no field b",
    "# @range a 0-1\nmethod X(a: int) -> ()": "expected '@range",
    "# @range a 2..1\nmethod X(a: int) -> ()": "nothing in it",
    "# @range a -1..1\nmethod X(a: string) -> ()": "nothing in it",
    "# @range a 0..1\nmethod X(a: bool) -> ()": "has no range",
    "# @range a[] 0..1\nmethod X(a: int) -> ()": "has no range",
    "# @variant a b\nmethod X(a: int, b: string) -> ()": "about an object",
    "# @variant a b\nmethod X(a: object, b: int) -> ()": "about an object",
}

GOOD = """
# A comment.
type Pair (a: int, b: ?[]string)
type Word (on, off)
type Tree (left: ?Tree, right: ?Tree)

# @class full
# @range n -3..3
# @range list 1..2
# @range list[] 0..9
method Do(n: int, list: []string, map: [string]Pair, w: Word, t: Tree) ->
  (inline: (x: bool, y: float), o: ?object, which: (p, q))
error Bad ()
"""


def load():
    loader = importlib.machinery.SourceFileLoader("idl", IDL)
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("idl", loader))
    loader.exec_module(module)
    return module


idl = load()


def complaint(path):
    """What is said about a file, or None."""
    try:
        idl.Parser(path).parse()
    except idl.Wrong as e:
        return str(e)
    return None


def run(what, *paths):
    return subprocess.run([IDL, what, *paths], capture_output=True, text=True,
                          check=False)


class Idl(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.dir.cleanup()

    def file(self, text):
        path = os.path.join(self.dir.name, "x.varlink")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_refused(self):
        for text, said in REFUSED.items():
            r = complaint(self.file(HEAD + text))
            self.assertIn(said, r or "nothing", text)
            self.assertRegex(r, r"^\S+x\.varlink:\d+: ")

    def test_a_complaint_is_one_line_and_a_status(self):
        r = run("check", self.file(HEAD))
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertRegex(r.stderr, r"^tools/idl: \S+x\.varlink:\d+: .*\n$")

    def test_refused_heads(self):
        for text in ("", "interface a\nerror X ()", "interface .a\nerror X ()",
                     "interface a..b\nerror X ()", "interface 1.b\nerror X ()",
                     "error X ()"):
            self.assertIsNotNone(complaint(self.file(text)), text)

    def test_good(self):
        path = self.file(HEAD + GOOD)
        r = run("methods", path)
        self.assertEqual((r.stdout, r.stderr), ("a.b.Do full\n", ""))
        tables = run("tables", path).stdout
        for part in (".min = INT64_C(-3), .max = INT64_C(3)", "IDL_FLOAT",
                     ".fields = &i0_type_Tree", '{"Do", IDL_FULL'):
            self.assertIn(part, tables)

    def test_notes_end_at_an_empty_line(self):
        r = run("methods", self.file(
            HEAD + "# @class full\n\nmethod X() -> ()\n"))
        self.assertEqual(r.stdout, "a.b.X -\n")

    def test_every_operation_is_documented(self):
        with open(os.path.join(SOURCE, "docs", "operations.md"),
                  encoding="utf-8") as f:
            rows = re.findall(r"^\| ([A-Z]\w+)\.([\w, ]+?) \| (\w+) \|",
                              f.read(), re.M)
        documented = {f"org.vmchannel.{interface}.{m.strip()} {klass}"
                      for interface, methods, klass in rows
                      for m in methods.split(",")}
        files = [p for p in glob.glob(os.path.join(
            SOURCE, "interfaces", "*.varlink")) if "Broker" not in p]
        there = set(run("methods", *files).stdout.splitlines())
        self.assertEqual(documented ^ there, set())


if __name__ == "__main__":
    sys.exit(unittest.main())
