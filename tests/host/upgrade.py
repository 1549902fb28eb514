#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""upgrade.py VMCHANNELD AGENT [TEST...] - the running program is replaced
while programs talk: nothing is lost, nothing comes twice, nobody notices.
VMC_UPGRADES=N: as many in a row (default 10). TAP."""
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import hostbench
from hostbench import VMCHANNELD, echo_once, gone, vmc
from vmc import Error, ended, equal, has, test, wait_channel

UPGRADES = int(os.environ.get("VMC_UPGRADES", "10"))
MAGIC = b"VMCSTATE"  # of a saved state


def program(b):
    """A copy that can be replaced without touching the built one."""
    path = f"{b.top}/vmchanneld"
    if not os.path.exists(path):
        shutil.copy(VMCHANNELD, path)
    return path


def install(path, source=VMCHANNELD, change=lambda data: data):
    """As a package manager does it: a new file under the old name."""
    with open(source, "rb") as f:
        data = change(f.read())
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def start(b, *more):
    path = program(b)
    b.command_path = path
    b.start_all(*more)
    return path


def upgrade(b):
    """By signal; returns when the new worker serves."""
    old = b.worker()
    n = b.logged().count("ev=upgraded ")
    b.daemon.send_signal(signal.SIGUSR2)
    vmc.wait_for(lambda: b.logged().count("ev=upgraded ") > n)
    vmc.wait_for(lambda: gone(old))
    assert b.worker() not in (None, old)


class Load(threading.Thread):
    """Bytes of a seed one way, in pieces of any size; the other end compares
    their digest and their number."""

    def __init__(self, src, dst, seed):
        super().__init__(daemon=True)
        self.src, self.dst = src, dst
        self.rng = random.Random(seed)
        self.sent, self.got = hashlib.sha256(), hashlib.sha256()
        self.n_sent = self.n_got = 0
        self.stop = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while not self.stop.is_set():
                data = self.rng.randbytes(self.rng.randrange(1, 30000))
                self.src.sendall(data)
                self.sent.update(data)
                self.n_sent += len(data)
                if self.rng.random() < 0.1:
                    time.sleep(self.rng.random() / 50)
            self.src.shutdown(socket.SHUT_WR)

    def read(self):
        with contextlib.suppress(OSError):
            while True:
                data = self.dst.recv(1 << 16)
                if not data:
                    return
                self.got.update(data)
                self.n_got += len(data)

    def finish(self):
        self.stop.set()
        self.join(20)
        self.reader.join(20)
        equal((self.n_got, self.got.hexdigest()),
              (self.n_sent, self.sent.hexdigest()))


@test
def ten_under_load(b):
    path = start(b)
    lis = vmc.Listener(b.guest, "org.test.load")
    wait_channel(b.host, "org.test.load")
    pairs = [vmc.join(b.host, lis) for _ in range(4)]
    loads = []
    for i, (mine, _, theirs, _) in enumerate(pairs):
        loads += [Load(mine, theirs, 2 * i), Load(theirs, mine, 2 * i + 1)]
    pid = b.daemon.pid
    waits = []
    for _ in range(UPGRADES):
        time.sleep(0.05)
        install(path)
        began = time.monotonic()
        upgrade(b)
        waits.append(time.monotonic() - began)
    for load in loads:
        load.finish()
    moved = sum(load.n_got for load in loads)
    print(f"# {UPGRADES} upgrades, {moved >> 20} MiB, longest "
          f"{max(waits) * 1000:.0f} ms")
    equal(b.daemon.pid, pid)
    for mine, ident, theirs, _ in pairs:
        equal(ended(b.host, ident)["reason"], "ok")
        mine.close()
        theirs.close()
    assert "daemon-lost" not in b.logged()
    assert "resumed=no" not in b.logged().split("ev=upgraded", 1)[1]
    lis.close()
    echo_once(b)
    equal(b.end(), 0)


@test
def calls_of_the_other_side(b):
    """With "more" a call is a stream, which stays; another one ends with its
    connection, and nothing of it is left. Also when the worker dies."""
    path = start(b)
    lis = vmc.Listener(b.guest, "org.test.calls")
    wait_channel(b.host, "org.test.calls")

    def ask(**flags):
        c = vmc.Control(b.host)
        c.send("org.test.calls.Do", **flags)
        s, _ = lis.accept()
        while s.recv(1) != b"\0":
            pass
        return c, s

    def held():
        return len(os.listdir(f"/proc/{b.daemon.pid}/fd"))

    def replace():
        install(path)
        upgrade(b)

    def kill():
        old = b.worker()
        os.kill(old, signal.SIGKILL)
        vmc.wait_for(lambda: b.worker() not in (None, old))
    for end in (replace, kill):
        before = held()
        (one, one_there), (many, many_there) = ask(), ask(more=True)
        # The supervisor has them: a worker that dies leaves them behind.
        vmc.wait_for(lambda n=before + 2: held() >= n)
        end()
        equal(one.sock.recv(1), b"")
        equal(one_there.recv(1), b"")
        many_there.sendall(b'{"parameters":{"still":true}}\0')
        equal(many.reply(), {"still": True})
        many.close()
        equal(many_there.recv(1), b"")
        one_there.close()
        many_there.close()
        again, there = ask()
        there.sendall(b'{"parameters":{"again":true}}\0')
        equal(again.reply(), {"again": True})
        again.close()
        there.close()
        vmc.wait_for(lambda: not vmc.streams(b.host))
    lis.close()
    equal(b.end(), 0)


@test
def idle_streams_and_listeners_stay(b):
    path = start(b)
    lis = vmc.Listener(b.host, "org.test.stays")
    wait_channel(b.guest, "org.test.stays")
    mine, ident, theirs, info = vmc.join(b.guest, lis)
    theirs.sendall(b"before")
    equal(vmc.read_exact(mine, 6), b"before")
    install(path)
    upgrade(b)
    # The same id, the same stream, the same call of Listen.
    equal(vmc.call(b.host, "StreamStatus", id=info["id"])["stream"]["state"],
          "open")
    mine.sendall(b"after")
    equal(vmc.read_exact(theirs, 5), b"after")
    mine2, _, theirs2, _ = vmc.join(b.guest, lis)
    mine2.sendall(b"new")
    equal(vmc.read_exact(theirs2, 3), b"new")
    for s in (mine, theirs, mine2, theirs2):
        s.close()
    equal(ended(b.host, info["id"])["reason"], "ok")
    equal(ended(b.guest, ident)["reason"], "ok")
    lis.close()
    wait_channel(b.guest, "org.test.stays", False)
    equal(b.end(), 0)


@test
def half_closed_and_unread(b):
    """Ends that were sent, bytes that nobody has read yet."""
    path = start(b)
    lis = vmc.Listener(b.guest, "org.test.half")
    wait_channel(b.host, "org.test.half")
    mine, ident, theirs, _ = vmc.join(b.host, lis)
    data = random.Random(5).randbytes(400000)
    feeder = threading.Thread(target=theirs.sendall, args=(data,))
    feeder.start()
    mine.sendall(b"question")
    mine.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    install(path)
    upgrade(b)
    equal(vmc.read_all(theirs), b"question")
    got = vmc.read_exact(mine, len(data))
    equal(hashlib.sha256(got).digest(), hashlib.sha256(data).digest())
    feeder.join()
    theirs.close()
    equal(mine.recv(1), b"")
    equal(ended(b.host, ident)["reason"], "ok")
    equal(b.end(), 0)


@test
def how_streams_ended_is_remembered(b):
    """Those that ended before it can be asked for after it, by both ways in
    which the answer can be wanted: by id, and by who opened them."""
    path = start(b)
    lis = vmc.Listener(b.guest, "org.test.over")
    wait_channel(b.host, "org.test.over")
    ids = []
    for n in range(5):
        mine, ident, theirs, _ = vmc.join(b.host, lis)
        mine.sendall(b"x" * n)
        mine.shutdown(socket.SHUT_WR)
        vmc.read_all(theirs)
        theirs.sendall(b"y" * 2 * n)
        theirs.close()
        vmc.read_all(mine)
        mine.close()
        ids.append(ident)
    before = [ended(b.host, i) for i in ids]
    for _ in range(2):  # and handed on again
        install(path)
        upgrade(b)
    for i, was in zip(ids, before):
        now = vmc.call(b.host, "StreamStatus", id=i)["stream"]
        equal(now, was)
        equal(now["reason"], "ok")
    lis.close()
    equal(b.end(), 0)


@test
def by_method(b):
    path = start(b)
    old = b.worker()
    install(path)
    equal(vmc.call(b.host, "Upgrade"), {})  # the new worker answers
    assert b.worker() not in (None, old)
    has(b.logged(), "ev=upgraded ")
    echo_once(b)
    equal(b.end(), 0)


def says_no(b, word):
    try:
        vmc.call(b.host, "Upgrade")
        raise AssertionError("was not refused")
    except Error as e:
        equal(e.name, "UpgradeFailed")
        has(e.params["detail"], word)


@test
def too_often(b):
    """A worker that was taken over asks for ever; a signal is another's."""
    path = start(b)
    for _ in range(8):
        install(path)
        equal(vmc.call(b.host, "Upgrade"), {})
    worker = b.worker()
    for _ in range(20):
        says_no(b, "SIGUSR2")
    equal(b.worker(), worker)
    has(b.logged(), "ev=upgrade-refused why=too-often count=1")
    upgrade(b)  # and that does not make it free again
    says_no(b, "wait a minute")
    echo_once(b)
    equal(b.end(), 0)


