#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check itself: nothing is left running, and what is run once more."""
import argparse
import importlib.machinery
import importlib.util
import io
import contextlib
import os
import re
import signal
import sys
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PATIENCE = 60
# Leaves the group, the session and its parent, and does not listen.
RUNAWAY = "setsid setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &"


def load():
    path = os.path.join(SOURCE, "tools", "check")
    loader = importlib.machinery.SourceFileLoader("check", path)
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("check", loader))
    loader.exec_module(module)
    return module


check = load()


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not in time")
        time.sleep(0.02)


def below(pid):
    """All descendants that have not ended: names by pid."""
    rows = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/stat", encoding="ascii") as f:
                name, state, above = re.match(
                    r"\d+ \((.*)\) (\w) (\d+)", f.read()).groups()
            rows.append((entry, above, state, name))
    found, todo = {}, [str(pid)]
    while todo:
        parent = todo.pop()
        for p, above, state, name in rows:
            if above == parent and state != "Z":
                found[p] = name
                todo.append(p)
    return found


def new_check():
    return check.Check(argparse.Namespace(
        build="build", quick=False, soak=False, only=[]))


class Interrupted(unittest.TestCase):
    """A check whose one step leaves runaways behind, in a process of its
    own; it is told to end while the step runs, or the step ends."""

    def start(self, script):
        pid = os.fork()
        if pid:
            self.addCleanup(self.kill, pid)
            return pid
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, check.on_signal)
        check.GRACE_SECONDS = 0.5
        c = new_check()
        c.TESTS, c.READERS = ("script",), ()
        c.step_script = lambda: c.one("script", ["sh", "-c", script])
        os._exit(c.run())

    def kill(self, pid):
        """What a failed test leaves; of one that passed nothing is there."""
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                for p in [*below(pid), pid]:
                    os.kill(int(p), signal.SIGKILL)
                os.waitpid(pid, 0)

    def end_of(self, pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def interrupt(self, number):
        pid = self.start(RUNAWAY + " sleep 1000")
        wait_for(lambda: list(below(pid).values()).count("sleep") == 2)
        started = below(pid)
        os.kill(pid, number)
        self.assertEqual(self.end_of(pid), 130)
        for p in started:
            self.assertFalse(os.path.exists("/proc/" + p), started)

    def test_sigterm(self):
        self.interrupt(signal.SIGTERM)

    def test_sigint(self):
        self.interrupt(signal.SIGINT)

    def test_left_behind_is_a_failure(self):
        self.assertEqual(self.end_of(self.start(RUNAWAY)), 1)

    def test_orphans_that_end_are_no_failure(self):
        """And they are gone at once: the script waits for that."""
        self.assertEqual(self.end_of(self.start(
            "p=$(sh -c 'sleep 0.1 >/dev/null & echo $!');"
            " while [ -e /proc/$p ]; do sleep 0.05; done")), 0)


class Again(unittest.TestCase):
    def setUp(self):
        self.check = new_check()
        self.ran = []
        self.statuses = []
        self.check.runner.run = self.run_fake
        self.text = io.StringIO()

    def tearDown(self):
        os.rmdir(self.check.shared)

    def run_fake(self, argv, timeout):
        self.ran.append(argv)
        self.assertLessEqual(timeout, check.AGAIN_SECONDS)
        return self.statuses.pop(0), "said again"

    def finish(self, *failed, statuses=()):
        self.statuses = list(statuses)
        with contextlib.redirect_stdout(self.text):
            self.check.results.add("test/fine", check.PASSED)
            for name in failed:
                self.check.results.add(name, check.FAILED, "said first")
            self.check.try_again()
            return self.check.results.finish()

    def test_each_kind(self):
        self.assertEqual(self.finish("vm/a", "test/b", "asan/c",
                                     statuses=[0, 0, 0]), 0)
        self.assertEqual(self.ran[0][-2:], ["-k", "=a"])
        for argv, build, name in ((self.ran[1], "build", "b"),
                                  (self.ran[2], "build-asan", "c")):
            self.assertEqual(argv[:4], ["meson", "test", "-C", build])
            self.assertEqual(argv[-1], name)
            self.assertIn("--timeout-multiplier", argv)
        text = self.text.getvalue()
        self.assertEqual(text.count("passed only when run again"), 3)
        self.assertIn("4 passed, 0 failed", text)

    def test_failed_twice(self):
        self.assertEqual(self.finish("vm/a", statuses=[1]), 1)
        text = self.text.getvalue()
        self.assertIn("said first", text)
        self.assertIn("said again", text)
        self.assertIn("1 passed, 1 failed", text)

    def test_not_for_checks_of_the_source(self):
        self.assertEqual(self.finish("source/shellcheck", "build/gcc", "vm"),
                         1)
        self.assertEqual(self.ran, [])

    def test_not_for_many(self):
        names = [f"vm/t{i}" for i in range(check.AGAIN_MAX + 1)]
        self.assertEqual(self.finish(*names), 1)
        self.assertEqual(self.ran, [])

    def test_not_without_end(self):
        check.AGAIN_SECONDS, usual = 0, check.AGAIN_SECONDS
        try:
            self.assertEqual(self.finish("vm/a"), 1)
        finally:
            check.AGAIN_SECONDS = usual
        self.assertEqual(self.ran, [])


if __name__ == "__main__":
    unittest.main()
