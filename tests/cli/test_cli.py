#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command against real brokers. Prints TAP.

usage: test_cli.py BUILD_DIR [WORD]
"""
import hashlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import traceback

from world import PATIENCE, FakeBroker, World, wait_until

CHANNEL = "org.example.echo"


def check(run, status, stdout=None, stderr=None):
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    if stdout is not None:
        assert run.stdout == stdout, run.stdout
    if stderr is not None:
        assert stderr.encode() in run.stderr, run.stderr
        assert run.stderr.count(b"\n") == 1, run.stderr


def echo(w, *args):
    return w.listen(w.guest, "host", CHANNEL, *args, "--", "cat")


# ---- the frame: no broker is needed ------------------------------------------

def test_help_names_every_verb(w):
    names = w.on_host("help", "--names").stdout.decode().split()
    assert {"list", "channels", "connect", "listen", "monitor", "call",
            "stats", "status", "doctor", "policy", "help",
            "version"} <= set(names)
    overview = w.on_host("--help").stdout.decode()
    for name in names:
        assert "\n  " + name + " " in overview, name
        text = w.on_host(name, "--help")
        check(text, 0)
        assert b"usage: vmchannel " + name.encode() in text.stdout
        # Completion offers what the help explains.
        options = w.on_host("help", name, "--names").stdout.split()
        for option in options:
            assert b"\n  " + option.replace(b"=", b" ") in text.stdout, (
                name, option)
        # An example besides the usage line.
        if name not in ("help", "version"):
            assert text.stdout.count(b"vmchannel " + name.encode()) >= 3, name


def test_wrong_usage_is_125_and_one_line(w):
    for args, words in (
            ((), ""),
            (("nonsense",), "no verb 'nonsense'"),
            (("--nonsense",), "--help"),
            (("connect",), "wants VM CHANNEL"),
            (("connect", "a", "b", "c"), "one argument too many: c"),
            (("connect", "a", "b", "--", "cmd"), "does not take a command"),
            (("list", "--nope"), "unknown option --nope"),
            (("connect", "a", "b", "--timeout"), "value is missing"),
            (("connect", "a", "b", "--timeout", "x"), "whole number"),
            (("connect", "a", "b", "--timeout=-1"), "whole number"),
            (("connect", "a", "b", "--timeout=99999999999"), "whole number"),
            (("policy", "look", "a", "connect", "b"), "'look'"),
            (("policy", "test", "a", "steal", "b"), "'steal'"),
            (("listen", "a", "b", "--max", "0"), "--max"),
            (("connect", "a", "b", "--to", "c"), "want --follow"),
            (("connect", "a", "b", "--via", "c"), "want --follow"),
            (("connect", "a", "b", "--follow"), "wants --to or --via"),
            (("connect", "a", "b", "--follow", "--to", "../c"), "neither"),
            (("connect", "a", "b", "--follow", "--to="), "cannot be a place"),
            (("connect", "a", "b", *("--to", "c") * 9), "8 times"),
            (("connect", "a", "b", "--follow", *("--to", "c") * 5,
              *("--via", "d") * 4), "more than 8"),
            (("stdio", "a b"), "cannot be a VM"),
            (("help", "nonsense"), "no verb"),
            (("doctor", b"\xff", "--json"), "not UTF-8"),
            (("status", "a", b"\xff"), "not UTF-8"),
    ):
        run = w.on_host(*args)
        check(run, 125)
        if args:
            check(run, 125, b"", words)


def test_version(w):
    check(w.on_host("version"), 0)
    check(w.on_host("--version"), 0)
    assert json.loads(w.on_host("version", "--json").stdout)["version"]
    assert json.loads(w.on_host("--json", "version").stdout)["library"]


def test_no_vm_is_127_with_the_remedy(w):
    for args in (("channels", "web9"), ("connect", "web9", "a.b"),
                 ("listen", "web9", "a.b", "--", "true"), ("stats", "web9"),
                 ("status", "web9"), ("monitor", "web9"),
                 ("upgrade", "web9"), ("moved", "web9", "h"),
                 ("connect", "web9", "a.b", "--follow", "--to", "x"),
                 ("call", "web9", "a.b.C"), ("exec", "web9", "--", "ls"),
                 ("shell", "u@web9"),
                 ("policy", "test", "web9", "connect", "a.b")):
        check(w.on_host(*args), 127, b"", "vmchannel run")
    check(w.on_host("list"), 0, b"", "no VM")
    check(w.on_host("list", "--json"), 0, b"")
    check(w.on_host("connect", "../x", "a.b"), 125, b"", "name")


def test_relative_dir_is_refused(w):
    run = subprocess.run([w.path("src/cli/vmchannel"), "list", "--dir", "x"],
                         capture_output=True, check=False)
    check(run, 125, b"", "absolute")


def test_full_disk_is_noticed(w):
    with open("/dev/full", "wb") as full:
        run = subprocess.run(w.command(w.host, "help"), stdout=full,
                             stderr=subprocess.PIPE, check=False)
    check(run, 125, None, "cannot write to stdout")


# ---- doctor, from nothing to all good -----------------------------------------

def hops(run):
    return {h["hop"]: h for h in map(json.loads, run.stdout.splitlines())}


def doctor(w, root, vm, bad):
    run = w.run(root, "doctor", vm, "--json")
    assert run.returncode == (1 if bad else 0), run.stdout
    found = hops(run)
    failed = [h for h in found if found[h]["ok"] is False]
    assert failed == ([bad] if bad else []), run.stdout
    if bad:
        assert found[bad]["remedy"], found
        text = w.run(root, "doctor", vm)
        assert b"FAIL  " + bad.encode() in text.stdout, text.stdout
        assert b"remedy: " in text.stdout
    return found


def test_doctor_names_the_first_bad_hop(w):
    doctor(w, w.host, "web1", "directory")
    doctor(w, w.host, "a b", "directory")
    w.start_daemon()
    doctor(w, w.host, "web1", "link")
    w.start_pipe()
    wait_until("the link exists", lambda: w.info(
        w.host, "web1")["link"] != "down")
    doctor(w, w.host, "web1", "peer")
    w.start_agent()
    w.wait_up()
    found = doctor(w, w.host, "web1", None)
    assert "vmchannel-agent" in found["call"]["detail"]
    assert "built-in" in found["policy"]["detail"]
    doctor(w, w.guest, "host", None)
    with open(f"/proc/{w.daemon.pid}/task/{w.daemon.pid}/children",
              encoding="ascii") as f:
        worker = int(f.read().split()[0])
    os.kill(worker, signal.SIGSTOP)
    assert "lives but does not answer" in doctor(
        w, w.host, "web1", "daemon")["daemon"]["remedy"]
    os.kill(worker, signal.SIGCONT)
    w.stop(w.daemon, signal.SIGKILL)
    wait_until("nobody answers", lambda: not w.info(w.host, "web1"))
    assert "no vmchanneld holds" in doctor(
        w, w.host, "web1", "daemon")["daemon"]["remedy"]


def child(w, option):
    """The process of vmchanneld that was started with this option."""
    with open(f"/proc/{w.daemon.pid}/task/{w.daemon.pid}/children",
              encoding="ascii") as f:
        for pid in f.read().split():
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if option in line.read().split(b"\0"):
                    return int(pid)
    return None


def lose_bus(w):
    """What QEMU's dbus-vmstate is connected to dies."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.path.join(w.host, "web1", "vmstate.sock"))
    wait_until("a bus process", lambda: child(w, b"--bus"))
    os.kill(child(w, b"--bus"), signal.SIGKILL)
    wait_until("it is noticed", lambda: w.info(
        w.host, "web1")["vmstate"] == "lost")
    s.close()


