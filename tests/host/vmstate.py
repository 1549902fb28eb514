#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmstate.py VMCHANNELD [TEST...] - real QEMUs without a guest against
`vmchanneld --bus`, with this program as its supervisor and worker: the order
of docs/continuity.md section 4.1; and against whole vmchannelds; TAP."""
import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "broker"))
import vmc  # noqa: E402
from vmc import Skip, equal, has, test, wait_for  # noqa: E402

VMCHANNELD = os.path.abspath(sys.argv[1])
QEMU = shutil.which("qemu-system-x86_64")
SANDBOX = "off" if os.environ.get("VMC_TEST_SANITIZED") else "on"
AREA = 1 << 20
SYS_PIDFD_GETFD = 438  # on every architecture
ENDED = ("completed", "failed", "cancelled")

# bus_ipc.h
MSG = struct.Struct("<HHiI16s")
WORKER, STATE, CONNECTED, SAVE, SAVED, LOAD, LOADED = range(1, 8)
# broker/state.h
HEADER = struct.Struct("<8sHHIQII16s16sQQ")


def state(save_id, length):
    """A state as far as the bus process looks at it."""
    head = HEADER.pack(b"VMCSTATE", 1, 1, length, 0, 1, 0, save_id, bytes(16),
                       0, 0)
    return head + bytes(i % 251 for i in range(min(length - 80, 4096))) + \
        bytes(max(0, length - 80 - 4096))


class Bus:
    """vmchanneld --bus, its supervisor, and a worker that notes what it is
    asked. slow: seconds before it answers; deaf: it never does."""

    def __init__(self, top, name, size=2000, slow=0.0, deaf=False):
        self.path = f"{top}/{name}.bus"
        self.size, self.slow, self.deaf = size, slow, deaf
        self.make = state
        self.seen = []  # (wall-clock time, "Save" or "Load")
        self.loaded = self.saved = None
        self.asked = threading.Condition()
        self.memory = os.memfd_create("vmstate")
        os.ftruncate(self.memory, 2 * AREA)
        self.map = mmap.mmap(self.memory, 2 * AREA)
        self.proc = None
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(4)
        listener.setblocking(False)
        self.pair, theirs = socket.socketpair(socket.AF_UNIX,
                                              socket.SOCK_SEQPACKET)
        fds = [theirs.fileno(), listener.fileno(), self.memory]

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
            for target, fd in enumerate(high, 3):
                os.dup2(fd, target)
        self.proc = subprocess.Popen(
            [VMCHANNELD, "--bus", f"--sandbox={SANDBOX}", "vm"],
            preexec_fn=place, close_fds=False)
        theirs.close()
        listener.close()
        self.new_worker()

    def new_worker(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(self.pair, [MSG.pack(1, WORKER, 0, 0, bytes(16))],
                        [theirs.fileno()])
        theirs.close()
        threading.Thread(target=self.work, args=[ours], daemon=True).start()

    def work(self, sock):
        while True:
            data = sock.recv(100)
            if len(data) != MSG.size:
                return
            _, kind, _, size, ident = MSG.unpack(data)
            if kind in (SAVE, LOAD):
                with self.asked:
                    self.seen.append((time.time(),
                                      "Save" if kind == SAVE else "Load"))
                    self.asked.notify_all()
                time.sleep(self.slow)
            if self.deaf:
                continue
            if kind == SAVE:
                self.saved = self.make(ident, self.size)
                self.map[:self.size] = self.saved
                sock.send(MSG.pack(1, SAVED, 0, self.size, ident))
            elif kind == LOAD:
                self.loaded = self.map[AREA:AREA + size]
                sock.send(MSG.pack(1, LOADED, 0, 0, ident))

    def wait(self, what, timeout=vmc.TIMEOUT):
        with self.asked:
            assert self.asked.wait_for(
                lambda: any(w == what for _, w in self.seen), timeout), what

    def close(self):
        self.proc.kill()
        self.proc.wait()


class Qemu:
    def __init__(self, top, name, *args, bus=None, disk=None, id_list=True):
        self.top, self.name, self.events = top, name, []
        self.qmp = f"{top}/{name}.qmp"
        command = [QEMU, "-machine", "q35,accel=tcg", "-m", "32",
                   "-nodefaults", "-no-user-config", "-display", "none",
                   "-vga", "none", "-qmp", f"unix:{self.qmp},server=on,wait=off",
                   "-device", "virtio-serial-pci,id=vs0",
                   "-chardev",
                   f"socket,id=c1,path={top}/{name}.chr,server=on,wait=off",
                   "-device", "virtserialport,bus=vs0.0,nr=1,chardev=c1,"
                   "name=org.vmchannel.0"]
        if disk:
            command += ["-drive", f"file={disk},if=none,id=dr0", "-device",
                        "virtio-blk-pci,drive=dr0"]
        if bus:
            command += ["-object", self.object(bus, id_list)]
        self.log = open(f"{top}/{name}.log", "a+", encoding="utf-8")
        self.proc = subprocess.Popen(command + list(args), stderr=self.log)
        self.changed = threading.Condition()
        self.replies = []
        self.sock = wait_for(self.connect)
        threading.Thread(target=self.read, daemon=True).start()
        self.call("qmp_capabilities")
        self.call("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}])

    @staticmethod
    def object(bus, id_list=True):
        return (f"dbus-vmstate,id=vmch0,addr=unix:path={bus}" +
                (",id-list=vmchannel" if id_list else ""))

    def connect(self):
        assert self.proc.poll() is None, self.said()
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(self.qmp)
            return s
        except OSError:
            s.close()
            return None

    def said(self):
        with open(self.log.name, encoding="utf-8") as f:
            return f.read()

    def read(self):
        with contextlib.suppress(OSError):
            for text in self.sock.makefile("r"):
                m = json.loads(text)
                with self.changed:
                    if "event" in m:
                        self.events.append(m)
                    elif "QMP" not in m:
                        self.replies.append(m)
                    self.changed.notify_all()

    def ask(self, command, **arguments):
        with self.changed:
            del self.replies[:]
        self.sock.sendall(json.dumps(
            {"execute": command, "arguments": arguments}).encode() + b"\n")
        with self.changed:
            assert self.changed.wait_for(lambda: self.replies, 20), command
            return self.replies.pop(0)

    def call(self, command, **arguments):
        m = self.ask(command, **arguments)
        assert "return" in m, (command, m)
        return m["return"]

    def hmp(self, line):
        return self.call("human-monitor-command", **{"command-line": line})

    def status(self):
        return self.call("query-status")["status"]

    def capability(self, name):
        self.call("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": True}])

    def add_object(self, bus, ident="vmch0"):
        return self.ask("object-add", **{
            "qom-type": "dbus-vmstate", "id": ident,
            "addr": f"unix:path={bus}", "id-list": "vmchannel"})

    def named(self):
        """(time, name) of all events; a migration's have the status."""
        out = []
        for e in self.events:
            t = e["timestamp"]
            name = e["event"]
            if name == "MIGRATION":
                name = e["data"]["status"]
            out.append((t["seconds"] + t["microseconds"] / 1e6, name))
        return out

    def wait(self, *names, timeout=vmc.TIMEOUT):
        def look():
            return next((n for _, n in self.named() if n in names), None)
        with self.changed:
            found = self.changed.wait_for(look, timeout)
        assert found, (names, self.named())
        return found

    def ended(self):
        return self.wait(*ENDED)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.log.close()


