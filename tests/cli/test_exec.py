#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmchannel exec and shell, against a guest that a test makes up: what a
command, or a hostile guest, can do at the other end. Prints TAP.

usage: test_exec.py BUILD_DIR [WORD]
"""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios

import frames as f
from frames import Far, ended, error, frame, killed
from operations import Refuse
from test_cli import check, children_of, run_all
from world import PATIENCE, wait_until

RUN = "Exec.Run"


def far(w, script, name=RUN):
    """A guest whose command does @script(stream)."""
    return Far(w, {name: ({"pid": 7}, script)})


def say(*what):
    return lambda s: s.send(*what)


def start(w, *args, **kw):
    pipes = {k: subprocess.PIPE for k in ("stdin", "stdout", "stderr")}
    return w.start(w.command(w.host, *args), **{**pipes, **kw})


# ---- bytes and exit statuses ---------------------------------------------------

def test_output_and_status(w):
    for what, status, out, err in (
            ((ended(),), 0, b"", b""),
            ((ended(3),), 3, b"", b""),
            ((ended(255),), 255, b"", b""),
            ((killed(9),), 137, b"", b""),
            ((frame(f.OUT, b"out"), frame(f.ERR, b"err"), ended(1)), 1,
             b"out", b"err"),
            ((frame(f.OUT, b"a"), frame(f.END), ended()), 0, b"a", b""),
            # Single bytes, both ways mixed.
            ((b"".join(frame(f.OUT, bytes([i % 251])) + frame(f.ERR, b"x")
                       for i in range(3000)), ended()), 0,
             bytes(i % 251 for i in range(3000)), b"x" * 3000)):
        with far(w, say(*what)) as g:
            run = w.on_host("exec", "web1", "--", "cmd")
            g.check()
        assert (run.returncode, run.stdout, run.stderr) == (
            status, out, err), run


def test_what_is_asked(w):
    with far(w, say(ended())) as g:
        for args, parameters in (
                (("web1", "--", "ls", "-l", "", "--", "a b"),
                 {"argv": ["ls", "-l", "", "--", "a b"]}),
                (("bob@x@web1", "--directory", "/", "--", "ls"),
                 {"argv": ["ls"], "user": "bob@x", "directory": "/"}),
                (("web1", "--env", "A=b=c", "--env=B=", "--", "ls"),
                 {"argv": ["ls"], "environment": {"A": "b=c", "B": ""}}),
                (("-t", "web1", "--", "ls"),
                 {"argv": ["ls"], "environment": {"TERM": "vt9"},
                  "pty": {"rows": 24, "columns": 80}}),
                (("web1", "-t", "--env", "TERM=x", "--", "ls"),
                 {"argv": ["ls"], "environment": {"TERM": "x"},
                  "pty": {"rows": 24, "columns": 80}})):
            check(w.on_host("exec", *args), 0, b"")
            assert g.last(RUN) == parameters, g.last(RUN)
    # As long as a call.
    with far(w, say(ended())) as g:
        check(w.on_host("exec", "web1", "--", "sh", "-c", "#" * 60000), 0)
        check(w.on_host("exec", "web1", "--", "sh", "-c", "#" * 66000), 125,
              b"", "over the limit")
        many = [a for i in range(256) for a in ("--env", f"A{i}=x")]
        check(w.on_host("exec", *many, "web1", "--", "ls"), 0)
        assert len(g.last(RUN)["environment"]) == 256
        check(w.on_host("exec", *many, "--env", "B=", "web1", "--", "ls"), 125,
              b"", "256 times")


def test_services(w):
    with far(w, say(frame(f.OUT, b"x"), ended(4)), "Exec.RunService") as g:
        check(w.on_host("exec", "web1", "--service", "backup"), 4, b"x")
        assert g.last("Exec.RunService") == {"name": "backup"}
        check(w.on_host("exec", "--service", "backup", "web1", "--", "a b"), 4)
        assert g.last("Exec.RunService") == {"name": "backup",
                                             "argument": "a b"}


def test_wrong_usage(w):
    for args, words in (
            (("exec", "web1"), "comes after --"),
            (("exec", "web1", "--"), "comes after --"),
            (("exec", "web1", "ls"), "a command comes after --"),
            (("exec", "@web1", "--", "ls"), "USER@VM"),
            (("exec", "bob@", "--", "ls"), "USER@VM"),
            (("exec", "web1", "--env", "A", "--", "ls"), "NAME=VALUE"),
            (("exec", "web1", "--env", "=b", "--", "ls"), "NAME=VALUE"),
            (("exec", "web1", "--env", "A" * 256 + "=b", "--", "ls"),
             "NAME=VALUE"),
            (("exec", "web1", "--env", b"A=\xff", "--", "ls"), "UTF-8"),
            (("exec", "web1", "--directory", b"\xff", "--", "ls"), "UTF-8"),
            (("exec", "web1", "--service", b"\xff"), "UTF-8"),
            (("exec", "web1", "--service", "a", "--", b"\xff"), "UTF-8"),
            (("exec", "web1", "--", "ls", b"\xff"), "UTF-8"),
            (("exec", "web1", "--service", "a", "--", "b", "c"), "one argum"),
            (("exec", "web1", "--service", "a", "-t"), "takes no USER@"),
            (("exec", "u@web1", "--service", "a"), "takes no USER@"),
            (("exec", "web1", "-x", "--", "ls"), "unknown option -x"),
            (("shell", "web1", "--", "ls"), "does not take a command"),
            (("shell", "@web1"), "USER@VM")):
        check(w.on_host(*args), 125, b"", words)


def test_what_does_not_start(w):
    """One line, and a status that is not the command's."""
    check(w.on_host("exec", "web9", "--", "ls"), 127, b"", "vmchannel run")
    check(w.on_host("exec", "web1", "--", "ls"), 127, b"", "nobody listens")
    with Far(w, {RUN: None, "Exec.Shell": None}) as g:
        for answer, status, words in (
                (Refuse("PolicyDenied", operation=RUN, rule="/etc/p.conf:7",
                        **{"class": "full"}), 126,
                 "rule /etc/p.conf:7); the line 'call org.vmchannel."),
                (Refuse("Exec.CannotRun", command="x", error="ENOENT"), 127,
                 "cannot run 'x': No such file"),
                (Refuse("Exec.CannotRun", command="x", error="EACCES"), 126,
                 "Permission denied"),
                (Refuse("Exec.CannotRun", command="x\x1b[2J", error="EWHAT"),
                 126, "'x?[2J': EWHAT"),
                (Refuse("Exec.NoSuchUser", user="bob"), 125, "no user 'bob'"),
                (Refuse("NotSupported", operation=RUN, detail="no ptys"), 125,
                 "no ptys"),
                (Refuse("LimitReached", limit="commands", value=9), 125,
                 "limit commands"),
                (Refuse("Exec.CannotRun", command="x"), 125, "'error'"),
                ({"pid": "x"}, 125, "'pid'"),
                ({}, 125, "'pid'")):
            g.answers[RUN] = g.answers["Exec.Shell"] = answer
            check(w.on_host("exec", "web1", "--", "x"), status, b"", words)
            check(w.on_host("shell", "web1"), status, b"", words)
    with Far(w, {"Exec.RunService": Refuse("Exec.NoSuchService", name="a")}):
        check(w.on_host("exec", "web1", "--service", "a"), 127, b"",
              "/etc/vmchannel/run.d/a")