@test
def not_before_the_vm_is_there(b):
    path = program(b)
    b.command_path = path
    b.start("--incoming", link=True)
    says_no(b, "has not arrived yet; try again when it runs here")
    has(b.logged(), "ev=upgrade-failed")
    b.daemon.send_signal(signal.SIGUSR2)
    vmc.wait_for(lambda: b.logged().count("ev=upgrade-failed") == 2)
    b.qemu = hostbench.Qemu(b.top)
    b.start_agent()
    b.wait_up()
    upgrade(b)
    echo_once(b)
    equal(b.end(), 0)


def refused(b, word):
    """The method says why, and everything is as it was."""
    worker = b.worker()
    lis = vmc.Listener(b.guest, "org.test.back")
    wait_channel(b.host, "org.test.back")
    mine, _, theirs, _ = vmc.join(b.host, lis)
    loads = [Load(mine, theirs, 1), Load(theirs, mine, 2)]
    says_no(b, word)
    equal(b.worker(), worker)
    for load in loads:
        load.finish()
    lis.close()
    has(b.logged(), "ev=upgrade-failed")


@test
def program_that_does_not_want(b):
    path = start(b)
    install(path, "/bin/ls")
    refused(b, "unrecognized option")
    install(path)
    upgrade(b)
    echo_once(b)
    equal(b.end(), 0)


