# SPDX-License-Identifier: MIT
"""org.vmchannel.Exec against what the guest itself says."""
import hashlib
import os
import re
import struct

from operations import call, ready
from opframes import (DATA, END, ERR, EXEC, OUT, RULES, SIGNAL, SIZE, SUM,
                      TOOK, WINDOW, Command, allow, error_of, forbid, frame,
                      run)
from vmtest import check, check_equal, test, wait_for

SIZES = {"rows": 30, "columns": 90}
COMMANDS_MAX = 32
MIB = 1 << 20
# Of a process that nobody may miss.
MARK = "4711471"
STUBBORN = (f"trap '' HUP; (trap '' HUP TERM; setsid sh -c "
            f"'trap \"\" HUP TERM; while :; do sleep {MARK}; done' &) & "
            f"setsid sleep {MARK} & echo ready; sleep {MARK}; sleep {MARK}")


class Open:
    """A guest whose commands are the host's while this is open."""

    def __init__(self, t, debian=False):
        self.t = t
        self.vm, self.daemon = t.shared_debian() if debian else t.shared()

    def __enter__(self):
        ready(self.t, self.daemon)
        allow(self.vm, self.t, self.daemon)
        return self

    def __exit__(self, *_):
        forbid(self.vm, self.t, self.daemon)

    def run(self, command, stdin=None, **params):
        return run(self.t, self.daemon, command, stdin, **params)

    def start(self, command, **params):
        return Command(self.t, self.daemon, command, **params)

    def error(self, method="Run", **params):
        return error_of(self.t, self.daemon, EXEC + method, **params)

    def said(self, command, user="root"):
        """By other means than ours."""
        return self.vm.guest.run(command, user=user).text()

    def marked(self):
        return self.vm.guest.run(
            f"grep -lsa '{MARK[:-1]}[{MARK[-1]}]' /proc/[0-9]*/cmdline",
            check=False).text().split()

    def none_left(self):
        wait_for("all that the command became to end",
                 lambda: not self.marked(), 60, 0.1)


