# SPDX-License-Identifier: MIT
"""A guest whose operations answer with anything but what was asked for: each
answer is the end of its own call, in one line, and of nothing else."""
import json
import os
import socket
import subprocess
import tempfile

from test_60_hostile import MEMORY_LIMIT
from vmtest import check, check_equal, program, test, varlink, wait_for

SYSTEM, AGENT = "org.vmchannel.System", "org.vmchannel.Agent"
# Of a client of ours, with what it inherits from this process before exec().
CLIENT_LIMIT = 80 << 10
REPLY_MAX = 16 << 20
RIGHT = b'{"parameters":{"uptime_us":5,"boot_time_us":6}}'
SECONDS = "60"
# How an answer goes on: the end, nothing more, and no end.
END, HOLD, FLOOD = "end", "hold", "flood"

# Puts what is in /tmp/evil in the place of every reply.
EVIL = """#!/bin/sh
cat /tmp/evil.bytes
case $(cat /tmp/evil.tail) in
hold) exec cat >/dev/null ;;
flood) exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ;;
esac
"""


def error(name, /, **params):
    return json.dumps({"error": name, "parameters": params}).encode() + b"\0"


ANSWERS = {
    "gigabytes": (b'{"parameters":{"uptime_us":"', FLOOD),
    "gigabytes-behind": (RIGHT + b"\0", FLOOD),
    "deep": (b'{"parameters":' + b'{"a":' * 9000 + b"1" + b"}" * 9001 + b"\0",
             HOLD),
    "types": (b'{"parameters":{"uptime_us":"5","boot_time_us":[6]}}\0', HOLD),
    "missing": (b'{"parameters":{"uptime_us":5}}\0', HOLD),
    "parameters": (b'{"parameters":[]}\0', HOLD),
    "range": (b'{"parameters":{"uptime_us":-1,"boot_time_us":6}}\0', HOLD),
    "large": (b'{"parameters":{"uptime_us":' + b"9" * 400 +
              b',"boot_time_us":6}}\0', HOLD),
    "utf8": (b'{"parameters":{"uptime_us":5,"\xff\xfe":6}}\0', HOLD),
    "nul": (b'{"error":"a.B\\u0000"}\0', HOLD),
    "escapes": (error("org.vmchannel.Failed", operation="\x1b[2J\n\n",
                      name="\x1b]0;evil\x07", detail="\r\n\u202e\x9b"), HOLD),
    "escapes-name": (error("\x1b[2J.E"), HOLD),
    "huge-error": (error("org.vmchannel.Failed", operation="x",
                         name="y" * 60000, detail="z"), HOLD),
    "unknown-error": (error("org.evil.Error", text="\n\x1b" * 10000), HOLD),
    "goes-on": (RIGHT[:-1] + b',"continues":true}\0', HOLD),
    "a-call": (b'{"method":"org.vmchannel.System.PowerOff"}\0', HOLD),
    "garbage": (bytes(range(128, 256)) * 100 + b"\0", HOLD),
    "half": (RIGHT[:30], END),
    "nothing": (b"", END),
    "never": (b"", HOLD),
}


def start_agent(t, vm, daemon):
    """One whose operations are a program of ours, as root of the guest."""
    vm.guest.write_file("/root/evil", EVIL, 0o755)
    for name in (SYSTEM, AGENT):
        vm.guest.write_file(f"/etc/vmchannel/services.d/{name}.conf",
                            "[Service]\nCommand=/root/evil\nMaxStreams=16\n")
    vm.guest.run("vmchannel-agent --no-operations </dev/null "
                 ">>/var/log/agent.log 2>&1 &")
    t.wait_peer(daemon, 120)
    wait_for("its operations", lambda: {SYSTEM, AGENT} <= {
        c["name"] for c in varlink(
            daemon, "org.vmchannel.Broker.List")["channels"]}, 60, 0.1)


def run(daemon, *args):
    """(status, stdout, stderr, largest RSS in KiB) of the command."""
    argv = ["timeout", SECONDS, program("src/cli/vmchannel"), *args]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # wait4() is how its memory is known.
        p = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=dict(os.environ, VMCHANNEL_DIR=daemon.top))
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return p.returncode, out.read(), err.read(), usage.ru_maxrss


