#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill.py VMCHANNELD AGENT [TEST...] - kill -9 of the worker at any system call
and at any moment: each byte is delivered once and in order, or its stream ends
with a reason that both sides can ask for; streams of a worker that was idle go
on. VMC_KILLS=N deaths at random, and as many at system calls (default 10);
VMC_KILLS_CALLS=all: at each kind of call, before it and after it, the first
times that it comes, and then more and more seldom. VMC_SEED=N. TAP."""
import contextlib
import os
import random
import select
import signal
import socket
import sys
import threading
import time

import hostbench
from hostbench import SANITIZED, echo_once, vmc
from vmc import Skip, equal, has, test, wait_channel

HALF_JOINED = 3  # seconds
KILLS = int(os.environ.get("VMC_KILLS", "10"))
SEED = int(os.environ.get("VMC_SEED", "1"))
CALLS = os.environ.get("VMC_KILLS_CALLS", str(KILLS))
KILLAT = os.environ.get("VMC_TEST_KILLAT")
LATE_MS = 2000  # the goal is 100; a busy machine is no failure
STRIKE_S = 5  # until a call that is waited for has come
PATIENCE = 120  # seconds, for what takes a moment on an idle machine


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


def why_ended(directory, ident):
    """Asked again if the one that is asked dies."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return vmc.ended(directory, ident)["reason"]
        except (OSError, EOFError):
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.01)


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
        self.moved = self.count = self.ended = 0
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
        self.ended += 1
        reasons = [why_ended(self.b.guest, guest_id),
                   why_ended(self.b.host, ident)]
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

    def moved_now(self):
        assert not self.failure, self.failure
        return self.moved + sum(e.got for p in self.pairs for e in p[:2])

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
def back_soon(b):
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
    assert min(took) < LATE_MS, took
    equal(b.end(), 0)


class Churn(threading.Thread):
    """What Traffic does not do: streams that come and go in both directions,
    a service, calls without streams, half-closed ends. Each byte that an end
    took is at the other one, or the stream did not end well."""

    def __init__(self, b, seed):
        super().__init__(daemon=True)
        self.b, self.rng = b, random.Random(seed)
        self.stopping = threading.Event()
        self.failure = None
        self.whole = self.broken = 0
        self.lis = None

    def listen(self):
        while not self.lis:
            try:
                self.lis = vmc.Listener(self.b.host, "org.test.churn")
                self.lis.control.sock.settimeout(HALF_JOINED)
            except (OSError, EOFError, vmc.Error):
                time.sleep(0.02)  # the name is the lost one's for a moment
                if self.stopping.is_set():
                    return

    @staticmethod
    def answer(sock):
        """The host's end: all that came, backwards."""
        got = vmc.read_all(sock)
        with contextlib.suppress(OSError):
            sock.sendall(got[::-1])
            sock.shutdown(socket.SHUT_WR)
        sock.close()
        return got

    def lost(self):
        """The listener may have gone with the worker."""
        self.broken += 1
        if self.lis:
            self.lis.close()
        self.lis = None

    def check(self, c, data):
        ready, _, _ = select.select([c.sock, self.lis.control.sock], [], [],
                                    HALF_JOINED)
        if self.lis.control.sock not in ready:
            c.reply()  # why not
            raise EOFError
        sock, info = self.lis.accept()
        ident = c.reply()["id"]
        for s in (c.sock, sock):
            s.settimeout(PATIENCE)
        c.sock.sendall(data)
        c.sock.shutdown(socket.SHUT_WR)
        theirs, got = info["id"], self.answer(sock)
        back = vmc.read_all(c.sock)
        for d, i, here, there in ((self.b.host, theirs, got, data),
                                  (self.b.guest, ident, back, got[::-1])):
            assert there.startswith(here), "other bytes"
            why = why_ended(d, i)
            assert why in ("ok", "daemon-lost", "session-lost"), why
            # The side that reads knows whether it has all.
            assert why != "ok" or here == there, (why, len(here), len(there))
        self.whole += 1

    def stream(self):
        data = self.rng.randbytes(self.rng.randrange(1, 60000))
        c = vmc.Control(self.b.guest)
        c.sock.settimeout(HALF_JOINED)
        try:
            c.send("Connect", {"channel": "org.test.churn"}, upgrade=True)
            self.check(c, data)
        finally:
            c.close()

    def service(self):
        s, first = vmc.raw(self.b.guest, b"CONNECT org.test.cat\n")
        with s:
            if not first.startswith("OK "):
                raise EOFError
            s.settimeout(PATIENCE)
            s.sendall(b"meow")
            s.shutdown(socket.SHUT_WR)
            assert b"meow".startswith(vmc.read_all(s)), "other bytes"

    def calls(self):
        vmc.call(self.b.host, "GetInfo")
        vmc.streams(self.b.host)
        vmc.call(self.b.host, "Reload")

    def turn(self):
        try:
            for part in (self.stream, self.service, self.calls):
                part()
        except vmc.Error:
            time.sleep(0.02)  # not known there yet, or not any more
            self.broken += 1
        except (OSError, EOFError):
            self.lost()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.listen()
                if self.lis:
                    self.turn()
        except Exception as e:  # told to the test
            self.failure = e

    def finish(self):
        self.stopping.set()
        self.join(PATIENCE)
        if self.lis:
            self.lis.close()
        if self.failure:
            raise self.failure