def test_what_a_hostile_guest_sends(w):
    """Output before it comes; then 125 and one line."""
    deep = b'{"error":"a.B","parameters":' + b"[" * 3000
    for what, words in (
            (b"", "how the command ended is not known"),
            (frame(f.OUT, b"xy")[:-1], "how the command ended is not known"),
            (frame(99), "not the protocol"),
            (b"\0\0\0\0\1\0\0\0", "not the protocol"),
            (struct.pack("<IBBH", 65537, f.OUT, 0, 0), "not the protocol"),
            (struct.pack("<IBBH", 1 << 31, f.ERROR, 0, 0), "not the protocol"),
            (struct.pack("<IBBH", 1, f.OUT, 1, 0) + b"x", "not the protocol"),
            (frame(f.DATA, b"x"), "not the protocol"),
            (frame(f.SIZE, b"\1\0\1\0"), "not the protocol"),
            (f.sum_of(b""), "not the protocol"),
            (frame(f.EXIT, b"\2\0"), "not the protocol"),
            (frame(f.EXIT, b"\1\0"), "not the protocol"),
            (frame(f.EXIT, b"\1\x41"), "not the protocol"),
            (frame(f.TOOK, b"\0\0\0\0"), "not the protocol"),
            # More than it was ever sent.
            (frame(f.TOOK, b"\1\0\0\0"), "not the protocol"),
            (frame(f.TOOK, b"\0\0\4\0"), "not the protocol"),
            (frame(f.END) + frame(f.OUT, b"x"), "not the protocol"),
            (frame(f.END) + frame(f.END), "not the protocol"),
            (frame(f.ERROR, b"{}"), "not the protocol"),
            (frame(f.ERROR, b"[]"), "not the protocol"),
            (frame(f.ERROR, b'{"error":"a.B"}\0{}'), "not the protocol"),
            (frame(f.ERROR, b'{"parameters":{}}'), "not the protocol"),
            (frame(f.ERROR, deep), "not the protocol"),
            (frame(f.ERROR, b'{"error":"\xff.B"}'), "not the protocol"),
            (error("Failed", operation=RUN, name=7, detail=""), "not the protocol"),
            (error("Failed", operation=RUN, name="EIO", detail="\x1b[2J"),
             "EIO ?[2J"),
            (error("Exec.Newer", text="not known here"), "Exec.Newer"),
            (error("Failed", operation="o", name="EIO", detail="d" * 1000),
             "EIO ddd")):
        with far(w, say(frame(f.OUT, b"before"), what)):
            run = w.on_host("exec", "web1", "--", "x")
        check(run, 125, None, words)
        assert run.stdout in (b"before", b"beforex"), (what, run)
        assert b"\x1b" not in run.stderr and b"not known" not in (
            run.stderr if b"Newer" in run.stderr else b""), run.stderr
    # What comes behind the last frame is nobody's.
    with far(w, say(ended(5), b"nonsense" * 100)):
        check(w.on_host("exec", "web1", "--", "x"), 5, b"")
    # No err on a terminal.
    with far(w, say(frame(f.ERR, b"x"))):
        check(w.on_host("exec", "-t", "web1", "--", "x"), 125, b"",
              "not the protocol")


