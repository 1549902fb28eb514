#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""worker.py VMCHANNELD [TEST...] - `vmchanneld --worker` with this program as
its supervisor and as its bus process, one that may have been taken over; TAP."""
import contextlib
import fcntl
import mmap
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "broker"))
import vmc  # noqa: E402
from vmc import Skip, equal, has, test  # noqa: E402

VMCHANNELD = os.path.abspath(sys.argv[1])
SANDBOX = "off" if os.environ.get("VMC_TEST_SANITIZED") else "on"
MIB = 1 << 20
WAIT = 60  # seconds, for what comes at once
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
BUSY = -16


def numbers(header, prefix):
    """An enum of src/host, so that it is written down once."""
    path = os.path.join(HERE, "..", "..", "src", "host", header)
    with open(path, encoding="utf-8") as f:
        names = re.findall(rf"^\t({prefix}_\w+),", f.read(), re.MULTILINE)
    return {name: n for n, name in enumerate(names)}


# Lists of names in the order of their numbers, other enums of the file behind
IPC = numbers("ipc.h", "IPC")
BUS = numbers("bus_ipc.h", "BUS")
LIFE = numbers("life.h", "LIFE")
BUS_MSG = struct.Struct("<HHiI16s")


def memory(name, size, seals=SEALS):
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def pair():
    a, z = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.settimeout(WAIT)
    return a, z


def listening(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(4)
    s.setblocking(False)
    return s


class Worker:
    def __init__(self, top, *more):
        self.log = open(f"{top}/log", "w+", encoding="utf-8")
        self.dir, self.bus = top, None
        self.pair, theirs = pair()
        socks = [theirs, listening(f"{top}/control"),
                 listening(f"{top}/connect")]
        fds = [s.fileno() for s in socks]
        fds += [memory("state", MIB), memory("arena", 8 * MIB)]

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
            for target, fd in enumerate(high, 3):
                os.dup2(fd, target)
        self.proc = subprocess.Popen(
            [VMCHANNELD, "--worker", f"--sandbox={SANDBOX}", *more, "vm"],
            preexec_fn=place, close_fds=False, stderr=self.log)
        for s in socks:
            s.close()
        for fd in fds[3:]:
            os.close(fd)
        self.hear("IPC_READY")
        self.say("IPC_CONFIG", struct.pack("<iI", 0, 4), self.blob())
        life = "LIFE_INCOMING" if "--incoming" in more else "LIFE_SERVING"
        self.say("IPC_LIFE", struct.pack("<i", LIFE[life]))
        self.memory = memory("vmstate", 2 * MIB)

    @staticmethod
    def blob():
        """No services, no rules."""
        fd = os.memfd_create("config")
        os.write(fd, bytes(4))
        return fd

    def say(self, kind, body=b"", fd=None):
        data = struct.pack("<H", IPC[kind]) + body
        if fd is None:
            self.pair.send(data)
        else:
            socket.send_fds(self.pair, [data], [fd])

    def hear(self, kind):
        """Skips others; what its fields are."""
        while True:
            data, fds, _, _ = socket.recv_fds(self.pair, 512, 1)
            assert data, "the worker has ended: " + self.said()
            for fd in fds:
                os.close(fd)
            if struct.unpack_from("<H", data)[0] == IPC[kind]:
                return data[2:]

    def join_bus(self, fd=None):
        """As the supervisor does it: the memory is in it before anybody else
        has the other end."""
        if self.bus:
            self.bus.close()
        self.bus, theirs = pair()
        self.bus_say("BUS_STATE", fd=self.memory if fd is None else fd)
        self.say("IPC_BUS", fd=theirs.fileno())
        theirs.close()

    def bus_say(self, kind, size=0, ident=bytes(16), fd=None):
        data = BUS_MSG.pack(1, BUS[kind], 0, size, ident)
        if fd is None:
            self.bus.send(data)
        else:
            socket.send_fds(self.bus, [data], [fd])

    def bus_hear(self):
        data = self.bus.recv(100)
        if not data:
            return None
        _, kind, result, size, ident = BUS_MSG.unpack(data)
        return kind, result, size, ident

    def save(self, ident):
        self.bus_say("BUS_SAVE", ident=ident)
        kind, _, size, got = self.bus_hear()
        equal((kind, got), (BUS["BUS_SAVED"], ident))
        return size

    def said(self):
        with open(self.log.name, encoding="utf-8") as f:
            return f.read()

    def lives(self):
        equal(self.proc.poll(), None)
        vmc.call(self.dir, "GetInfo")

    def close(self):
        for s in (self.pair, self.bus):
            if s:
                s.close()
        self.proc.kill()
        self.proc.wait()
        os.close(self.memory)
        self.log.close()


# ---- memory of the bus process -----------------------------------------------


@test
def memory_is_taken(w):
    w.join_bus()
    w.save(b"a" * 16)
    w.lives()


@test
def memory_is_taken_once(w):
    """A bus process that was taken over sends its own: the pair ends, and not
    a byte of it is touched."""
    w.join_bus()
    w.save(b"a" * 16)
    other = memory("vmstate", 2 * MIB)
    w.bus_say("BUS_STATE", fd=other)
    equal(w.bus_hear(), None)
    has(w.said(), "ev=bus-memory")
    with mmap.mmap(other, 2 * MIB) as m:
        equal(m[:64], bytes(64))
    os.close(other)
    w.lives()
    # Another pair is another start.
    w.join_bus()
    w.save(b"b" * 16)
    w.lives()


def refused(w, fd, why):
    n = w.said().count("ev=bus-memory")
    w.join_bus(fd)
    equal(w.bus_hear(), None)
    has(w.said().split("ev=bus-memory")[n + 1], why)
    os.close(fd)
    w.lives()


@test
def memory_that_can_shrink(w):
    """Its owner could take the pages away under the worker: a signal."""
    refused(w, memory("vmstate", 2 * MIB, 0), "not permitted")
    refused(w, memory("vmstate", 2 * MIB, fcntl.F_SEAL_GROW), "not permitted")


@test
def memory_that_is_short(w):
    refused(w, memory("vmstate", MIB), "Bad file")
    refused(w, memory("vmstate", 2 * MIB - 1), "Bad file")
    refused(w, os.open("/dev/zero", os.O_RDWR), "Bad file")
    refused(w, os.pipe()[0], "Bad file")
    # Nothing but a good one is answered with a state.
    w.join_bus()
    w.save(b"c" * 16)


@test
def no_memory_at_all(w):
    w.bus, theirs = pair()
    w.say("IPC_BUS", fd=theirs.fileno())
    theirs.close()
    w.bus_say("BUS_SAVE", ident=b"d" * 16)
    kind, _, size, ident = w.bus_hear()
    equal((kind, size, ident), (BUS["BUS_SAVED"], 0, b"d" * 16))
    w.lives()


# ---- Hold and Save at one moment (docs/continuity.md, case 21) -----------------


def options(*args):
    def mark(fn):
        fn.options = args
        return fn
    return mark


def hold(w):
    """Return: 0 or a negative errno, bytes of state."""
    w.say("IPC_HOLD")
    return struct.unpack("<iI", w.hear("IPC_HELD"))


def wait_life(w, name):
    while True:
        life, = struct.unpack("<i", w.hear("IPC_LIFE"))
        if life == LIFE[name]:
            return


@test
@options("--incoming")
def hold_before_the_vm_is_there(w):
    equal(hold(w), (BUSY, 0))
    w.join_bus()
    w.save(b"a" * 16)  # NOTHING, and it still waits
    equal(hold(w), (BUSY, 0))
    w.lives()


@test
def hold_while_fenced(w):
    w.join_bus()
    w.save(b"a" * 16)
    wait_life(w, "LIFE_FENCED")
    equal(hold(w), (BUSY, 0))
    w.lives()


@test
def hold_while_away(w):
    link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setblocking(False)
    w.say("IPC_LINK", fd=theirs.fileno())
    theirs.close()
    w.join_bus()
    w.save(b"a" * 16)
    link.close()
    wait_life(w, "LIFE_AWAY")
    equal(hold(w), (BUSY, 0))
    w.lives()


@test
def save_while_held(w):
    """It waits for what becomes of the upgrade; here the old one goes on."""
    w.join_bus()
    value, size = hold(w)
    equal(value, 0)
    assert size > 80, size
    w.bus_say("BUS_SAVE", ident=b"h" * 16)
    w.say("IPC_THAW")
    kind, _, size, ident = w.bus_hear()
    equal((kind, ident), (BUS["BUS_SAVED"], b"h" * 16))
    wait_life(w, "LIFE_FENCED")
    w.lives()


def run_one(n, fn):
    with tempfile.TemporaryDirectory(prefix="vmc-worker-") as top:
        w = None
        try:
            w = Worker(top, *getattr(fn, "options", ()))
            fn(w)
            print(f"ok {n} - {fn.__name__}", flush=True)
            return True
        except Skip as e:
            print(f"ok {n} - {fn.__name__} # SKIP {e}", flush=True)
            return True
        except Exception as e:  # every failure is a test's
            print(f"not ok {n} - {fn.__name__}", flush=True)
            with contextlib.suppress(AttributeError):
                for line in w.said().splitlines()[-15:]:
                    print(f"#   {line}")
            vmc.say_why(e)
            return False
        finally:
            if w:
                w.close()


def main():
    tests = vmc.chosen(sys.argv[2:])
    print(f"1..{len(tests)}", flush=True)
    results = [run_one(n, fn) for n, fn in enumerate(tests, 1)]
    sys.exit(0 if all(results) else 1)


main()