class Killer:
    """killat.c; the daemon is started through it."""

    def __init__(self, b):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE)
        self.theirs, self.rest = theirs, b""
        b.through = [KILLAT, str(theirs.fileno())]
        b.pass_fds = [theirs.fileno()]

    def line(self):
        while b"\n" not in self.rest:
            data = self.sock.recv(4096)
            assert data, "killat has ended"
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode().split()

    def wait(self, what):
        while True:
            line = self.line()
            if line[0] == what:
                return line

    def say(self, text):
        self.sock.sendall(text.encode() + b"\n")

    def counts(self):
        self.say("count")
        out = {}
        while True:
            name, *n = self.line()
            if name == "end":
                return out
            if name not in ("worker", "gone", "killed"):
                out[name] = int(n[0])


def occasions(n):
    """1, 2, 3, 5, 8, 13, ... as far as it comes."""
    a, z = 1, 2
    while a <= n:
        yield a
        a, z = z, a + z


class Deaths:
    """Kills, and what became of it each time."""

    def __init__(self, b, traffic):
        self.b, self.t = b, traffic
        self.back, self.missed, self.n = [], 0, 0
        self.log = open(f"{b.top}/log", encoding="utf-8")

    def note_log(self):
        """From here on."""
        self.log.seek(0, os.SEEK_END)

    def wait_back(self, since_ns, deaths=1):
        """The first handshake after so many deaths."""
        text = ""
        end = time.monotonic() + PATIENCE
        while "role=worker: info: ev=peer-up" not in \
                "".join(text.split("ev=worker-died")[deaths:]):
            assert time.monotonic() < end, "no worker came back"
            text += self.log.read()
            time.sleep(0.001)
        self.back.append((time.monotonic_ns() - since_ns) / 1e6)
        self.n += 1

    def settle(self):
        """Up, and bytes move again in all streams; those that lived on are
        kept by then, as are the new ones."""
        self.b.wait_up()
        time.sleep(1.1)
        marks = {id(p): p[0].got + p[1].got for p in self.t.pairs}
        end = time.monotonic() + PATIENCE

        def moved():
            return all(p[0].got + p[1].got > marks.get(id(p), 0)
                       for p in list(self.t.pairs))

        while not moved():
            assert time.monotonic() < end, "a stream stands still"
            assert not self.t.failure, self.t.failure
            time.sleep(0.005)

    def report(self, what):
        back = sorted(self.back)
        print(f"# {what}: {self.n} deaths, {self.missed} calls never came, "
              f"{self.t.moved >> 20} MiB, {self.t.count} streams, "
              f"{self.t.ended} reset {self.t.reasons}, "
              f"{self.n * self.t.n - self.t.ended} went on; back after p50 "
              f"{back[len(back) // 2]:.0f} ms, max {back[-1]:.0f} ms")


