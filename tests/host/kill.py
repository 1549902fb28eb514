#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill.py VMCHANNELD AGENT [TEST...] - kill -9 of the worker at any system call
and at any moment: each byte is delivered once and in order, or its stream ends
with a reason that both sides can ask for; streams of a worker that was idle go
on. VMC_KILLS=N deaths of each kind (default 10), VMC_SEED=N. TAP."""
import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import hostbench
from hostbench import SANITIZED, echo_once, gone, vmc
from vmc import Skip, equal, has, test, wait_channel

HALF_JOINED = 3  # seconds
KILLS = int(os.environ.get("VMC_KILLS", "10"))
SEED = int(os.environ.get("VMC_SEED", "1"))
BACK_MS = 100
# Calls of the data path, and those with which things change hands.
CALLS = ["recvfrom", "sendto", "sendmsg", "recvmsg", "epoll_wait", "close",
         "shutdown", "epoll_ctl", "accept4"]


def block(ident, at, size):
    """What a stream's byte at an offset is, so that each can be checked."""
    return bytes((ident * 31 + (n * 2654435761 >> 13)) & 255
                 for n in range(at, at + size))


PATTERN = {}


def pattern(ident):
    if ident not in PATTERN:
        PATTERN[ident] = block(ident, 0, 1 << 16)
    return PATTERN[ident]


def piece(ident, at, size):
    p = pattern(ident)
    at %= len(p)
    out = p[at:at + size]
    while len(out) < size:
        out += p[:size - len(out)]
    return out


class End:
    """One program's end of a stream: writes its own pattern, compares what
    comes with the other's."""

    def __init__(self, sock, mine, theirs):
        self.sock, self.mine, self.theirs = sock, mine, theirs
        self.sent = self.got = 0
        self.over = False
        self.wrong = None
        sock.setblocking(False)

    def read(self):
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.over = True
        elif data != piece(self.theirs, self.got, len(data)):
            self.wrong = f"other bytes at {self.got}"
            self.over = True
        self.got += len(data)

    def write(self, size):
        try:
            self.sent += self.sock.send(piece(self.mine, self.sent, size))
        except BlockingIOError:
            return
        except OSError:
            self.over = True