def test_doctor_says_how_a_lost_bus_is_mended(w):
    for more, text in (((), "by QMP, object-del"),
                       (("--qmp-events", os.path.join(w.dir, "qmp")),
                        "as soon as QEMU answers")):
        w.start_daemon(*more)
        lose_bus(w)
        found = hops(w.run(w.host, "doctor", "web1", "--json"))
        assert text in found["migration"]["detail"], found
        assert ("by QMP: waiting" in found["state"]["detail"]) == bool(more)
        w.stop(w.daemon, signal.SIGTERM)
        wait_until("nobody answers", lambda: not w.info(w.host, "web1"))


def test_doctor_looks_at_the_guests_port(w):
    root = os.path.join(w.dir, "root")
    os.environ["VMCHANNEL_TEST_ROOT"] = root
    try:
        found = doctor(w, w.guest, "host", "port")
        assert "modprobe" in found["port"]["remedy"]
        ports = root + "/sys/class/virtio-ports/"
        os.makedirs(ports + "vport0p1")
        with open(ports + "vport0p1/name", "w", encoding="ascii") as f:
            f.write("com.redhat.spice.0\n")
        found = doctor(w, w.guest, "host", "port")
        assert "among the 1 virtio ports" in found["port"]["detail"]
        os.makedirs(ports + "vport0p2")
        with open(ports + "vport0p2/name", "w", encoding="ascii") as f:
            f.write("org.vmchannel.0\n")
        doctor(w, w.guest, "host", "device")
        os.makedirs(root + "/dev")
        with open(root + "/dev/vport0p2", "w", encoding="ascii"):
            pass
        doctor(w, w.guest, "host", "agent")
    finally:
        del os.environ["VMCHANNEL_TEST_ROOT"]


# ---- with both brokers ----------------------------------------------------------

def test_missing_vm_is_offered(w):
    check(w.on_host("channels"), 125, b"", "the only VM here is 'web1'")


def test_list(w):
    rows = w.on_host("list").stdout.decode().splitlines()
    assert rows[0].split()[:3] == ["VM", "LINK", "PEER"]
    assert rows[1].split()[:3] == ["web1", "up", "yes"]
    info = json.loads(w.on_host("list", "--json").stdout)
    assert info["vm"] == "web1" and info["side"] == "host"
    assert w.on_host("list", "--names").stdout == b"web1\n"
    assert w.in_guest("list", "--names").stdout == b"host\n"


def test_channels(w):
    p = echo(w)
    rows = [json.loads(r) for r in
            w.on_host("channels", "web1", "--json").stdout.splitlines()]
    row = [r for r in rows if r["name"] == CHANNEL]
    assert row == [{"name": CHANNEL, "side": "peer", "messages": False,
                    "allowed": True}], rows
    text = w.on_host("channels", "web1").stdout.decode()
    assert any(r.split() == [CHANNEL, "peer", "bytes", "yes"]
               for r in text.splitlines()), text
    w.stop(p)
    wait_until("it is withdrawn", lambda: CHANNEL.encode() not in w.on_host(
        "channels", "web1", "--names").stdout.split())


