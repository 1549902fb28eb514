#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""qmp.py VMCHANNELD AGENT [TEST...] - vmchanneld's own QMP connection, with
this program as a QEMU that is honest, hostile, mute or not there; TAP."""
import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time

import hostbench
from hostbench import SANITIZED, Qemu, echo_once, vmc
from scripted_qmp import GREETING, ScriptedQmp
from vmc import Skip, equal, has, test

# Longer than anything that is waited for before a question is given up.
QUIET_SECONDS = 3
# Of a hundredth of a second each, in which nothing of it moved.
REST_LOOKS = 50


def word(b):
    with contextlib.suppress(OSError, EOFError):
        return vmc.call(b.host, "GetInfo").get("qmp")
    return "gone"


def says(b, expected):
    vmc.wait_for(lambda: word(b) == expected)


def start(b, *more):
    b.start("--qmp-events", f"{b.top}/qmp", *more)


@contextlib.contextmanager
def qmp(b, *args, **more):
    q = ScriptedQmp(f"{b.top}/qmp", *args, **more)
    try:
        yield q
    finally:
        q.close()


def processes(b):
    """{role: pid} of the daemon and its children"""
    found = {"supervisor": b.daemon.pid}
    with open(f"/proc/{b.daemon.pid}/task/{b.daemon.pid}/children",
              encoding="ascii") as f:
        pids = f.read().split()
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                m = re.search(rb"\0--(worker|bus|qmp)\0", f.read())
            if m:
                found[m.group(1).decode()] = int(pid)
    return found


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(),
                             re.M).group(1))


# ---- what it says -------------------------------------------------------------


@test
def hints_arrive(b):
    with qmp(b) as q:
        start(b)
        says(b, "running")
        q.event("STOP", "paused")
        says(b, "stopped")
        q.event("RESUME", "running")
        says(b, "running")
        # A migration: no event says that it is over.
        q.event("STOP", "finish-migrate")
        says(b, "stopped")
        q.migrate = "completed"
        q.status = "postmigrate"
        says(b, "moved")
        q.event("RESUME", "running")
        says(b, "running")
        # A worker that comes later knows it, too.
        q.event("STOP", "paused")
        says(b, "stopped")
        before = b.worker()
        os.kill(before, signal.SIGKILL)
        vmc.wait_for(lambda: b.worker() not in (None, before))
        says(b, "stopped")
        equal(b.end(), 0)


@test
def without_it_nothing_is_said(b):
    b.start()
    equal(word(b), None)
    equal("qmp" in processes(b), False)
    equal(b.end(), 0)


@test
def paused_and_failed_is_not_moved(b):
    """QEMU leaves such a VM in postmigrate."""
    with qmp(b, "postmigrate") as q:
        q.migrate = "failed"
        start(b)
        says(b, "stopped")
        equal(q.count("query-migrate"), 1)


@test
def it_comes_and_goes(b):
    start(b)
    says(b, "waiting")
    vmc.wait_for(lambda: "ev=qmp-missing" in b.logged())
    with qmp(b):
        b.qemu = Qemu(b.top)  # QEMU's link is there, so the other is, too
        says(b, "running")
    says(b, "waiting")
    equal("qmp" in processes(b), False)
    with qmp(b, "paused"):
        says(b, "stopped")
    has(b.logged(), "ev=qmp-ended why=eof")
    equal(b.end(), 0)


def at_rest(pids):
    """The switches of each, once they have done what they were about to."""
    seen = []

    def look():
        seen.append({who: switches(pid) for who, pid in pids.items()})
        return len(seen) > REST_LOOKS and all(
            s == seen[-1] for s in seen[-REST_LOOKS:])
    vmc.wait_for(look)
    return seen[-1]


@test
def an_operator_has_the_socket(b):
    """It accepts and does not greet until that one has left."""
    with qmp(b, greets=False) as q:
        b.start_all("--qmp-events", f"{b.top}/qmp")
        vmc.wait_for(lambda: "qmp" in processes(b))
        equal(word(b), "waiting")
        pids = processes(b)
        before = at_rest(pids)
        time.sleep(QUIET_SECONDS)
        equal(processes(b), pids)
        # The others were just asked for GetInfo; it waits and does nothing.
        equal(switches(pids["qmp"]), before["qmp"])
        equal(switches(pids["supervisor"]), before["supervisor"])
        q.client.sendall(GREETING)
        says(b, "running")


@test
def its_process_is_confined(b):
    with qmp(b):
        start(b)
        says(b, "running")
        pid = processes(b)["qmp"]
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = f.read()
        if not SANITIZED:
            for line in ("Seccomp:\t2", "NoNewPrivs:\t1",
                         "CapEff:\t0000000000000000"):
                has(status, line)
            kb = sum(int(n) for n in
                     re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status))
            print(f"# QMP process {kb} kB")
            assert kb < 1024, kb
        if os.geteuid() == 0:
            # The pair, QEMU and what a program starts with.
            assert len(os.listdir(f"/proc/{pid}/fd")) == 5
        os.kill(pid, signal.SIGKILL)
        vmc.wait_for(lambda: processes(b).get("qmp") not in (None, pid))
        says(b, "running")
        pid = processes(b)["qmp"]
        b.daemon.kill()
        vmc.wait_for(lambda: hostbench.gone(pid))


@test
def nothing_wakes_up(b):
    """0 wake-ups in 10 s, with a stream that is open."""
    if SANITIZED:
        raise Skip("a sanitizer has timers of its own")
    with qmp(b):
        b.start_all("--qmp-events", f"{b.top}/qmp")
        says(b, "running")
        lis = vmc.Listener(b.guest, "org.test.idle")
        vmc.wait_channel(b.host, "org.test.idle")
        mine, _, theirs, _ = vmc.join(b.host, lis)
        pids = processes(b)

        def ten_seconds():
            before = [switches(p) for p in pids.values()]
            time.sleep(10)
            return [switches(p) for p in pids.values()] == before
        # What went before may still settle: the first seconds do not count.
        vmc.wait_for(ten_seconds)
        mine.close()
        theirs.close()
        lis.close()


# ---- hostile ones ---------------------------------------------------------------


READY = GREETING + b'{"return": {}, "id": 1}\n'

HOSTILE = [
    b"\0" * 100 + b"\n",
    b"\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"{" * 50000 + b"\n",
    b"x" * 200000,  # a line without an end
    GREETING * 2,
    GREETING + b'{"event": "STOP"}\n',
    READY + b'{"return": {}, "id": 77}\n',
    READY + b'{"return": {}}\n',
    READY + b'{"event": "STOP", "data": ' + b'{"a":' * 40 + b"1" + b"}" * 41 +
    b"\n",
    READY + b'{"event": "' + b"S" * 70000 + b'"}\n',
    READY + b'{"event": 1}\n',
    READY + b'{"event": "STOP", "event": "RESUME"}\n',
    READY + b'{"event": "ST\xff\xfe"}\n',
]


@test
def hostile_bytes_end_the_connection(b):
    b.start_all("--qmp-events", f"{b.top}/qmp")
    worker = b.worker()
    for script in HOSTILE:
        with qmp(b, script=script) as q:
            # A connection that is no good is tried again later; QEMU's link
            # that is new is a reason to do it now.
            b.qemu.drop()
            vmc.wait_for(lambda: q.ended >= 1)
    has(b.logged(), "ev=qmp-ended why=nonsense")
    with qmp(b):
        b.qemu.drop()
        says(b, "running")
    equal(b.worker(), worker)
    b.wait_up()
    echo_once(b)


@test
def a_storm_of_events(b):
    """The VM runs, stands, runs, ...: nothing is lost, nobody is busy for
    long, and the last word is what counts."""
    with qmp(b) as q:
        b.start_all("--qmp-events", f"{b.top}/qmp")
        says(b, "running")
        worker = b.worker()
        lis = vmc.Listener(b.guest, "org.test.storm")
        vmc.wait_channel(b.host, "org.test.storm")
        mine, _, theirs, _ = vmc.join(b.host, lis)
        storm = (b'{"event": "STOP"}\n{"event": "RESUME"}\n') * 1000
        out = bytes(range(256)) * 4096

        def blow():
            for _ in range(20):
                with q.lock:
                    q.client.sendall(storm)
        t = threading.Thread(target=blow)
        t.start()
        sent = threading.Thread(target=mine.sendall, args=[out])
        sent.start()
        equal(vmc.read_exact(theirs, len(out)), out)
        sent.join()
        t.join()
        q.event("STOP", "paused")
        says(b, "stopped")
        q.event("RESUME", "running")
        says(b, "running")
        equal(b.worker(), worker)
        for s in (mine, theirs, lis):
            s.close()


@test
def lies_cost_nothing_while_it_serves(b):
    """Moved, stopped, running: a VM whose state did not leave stays here."""
    with qmp(b) as q:
        b.start_all("--qmp-events", f"{b.top}/qmp")
        says(b, "running")
        lis = vmc.Listener(b.guest, "org.test.lies")
        vmc.wait_channel(b.host, "org.test.lies")
        mine, ident, theirs, _ = vmc.join(b.host, lis)
        for i, (event, status, migrate) in enumerate(
                [("STOP", "postmigrate", "completed"),
                 ("RESUME", "running", None), ("STOP", "paused", None),
                 ("STOP", "postmigrate", "completed")] * 3):
            q.migrate = migrate
            q.event(event, status)
            text = b"%d" % i
            mine.sendall(text)
            equal(vmc.read_exact(theirs, len(text)), text)
            theirs.sendall(text)
            equal(vmc.read_exact(mine, len(text)), text)
        says(b, "moved")
        equal(vmc.call(b.host, "GetInfo")["life"], "serving")
        equal(vmc.call(b.host, "StreamStatus", id=ident)["stream"]["state"],
              "open")
        for s in (mine, theirs, lis):
            s.close()


# ---- mending the bus ---------------------------------------------------------------


def vmstate(b):
    with contextlib.suppress(OSError, EOFError):
        return vmc.call(b.host, "GetInfo").get("vmstate")
    return "gone"


def connect_bus(b):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{b.host}/vmstate.sock")
    return s


def lose_bus(b):
    """QEMU is connected, then what it is connected to dies."""
    s = connect_bus(b)
    vmc.wait_for(lambda: vmstate(b) == "connected")
    os.kill(processes(b)["bus"], signal.SIGKILL)
    vmc.wait_for(lambda: "ev=bus-died" in b.logged())
    s.close()


@test
def a_lost_bus_is_mended(b):
    again = []
    with qmp(b) as q:
        q.on_add = lambda: again.append(connect_bus(b))
        start(b)
        says(b, "running")
        lose_bus(b)
        vmc.wait_for(lambda: vmstate(b) == "connected" and again)
        vmc.wait_for(lambda: "ev=vmstate-mended" in b.logged())
        names = [n for n, _ in q.asked]
        at = names.index("query-migrate")
        equal(names[at:at + 3], ["query-migrate", "object-del", "object-add"])
        equal(q.asked[at + 1][1], {"id": "vmch0"})
        equal(q.asked[at + 2][1], {
            "qom-type": "dbus-vmstate", "id": "vmch0",
            "addr": f"unix:path={b.host}/vmstate.sock",
            "id-list": "vmchannel"})
        for s in again:
            s.close()


@test
def not_while_a_migration_runs(b):
    with qmp(b) as q:
        q.migrate = "active"
        again = []
        q.on_add = lambda: again.append(connect_bus(b))
        start(b)
        says(b, "running")
        lose_bus(b)
        vmc.wait_for(lambda: q.count("query-migrate") >= 2)
        equal(q.count("object-del"), 0)
        equal(vmstate(b), "lost")
        q.migrate = "failed"
        vmc.wait_for(lambda: vmstate(b) == "connected")
        again[0].close()


@test
def qmp_that_comes_later_mends(b):
    start(b)
    lose_bus(b)
    vmc.wait_for(lambda: vmstate(b) == "lost")
    again = []
    with qmp(b) as q:
        q.on_add = lambda: again.append(connect_bus(b))
        b.qemu = Qemu(b.top)
        vmc.wait_for(lambda: vmstate(b) == "connected")
        again[0].close()


@test
def a_qemu_that_refuses_is_not_asked_without_end(b):
    with qmp(b) as q:
        q.on_add = lambda: 'there is "one" already'
        start(b)
        says(b, "running")
        lose_bus(b)
        vmc.wait_for(lambda: "ev=vmstate-mend error=" in b.logged())
        has(b.logged(), "there is ?one? already")
        time.sleep(QUIET_SECONDS)
        equal(q.count("object-add"), 1)
        equal(vmstate(b), "lost")


# ---- upgrades ----------------------------------------------------------------------


@test
def an_upgrade_connects_anew(b):
    with qmp(b) as q:
        start(b)
        says(b, "running")
        pid = processes(b)["qmp"]
        b.daemon.send_signal(signal.SIGUSR2)
        vmc.wait_for(lambda: "ev=upgraded" in b.logged())
        vmc.wait_for(lambda: processes(b).get("qmp") not in (None, pid))
        says(b, "running")
        q.event("STOP", "paused")
        says(b, "stopped")
        equal(b.end(), 0)


hostbench.run_all(sys.argv[3:])