def test_stream_that_breaks(w):
    def script(s):
        s.send(frame(f.OUT, b"x"))
        s.expect(f.DATA, b"go")
        w.varlink(w.guest, "host", "Listen", "more",
                  channel="org.example.x").close()
    with far(w, script):
        p = start(w, "exec", "web1", "--", "x")
        assert p.stdout.read(1) == b"x"
        w.stop(w.agent)
        assert p.wait(PATIENCE) == 125
        said = p.stderr.read()
        assert b"was reset: " in said and said.count(b"\n") == 1, said
        w.stop(p)
        w.start_agent()
        w.wait_up()


# ---- stdin ------------------------------------------------------------------------

def test_stdin_is_sent_as_it_is_taken(w):
    data = os.urandom(3 << 20)

    def cat(s):
        got = b""
        while True:
            kind, body = s.frame()
            if kind == f.END:
                break
            assert kind == f.DATA and s.untaken <= f.WINDOW
            got += body
            s.send(frame(f.OUT, body))
            if s.untaken > f.WINDOW // 2:
                s.took(s.untaken)
        assert got == data
        s.send(ended())

    with open(w.dir + "/in", "wb") as file:
        file.write(data)
    with far(w, cat) as g:
        check(w.on_host("exec", "web1", "--", "cat", stdin=data), 0, data)
        g.check()
        with open(w.dir + "/in", "rb") as file:
            run = subprocess.run(w.command(w.host, "exec", "web1", "--", "x"),
                                 stdin=file, stdout=subprocess.PIPE,
                                 check=False, timeout=PATIENCE)
        assert run.returncode == 0 and run.stdout == data
        g.check()