class World:
    def __init__(self, top):
        self.top = top
        self.things = []

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def bus(self, name, **more):
        return self.keep(Bus(self.top, name, **more))

    def qemu(self, name, *args, **more):
        for end in ("qmp", "chr"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.top}/{name}.{end}")
        return self.keep(Qemu(self.top, name, *args, **more))

    @property
    def address(self):
        return f"unix:{self.top}/migration"

    def pair(self, source=None, destination=None, id_list=True):
        """Two buses, two QEMUs, the second one waits for the first."""
        b1, b2 = self.bus("src", **source or {}), self.bus(
            "dst", **destination or {})
        s = self.qemu("src", bus=b1.path, id_list=id_list)
        d = self.qemu("dst", "-incoming", self.address, bus=b2.path,
                      id_list=id_list)
        return b1, b2, s, d

    def disk(self):
        """An empty qcow2, 16 MiB."""
        cluster, path = 65536, f"{self.top}/disk.qcow2"
        head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16,
                           16 << 20, 0, 1, 3 * cluster, cluster, 1, 0, 0, 0,
                           0, 0, 4, 104)
        data = bytearray(4 * cluster)
        data[:len(head)] = head
        data[cluster:cluster + 8] = struct.pack(">Q", 2 * cluster)
        for i in range(4):
            data[2 * cluster + 2 * i + 1] = 1
        with open(path, "wb") as f:
            f.write(data)
        return path

    def close(self):
        for thing in reversed(self.things):
            thing.close()