def test_connect_joins_both_ways(w):
    p = echo(w)
    check(w.on_host("connect", "web1", CHANNEL, stdin=b"hello"), 0, b"hello",
          None)
    check(w.on_host("connect", "web1", CHANNEL, stdin=b""), 0, b"")
    data = os.urandom(20 << 20)
    run = w.on_host("connect", "web1", CHANNEL, stdin=data)
    assert run.returncode == 0, run.stderr
    assert hashlib.sha256(run.stdout).digest() == \
        hashlib.sha256(data).digest()
    run = w.on_host("connect", "web1", CHANNEL, stdin=b"static", static=True)
    check(run, 0, b"static")
    w.stop(p)


def test_connect_other_way(w):
    p = w.listen(w.host, "web1", CHANNEL, "--", "cat")
    check(w.in_guest("connect", "host", CHANNEL, stdin=b"up"), 0, b"up")
    w.stop(p)


def test_connect_follow_without_a_move(w):
    p = echo(w)
    data = os.urandom(3 << 20)
    run = w.on_host("connect", "web1", CHANNEL, "--follow", "--to", "web2",
                    "--via", "false", stdin=data)
    check(run, 0, data)
    check(w.on_host("connect", "web1", CHANNEL, "--follow", "--to", "web2",
                    stdin=b"static", static=True), 0, b"static")
    w.stop(p)
    check(w.on_host("connect", "web1", CHANNEL, "--follow", "--to", "x"), 127,
          b"", "nobody listens")
    check(w.in_guest("connect", "host", CHANNEL, "--follow", "--to", "x"),
          125, b"", "host's side")


def streams_of(w, dir_, vm):
    run = subprocess.run(w.command(dir_, "status", vm, "--json"),
                         capture_output=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def end_of_killed(w, *options):
    """How the stream of a program ends that is killed in the middle."""
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL, *options),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    c.stdin.write(b"x")
    c.stdin.flush()
    assert c.stdout.read(1) == b"x"
    mine = [s["id"] for s in streams_of(w, w.host, "web1")]
    assert len(mine) == 1, mine
    w.stop(c, signal.SIGKILL)
    # Nobody is left on either side.
    wait_until("both ends are over",
               lambda: not streams_of(w, w.host, "web1") and
               not streams_of(w, w.guest, "host"))
    run = w.on_host("status", "web1", mine[0], "--json")
    return json.loads(run.stdout)["reason"]


def test_follower_is_killed(w):
    """Its relay dies with it: as a plain program's death."""
    p = echo(w)
    plain = end_of_killed(w)
    assert end_of_killed(w, "--follow", "--to", "web2") == plain, plain
    w.stop(p)


def test_connect_follow_that_finds_nobody(w):
    """The daemon goes: the stream searches, and says what it is for."""
    p = echo(w)
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL, "--follow",
                          "--to", w.dir + "/nowhere",
                          "--via", "echo here >&2; exit 1"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    c.stdin.write(b"x")
    c.stdin.flush()
    assert c.stdout.read(1) == b"x"
    w.stop(w.daemon, signal.SIGKILL)
    # Once, and again.
    assert c.stderr.readline() == b"here\n"
    assert c.stderr.readline() == b"here\n"
    w.stop(c)
    w.start_daemon()
    w.wait_up()
    w.stop(p)


def test_stdio(w):
    call = b'{"method":"org.vmchannel.Broker.GetInfo"}\0'
    run = w.on_host("stdio", "web1", stdin=call)
    check(run, 0, None, None)
    assert run.stdout.endswith(b"\0") and run.stdout.count(b"\0") == 1
    assert json.loads(run.stdout[:-1])["parameters"]["vm"] == "web1"
    check(w.on_host("stdio", "web9"), 127, b"", "nobody answers at")
    # A stream through it, with an end each way.
    p = echo(w)
    call = json.dumps({"method": "org.vmchannel.Broker.Connect",
                       "parameters": {"channel": CHANNEL}, "upgrade": True})
    run = w.on_host("stdio", "web1", stdin=call.encode() + b"\0" + b"y" * 9)
    check(run, 0)
    assert run.stdout.endswith(b"\0" + b"y" * 9), run.stdout
    w.stop(p)


def test_upgrade_in_the_middle_of_a_stream(w):
    p = echo(w)
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    before = w.info(w.host, "web1")
    for text in (b"one", b"two", b"three"):
        c.stdin.write(text)
        c.stdin.flush()
        assert c.stdout.read(len(text)) == text
        run = w.on_host("upgrade", "web1", "--json")
        check(run, 0, None, None)
        after = w.info(w.host, "web1")
        assert json.loads(run.stdout) == {
            "vm": "web1", "from": before["version"],
            "version": after["version"], "pid": after["pid"]}
        assert after["pid"] != before["pid"]
        assert after["instance"] == before["instance"]
        before = after
    c.stdin.close()
    assert c.stdout.read() == b""
    assert c.wait(PATIENCE) == 0
    c.stdin = None
    w.stop(c)
    assert b"serves in place of" in w.on_host("upgrade", "web1").stdout
    check(w.in_guest("upgrade", "host"), 125, b"", "restart the agent")
    w.stop(p)