def test_no_more_stdin_than_the_window(w):
    """And a signal gets past what nobody takes."""
    full = []

    def script(s):
        while s.untaken < f.WINDOW:
            s.expect(f.DATA)
        assert s.untaken == f.WINDOW
        full.append(1)
        # Nothing but the signal may come now.
        s.expect(f.SIGNAL, bytes([signal.SIGTERM]))
        s.took(5000)
        while s.untaken < f.WINDOW:
            assert s.expect(f.DATA)
        s.send(killed(15))

    with far(w, script) as g, open("/dev/zero", "rb") as zero:
        p = start(w, "exec", "web1", "--", "sleep", stdin=zero)
        wait_until("the window is full", lambda: full)
        p.send_signal(signal.SIGTERM)
        assert p.wait(PATIENCE) == 143
        g.check()
        w.stop(p)


def test_command_that_does_not_read_its_stdin(w):
    with far(w, say(ended(6))), open("/dev/zero", "rb") as zero:
        p = start(w, "exec", "web1", "--", "true", stdin=zero)
        assert p.wait(PATIENCE) == 6 and p.stderr.read() == b""
        w.stop(p)


def test_stdin_that_cannot_be_read(w):
    def script(s):
        s.gone()
    with far(w, script) as g:
        fd = os.open("/", os.O_RDONLY)
        p = start(w, "exec", "web1", "--", "cat", stdin=fd)
        assert p.wait(PATIENCE) == 125
        assert b"cannot read stdin: Is a directory" in p.stderr.read()
        g.check()
        w.stop(p)
        os.close(fd)


def test_closed_standard_descriptors(w):
    def script(s):
        s.expect(f.END)
        s.send(frame(f.OUT, b"o"), frame(f.ERR, b"e"), ended(7))
    with far(w, script):
        sh = " ".join(w.command(w.host, "exec", "web1", "--", "x"))
        for closed, out in (("<&-", b"o"), ("<&- 2>&-", b"o"),
                            ("<&- >&- 2>&-", b"")):
            run = subprocess.run(["sh", "-c", sh + " " + closed],
                                 stdout=subprocess.PIPE, check=False,
                                 stderr=subprocess.DEVNULL, timeout=PATIENCE)
            assert (run.returncode, run.stdout) == (7, out), (closed, run)


# ---- stdout --------------------------------------------------------------------------

def test_nobody_reads_the_output(w):
    """The call is closed, which ends the command."""
    for name, kind in (("stdout", f.OUT), ("stderr", f.ERR)):
        def script(s, kind=kind):
            while True:
                s.send(frame(kind, b"y" * 1000))
        with far(w, script) as g:
            p = start(w, "exec", "web1", "--", "yes")
            getattr(p, name).close()
            assert p.wait(PATIENCE) == 128 + signal.SIGPIPE
            assert g.over.wait(PATIENCE)
            setattr(p, name, None)
            w.stop(p)


def test_disk_is_full(w):
    def script(s):
        s.send(frame(f.OUT, b"x"))
        s.gone()
    with far(w, script) as g, open("/dev/full", "wb") as full:
        p = start(w, "exec", "web1", "--", "x", stdout=full)
        assert p.wait(PATIENCE) == 125
        assert b"cannot write to stdout: No space" in p.stderr.read()
        g.check()
        w.stop(p)


def test_slow_stdout_keeps_no_signal(w):
    """Nobody reads; then everything comes, and the status."""
    data = os.urandom(4 << 20)

    def script(s):
        s.send(frame(f.OUT, b"x"))
        s.expect(f.SIGNAL, bytes([signal.SIGINT]))
        for i in range(0, len(data), 65536):
            s.send(frame(f.OUT, data[i:i + 65536]))
        s.send(killed(2))

    with far(w, script):
        p = start(w, "exec", "web1", "--", "x")
        assert p.stdout.read(1) == b"x"
        p.send_signal(signal.SIGINT)
        got = p.stdout.read()
        assert got == data and p.wait(PATIENCE) == 130
        w.stop(p)