class Traffic(threading.Thread):
    """Streams both ways until told to stop; those that end are replaced."""

    def __init__(self, b, n, seed):
        super().__init__(daemon=True)
        self.b, self.n = b, n
        self.rng = random.Random(seed)
        self.stopping = threading.Event()
        self.lis = vmc.Listener(b.guest, "org.test.kill")
        wait_channel(b.host, "org.test.kill")
        self.pairs, self.reasons = [], {}
        self.failure = None
        self.moved = self.count = 0
        for _ in range(n):
            self.pairs.append(self.join_one())

    def join_one(self):
        """A death in the middle leaves a call without its offer, or an offer
        without its call."""
        self.count += 1
        c = vmc.Control(self.b.host)
        for sock in (c.sock, self.lis.control.sock):
            sock.settimeout(HALF_JOINED)
        c.send("Connect", {"channel": self.lis.channel}, upgrade=True)
        while True:
            theirs, info = self.lis.accept()
            try:
                ident = c.reply()["id"]
                break
            except socket.timeout:
                theirs.close()
        mine = c.sock
        a, z = 2 * self.count, 2 * self.count + 1
        return (End(mine, a, z), End(theirs, z, a), ident, info["id"])

    def check_over(self, pair):
        """Nobody got what was not sent, and both sides know why it ended."""
        host, guest, ident, guest_id = pair
        for e in (host, guest):
            assert not e.wrong, e.wrong
        assert host.got <= guest.sent and guest.got <= host.sent
        reasons = [vmc.ended(self.b.guest, guest_id)["reason"],
                   vmc.ended(self.b.host, ident)["reason"]]
        for r in reasons:
            assert r in ("daemon-lost", "session-lost"), reasons
            self.reasons[r] = self.reasons.get(r, 0) + 1
        for e in (host, guest):
            self.moved += e.got
            e.sock.close()

    def turn(self):
        ends = {e.sock: e for p in self.pairs for e in p[:2] if not e.over}
        ready, _, _ = select.select(list(ends), [], [], 0.002)
        for s in ready:
            ends[s].read()
        for e in ends.values():
            if not e.over and self.rng.random() < 0.3:
                e.write(self.rng.randrange(1, 20000))
        for i, p in enumerate(self.pairs):
            if p[0].over or p[1].over:
                self.drain(p)
                self.check_over(p)
                self.pairs[i] = self.join_again()

    def drain(self, pair):
        """The end comes to the other side, too, behind what was sent."""
        end = time.monotonic() + 60
        for e in pair[:2]:
            while not e.over:
                assert time.monotonic() < end, "one side never ended"
                select.select([e.sock], [], [], 0.1)
                e.read()

    def join_again(self):
        end = time.monotonic() + 60
        while True:
            try:
                return self.join_one()
            except (OSError, EOFError, vmc.Error):
                assert time.monotonic() < end, "no stream can be opened"
                time.sleep(0.01)

    def run(self):
        try:
            while not self.stopping.is_set():
                self.turn()
        except Exception as e:  # told to the test
            self.failure = e

    def finish(self):
        """What was sent arrives, whole; then all ends in order."""
        self.stopping.set()
        self.join(60)
        if self.failure:
            raise self.failure
        for pair in self.pairs:
            if self.whole(pair):
                for e in pair[:2]:
                    self.moved += e.got
                    e.sock.close()
            else:  # the last death took it
                self.drain(pair)
                self.check_over(pair)
        self.lis.close()

    def whole(self, pair):
        """True when all arrived, False for a stream that ended before."""
        host, guest = pair[:2]
        for src, dst in ((host, guest), (guest, host)):
            end = time.monotonic() + 60
            while dst.got < src.sent:
                if dst.over or src.over:
                    return False
                assert time.monotonic() < end, (dst.got, src.sent)
                select.select([dst.sock], [], [], 0.1)
                dst.read()
            equal(dst.got, src.sent)
        return True


def killed(b, old):
    """Waits for the next worker; returns how long there was none."""
    began = time.monotonic()
    vmc.wait_for(lambda: b.worker() not in (None, old))
    b.wait_up()
    return (time.monotonic() - began) * 1000


@test
def idle_streams_survive(b):
    """Older than a second, nothing in flight: nobody notices."""
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.idle")
    back = vmc.Listener(b.host, "org.test.back")
    wait_channel(b.host, "org.test.idle")
    wait_channel(b.guest, "org.test.back")
    mine, ident, theirs, info = vmc.join(b.host, lis)
    mine2, _, theirs2, _ = vmc.join(b.guest, back)
    equal(vmc.call(b.host, "StreamStatus", id=ident)["stream"]["state"],
          "open")
    mine.sendall(b"before")
    equal(vmc.read_exact(theirs, 6), b"before")
    time.sleep(2.5)
    for n in range(3):
        old = b.worker()
        os.kill(old, signal.SIGKILL)
        killed(b, old)
        mine.sendall(b"after")
        equal(vmc.read_exact(theirs, 5), b"after")
        theirs2.sendall(b"back")
        equal(vmc.read_exact(mine2, 4), b"back")
        has(b.logged(), "ev=adopted streams=2")
        # The Listen call is the same, too.
        m, _, t, _ = vmc.join(b.guest, back)
        m.sendall(b"x")
        equal(vmc.read_exact(t, 1), b"x")
        m.close()
        t.close()
        time.sleep(1.2)
        equal(b.qemu.clients, 1)  # QEMU saw nothing of it
    for d, i in ((b.host, ident), (b.guest, info["id"])):
        equal(vmc.call(d, "StreamStatus", id=i)["stream"]["state"], "open")
    mine.shutdown(socket.SHUT_WR)
    equal(vmc.read_all(theirs), b"")
    theirs.close()
    equal(mine.recv(1), b"")
    equal(vmc.ended(b.host, ident)["reason"], "ok")
    equal(vmc.ended(b.guest, info["id"])["reason"], "ok")
    for s in (mine, mine2, theirs2, lis, back):
        s.close()
    wait_channel(b.guest, "org.test.back", False)
    equal(b.end(), 0)