def in_order(*marks):
    """Each is (list of (time, name), name): first of that name after the one
    before."""
    last = 0.0
    for times, name in marks:
        at = min((t for t, n in times if n == name and t >= last),
                 default=None)
        assert at is not None, (name, last, marks)
        last = at


def asked(bus):
    return [w for _, w in bus.seen]


def migrated(b1, b2, s, d):
    equal(s.ended(), "completed")
    d.wait("RESUME")
    equal(asked(b1), ["Save"])
    equal(asked(b2), ["Load"])
    equal(b2.loaded, b1.saved)
    vmc.wait_for(lambda: s.status() == "postmigrate")
    equal(d.status(), "running")


# ---- section 4.1, row by row --------------------------------------------------


@test
def precopy(w):
    b1, b2, s, d = w.pair()
    s.call("migrate", uri=w.address)
    migrated(b1, b2, s, d)
    in_order((s.named(), "STOP"), (b1.seen, "Save"), (b2.seen, "Load"),
             (d.named(), "RESUME"))


@test
def largest_state(w):
    for size in (80, 989792, AREA):
        b1, b2, s, d = w.pair({"size": size})
        s.call("migrate", uri=w.address)
        migrated(b1, b2, s, d)
        equal(len(b2.loaded), size)
        w.close()
        w.things.clear()


@test
def postcopy(w):
    b1, b2, s, d = w.pair()
    for q in (s, d):
        q.capability("postcopy-ram")
    s.call("migrate-set-parameters", **{"max-bandwidth": 200000})
    s.call("migrate", uri=w.address)
    s.wait("active")
    time.sleep(0.2)
    s.call("migrate-start-postcopy")
    s.call("migrate-set-parameters",
           **{"max-bandwidth": 0, "max-postcopy-bandwidth": 0})
    migrated(b1, b2, s, d)
    in_order((s.named(), "postcopy-active"), (s.named(), "STOP"),
             (b1.seen, "Save"), (b2.seen, "Load"), (d.named(), "RESUME"))


def pause(w):
    b1, b2, s, d = w.pair()
    for q in (s, d):
        q.capability("pause-before-switchover")
    s.call("migrate", uri=w.address)
    s.wait("pre-switchover")
    time.sleep(0.3)
    equal(asked(b1), [])  # not before it is told to go on
    return b1, b2, s, d


@test
def pause_before_switchover(w):
    b1, b2, s, d = pause(w)
    s.call("migrate-continue", state="pre-switchover")
    migrated(b1, b2, s, d)


@test
def cancelled_before_switchover(w):
    b1, _, s, _ = pause(w)
    s.call("migrate_cancel")
    equal(s.ended(), "cancelled")
    s.wait("RESUME")
    equal(asked(b1), [])


@test
def cancelled_early(w):
    b1, _, s, _ = w.pair()
    s.call("migrate-set-parameters", **{"max-bandwidth": 100000})
    s.call("migrate", uri=w.address)
    s.wait("active")
    s.call("migrate_cancel")
    equal(s.ended(), "cancelled")
    equal(asked(b1), [])
    equal(s.status(), "running")


@test
def cancelled_during_save(w):
    """QEMU hears of it after the answer: both may run; nobody hangs."""
    b1, _, s, d = w.pair({"slow": 0.1})
    s.call("migrate", uri=w.address)
    b1.wait("Save")
    s.ask("migrate_cancel")
    s.ended()
    equal(asked(b1), ["Save"])
    assert s.proc.poll() is None
    wait_for(lambda: s.status() == "running" or
             (d.proc.poll() is None and d.status() == "running"))


@test
def destination_killed_during_save(w):
    """The source goes on, and can be saved again."""
    b1, b2, s, d = w.pair({"slow": 0.15})
    s.call("migrate", uri=w.address)
    b1.wait("Save")
    d.close()
    equal(s.ended(), "failed")
    s.wait("RESUME")
    equal(s.status(), "running")
    del s.events[:], b1.seen[:], b2.seen[:]
    b1.slow = 0
    d = w.qemu("dst", "-incoming", w.address, bus=b2.path)
    s.call("migrate", uri=w.address)
    migrated(b1, b2, s, d)


@test
def destination_killed_during_load(w):
    _, b2, s, d = w.pair(destination={"slow": 0.15})
    s.call("migrate", uri=w.address)
    b2.wait("Load")
    d.close()
    s.ended()
    wait_for(lambda: s.status() in ("postmigrate", "running"))
    s.call("cont")
    equal(s.status(), "running")