def one_line(kind, verb, daemon, *args):
    status, out, err, rss = run(daemon, verb, *args)
    what = f"{kind}: {verb}: {out[:200]!r} {err[:600]!r} status {status}"
    check(status not in (0, 124) and status < 128, what)
    check(err.count(b"\n") == 1 and err.endswith(b"\n"), what)
    check(all(32 <= b < 127 for b in err[:-1]), what)
    check_equal(out, b"", f"{kind}: what {verb} printed")
    check(rss <= CLIENT_LIMIT, f"{kind}: {verb} had {rss} KiB")


def by_control(kind, data, tail, daemon):
    """A varlink client of "control": gets the bytes as they are, and can go
    on if a reply has ended."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(float(SECONDS))
        s.connect(os.path.join(daemon.dir, "control"))
        s.sendall(b'{"method":"' + SYSTEM.encode() + b'.GetUptime"}\0')
        if kind == "never":
            return
        got = 0
        first = b""
        while b"\0" not in (piece := s.recv(1 << 20)):
            if not piece:
                break
            first += piece[:64]
            got += len(piece)
        check(got <= REPLY_MAX, f"{kind}: {got} bytes of a reply")
        if b"\0" not in data:
            whole = tail == END and data == b""
            check(bool(piece) == whole, f"{kind}: no end of {got} bytes")
            if not whole:
                return
            check(b"org.vmchannel.Broker.Refused" in piece, f"{piece!r}")
        else:
            check((first + piece)[:64] == data[:data.index(b"\0") + 1][:64],
                  f"{kind}: {first + piece!r}")
        s.sendall(b'{"method":"org.vmchannel.Broker.GetInfo"}\0')
        answer = b""
        while not answer.endswith(b"\0"):
            more = s.recv(65536)
            check(more, f"{kind}: the connection ended behind the reply")
            answer += more
        check(b'"peer_instance"' in answer, f"{kind}: {answer!r}")


# Those that each check is about; the soak tries all.
SOME = ("gigabytes", "deep", "types", "utf8", "escapes", "huge-error",
        "never", "half")


@test(timeout=400, slow=True)
def test_hostile_answers(t):
    good_vm, good = t.shared()
    vm = t.vm("bad", agent=False)
    daemon = t.daemon(vm)
    start_agent(t, vm, daemon)
    worker = daemon.worker()
    t.guest_serve(vm, "org.example.beside", "echo")
    t.guest_serve(good_vm, "org.example.calm", "echo")
    # Something that answers right is seen as such.
    calls = [("call", vm.name, SYSTEM + ".GetUptime"),
             ("events", vm.name, "--once")]
    answer(vm, RIGHT + b"\0", HOLD)
    status, out, err, least = run(daemon, *calls[0])
    check_equal((status, json.loads(out), err),
                (0, json.loads(RIGHT)["parameters"], b""), "what is right")
    for kind in ANSWERS if t.soak else SOME:
        data, tail = ANSWERS[kind]
        answer(vm, data, tail)
        beside = [t.host_connect(daemon, "org.example.beside", "duplex",
                                 1 << 18, 1),
                  t.host_connect(good, "org.example.calm", "duplex",
                                 1 << 18, 1)]
        if kind == "gigabytes-behind":
            status, out, _, rss = run(daemon, *calls[0])
            check_equal((status, rss <= CLIENT_LIMIT), (0, True), kind)
        else:
            one_line(kind, *calls[0][:1], daemon, *calls[0][1:],
                     *(["--timeout", "2"] if kind == "never" else []))
        # To wait is what a subscription is for.
        if kind not in ("never", "goes-on"):
            one_line(kind, *calls[1][:1], daemon, *calls[1][1:])
        by_control(kind, data, tail, daemon)
        for p in beside:
            p.ok(120)
        rss = t.daemon_rss(daemon)
        check(rss <= MEMORY_LIMIT, f"{kind}: vmchanneld has {rss} KiB")
        check_equal(daemon.worker(), worker, f"{kind}: pid of the worker")
    t.note(f"vmchanneld has {rss} KiB afterwards, the command with a right "
           f"answer {least} KiB")
    left = wait_for("the end of all calls", lambda: not [
        s for s in varlink(daemon, "org.vmchannel.Broker.Streams")["streams"]
        if s["channel"] in (SYSTEM, AGENT)], 60, 0.1)
    check(left, "streams that are left")


def answer(vm, data, tail):
    vm.guest.run("cat >/tmp/evil.bytes", stdin=data)
    vm.guest.run(f"echo {tail} >/tmp/evil.tail")
