#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""worker.py VMCHANNELD [TEST...] - `vmchanneld --worker` with this program as
its supervisor and as its bus process, one that may have been taken over; TAP."""
import fcntl
import mmap
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "broker"))
import vmc  # noqa: E402
from vmc import equal, has, test  # noqa: E402

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


def numbers_behind(header, prefix):
    """Another enum of the same file."""
    path = os.path.join(HERE, "..", "..", "src", "host", header)
    with open(path, encoding="utf-8") as f:
        names = re.findall(rf"^\t({prefix}\w+)\b", f.read(), re.MULTILINE)
    return {name: n for n, name in enumerate(names)}


# Lists of names in the order of their numbers, other enums of the file behind
IPC = numbers("ipc.h", "IPC")
BUS = numbers("bus_ipc.h", "BUS")
LIFE = numbers("life.h", "LIFE")
VM = numbers_behind("ipc.h", "IPC_VM_")
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
    def __init__(self, top, *more, state=None):
        """@state: memory that a predecessor has written."""
        self.state = memory("state", MIB) if state is None else os.dup(state)
        self.given = []  # kind, cookie, descriptor
        self.log = open(f"{top}/log", "w+", encoding="utf-8")
        self.dir, self.bus = top, None
        self.pair, theirs = pair()
        socks = [theirs, listening(f"{top}/control"),
                 listening(f"{top}/connect")]
        fds = [s.fileno() for s in socks]
        fds += [self.state, memory("arena", 8 * MIB)]

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
            for target, fd in enumerate(high, 3):
                os.dup2(fd, target)
        self.proc = subprocess.Popen(
            [VMCHANNELD, "--worker", f"--sandbox={SANDBOX}", *more, "vm"],
            preexec_fn=place, close_fds=False, stderr=self.log)
        for s in socks:
            s.close()
        os.close(fds[4])
        self.hear("IPC_READY")
        self.say("IPC_CONFIG", struct.pack("<iI", 0, 4), self.blob())
        life = "LIFE_INCOMING" if "--incoming" in more else "LIFE_SERVING"
        if "--adopt" not in more:
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
                self.keep(data, fd)
            if struct.unpack_from("<H", data)[0] == IPC[kind]:
                return data[2:]

    def keep(self, data, fd):
        if struct.unpack_from("<H", data)[0] != IPC["IPC_GIVE"]:
            os.close(fd)
            return
        cookie, kind = struct.unpack_from("<Qi", data, 2)
        self.given.append((kind, cookie, fd))

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
        for fd in (self.memory, self.state, *(fd for _, _, fd in self.given)):
            os.close(fd)
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


@test
def unread_end_is_an_end(w):
    """What is true of it then is said by the supervisor, not guessed."""
    def vmstate():
        return vmc.call(w.dir, "GetInfo")["vmstate"]

    w.join_bus()
    w.save(b"a" * 16)  # it has read all that came before
    w.say("IPC_VMSTATE", struct.pack("<i", IPC["IPC_VMSTATE_LOST"] -
                                     IPC["IPC_VMSTATE_OFF"]))
    vmc.wait_for(lambda: vmstate() == "lost")
    w.bus_say("BUS_SAVE", ident=b"u" * 16)
    select.select([w.bus], [], [])  # the answer is not read
    w.bus.close()
    w.bus = None
    vmc.wait_for(lambda: "ev=bus-gone" in w.said())
    equal(vmstate(), "lost")


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


# ---- what QMP says, at the fence (docs/continuity.md, section 4) ----------------

# Longer than AWAY_MS, to see that nothing happens.
AWAY_SECONDS = 2


def qmp_says(w, *names):
    for name in names:
        w.say("IPC_VM", struct.pack("<i", VM[name]))


def fenced(w, ident=b"a" * 16):
    w.join_bus()
    w.save(ident)
    wait_life(w, "LIFE_FENCED")


def info(w, key):
    return vmc.call(w.dir, "GetInfo").get(key)


def stays(w, life):
    time.sleep(AWAY_SECONDS)
    equal(info(w, "life"), life)


@test
def moved_ends_the_fence(w):
    fenced(w)
    qmp_says(w, "IPC_VM_STOPPED", "IPC_VM_MOVED")
    wait_life(w, "LIFE_AWAY")
    equal(info(w, "qmp"), "moved")
    has(w.said(), "ev=moved")


@test
def moved_and_taken_back(w):
    for name in ("IPC_VM_RUNNING", "IPC_VM_STOPPED", "IPC_VM_WAITING"):
        fenced(w, name.encode()[:16].ljust(16))
        qmp_says(w, "IPC_VM_MOVED", name)
        stays(w, "fenced")


@test
def moved_before_the_save_does_not_count(w):
    qmp_says(w, "IPC_VM_MOVED")
    stays(w, "serving")
    fenced(w)
    stays(w, "fenced")
    qmp_says(w, "IPC_VM_MOVED")
    wait_life(w, "LIFE_AWAY")


@test
def another_save_is_another_question(w):
    fenced(w)
    qmp_says(w, "IPC_VM_MOVED")
    equal(hold(w), (BUSY, 0))  # the bus is another socket: it read that
    w.save(b"b" * 16)
    if w.said().rfind("ev=saved") > w.said().find("ev=moved") >= 0:
        print("# the machine stood still for AWAY_MS")
        return
    wait_life(w, "LIFE_FENCED")  # said again: what does the VM do?
    stays(w, "fenced")


@test
def no_word_of_qmp_is_too_much(w):
    w.say("IPC_VM", struct.pack("<i", VM["IPC_VM_NUM"]))
    w.say("IPC_VM", struct.pack("<i", -1))
    fenced(w)
    qmp_says(w, *(list(VM)[:-1] * 100))  # nobody counts them
    w.lives()


# ---- states of other versions (docs/continuity.md, section 3.1) ----------------

M64 = (1 << 64) - 1
P1, P2, P3, P4, P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F,
                      0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                      0x27D4EB2F165667C5)


def rotl(v, n):
    return (v << n | v >> (64 - n)) & M64


def xxh64_round(acc, lane):
    return rotl((acc + lane * P2) & M64, 31) * P1 & M64


def xxh64(data):
    """XXH64 with seed 0, after its specification."""
    acc = [(P1 + P2) & M64, P2, 0, -P1 & M64]
    at, h = 0, P5
    while at + 32 <= len(data):
        for i, lane in enumerate(struct.unpack_from("<4Q", data, at)):
            acc[i] = xxh64_round(acc[i], lane)
        at += 32
    if at:
        h = sum(rotl(a, n) for a, n in zip(acc, (1, 7, 12, 18))) & M64
        for a in acc:
            h = ((h ^ xxh64_round(0, a)) * P1 + P4) & M64
    h = (h + len(data)) & M64
    while at + 8 <= len(data):
        h ^= xxh64_round(0, struct.unpack_from("<Q", data, at)[0])
        h = (rotl(h, 27) * P1 + P4) & M64
        at += 8
    if at + 4 <= len(data):
        h ^= struct.unpack_from("<I", data, at)[0] * P1 & M64
        h = (rotl(h, 23) * P2 + P3) & M64
        at += 4
    for byte in data[at:]:
        h ^= byte * P5 & M64
        h = rotl(h, 11) * P1 & M64
    h = (h ^ h >> 33) * P2 & M64
    h = (h ^ h >> 29) * P3 & M64
    return h ^ h >> 32


def sealed(blob):
    """With the length and the hash that it should have."""
    blob = bytearray(blob)
    struct.pack_into("<I", blob, 12, len(blob))
    struct.pack_into("<Q", blob, 16, xxh64(bytes(blob[24:])))
    return bytes(blob)


def versions(writer, reader):
    def change(blob):
        struct.pack_into("<HH", blob, 8, writer, reader)
    return change


def one_more_section(kind, flags):
    def change(blob):
        n, = struct.unpack_from("<I", blob, 28)
        struct.pack_into("<I", blob, 28, n + 1)
        blob += struct.pack("<HHI8s", kind, flags, 8, b"whatever")
    return change


STATES = [
    ("as it was", lambda blob: None, True),
    ("a newer writer that thinks of us", versions(2, 1), True),
    ("a newer writer", versions(2, 2), False),
    ("no version", versions(0, 0), False),
    ("more that can be skipped", one_more_section(99, 0), True),
    ("more that must be known", one_more_section(99, 1), False),
    ("a flag that nobody knows", one_more_section(99, 2), False),
]


@test
def states_of_other_versions(w):
    """What the successor makes of them; each time the old one goes on."""
    equal(xxh64(b""), 0xEF46DB3751D8E999)
    value, size = hold(w)
    equal(value, 0)
    with mmap.mmap(w.state, MIB) as m:
        blob = m[:size]
        equal(sealed(blob), blob)
        for name, change, good in STATES:
            other = bytearray(blob)
            change(other)
            other = sealed(other)
            m[:len(other)] = other
            with tempfile.TemporaryDirectory(prefix="vmc-worker-") as top:
                n = Worker(top, "--adopt", state=w.state)
                for kind, cookie, fd in w.given:
                    n.say("IPC_GIVE", struct.pack("<Qi", cookie, kind), fd)
                n.say("IPC_ADOPT", struct.pack("<I", len(other)))
                got, = struct.unpack("<i", n.hear("IPC_ADOPTED"))
                equal((name, got == 0), (name, good))
                n.close()
    w.say("IPC_THAW")
    w.lives()


vmc.run_all(sys.argv[2:],
            lambda top, fn: Worker(top, *getattr(fn, "options", ())),
            Worker.said)