@test
def late_worker(w):
    """Save and Load are answered in time; the migration goes on."""
    b1, b2, s, d = w.pair({"deaf": True}, {"deaf": True})
    s.call("migrate", uri=w.address)
    equal(s.ended(), "completed")
    d.wait("RESUME")
    equal((asked(b1), asked(b2)), (["Save"], ["Load"]))
    equal(b2.map[AREA:AREA + 8], b"VMCSTATE")
    equal(struct.unpack("<I", b2.map[AREA + 24:AREA + 28])[0], 0)  # NOTHING
    b2.deaf = False  # the next worker still gets it
    b2.new_worker()
    wait_for(lambda: b2.loaded)
    equal(len(b2.loaded), 80)


@test
def worker_says_nonsense(w):
    b1, b2, s, d = w.pair()
    b1.make = lambda ident, size: state(bytes(16), size)  # another's id
    s.call("migrate", uri=w.address)
    equal(s.ended(), "completed")
    d.wait("RESUME")
    equal(len(b2.loaded), 80)  # NOTHING


@test
def savevm_and_loadvm(w):
    disk = w.disk()
    b = w.bus("src")
    s = w.qemu("src", bus=b.path, disk=disk)
    equal(s.hmp("savevm a"), "")
    in_order((s.named(), "STOP"), (b.seen, "Save"), (s.named(), "RESUME"))
    saved = b.saved
    del s.events[:], b.seen[:]
    equal(s.hmp("loadvm a"), "")
    in_order((s.named(), "STOP"), (b.seen, "Load"), (s.named(), "RESUME"))
    equal(b.loaded, saved)
    s.call("stop")
    del s.events[:], b.seen[:]
    equal(s.hmp("savevm b"), "")
    equal(s.hmp("loadvm b"), "")
    equal(asked(b), ["Save", "Load"])
    assert "RESUME" not in [n for _, n in s.named()]
    s.close()
    b.loaded = None
    s = w.qemu("src", "-loadvm", "a", bus=b.path, disk=disk)
    equal(b.loaded, saved)
    equal(s.status(), "running")


@test
def two_from_one_file(w):
    b1, b2 = w.bus("src"), w.bus("dst")
    s = w.qemu("src", bus=b1.path)
    s.call("migrate", uri=f"exec:cat >{w.top}/image")
    equal(s.ended(), "completed")
    saved = b1.saved
    s.close()
    for name, bus in (("dst", b2), ("src", b1)):
        q = w.qemu(name, "-incoming", f"exec:cat {w.top}/image", bus=bus.path)
        # Its event may be over before anybody listens.
        wait_for(lambda q=q: q.status() == "running", 60)
        equal(bus.loaded, saved)


def lose_bus(w, id_list):
    b1, b2, s, d = w.pair(id_list=id_list)
    b1.close()
    s.call("migrate", uri=w.address)
    equal(s.ended(), "failed")
    wait_for(lambda: s.status() == "running")
    d.close()
    return b1, b2, s


@test
def bus_lost(w):
    """QEMU lives, its next migration fails and it goes on; a new object mends
    it."""
    b1, b2, s = lose_bus(w, True)
    b1.start()
    s.call("object-del", id="vmch0")
    m = s.add_object(b1.path)
    assert "return" in m, m
    del s.events[:]
    d = w.qemu("dst", "-incoming", w.address, bus=b2.path)
    s.call("migrate", uri=w.address)
    migrated(b1, b2, s, d)


@test
def bus_lost_without_id_list(w):
    lose_bus(w, False)


@test
def object_at_run_time(w):
    b1, b2 = w.bus("src"), w.bus("dst")
    s, d = w.qemu("src"), w.qemu("dst", "-incoming", "defer")
    for q, b in ((s, b1), (d, b2)):
        m = q.add_object(b.path)
        assert "return" in m, m
    assert "error" in s.add_object(b1.path, "vmch1")
    d.call("migrate-incoming", uri=w.address)
    s.call("migrate", uri=w.address)
    migrated(b1, b2, s, d)


@test
def new_connection_replaces_the_old(w):
    """Two objects cannot be; but a QEMU that was left behind can."""
    b1, b2, s, d = w.pair()
    other = w.qemu("other", bus=b1.path)
    s.call("migrate", uri=w.address)
    equal(s.ended(), "failed")
    d.close()
    d = w.qemu("dst", "-incoming", w.address, bus=b2.path)
    other.call("migrate", uri=w.address)
    migrated(b1, b2, other, d)