def test_moved(w):
    for text in ("host2.example.org", "x" * 255, ""):
        check(w.on_host("moved", "web1", text), 0, b"", None)
    for text in ("x" * 256, "a\nb"):
        check(w.on_host("moved", "web1", text), 125, b"", "destination")
    check(w.in_guest("moved", "host", "x"), 125, b"")


def test_connect_failures(w):
    check(w.on_host("connect", "web1", "org.example.none"), 127, b"",
          "nobody listens")
    check(w.on_host("connect", "web1", "a..b"), 125, b"", "name")
    p = w.listen(w.guest, "host", CHANNEL, "--messages", "--", "cat")
    check(w.on_host("connect", "web1", CHANNEL), 125, b"", "messages")
    w.stop(p)


def test_other_sides_end_ends_connect(w):
    """The other side ends both ways while our stdin stays open."""
    p = w.listen(w.guest, "host", CHANNEL, "--", "echo", "bye")
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert c.stdout.read() == b"bye\n"
    assert c.wait(PATIENCE) in (0, 125)
    w.stop(c)
    w.stop(p)


def test_half_close_keeps_the_other_way(w):
    """Nothing comes any more, and still what we send arrives."""
    p = w.listen(w.guest, "host", CHANNEL, "--once", "--", "sh", "-c",
                 "exec >/dev/null; cat >" + w.dir + "/sink")
    data = os.urandom(3 << 20)
    check(w.on_host("connect", "web1", CHANNEL, stdin=data), 0, b"")
    assert p.wait(PATIENCE) == 0
    with open(w.dir + "/sink", "rb") as f:
        assert f.read() == data
    w.stop(p)


def test_stdout_that_nobody_reads_does_not_stop_stdin(w):
    """The pipe behind stdout is full; bytes of stdin still go out."""
    sink = w.dir + "/sink"
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "(yes & echo $! >" + w.dir + "/yes); head -c 5 >" + sink)
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    c.stdout.read(65536)
    time.sleep(0.2)  # the pipe fills up; if it has not, the test is easier
    c.stdin.write(b"12345")
    c.stdin.flush()
    wait_until("the bytes are there", lambda: os.path.exists(sink) and
               os.path.getsize(sink) == 5)
    with open(w.dir + "/yes", encoding="ascii") as f:
        os.kill(int(f.read()), signal.SIGKILL)
    w.stop(c)
    w.stop(p)


def test_reader_of_stdout_goes_away(w):
    p = w.listen(w.guest, "host", CHANNEL, "--", "yes")
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    assert c.stdout.read(2) == b"y\n"
    c.stdout.close()
    assert c.wait(PATIENCE) == 128 + signal.SIGPIPE
    w.stop(p)
    c.stdout = None
    w.stop(c)


def test_closed_standard_descriptors(w):
    p = echo(w)
    sh = " ".join(w.command(w.host, "connect", "web1", CHANNEL))
    for closed in ("<&-", "<&- 2>&-"):
        run = subprocess.run(["sh", "-c", sh + " " + closed],
                             stdout=subprocess.PIPE, check=False,
                             timeout=PATIENCE)
        assert run.returncode == 0 and run.stdout == b"", run
    w.stop(p)


def test_connect_to_a_regular_file(w):
    p = echo(w)
    data = os.urandom(1 << 20)
    with open(w.dir + "/in", "wb") as f:
        f.write(data)
    with open(w.dir + "/in", "rb") as i, open(w.dir + "/out", "wb") as o:
        run = subprocess.run(w.command(w.host, "connect", "web1", CHANNEL),
                             stdin=i, stdout=o, check=False, timeout=PATIENCE)
    assert run.returncode == 0
    with open(w.dir + "/out", "rb") as f:
        assert f.read() == data
    w.stop(p)


def test_stdin_that_was_not_taken_is_125(w):
    """The other side ends orderly, but before it has read everything."""
    p = w.listen(w.guest, "host", CHANNEL)
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    p.stdin.write(b"x")
    p.stdin.flush()
    assert c.stdout.read(1) == b"x"
    w.stop(p, signal.SIGKILL)
    try:
        c.stdin.write(b"y" * 65536)
        c.stdin.close()
    except BrokenPipeError:
        pass
    status = c.wait(PATIENCE)
    said = c.stderr.read()
    # It may also have ended before stdin had anything.
    assert status == 125 or (status == 0 and not said), (status, said)
    assert status == 0 or b"stdin" in said or b"app-" in said, said
    c.stdin = None
    w.stop(c)


def ended_while_stopped(w, stdin):
    """connect stands still; the other side ends orderly; then it goes on."""
    gate = w.dir + "/gate"
    if not os.path.exists(gate):
        os.mkfifo(gate)
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "echo hi; read x <" + gate)
    monitor = Monitor(w)
    monitor.until("snapshot-end")
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    assert c.stdout.read(3) == b"hi\n"
    os.kill(c.pid, signal.SIGSTOP)
    c.stdin.write(stdin)
    c.stdin.flush()
    with open(gate, "wb", buffering=0) as f:
        f.write(b"\n")
    monitor.until("stream-closed")
    monitor.close()
    os.kill(c.pid, signal.SIGCONT)
    status, said = c.wait(PATIENCE), c.stderr.read()
    w.stop(c)
    w.stop(p)
    return status, said