@test
def young_streams_end(b):
    """Not kept yet: both sides are told."""
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.young")
    wait_channel(b.host, "org.test.young")
    mine, ident, theirs, info = vmc.join(b.host, lis)
    mine.sendall(b"x")
    equal(vmc.read_exact(theirs, 1), b"x")
    old = b.worker()
    os.kill(old, signal.SIGKILL)
    equal(vmc.read_all(mine), b"")
    killed(b, old)
    equal(vmc.ended(b.guest, info["id"])["reason"], "daemon-lost")
    equal(vmc.read_all(theirs), b"")
    equal(vmc.ended(b.host, ident)["reason"], "daemon-lost")
    theirs.close()
    echo_once(b)
    equal(b.end(), 0)


@test
def back_within_100_ms(b):
    if SANITIZED:
        raise Skip("a sanitizer starts slowly")
    b.start_all()
    took = []
    for _ in range(3):
        time.sleep(1.2)
        began = time.monotonic()
        os.kill(b.worker(), signal.SIGKILL)
        n = b.logged().count("ev=peer-up")
        while b.logged().count("role=worker: info: ev=peer-up") <= len(took) + 1:
            time.sleep(0.002)
            assert time.monotonic() < began + 20, n
        took.append((time.monotonic() - began) * 1000)
    print(f"# back after {', '.join(f'{t:.0f}' for t in took)} ms")
    assert min(took) < BACK_MS, took
    equal(b.end(), 0)


@test
def at_random_under_load(b):
    b.start_all()
    rng = random.Random(SEED)
    t = Traffic(b, 6, SEED)
    t.start()
    for _ in range(KILLS):
        time.sleep(1.1 + rng.random() / 2)
        old = b.worker()
        os.kill(old, signal.SIGKILL)
        killed(b, old)
    t.finish()
    print(f"# {KILLS} deaths, {t.moved >> 20} MiB, {t.count} streams, "
          f"ended {t.reasons}, adopted {b.logged().count('ev=adopted')}")
    echo_once(b)
    equal(b.end(), 0)


@test
def at_system_calls(b):
    """strace lets the N-th call of its kind never happen."""
    if SANITIZED:
        raise Skip("strace and a sanitizer")
    b.start_all("--sandbox=off")
    rng = random.Random(SEED)
    t = Traffic(b, 4, SEED)
    t.start()
    hits = 0
    for n in range(KILLS):
        time.sleep(1.1)
        old = b.worker()
        call = CALLS[n % len(CALLS)]
        p = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
             f"inject={call}:signal=KILL:when={rng.randrange(1, 60)}",
             "-p", str(old)], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 2
        while not gone(old) and time.monotonic() < end:
            time.sleep(0.01)
        if gone(old):
            hits += 1
        else:  # that many of them never come
            os.kill(old, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(5)
        p.kill()
        p.wait()
        if "not permitted" in p.stderr.read():
            raise Skip("strace may not look at other processes")
        killed(b, old)
    t.finish()
    print(f"# {KILLS} deaths, {hits} at a call, {t.moved >> 20} MiB, "
          f"{t.count} streams, ended {t.reasons}, "
          f"adopted {b.logged().count('ev=adopted')}")
    echo_once(b)
    equal(b.end(), 0)


@test
def dies_young_and_often(b):
    """Five that lived less than a second: then once a second. Those that
    lived longer do not count."""
    b.start_all()
    for _ in range(6):
        old = b.worker()
        os.kill(old, signal.SIGKILL)
        vmc.wait_for(lambda: b.worker() not in (None, old))
        vmc.wait_for(lambda: b.state(b.host) != "gone")
    has(b.logged(), "restart_ms=1000")
    n = b.logged().count("restart_ms=1000")
    time.sleep(1.2)
    old = b.worker()
    os.kill(old, signal.SIGKILL)
    killed(b, old)
    equal(b.logged().count("restart_ms=1000"), n)
    echo_once(b)
    equal(b.end(), 0)


hostbench.run_all(sys.argv[3:])