@test
def foreign_bytes(w):
    """Nothing on the socket ends the process; the next QEMU is served."""
    b = w.bus("src")
    rnd = random.Random(5)
    greeting = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
    # 100 MiB are announced and do not come
    huge = b"l\1\0\1" + struct.pack("<III", 100 << 20, 1, 0)
    for data in (b"", b"\0", greeting, greeting + huge, huge,
                 *(greeting + rnd.randbytes(rnd.randrange(1, 3000))
                   for _ in range(40))):
        c = socket.socket(socket.AF_UNIX)
        c.connect(b.path)
        c.sendall(data)
        time.sleep(0.005)
        c.close()
    equal(b.proc.poll(), None)
    s = w.qemu("src", bus=b.path)
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "completed")
    equal(asked(b), ["Save"])


# ---- whole vmchannelds -----------------------------------------------------------


class Daemon:
    def __init__(self, w, name, *more):
        self.w, self.name = w, name
        self.dir = f"{w.top}/run/{name}"
        self.bus = f"{self.dir}/vmstate.sock"
        self.log = open(f"{w.top}/{name}.daemon", "a+", encoding="utf-8")
        r, wr = os.pipe()
        self.proc = subprocess.Popen(
            [VMCHANNELD, "--dir", f"{w.top}/run", "--config",
             f"{w.top}/config", "--link", f"{w.top}/{name}.chr",
             f"--sandbox={SANDBOX}", "--ready-fd", str(wr), *more, name],
            pass_fds=[wr], stderr=self.log)
        os.close(wr)
        with os.fdopen(r) as f:
            equal(f.readline(), "ready\n")

    def children(self, what):
        out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid",
                              str(self.proc.pid)], stdout=subprocess.PIPE,
                             check=False, text=True).stdout
        return [int(line.split()[0]) for line in out.splitlines()
                if what in line]

    def vmstate(self):
        with contextlib.suppress(OSError, EOFError):
            return vmc.call(self.dir, "GetInfo")["vmstate"]
        return "gone"

    def said(self):
        with open(self.log.name, encoding="utf-8") as f:
            return f.read()

    def close(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()


@test
def whole_daemons(w):
    """Nothing to be saved, so NOTHING is; the process starts when QEMU does
    and is confined."""
    a = w.keep(Daemon(w, "src"))
    z = w.keep(Daemon(w, "dst"))
    equal(os.stat(a.bus).st_mode & 0o777, 0o600)
    equal(a.children("--bus"), [])
    s = w.qemu("src", bus=a.bus)
    d = w.qemu("dst", "-incoming", w.address, bus=z.bus)
    pid, = a.children("--bus")
    if SANDBOX == "on":
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = f.read()
        for line in ("Seccomp:\t2", "NoNewPrivs:\t1",
                     "CapEff:\t0000000000000000"):
            has(status, line)
        kb = sum(int(n) for n in
                 re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status))
        print(f"# bus process {kb} kB")
        assert kb < 1024, kb
    s.call("migrate", uri=w.address)
    equal(s.ended(), "completed")
    d.wait("RESUME")
    took = [t for t, n in d.named() if n == "RESUME"][0] - \
        [t for t, n in s.named() if n == "STOP"][0]
    print(f"# the VM stood still for {took * 1e3:.0f} ms")
    has(a.said(), "ev=save state=none why=no-session")
    has(z.said(), "ev=load state=80")
    a.close()
    w.things.remove(a)
    assert not os.path.exists(a.dir)


@test
def killed_process_comes_back(w):
    a = w.keep(Daemon(w, "src"))
    wait_for(lambda: a.vmstate() == "waiting")
    s = w.qemu("src", bus=a.bus)
    wait_for(lambda: a.vmstate() == "connected")
    time.sleep(1.1)  # one that lived so long is started again at once
    pid, = a.children("--bus")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "ev=bus-died" in a.said())
    wait_for(lambda: a.vmstate() == "lost")
    # Safely on the source: the VM goes on, and nothing was asked of anybody.
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "failed")
    wait_for(lambda: s.status() == "running")
    # A worker that comes later knows it, too, and so does a new program.
    os.kill(a.children("--worker")[0], signal.SIGKILL)
    wait_for(lambda: a.vmstate() == "lost")
    a.proc.send_signal(signal.SIGUSR2)
    wait_for(lambda: "ev=upgraded" in a.said())
    wait_for(lambda: a.vmstate() == "lost")
    del s.events[:]
    s.call("object-del", id="vmch0")
    m = s.add_object(a.bus)
    assert "return" in m, m
    wait_for(lambda: a.vmstate() == "connected")
    assert a.children("--bus") not in ([], [pid])
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "completed")
    has(a.said(), "ev=save state=none why=no-session")