def test_stdin_that_waits_at_an_orderly_end_is_125(w):
    status, said = ended_while_stopped(w, b"y" * 1000)
    assert status == 125, (status, said)
    assert b"before it had all of stdin; it has taken 0 bytes" in said, said


def test_nothing_on_stdin_at_an_orderly_end_is_0(w):
    assert ended_while_stopped(w, b"") == (0, b"")


def test_reset_is_125_with_the_reason(w):
    """The other side goes away with bytes unread."""
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "read x; kill -9 $$")
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    _, said = c.communicate(b"go\n" + b"y" * 4000000, timeout=PATIENCE)
    assert c.returncode == 125, said
    assert b"was reset: " in said and b"(app-" in said, said
    w.stop(p)
    c.stdin = c.stdout = c.stderr = None
    w.stop(c)


def ended(reason, bytes_out):
    """An answer of StreamStatus."""
    return {"stream": {"id": "i-1", "channel": CHANNEL,
                       "direction": "outgoing", "state": "ended",
                       "reason": reason, "bytes_in": 0,
                       "bytes_out": bytes_out, "caller": {
                           "side": "host", "uid": 0, "gid": 0}}}


def fake(w, stream, bytes_out):
    """A broker under whom a stream is what a test says."""
    return FakeBroker(w.host, "web7", {
        "Connect": {"id": "i-1"}, "StreamStatus": ended("ok", bytes_out)},
                      stream)


def test_bytes_that_the_other_side_has_not_taken_are_125(w):
    """Whatever it says of the end."""
    for taken in (4, 5):
        b = fake(w, lambda s: s.recv(5, socket.MSG_WAITALL), taken)
        run = w.on_host("connect", "web7", CHANNEL, stdin=b"12345")
        if taken < 5:
            check(run, 125, b"", "it has taken 4 bytes")
        else:
            check(run, 0, b"")
        b.close()


def test_an_end_within_a_message_is_125(w):
    for part in (b"\5", b"\5\0\0", b"\5\0\0\0", b"\5\0\0\0abcd"):
        b = fake(w, lambda s, text=b"\3\0\0\0one" + part: s.sendall(text), 0)
        check(w.on_host("connect", "web7", CHANNEL, "--messages"), 125,
              b"one\n", "the stream ended within a message")
        b.close()