def check_command(g, group):
    """What a process is that the host has started."""
    for command, params, stdin, status, out in (
            ("cat; exit 7", {}, b"a\0b", 7, b"a\0b"),
            ("kill -TERM $$", {}, None, -15, b""),
            (["cat", "/proc/self/cmdline"], {}, None, 0,
             b"cat\0/proc/self/cmdline\0"),
            ("pwd; umask; ulimit -c >/dev/null", {}, None, 0,
             b"/root\n0022\n"),
            ("echo $HOME $USER $LOGNAME $SHELL $PWD", {"user": "alice"}, None,
             0, b"/home/alice alice alice " +
             g.said("grep ^alice: /etc/passwd").strip().split(":")[6].encode()
             + b" /home/alice\n"),
            ("id -un; pwd", {"user": "1001", "directory": "/tmp"}, None, 0,
             b"bob\n/tmp\n"),
            ("id -u; id -g; pwd", {"user": "4242"}, None, 0,
             b"4242\n4242\n/\n"),
            ("echo $A $HOME", {"environment": {"A": "b=c", "HOME": "/x"}},
             None, 0, b"b=c /x\n"),
            (["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], {}, None, 0,
             b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"),
            ("for i in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$i ] || echo $i; "
             "done", {}, None, 0, b""),
            ("[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo own", {}, None,
             0, b"own\n"),
            ("echo x >/proc/self/fd/1", {"user": "alice"}, None, 0, b"x\n"),
            ("cat /proc/self/cgroup | tail -n 1", {}, None, 0, group)):
        got = g.run(command, stdin, **params)
        if callable(out):
            check(got[0] == 0 and out(got[1]), f"{command}: {got}")
        else:
            check_equal(got, (status, out, b""), command)
    check_equal(sorted(g.run("id -G", user="alice")[1].split()),
                sorted(g.said("id -G alice").encode().split()), "groups")
    c = g.start("echo $$; echo err >&2; cat")
    c.send(END)
    check_equal((c.wait(), c.out, c.err),
                (0, b"%d\n" % c.pid, b"err\n"), "its pid")


@test()
def test_exec_a_command_is_like_any_other(t):
    with Open(t) as g:
        check_command(g, lambda out: True)


@test(timeout=300)
def test_exec_a_command_is_like_any_other_on_debian(t):
    with Open(t, debian=True) as g:
        check_command(g, lambda out: b"/vmchannel-agent.service/exec-" in out)
        wait_for("cgroups of what has ended to go", lambda: not g.said(
            "ls -d /sys/fs/cgroup/system.slice/vmchannel-agent.service/exec-*"
            " 2>/dev/null || :"), 60, 0.2)


@test()
def test_exec_says_why_not(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    name, got = error_of(t, daemon, EXEC + "Run", argv=["true"])
    check(name == "org.vmchannel.PolicyDenied" and got["class"] == "full" and
          got["rule"].startswith("built-in:"), f"{name} {got}")
    with Open(t) as g:
        vm.guest.run("echo x >/tmp/plain; mkdir -p -m 700 /root/dark")
        for params, error, detail in (
                ({"argv": ["/no/such"]}, "CannotRun", ("/no/such", "ENOENT")),
                ({"argv": ["no-such"]}, "CannotRun", ("no-such", "ENOENT")),
                ({"argv": ["/tmp/plain"]}, "CannotRun",
                 ("/tmp/plain", "EACCES")),
                ({"argv": [""]}, "CannotRun", ("", "ENOENT")),
                ({"argv": ["/" + "x" * 9000]}, "CannotRun",
                 ("/" + "x" * 4095, "ENAMETOOLONG")),
                ({"argv": ["true"], "directory": "/no"}, "CannotRun",
                 ("/no", "ENOENT")),
                ({"argv": ["true"], "directory": "/root/dark",
                  "user": "alice"}, "CannotRun", ("/root/dark", "EACCES")),
                ({"argv": ["true"], "user": "carol"}, "NoSuchUser",
                 ("carol",))):
            name, got = g.error(**params)
            check_equal((name, *got.values()), (EXEC + error, *detail),
                        str(params)[:100])
        check_equal(g.error(argv=["true"], environment={"A=": "x"}),
                    ("org.varlink.service.InvalidParameter",
                     {"parameter": "environment"}), "environment")
        allow(vm, t, daemon, f"call {EXEC}Run host allow\n"
                             f"call {EXEC}Shell host deny\n")
        check_equal(g.error("Shell", size=SIZES)[1]["rule"], f"{RULES}:2",
                    "the line that denies")


@test()
def test_exec_services_are_the_administrators(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    folder = "/etc/vmchannel/run.d"
    service = "#!/bin/sh\necho \"$#:$1\"; id -un; pwd\n"
    for name, mode in (("good", 0o755), ("open", 0o777), ("plain", 0o644),
                       ("theirs", 0o755), (".hidden", 0o755)):
        vm.guest.write_file(f"{folder}/{name}", service, mode)
    vm.guest.run(f"chown alice {folder}/theirs")

    def error(name):
        got = error_of(t, daemon, EXEC + "RunService", name=name)
        return got[0].rsplit(".", 1)[1], got[1].get("error")
    try:
        # The host may run those without any line of policy.
        for params, out in (({"argument": "a b"}, b"1:a b\nroot\n/\n"),
                            ({}, b"0:\nroot\n/\n")):
            c = Command(t, daemon, None, method="RunService", name="good",
                        **params)
            check_equal((c.wait(), c.out), (0, out), "a service")
        check_equal([error(n) for n in (
            "none", ".hidden", "../run.d/good", ".", "open", "theirs",
            "plain")],
            [("NoSuchService", None)] * 4 + [("CannotRun", "EPERM")] * 2 +
            [("CannotRun", "EACCES")], "no services")
        vm.guest.run(f"chmod 777 {folder}")
        check_equal(error("good"), ("CannotRun", "EPERM"), "anybody's folder")
    finally:
        vm.guest.run(f"rm -r {folder}")


def check_terminal(g):
    c = g.start("tty; stty size; trap 'stty size; echo changed' WINCH; "
                "echo ready; while :; do read x && echo got $x; done",
                pty=SIZES, user="alice")
    c.until(b"ready")
    check(c.out.startswith(b"/dev/pts/") and b"\r\n30 90\r\n" in c.out,
          str(c.out))
    c.send(SIZE, struct.pack("<HH", 31, 91))
    # The signal may come between a size and the next read.
    c.send(DATA, b"line\n")
    c.until(b"31 91\r\nchanged")
    c.until(b"got line")
    c.send(DATA, b"\x03")
    check_equal(c.wait(), -2, "what ^C did")
    c = g.start("cat", pty=SIZES)
    c.send(DATA, b"no end of line")
    c.send(END)
    check_equal((c.wait(), c.err), (0, b""), "the end on a terminal")
    # What is in the foreground gets the signal, not the shell.
    c = g.start(["sh", "-ic", "sleep 1000; echo after $?"], pty=SIZES)
    wait_for("sleep in front", lambda: g.said(
        f"cut -d' ' -f8 /proc/{c.pid}/stat").strip() != str(c.pid), 60, 0.1)
    c.send(SIGNAL, bytes([15]))
    c.until(b"after 143")
    check_equal(c.wait(), 0, "the shell")
    c = Command(g.t, g.daemon, None, method="Shell", size=SIZES, user="alice",
                term="vt100")
    c.send(DATA, b"echo $0 $TERM $(id -un) $PWD; exit 3\n")
    status = c.wait()
    check(status == 3 and re.search(
        rb"[\r\n]-\w*sh vt100 alice /home/alice\r\n", c.out),
        f"{status} {c.out}")


@test()
def test_exec_terminal(t):
    with Open(t) as g:
        check_terminal(g)


@test(timeout=300)
def test_exec_terminal_on_debian(t):
    with Open(t, debian=True) as g:
        check_terminal(g)


@test()
def test_exec_a_signal_gets_past_stdin(t):
    with Open(t) as g:
        c = g.start(f"exec sleep {MARK}")
        c.give(bytes(WINDOW + (1 << 16)))
        c.send(SIGNAL, bytes([10]))
        while (end := c.feed()) is None:
            pass
        check_equal(end, (True, 10), "how it ended")
        # More than it was told loses the stream.
        c = g.start(f"sleep {MARK}")
        try:
            for _ in range(64):
                c.send(DATA, bytes(1 << 16))
        except OSError:
            pass
        check(c.is_over(), "")
        g.none_left()


@test()
def test_exec_ends_are_told(t):
    with Open(t) as g:
        c = g.start("exec >&- 2>&-; read x; [ $x = on ] && exit 4")
        check_equal(c.next(), (END, b""), "the end of what it writes")
        c.send(DATA, b"on\n")
        c.send(END)
        check_equal(c.wait(), 4, "status")
        # A child that keeps stdout open holds nothing up, and ends, too.
        check_equal(g.run(f"sleep {MARK} & echo on"), (0, b"on\n", b""),
                    "a child left behind")
        g.none_left()
        check_equal(g.run("(sleep 0.3; echo late) & echo on"),
                    (0, b"on\nlate\n", b""), "a child's last words")


def check_nothing_is_left(g):
    c = g.start(STUBBORN, user="alice")
    c.until(b"ready")
    check(len(g.marked()) >= 3, "no processes to miss")
    c.close()
    g.none_left()
    c = g.start(STUBBORN, pty=SIZES)
    c.until(b"ready")
    c.close()
    g.none_left()
    pid = ready(g.t, g.daemon)
    c = g.start(STUBBORN)
    c.until(b"ready")
    g.said(f"kill -9 {pid}")
    check(c.is_over(), "")
    g.none_left()
    wait_for("another process", lambda: ready(g.t, g.daemon) != pid, 60, 0.2)


@test(timeout=120)
def test_exec_nothing_is_left(t):
    with Open(t) as g:
        check_nothing_is_left(g)


@test(timeout=300)
def test_exec_nothing_is_left_on_debian(t):
    with Open(t, debian=True) as g:
        check_nothing_is_left(g)
        # Also if all who know of it are killed at once: there is the cgroup.
        c = g.start(STUBBORN)
        c.until(b"ready")
        pid = ready(t, g.daemon)
        g.said(f"kill -9 {pid} $(pidof -c vmch-exec || cat /proc/{pid}/task/"
               f"{pid}/children)")
        check(c.is_over(), "")
        g.none_left()
        wait_for("another process", lambda: ready(t, g.daemon) != pid, 60,
                 0.2)


@test()
def test_exec_bytes_are_those(t):
    with Open(t) as g:
        data = os.urandom(4 * MIB + 12345)
        status, out, err = g.run("sha256sum; cat /proc/self/limits >&2", data)
        check_equal((status, out.split()[0].decode()),
                    (0, hashlib.sha256(data).hexdigest()), "stdin")
        check_equal(err.decode(), g.run("cat /proc/self/limits")[1].decode(),
                    "stderr")
        status, out, err = g.run(
            f"head -c {4 * MIB} /dev/urandom | tee /tmp/bytes")
        check_equal((len(out), hashlib.sha256(out).hexdigest()),
                    (4 * MIB, g.said("sha256sum </tmp/bytes; rm /tmp/bytes")
                     .split()[0]), "stdout")
        # A caller that does not read holds up its own command only.
        slow = g.start("cat /dev/zero")
        check_equal(g.run("echo here")[1], b"here\n", "another command")
        state = g.said(f"sleep 0.3; cut -d' ' -f3 /proc/{slow.pid}/stat")
        check_equal(state.strip(), "S", "the held up one")
        slow.close()


@test()
def test_exec_wrong_frames_end_their_stream(t):
    with Open(t) as g:
        good = g.start("cat")
        for wrong in (b"\xff" * 8, frame(OUT, b"x"), frame(ERR, b"x"),
                      frame(SUM, bytes(32)), frame(TOOK, bytes(4)),
                      frame(SIZE, bytes(4)), frame(SIGNAL, b"\0"),
                      frame(SIGNAL, b"\x41"), frame(END) + frame(END),
                      frame(END) + frame(DATA, b"x"),
                      struct.pack("<IB3x", 65537, DATA),
                      struct.pack("<IB3B", 1, DATA, 0, 1, 0)):
            # Behind the call, in the same write.
            c = g.start(f"sleep {MARK}", behind=wrong)
            check(c.is_over(), str(wrong))
        g.none_left()
        good.give(b"still here")
        good.send(END)
        check_equal((good.wait(), good.out), (0, b"still here"), "another")


@test()
def test_exec_commands_are_limited(t):
    with Open(t) as g:
        all_of_them = [g.start("cat") for _ in range(COMMANDS_MAX)]
        check_equal(g.error(argv=["true"]), (
            "org.vmchannel.LimitReached",
            {"limit": "commands", "value": COMMANDS_MAX}), "one too many")
        # It is not of the calls that block.
        call(t, g.daemon, "org.vmchannel.System.GetUptime")
        for c in all_of_them:
            c.send(END)
            check_equal(c.wait(), 0, "status")
        wait_for("room for one more",
                 lambda: g.run("true") == (0, b"", b""), 60, 0.1)