def unread_by(pid):
    """Bytes that lie in the message sockets of a process that is stopped."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd, total = os.pidfd_open(pid), 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            os.close(pidfd)
            raise Skip(os.strerror(ctypes.get_errno()))
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                with socket.socket(fileno=os.dup(fd)) as s:
                    kind = s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
                if kind == socket.SOCK_SEQPACKET:
                    total += struct.unpack("i", fcntl.ioctl(
                        fd, termios.FIONREAD, bytes(4)))[0]
        finally:
            os.close(fd)
    os.close(pidfd)
    return total


@test
def killed_while_it_loads(w):
    """The next worker asks for the same state and is not taken for a
    clone's."""
    b = w.bus("src")
    z = w.keep(Daemon(w, "dst", "--incoming"))
    s = w.qemu("src", bus=b.path)
    w.qemu("dst", "-incoming", w.address, bus=z.bus)
    wait_for(lambda: z.vmstate() == "connected")
    z.proc.send_signal(signal.SIGSTOP)
    try:
        equal(unread_by(z.proc.pid), 0)
        s.call("migrate", uri=w.address)
        wait_for(lambda: unread_by(z.proc.pid) > 0)  # the worker's question
        os.kill(z.children("--worker")[0], signal.SIGKILL)
    finally:
        z.proc.send_signal(signal.SIGCONT)
    wait_for(lambda: "ev=load-refused" in z.said())
    has(z.said(), "ev=worker-died")
    # It was looked at, and is none that a worker could take.
    has(z.said(), "ev=load-refused why=malformed")


@test
def dies_while_an_upgrade_fails(w):
    """The old worker goes on and knows it."""
    if not os.environ.get("VMC_TEST_HANG"):
        raise Skip("nothing to preload")
    os.environ["LD_PRELOAD"] = os.environ["VMC_TEST_HANG"]
    try:
        a = w.keep(Daemon(w, "src"))
    finally:
        del os.environ["LD_PRELOAD"]
    w.qemu("src", bus=a.bus)
    wait_for(lambda: a.vmstate() == "connected")
    a.proc.send_signal(signal.SIGUSR2)
    wait_for(lambda: a.children("--adopt"))
    os.kill(a.children("--bus")[0], signal.SIGKILL)
    wait_for(lambda: "ev=upgrade-failed" in a.said())
    has(a.said().split("ev=upgrade-failed")[0], "ev=bus-died")
    wait_for(lambda: a.vmstate() == "lost")


@test
def killed_worker_does_not_stop_it(w):
    a = w.keep(Daemon(w, "src"))
    s = w.qemu("src", bus=a.bus)
    os.kill(a.children("--worker")[0], signal.SIGKILL)
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "completed")
    equal(len(a.children("--bus")), 1)
    has(a.said(), "ev=save state=none")


@test
def upgraded_around_it(w):
    """QEMU's connection stays; the new worker is the one that is asked."""
    a = w.keep(Daemon(w, "src"))
    s = w.qemu("src", bus=a.bus)
    before = a.children("--bus"), a.children("--worker")
    a.proc.send_signal(signal.SIGUSR2)
    wait_for(lambda: "ev=upgraded" in a.said())
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "completed")
    has(a.said(), "ev=save state=none why=no-session")
    equal(a.children("--bus"), before[0])
    assert a.children("--worker") != before[1]


@test
def stopped_worker_delays_it_and_no_more(w):
    a = w.keep(Daemon(w, "src"))
    s = w.qemu("src", bus=a.bus)
    worker = a.children("--worker")[0]
    os.kill(worker, signal.SIGSTOP)
    s.call("migrate", uri="exec:cat >/dev/null")
    equal(s.ended(), "completed")
    os.kill(worker, signal.SIGCONT)
    has(a.said(), "ev=save state=none why=late")


# ---- all of it ---------------------------------------------------------------------


def new_world(top, _):
    os.makedirs(f"{top}/config")
    return World(top)


def main():
    if not QEMU:
        print("1..0 # SKIP no qemu-system-x86_64")
        return
    vmc.run_all(sys.argv[2:], new_world)


main()