def test_stdout_ends_before_the_command(w):
    gate = w.dir + "/far-gate"
    os.mkfifo(gate)

    def script(s):
        s.send(frame(f.OUT, b"last"), frame(f.END))
        with open(gate, "rb") as file:
            file.read()
        s.send(ended(2))

    with far(w, script):
        p = start(w, "exec", "web1", "--", "x")
        assert p.stdout.read() == b"last" and p.poll() is None
        with open(gate, "wb"):
            pass
        assert p.wait(PATIENCE) == 2
        w.stop(p)


# ---- signals -----------------------------------------------------------------------

def test_first_signal_is_the_commands_second_is_ours(w):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                   signal.SIGQUIT):
        got = []

        def script(s):
            s.send(frame(f.OUT, b"x"))
            got.append(s.expect(f.SIGNAL))
            s.gone()

        with far(w, script) as g:
            p = start(w, "exec", "web1", "--", "x")
            assert p.stdout.read(1) == b"x"
            p.send_signal(number)
            wait_until("the command has it", lambda: got)
            assert got == [bytes([number])]
            p.send_signal(signal.SIGTERM)
            assert p.wait(PATIENCE) == -signal.SIGTERM
            g.check()
            w.stop(p)


def test_nohup_is_kept(w):
    def script(s):
        s.send(frame(f.OUT, b"x"))
        s.expect(f.SIGNAL, bytes([signal.SIGTERM]))
        s.send(ended())

    with far(w, script) as g:
        p = start(w, "exec", "web1", "--", "x", preexec_fn=lambda:
                  signal.signal(signal.SIGHUP, signal.SIG_IGN))
        assert p.stdout.read(1) == b"x"
        p.send_signal(signal.SIGHUP)
        p.send_signal(signal.SIGTERM)
        assert p.wait(PATIENCE) == 0
        g.check()
        w.stop(p)


# ---- terminals -------------------------------------------------------------------------

class Terminal:
    """A command on a terminal, as its session's leader."""

    def __init__(self, w, argv):
        self.w = w
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.p = w.start(argv, stdin=slave, stdout=slave,
                         stderr=slave, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY))

    def type(self, keys):
        os.write(self.master, keys)

    def until(self, end):
        got = b""
        while end not in got:
            assert select.select([self.master], [], [], PATIENCE)[0], got
            got += os.read(self.master, 1024)
        return got

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def ended(self, status):
        """And the terminal is as it was."""
        assert self.p.wait(PATIENCE) == status, self.p.returncode
        assert termios.tcgetattr(self.slave) == self.before
        self.w.stop(self.p)
        os.close(self.slave)
        os.close(self.master)


SIZE_33 = struct.pack("<HH", 33, 99)


def test_terminal_is_the_commands(w):
    def script(s):
        s.send(frame(f.OUT, b"one\r\ntwo"))
        # Ctrl-C, Ctrl-Z and Ctrl-S are keys like others.
        keys = b""
        while len(keys) < 6:
            keys += s.expect(f.DATA)
        assert keys == b"a\x03\x1a\x13\rb", keys
        s.expect(f.SIZE, struct.pack("<HH", 50, 120))
        s.send(frame(f.OUT, b"done"), ended(9))

    with far(w, script) as g:
        t = Terminal(w, w.command(w.host, "exec", "-t", "web1", "--",
                                  "top"))
        assert t.until(b"two") == b"one\r\ntwo"
        assert g.last(RUN)["pty"] == {"rows": 33, "columns": 99}
        assert t.is_raw()
        t.type(b"a\x03\x1a\x13\rb")
        fcntl.ioctl(t.master, termios.TIOCSWINSZ,
                    struct.pack("4H", 50, 120, 0, 0))
        t.until(b"done")
        t.ended(9)
        g.check()