@test
def at_random_under_load(b):
    b.start_all()
    rng = random.Random(SEED)
    t = Traffic(b, 6, SEED)
    t.start()
    d = Deaths(b, t)
    for _ in range(KILLS):
        time.sleep(1.1 + rng.random() / 2)
        d.note_log()
        since = time.monotonic_ns()
        os.kill(b.worker(), signal.SIGKILL)
        d.wait_back(since)
    t.finish()
    d.report("at random")
    echo_once(b)
    equal(b.end(), 0)


def present_points(counts):
    """Every kind of call that it makes while it serves."""
    return [("now", call, side, n) for call in sorted(counts)
            for n in occasions(min(counts[call], 400))
            for side in ("in", "out")]


def birth_points(counts):
    """From its first call on; what it then does in the same way as the one
    before is in the other list."""
    return [("birth", call, side, n) for call in sorted(counts)
            for n in occasions(min(counts[call], 8)) for side in ("in", "out")]


def at_work(killer, traffic, churn):
    """What a worker calls while all that the load does happens a few times;
    streams are kept and given back after a second."""
    moved, rounds = traffic.moved_now(), churn.whole

    def enough():
        assert not churn.failure, churn.failure
        return traffic.moved_now() > moved + (4 << 20) and \
            churn.whole > rounds + 10

    time.sleep(2)
    vmc.wait_for(enough, PATIENCE)
    return killer.counts()


def upgrade_points(counts):
    """Of the one that hands over, and of the one that takes over."""
    return [(when, call, side, n) for call in sorted(counts)
            for when, most in (("hold", 3), ("adopt", 3))
            for n in occasions(min(counts[call], most))
            for side in ("in", "out")]


@test
def at_system_calls(b):
    """The N-th call of its kind does not happen, or was the last thing."""
    if SANITIZED or not KILLAT:
        raise Skip("a sanitizer's own calls are not of interest")
    b.put("services.d/org.test.cat.conf", "[Service]\nCommand=/bin/cat\n")
    k = Killer(b)
    try:
        b.start_all()
    except RuntimeError as e:
        if "not ready: 3" in str(e):
            raise Skip("no right to trace a process") from e
        raise
    k.theirs.close()
    k.wait("worker")
    t = Traffic(b, 4, SEED)
    churn = Churn(b, SEED)
    for thread in (t, churn):
        thread.start()
    born = at_work(k, t, churn)
    d = Deaths(b, t)
    points = birth_points(born)
    k.say("now exit_group in 1000000")  # counts anew
    served = at_work(k, t, churn)
    points += present_points(served) + upgrade_points(served)
    total = len(points)
    if CALLS != "all":
        points = random.Random(SEED).sample(points, min(int(CALLS), total))
    print(f"# {total} points in {len(born)} kinds of calls, {len(served)} of "
          f"them while it serves; {len(points)} are tried", flush=True)
    for when, call, side, n in points:
        d.settle()
        d.note_log()
        first = "now" if when in ("now", "hold") else "birth"
        k.say(f"{first} {call} {side} {n}")
        if when == "birth":
            os.kill(b.worker(), signal.SIGKILL)
        elif when != "now":
            b.daemon.send_signal(signal.SIGUSR2)
        strike(b, k, d, when)
    d.settle()
    churn.finish()
    t.finish()
    d.report("at system calls")
    print(f"# beside them {churn.whole} short streams whole, {churn.broken} "
          f"rounds interrupted")
    echo_once(b)
    equal(b.end(), 0)


def strike(b, k, d, when):
    """Waits for it. A call that does not come is let go, and the worker is
    killed where it is."""
    k.sock.settimeout(STRIKE_S)
    try:
        since = int(k.wait("killed")[2])
    except TimeoutError:
        k.sock.settimeout(PATIENCE)
        d.missed += 1
        k.say("now exit_group in 1000000")
        k.say("birth exit_group in 1000000")
        d.note_log()
        since = time.monotonic_ns()
        os.kill(b.worker(), signal.SIGKILL)
        when = "now"
    k.sock.settimeout(PATIENCE)
    if when in ("hold", "adopt"):
        d.n += 1  # the other one goes on, perhaps without a handshake
    else:
        d.wait_back(since, 2 if when == "birth" else 1)


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