def test_stdout_ends_with_the_stream(w):
    """Whoever reads it sees that, however long stdin goes on."""
    def stream(s):
        s.sendall(b"last")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(4, socket.MSG_WAITALL) == b"more"
        assert s.recv(1) == b""

    b = fake(w, stream, 4)
    c = w.start(w.command(w.host, "connect", "web7", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    got = b""
    while True:
        assert select.select([c.stdout], [], [], PATIENCE)[0], got
        part = os.read(c.stdout.fileno(), 100)
        if not part:
            break
        got += part
    assert got == b"last" and c.poll() is None
    c.stdin.write(b"more")
    c.stdin.close()
    assert c.wait(PATIENCE) == 0
    c.stdin = None
    w.stop(c)
    b.close()


def test_doctor_says_what_a_lost_vmstate_means(w):
    """The bus process that QEMU was connected to has died."""
    for vmstate, word in (("lost", "object-del"),
                          ("waiting", "QEMU has no dbus-vmstate"),
                          ("connected", "takes the state of streams along")):
        b = FakeBroker(w.host, "web7", {"GetInfo": {
            "vm": "web7", "version": "1", "pid": 1, "life": "serving",
            "vmstate": vmstate, "link": "down"}})
        run = w.on_host("doctor", "web7", "--json")
        hop = hops(run)["migration"]
        assert word in hop["detail"], hop
        assert hop["ok"] is (True if vmstate == "connected" else None), hop
        b.close()


def test_messages_are_lines(w):
    p = w.listen(w.guest, "host", CHANNEL, "--messages", "--", "cat")
    check(w.on_host("connect", "web1", CHANNEL, "--messages",
                    stdin=b"one\n\nthree\nlast"), 0, b"one\n\nthree\nlast\n")
    line = b"m" * (1 << 20)
    run = w.on_host("connect", "web1", CHANNEL, "--messages", stdin=line)
    check(run, 0, line + b"\n")
    run = w.on_host("connect", "web1", CHANNEL, "--messages",
                    stdin=line + b"m\n")
    check(run, 125, None, "over the limit")
    w.stop(p)


# ---- listen -----------------------------------------------------------------------

def test_listen_without_command_joins_the_first_stream(w):
    p = w.listen(w.guest, "host", CHANNEL)
    p.stdin.write(b"from the guest")
    p.stdin.close()
    check(w.on_host("connect", "web1", CHANNEL, stdin=b"from the host"), 0,
          b"from the guest")
    assert p.stdout.read() == b"from the host"
    assert p.wait(PATIENCE) == 0
    p.stdin = None
    w.stop(p)


def test_listen_sets_the_environment(w):
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "echo $VMCHANNEL_CALLER $VMCHANNEL_CHANNEL "
                 "$VMCHANNEL_STREAM; kill -l $(awk '/SigBlk/{print $2}' "
                 "/proc/self/status) 2>/dev/null; ls /proc/self/fd | wc -l")
    run = w.on_host("connect", "web1", CHANNEL)
    check(run, 0)
    words = run.stdout.decode().split()
    assert words[0] == f"host:{os.getuid()}" and words[1] == CHANNEL, words
    assert re.fullmatch("[0-9a-f]{8}-[0-9]+", words[2]), words
    # stdin, stdout, stderr and the folder itself: nothing is inherited.
    assert words[-1] == "4", words
    w.stop(p)


def test_listen_gives_a_command_its_signals_back(w):
    """What the command line ignores itself is not the command's; and the
    caller is one of the guest."""
    p = w.listen(w.host, "web1", CHANNEL, "--", "sh", "-c",
                 "echo $VMCHANNEL_CALLER; "
                 "awk '/SigIgn|SigBlk/{print $2}' /proc/self/status")
    run = w.in_guest("connect", "host", CHANNEL)
    check(run, 0)
    caller, blocked, ignored = run.stdout.decode().split()
    assert caller == f"guest:{os.getuid()}", caller
    assert int(blocked, 16) == 0, blocked
    for sig in (signal.SIGPIPE, signal.SIGCHLD):
        assert int(ignored, 16) >> (sig - 1) & 1 == 0, (sig, ignored)
    w.stop(p)


def test_listen_once_passes_the_exit_status_on(w):
    for command, status in (("exit 7", 7), ("kill -9 $$", 137),
                            ("exit 0", 0)):
        p = w.listen(w.guest, "host", CHANNEL, "--once", "--", "sh", "-c",
                     command)
        w.on_host("connect", "web1", CHANNEL)
        assert p.wait(PATIENCE) == status
        w.stop(p)


def test_listen_serves_many_at_once(w):
    p = echo(w, "--max", "3")
    clients = [w.start(w.command(w.host, "connect", "web1", CHANNEL),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
               for _ in range(8)]
    for i, c in enumerate(clients):
        c.stdin.write(b"%d" % i)
        c.stdin.close()
    for i, c in enumerate(clients):
        assert c.stdout.read() == b"%d" % i
        assert c.wait(PATIENCE) == 0
        c.stdin = None
        w.stop(c)
    w.stop(p)


def test_listen_counts_its_own_children(w):
    """A shell that became the command has left it a child."""
    sh = " ".join(w.command(w.guest, "listen", "host", CHANNEL, "--max", "1",
                            "--", "cat"))
    p = w.start(["sh", "-c", "sleep 0.5 & exec " + sh],
                stderr=subprocess.PIPE)
    assert b"listening on" in p.stderr.readline()
    wait_until("the foreign child is gone", lambda: not children_of(p.pid))
    for _ in range(2):
        wait_until("it is served", lambda: w.on_host(
            "connect", "web1", CHANNEL, "--timeout", "5",
            stdin=b"x").stdout == b"x")
    w.stop(p)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return f.read().split()


def test_listen_under_somebody_who_ignores_sigchld(w):
    p = w.start(w.command(w.guest, "listen", "host", CHANNEL, "--once", "--",
                          "sh", "-c", "exit 7"), stderr=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGCHLD,
                                                 signal.SIG_IGN))
    assert b"listening on" in p.stderr.readline()
    wait_until("it is announced", lambda: CHANNEL.encode() in w.on_host(
        "channels", "web1", "--names").stdout.split())
    w.on_host("connect", "web1", CHANNEL, "--timeout", "5")
    assert p.wait(PATIENCE) == 7
    w.stop(p)


def test_listen_needs_a_command_that_exists(w):
    p = w.listen(w.guest, "host", CHANNEL, "--", "/nonexistent/command")
    w.on_host("connect", "web1", CHANNEL)
    assert p.wait(PATIENCE) == 125
    assert b"/nonexistent/command" in p.stderr.read()
    w.stop(p)


def test_listen_name_in_use(w):
    p = echo(w)
    check(w.in_guest("listen", "host", CHANNEL, "--", "cat"), 125, b"",
          "another program")
    w.stop(p)


# ---- questions ----------------------------------------------------------------------

def test_call(w):
    run = w.on_host("call", "web1", "org.varlink.service.GetInfo")
    assert json.loads(run.stdout)["product"] == "vmchannel-agent"
    run = w.in_guest("call", "host", "org.varlink.service.GetInfo", "{}")
    assert json.loads(run.stdout)["product"] == "vmchanneld"
    check(w.on_host("call", "web1", "org.varlink.service.Nope"), 1, b"",
          "MethodNotFound")
    check(w.on_host("call", "web1", "org.example.none.M"), 127, b"", "nobody")
    check(w.on_host("call", "web1", "nodot"), 125, b"", "interface.Method")
    check(w.on_host("call", "web1", "a.b.C", "{"), 125, b"", "JSON")
    run = w.on_host("call", "--local", "web1", "org.vmchannel.Broker.List")
    assert "channels" in json.loads(run.stdout)
    check(w.on_host("call", "--local", "web1", "org.vmchannel.Broker.Nope"),
          1, b"", "MethodNotFound")


def test_call_keeps_its_timeout(w):
    """The service is announced, but does not take the stream."""
    p = echo(w)
    p.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    check(w.on_host("call", "web1", CHANNEL + ".M", "--timeout", "1"), 125,
          b"", "in time")
    assert time.monotonic() - since < 10
    p.send_signal(signal.SIGCONT)
    w.stop(p)


def test_long_lists_are_whole(w):
    """More streams than go into one reply; as many channels as are likely."""
    names = [f"org.example.n{i:03}" for i in range(60)]
    held = [w.varlink(root, vm, "Listen", "more", channel=n)
            for n in names for root, vm in ((w.host, "web1"),
                                            (w.guest, "host"))]
    run = wait_until("all are seen", lambda: (
        lambda r: r.stdout.count(names[-1].encode()) == 2 and r)(
            w.on_host("channels", "web1", "--json")))
    check(run, 0)
    assert sorted(c["name"] for c in map(json.loads, run.stdout.splitlines())
                  if c["name"] in names) == sorted(names * 2)
    for s in held:
        s.close()
    held = [w.varlink(w.host, "web1", "Connect", "upgrade",
                      channel="org.varlink.service") for _ in range(150)]
    run = w.on_host("status", "web1", "--json")
    check(run, 0)
    ids = {json.loads(r)["id"] for r in run.stdout.splitlines()}
    assert len(ids) == 150, len(ids)
    for s in held:
        s.close()
    wait_until("they are gone", lambda: not w.on_host(
        "status", "web1", "--json").stdout)


def test_replies_cannot_drive_the_terminal(w):
    # U+009B is an escape sequence's start in one character.
    # U+202E and U+2066 turn round what is behind them, U+202F is a space.
    reply = (r'{"parameters":{"x":"\302\2332J\177\303\244'
             r'\342\200\256\342\201\246\342\200\257"}}' + r"\0")
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "printf '%s'; cat >/dev/null" % reply)
    run = w.on_host("call", "web1", CHANNEL + ".M")
    check(run, 0, b'{"x":"\\u009b2J\\u007f\xc3\xa4'
          b'\\u202e\\u2066\xe2\x80\xaf"}\n')
    assert json.loads(run.stdout) == {
        "x": "\u009b2J\u007f\u00e4\u202e\u2066\u202f"}
    w.stop(p)
    reply = reply.replace('{"par', '{"error":"a.B","par')
    p = w.listen(w.guest, "host", CHANNEL, "--", "sh", "-c",
                 "printf '%s'; cat >/dev/null" % reply)
    run = w.on_host("call", "web1", CHANNEL + ".M")
    check(run, 1, b"", '{"x":"??2J')
    assert b"\x9b" not in run.stderr, run.stderr
    assert b"\xc3\xa4??????\xe2\x80\xaf" in run.stderr, run.stderr
    w.stop(p)