def test_shell(w):
    def script(s):
        s.expect(f.DATA, b"exit\r")
        s.send(frame(f.OUT, b"logout\r\n"), ended(3))

    with far(w, script, "Exec.Shell") as g:
        t = Terminal(w, w.command(w.host, "shell", "bob@web1"))
        wait_until("it is raw", t.is_raw)
        t.type(b"exit\r")
        t.until(b"logout\r\n")
        t.ended(3)
        g.check()
        assert g.last("Exec.Shell") == {
            "user": "bob", "term": "vt9",
            "size": {"rows": 33, "columns": 99}}
    # Not on a terminal: one of the usual size, and the end of stdin.
    def no_terminal(s):
        s.expect(f.DATA, b"ls\n")
        s.expect(f.END)
        s.send(ended())
    with far(w, no_terminal, "Exec.Shell") as g:
        check(w.on_host("shell", "web1", stdin=b"ls\n"), 0, b"")
        g.check()
        assert g.last("Exec.Shell")["size"] == {"rows": 24, "columns": 80}


def test_way_out_of_a_hanging_shell(w):
    with far(w, lambda s: s.gone(), "Exec.Shell") as g:
        t = Terminal(w, w.command(w.host, "shell", "web1"))
        wait_until("it is raw", t.is_raw)
        t.type(b"x~.\r~~.\r~.")
        t.until(b"left with ~.")
        t.ended(125)
        g.check()


def test_tilde_is_the_commands_elsewhere(w):
    def script(s):
        want = b"a~.\r~.\r~b\r~"
        got = b""
        while len(got) < len(want):
            got += s.expect(f.DATA)
        assert got == want, got
        s.send(ended())

    with far(w, script, "Exec.Shell") as g:
        t = Terminal(w, w.command(w.host, "shell", "web1"))
        wait_until("it is raw", t.is_raw)
        t.type(b"a~.\r~~.\r~b\r~~")
        t.ended(0)
        g.check()


def test_terminal_is_put_back_by_signals(w):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT,
                   signal.SIGQUIT, signal.SIGUSR1, signal.SIGSEGV):
        with far(w, lambda s: s.gone(), "Exec.Shell") as g:
            t = Terminal(w, w.command(w.host, "shell", "web1"))
            wait_until("it is raw", t.is_raw)
            t.p.send_signal(number)
            t.ended(-number)
            g.check()


def test_terminal_is_put_back_when_the_guest_fails(w):
    with far(w, lambda s: s.send(frame(99)), "Exec.Shell"):
        t = Terminal(w, w.command(w.host, "shell", "web1"))
        t.until(b"not the protocol")
        t.ended(125)


# What a shell with job control does with a program that is stopped.
SHELL = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
status = os.waitpid(pid, os.WUNTRACED)[1]
assert os.WIFSTOPPED(status), status
os.tcsetpgrp(0, os.getpgrp())
print("cooked" if termios.tcgetattr(0)[3] & termios.ICANON else "raw")
sys.stdout.flush()
sys.stdin.readline()
os.tcsetpgrp(0, pid)
os.kill(pid, signal.SIGCONT)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_stopped_and_continued(w):
    """By ~^Z, and by a signal; the terminal is the shell's meanwhile."""
    for by_key in (True, False):
        def script(s, by_key=by_key):
            keys, sizes = b"", []
            while keys != (b"\rx" if by_key else b"x"):
                kind, body = s.frame()
                if kind == f.DATA:
                    keys += body
                else:
                    assert kind == f.SIZE
                    sizes.append(body)
            s.send(ended(4 if SIZE_33 in sizes else 5))

        with far(w, script, "Exec.Shell") as g:
            t = Terminal(w, [sys.executable, "-c", SHELL,
                             *w.command(w.host, "shell", "web1")])
            wait_until("it is raw", t.is_raw)
            if by_key:
                t.type(b"\r~\x1a")
            else:
                os.kill(int(children_of(t.p.pid)[0]), signal.SIGTSTP)
            t.until(b"cooked")
            t.type(b"\n")
            wait_until("it is raw again", t.is_raw)
            t.type(b"x")
            t.ended(4)
            g.check()


if __name__ == "__main__":
    os.environ["TERM"] = "vt9"
    sys.exit(run_all(sys.argv, [], [
        v for n, v in list(globals().items()) if n.startswith("test_")]))