@test
def program_that_is_not_there(b):
    path = start(b)
    os.unlink(path)
    refused(b, "No such file")
    equal(b.end(), 0)


@test
def bad_configuration_refuses(b):
    path = start(b)
    install(path)
    b.put("policy.d/x.conf", "nonsense\n")
    refused(b, "x.conf")
    equal(b.end(), 0)


@test
def worker_that_does_not_understand(b):
    """The new worker refuses the old one's state: the old one goes on."""
    path = start(b)
    install(path, change=lambda data: data.replace(MAGIC, b"VMCOTHER"))
    refused(b, "does not understand")
    echo_once(b)
    install(path)
    upgrade(b)
    echo_once(b)
    equal(b.end(), 0)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(n) for n in f.read().split()]


@test
def worker_that_hangs(b):
    """Preloaded code stops the successor before its first instruction."""
    os.environ["LD_PRELOAD"] = os.environ["VMC_TEST_HANG"]
    try:
        path = start(b)
    finally:
        del os.environ["LD_PRELOAD"]
    install(path)
    refused(b, "too long")
    equal(children(b.daemon.pid), [b.worker()])
    echo_once(b)
    equal(b.end(), 0)


@test
def options_survive(b):
    path = start(b, "--uuid", "8f0e2f3c-0001-4bcd-8000-00000000abcd",
                 "--exit-with-link")
    for _ in range(3):
        install(path)
        upgrade(b)
    equal(vmc.call(b.host, "GetInfo")["uuid"],
          "8f0e2f3c-0001-4bcd-8000-00000000abcd")
    echo_once(b)
    b.qemu.close()
    b.qemu = None
    equal(b.daemon.wait(20), 0)
    assert not os.path.exists(b.host)


@test
def services_are_still_children(b):
    path = program(b)
    b.put("services.d/org.test.cat.conf", "[Service]\nCommand=/bin/cat\n")
    b.command_path = path
    b.start_all()
    wait_channel(b.guest, "org.test.cat")
    s, first = vmc.raw(b.guest, b"CONNECT org.test.cat\n")
    has(first, "OK ")
    s.sendall(b"one")
    equal(vmc.read_exact(s, 3), b"one")
    install(path)
    upgrade(b)
    s.sendall(b"two")
    equal(vmc.read_exact(s, 3), b"two")
    s.close()
    kids = ["ps", "-o", "stat=,comm=", "--ppid", str(b.daemon.pid)]

    def reaped():
        out = subprocess.run(kids, stdout=subprocess.PIPE, check=False,
                             text=True).stdout
        return "cat" not in out

    vmc.wait_for(reaped)
    equal(b.end(), 0)


@test
def lock_and_restart(b):
    path = start(b)
    install(path)
    upgrade(b)
    p = subprocess.run(b.command(), stderr=subprocess.PIPE, text=True,
                       timeout=vmc.TIMEOUT, check=False)
    equal(p.returncode, 3)
    has(p.stderr, f"in use by process {b.daemon.pid}")
    old = b.worker()
    os.kill(old, signal.SIGKILL)
    vmc.wait_for(lambda: b.worker() not in (None, old))
    b.wait_up()
    echo_once(b)
    equal(b.end(), 0)
    assert not os.path.exists(b.host)


hostbench.run_all(sys.argv[3:])