def test_stats(w):
    stats = json.loads(w.on_host("stats", "web1", "--json").stdout)
    # Counters begin anew with an upgrade.
    assert stats["session"]["streams"] >= 0 and "broker" in stats
    assert sum(stats["session"].values()) > 0
    text = w.on_host("stats", "web1").stdout
    more = w.on_host("stats", "web1", "--all").stdout
    assert text.startswith(b"session\n") and len(more) > len(text)


def test_status(w):
    p = w.listen(w.guest, "host", CHANNEL, "--", "cat")
    c = w.start(w.command(w.host, "connect", "web1", CHANNEL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    c.stdin.write(b"12345")
    c.stdin.flush()
    assert c.stdout.read(5) == b"12345"
    streams = [json.loads(r) for r in
               w.on_host("status", "web1", "--json").stdout.splitlines()]
    mine = [s for s in streams if s["channel"] == CHANNEL]
    assert len(mine) == 1 and mine[0]["state"] == "open", streams
    c.stdin.close()
    assert c.wait(PATIENCE) == 0
    run = w.on_host("status", "web1", mine[0]["id"], "--json")
    ended = json.loads(run.stdout)
    assert ended["state"] == "ended" and ended["reason"] == "ok", ended
    assert ended["bytes_in"] == ended["bytes_out"] == 5, ended
    text = w.on_host("status", "web1", mine[0]["id"]).stdout
    assert text.startswith(b"ID ") and b" ended " in text
    check(w.on_host("status", "web1", "nonsense-1"), 127, b"", "no such")
    c.stdin = None
    w.stop(c)
    w.stop(p)


def test_policy(w):
    def ask(*args):
        return w.on_host("policy", "test", "web1", *args)
    run = ask("connect", CHANNEL)
    check(run, 0)
    assert run.stdout.startswith(b"allowed: connect " + CHANNEL.encode())
    assert b"rule built-in:" in run.stdout
    run = ask("connect", "org.vmchannel.x", "--as", "guest:1000", "--json")
    verdict = json.loads(run.stdout)
    assert run.returncode == 126 and verdict["allowed"] is False
    check(ask("listen", CHANNEL, "--as", "guest:0"), 126)
    check(ask("listen", CHANNEL, "--as", "group:root"), 126)
    check(ask("listen", CHANNEL, "--as", "host"), 0)
    for bad in ("moon", "guest:", "guest:x", "guest:-1", "group:", "user:1", "guestx:1",
                "guest:4294967296", "group:no such group"):
        check(ask("listen", CHANNEL, "--as", bad), 125, b"", "--as")
    check(ask("connect", "a..b"), 125, b"", "name")


# ---- monitor --------------------------------------------------------------------------

class Monitor:
    def __init__(self, w, *args):
        self.w = w
        self.p = w.start(w.command(w.host, "monitor", *args, "--json"),
                         stdout=subprocess.PIPE)

    def next(self):
        line = self.p.stdout.readline()
        assert line, "the monitor ended"
        return json.loads(line)

    def until(self, kind, **members):
        """The next event of that type with those members."""
        while True:
            event = self.next()
            if event["type"] == kind and all(
                    event.get(k) == v for k, v in members.items()):
                return event

    def close(self):
        self.w.stop(self.p)


def test_monitor_shows_what_happens(w):
    m = Monitor(w, "web1")
    m.until("peer-up", seq=0, vm="web1")
    m.until("snapshot-end")
    p = echo(w)
    added = m.until("channel-added", channel=CHANNEL, side="peer")
    w.on_host("connect", "web1", CHANNEL, stdin=b"123")
    opened = m.until("stream-opened")
    closed = m.until("stream-closed")
    assert opened["stream"]["id"] == closed["stream"]["id"]
    assert closed["stream"]["reason"] == "ok"
    assert added["seq"] < opened["seq"] < closed["seq"]
    w.stop(p)
    m.until("channel-removed", channel=CHANNEL)
    m.close()


def test_monitor_snapshot_ends(w):
    run = w.on_host("monitor", "web1", "--snapshot")
    check(run, 0)
    assert b"(present)" in run.stdout and b"snapshot-end" in run.stdout
    check(w.on_host("monitor", "--snapshot"), 0)


def test_monitor_ends_when_nobody_reads(w):
    run = subprocess.run(
        ["sh", "-c", " ".join(w.command(w.host, "monitor", "web1")) +
         " | head -1"], capture_output=True, check=False, timeout=PATIENCE)
    assert run.returncode == 0 and run.stdout.count(b"\n") == 1, run


def test_monitor_finds_new_vms_beside_a_busy_one(w):
    """Events of one VM never stop; another VM starts."""
    busy = w.start(["sh", "-c", "while " + " ".join(w.command(
        w.host, "connect", "web1", "org.varlink.service", "</dev/null")) +
        "; do :; done"], stdout=subprocess.DEVNULL)
    m = Monitor(w)
    m.until("stream-closed", vm="web1")
    new = w.start([w.path("src/host/vmchanneld"), "--dir", w.host,
                   "--config", w.config, "web2"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE
        while m.next()["vm"] != "web2":
            assert time.monotonic() < end, "web2 is not seen"
    finally:
        w.stop(busy)
        w.stop(new)
        m.close()


def test_doctor_says_no_to_nobody(w):
    """Its exit status is its own, also if nobody reads what it finds."""
    for vm, status in (("web1", b"0"), ("web9", b"1")):
        run = subprocess.run(
            ["sh", "-c", "(sleep 0.3; " + " ".join(w.command(
                w.host, "doctor", vm)) + "; echo $? >&2) | :"],
            stderr=subprocess.PIPE, check=False, timeout=PATIENCE)
        assert run.stderr == status + b"\n", (vm, run.stderr)


# ---- brokers that go away: the last, as they start them anew ----------------------------

def test_restarted_brokers_are_found_again(w):
    m = Monitor(w)
    m.until("snapshot-end")
    listener = w.listen(w.host, "web1", CHANNEL, "--", "cat")
    check(w.in_guest("connect", "host", CHANNEL, stdin=b"1"), 0, b"1")
    w.stop(w.daemon, signal.SIGKILL)
    m.until("broker-gone")
    wait_until("the worker is gone, too", lambda: not w.info(w.host, "web1"))
    w.start_daemon()
    m.until("broker-restarted")
    m.until("snapshot-end")
    w.wait_up()
    wait_until("the channel is announced again",
               lambda: w.in_guest("connect", "host", CHANNEL,
                                  stdin=b"2").stdout == b"2")
    m.close()
    w.stop(listener)


ALONE = [test_help_names_every_verb, test_wrong_usage_is_125_and_one_line,
         test_version, test_no_vm_is_127_with_the_remedy,
         test_relative_dir_is_refused, test_full_disk_is_noticed,
         test_doctor_looks_at_the_guests_port,
         test_doctor_says_how_a_lost_bus_is_mended,
         test_doctor_names_the_first_bad_hop]
TOGETHER = [f for name, f in list(globals().items())
            if name.startswith("test_") and f not in ALONE]


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def run_one(f, world, number):
    try:
        f(world)
        print(f"ok {number} - {f.__name__[5:]}", flush=True)
        return True
    except Exception:  # pylint: disable=broad-except
        print(f"not ok {number} - {f.__name__[5:]}")
        for line in traceback.format_exc().splitlines():
            print("# " + line)
        for name in ("daemon.log", "agent.log"):
            path = os.path.join(world.dir, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as log:
                    for line in log.read().splitlines()[-10:]:
                        print(f"# {name}: {line}")
        sys.stdout.flush()
        return False


def run_all(argv, alone, together):
    """Those that want a world of their own, and those that share one."""
    build = os.path.abspath(argv[1])
    word = argv[2] if len(argv) > 2 else ""
    alone = [f for f in alone if word in f.__name__]
    together = [f for f in together if word in f.__name__]
    print(f"1..{len(alone) + len(together)}")
    number = 0
    good = True
    for f in alone:
        number += 1
        world = World(build)
        good = run_one(f, world, number) and good
        world.close()
    if together:
        world = World(build)
        world.start_all()
        for f in together:
            number += 1
            good = run_one(f, world, number) and good
        world.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(run_all(sys.argv, ALONE, TOGETHER))
