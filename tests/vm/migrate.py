# SPDX-License-Identifier: MIT
"""migrate - a guest that moves from one QEMU to the next, under load.

Each hop starts another QEMU and, beside it, another vmchanneld; the guest
and what runs in it go along. Programs of the guest must be silent towards the
runner while a hop lasts: its port is a raw one, which loses bytes then (see
test_raw_port_loses).
"""
import collections
import contextlib
import ctypes
import os
import random
import re
import signal
import statistics
import subprocess
import time

from tap import Tap
from vmtest import (Daemon, Failure, TimedOut, VM, check, check_equal,
                    program, varlink, wait_for)

MEMORY = 128
UUID = "6d6f7665-6420-4000-8000-000000000001"
RAW_PORT = "org.vmchannel.raw"
HOP_TIMEOUT = 60
# Places that a stream may be told to follow to; hops of a journey.
FOLLOW_MAX = 8
# Capabilities of QEMU that a move may ask for.
CAPABILITIES = ("pause-before-switchover", "postcopy-ram")
# x86-64, as the QEMU that is run.
SYS_USERFAULTFD = 323
# Until a program that is cut knows why.
END_SECONDS = 6
FLOW = re.compile(r"flow (\d+): out (\d+) in (\d+) lost (\d+) doubled (\d+) "
                  r"garbage (\d+) end (\S+) gaps (\S*)")
END = re.compile(r"^end: (\S+) ", re.M)

# Where the daemon will find things, before there is a QEMU.
Place = collections.namedtuple("Place", "name dir link")
# When the VM stood still, in ms of CLOCK_REALTIME.
Move = collections.namedtuple("Move", "stopped resumed")
# What one end of a stream says (guest/flow.h).
End = collections.namedtuple(
    "End", "number out got lost doubled garbage why gaps")


def carries_state():
    """Does this vmchanneld take streams along?"""
    text = subprocess.run([program("src/host/vmchanneld"), "--help"],
                          capture_output=True, text=True, check=True).stdout
    return "--incoming" in text


def postcopy_allowed():
    """May a QEMU of ours fetch its memory on demand (userfaultfd)?"""
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    fd = ctypes.CDLL(None).syscall(SYS_USERFAULTFD, flags)
    if fd < 0:
        return False
    os.close(fd)
    return True


def seed_of_run(default=None):
    """VMCHANNEL_SEED, or a new one; printed so that it can be repeated."""
    text = os.environ.get("VMCHANNEL_SEED")
    return int(text) if text else default or random.SystemRandom().randrange(
        1 << 32)


class Host:
    """One QEMU and its vmchanneld.

    state: QEMU takes the daemon's state along
    raw: a second port, without a daemon
    tap: the daemon's connection goes through one (.tap)
    qmp: the daemon has a QMP socket of its own; or one at this path
    disk: a qcow2 image, for snapshots
    """

    def __init__(self, t, top, number, incoming=False, state=False, daemon=True,
                 raw=False, args=(), disk=None, tap=False, qmp=False):
        self.t = t
        self.tap = None
        self.dir = os.path.join(top, f"h{number}")
        os.makedirs(self.dir, exist_ok=True)
        self.address = "unix:" + os.path.join(self.dir, "mig")
        self.raw = os.path.join(self.dir, "raw")
        self.entry = os.path.join(self.dir, "entry")
        self.daemon = self.vm = None
        args = list(args) + ["-uuid", UUID]
        if daemon:
            # QEMU connects to the daemon's socket when it starts.
            place = Place("vm", self.dir, self.entry)
            options = ["--uuid", UUID]
            options += ["--incoming"] if incoming and state else []
            if qmp:
                options += ["--qmp-events", qmp if isinstance(qmp, str) else
                            os.path.join(self.dir, "qmp-events")]
            self.daemon = Daemon(place, self.dir, args=options)
            t.daemons.append(self.daemon)
        if state:
            socket = os.path.join(self.daemon.dir, "vmstate.sock")
            args += ["-object", "dbus-vmstate,id=vmch0,id-list=vmchannel,"
                     f"addr=unix:path={socket}"]
        if raw:
            args += ["-chardev", f"socket,id=cr,path={self.raw},server=on,"
                     "wait=off",
                     # A controller of its own: QEMU may break all its ports.
                     "-device", "virtio-serial-pci,id=vs1",
                     "-device", "virtserialport,bus=vs1.0,nr=1,chardev=cr,"
                     f"name={RAW_PORT}"]
        if disk:
            args += ["-drive", f"file={disk},if=none,id=d0"]
        t.keep(self)
        if incoming is True:
            incoming = self.address
        self.vm = VM(top, "vm", folder=f"h{number}", memory=MEMORY,
                     incoming=incoming, args=args)
        t.vms.append(self.vm)
        if tap:
            self.tap = Tap(os.path.join(self.dir, "tap"), self.vm.link)
        self.qmp = self.vm.qmp
        self.qmp.sock.settimeout(HOP_TIMEOUT)
        self.qmp.command("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}])

    def attach(self):
        """Now the daemon can connect."""
        os.symlink("tap" if self.tap else self.vm.link, self.entry)

    def leave(self):
        """QEMU ends, as it does after a migration."""
        self.vm.guest.close()
        with contextlib.suppress(Failure, OSError):
            self.qmp.command("quit")
        self.vm.qemu.wait(20)

    def close(self):
        for thing in (self.tap, self.vm, self.daemon):
            if thing:
                thing.close()


def stamp(event):
    t = event["timestamp"]
    return t["seconds"] * 1e3 + t["microseconds"] / 1e3


class Journey:
    """A guest that moves; .here is where it is. More in Host."""
    made = 0

    def __init__(self, t, seed, **options):
        self.t = t
        self.random = random.Random(seed)
        self.options = options
        self.hops = 0
        self.stayed = 0
        Journey.made += 1
        self.dir = os.path.join(t.dir, f"j{Journey.made}")
        os.makedirs(self.dir)
        self.here = self.host(False)
        self.here.attach()
        if self.here.daemon:
            t.wait_peer(self.here.daemon, 60)
        t.note(f"VMCHANNEL_SEED={seed}")

    def host(self, incoming):
        """Another one; incoming: True, or the address it waits at."""
        host = Host(self.t, self.dir, self.hops, incoming, **self.options)
        self.hops += 1
        return host

    def follow_options(self):
        """All the places where it will be."""
        return [word for i in range(1, FOLLOW_MAX + 1) for word in
                ("-f", os.path.join(self.dir, f"h{i}", "run"))]

    def name_here(self):
        """A name that leads to where it is."""
        fresh = os.path.join(self.dir, "here.new")
        os.symlink(os.path.join(self.here.dir, "run"), fresh)
        os.rename(fresh, os.path.join(self.dir, "here"))

    @property
    def guest(self):
        return self.here.vm.guest

    @property
    def daemon(self):
        return self.here.daemon

    def prepare(self, early=True):
        """A destination that waits; early: its daemon is connected to it."""
        there = self.host(True)
        if early:
            there.attach()
        return there

    def switch(self, there, capabilities=(), during=None,
               bandwidth=1 << 33):
        """The migration itself. during(source, there) is called once it has
        begun, and must see to it that it ends. Returns the Move."""
        source = self.here
        for host in (source, there):
            host.qmp.command("migrate-set-capabilities", capabilities=[
                {"capability": c, "state": c in capabilities}
                for c in CAPABILITIES])
        source.qmp.command("migrate-set-parameters", max_bandwidth=bandwidth)
        source.qmp.command("migrate", uri=there.address)
        if during:
            during(source, there)
        stopped = stamp(source.qmp.wait_event("STOP"))
        resumed = stamp(there.qmp.wait_event("RESUME"))
        # Both, or what is left of one is read at the next hop. With postcopy
        # memory still comes: a source that ends now takes the guest along.
        for host in (source, there):
            self.wait_status(host.qmp, "completed")
        there.vm.guest.take_over(source.vm.guest)
        self.here = there
        self.name_here()
        return Move(stopped, resumed)

    @staticmethod
    def wait_status(qmp, *wanted):
        while True:
            status = qmp.wait_event("MIGRATION")["data"]["status"]
            if status in wanted:
                return status
            if status in ("completed", "failed", "cancelled",
                          "postcopy-paused"):
                raise Failure(f"the migration {status}")

    def hop(self, early=True, **more):
        """One whole move; returns (Move, the host that was left)."""
        r = self.random
        there, source = self.prepare(early), self.here
        time.sleep(r.uniform(0, 1))
        move = self.switch(there, **more)
        if not early:
            time.sleep(r.uniform(0, 0.5))
            there.attach()
        # It may stand there for a while: programs learn of the move when its
        # QEMU ends.
        self.stayed = r.choice([0, r.uniform(0, 0.5)])
        time.sleep(self.stayed)
        source.leave()
        return move, source


# ---- streams under load ----------------------------------------------------

def parse_ends(text):
    """What flows said: {number: End}."""
    found = {}
    for m in FLOW.finditer(text):
        numbers = [int(w) for w in m.groups()[:6]]
        gaps = [tuple(float(w) for w in g.split("-"))
                for g in m.group(8).split(",") if g]
        end = End(*numbers, m.group(7), gaps)
        check(end.number not in found, f"stream {end.number} told twice")
        found[end.number] = end
    return found


def tell_flows(proc, signum):
    """vmctest's player is a child if there are several streams."""
    path = f"/proc/{proc.pid}/task/{proc.pid}/children"
    with contextlib.suppress(OSError):
        with open(path, encoding="ascii") as f:
            pids = [int(w) for w in f.read().split()] or [proc.pid]
        for pid in pids:
            os.kill(pid, signum)


class GuestFlows:
    """vmctest in the guest; it writes to a file, not to the runner."""
    made = 0

    def __init__(self, journey, options, words):
        self.journey = journey
        GuestFlows.made += 1
        self.log = f"/tmp/flow{GuestFlows.made}"
        self.job = journey.guest.start(
            f"echo $$ >{self.log}.pid; exec vmctest {options} {words} "
            f">{self.log}.out 2>{self.log}")

    def wait_listening(self):
        def look():
            return "listening" in self.read(".out")
        wait_for("a listener in the guest", look, 20, 0.1)

    def read(self, suffix=""):
        return self.journey.guest.run(f"cat {self.log}{suffix}",
                                      check=False).text()

    def stop(self):
        """Its streams half-close; some may have ended with the others."""
        self.journey.guest.run(
            f"read pid <{self.log}.pid; for p in $pid "
            "$(cat /proc/$pid/task/$pid/children); do kill -USR1 $p; done", check=False)

    def ends(self, count, timeout=60):
        def look():
            found = parse_ends(self.read())
            return found if len(found) >= count else None
        try:
            return wait_for(f"{count} streams in the guest to end", look,
                            timeout, 0.3)
        except TimedOut as e:
            raise Failure(f"{e}: {self.read()[-600:]}") from None


def host_ends(proc, count, timeout=60):
    def look():
        found = parse_ends(proc.errors())
        return found if len(found) >= count else None
    try:
        return wait_for(f"{count} streams on the host to end", look, timeout,
                        0.1)
    except TimedOut as e:
        raise Failure(f"{e}: {proc.tail()}") from None


class Load:
    """Streams of a program on the host with one in the guest.

    guest, host: what each writes and reads in a second; 0: all it can
    follow: the host's programs go along when the guest moves; "name": by one
    that is changed to lead to the new place
    opened_by: whose programs connect to the other's
    """
    made = 0

    def __init__(self, journey, count, guest=(0, 0), host=(0, 0), tick=10,
                 follow=False, opened_by="host"):
        Load.made += 1
        self.count = count
        self.channel = f"org.example.load{Load.made}"
        words = f"flow {Load.made} {{}} {{}} {tick}"
        self.guest_words = words.format(*guest)
        self.host_words = words.format(*host).split()
        self.options = []
        if follow:
            self.options = journey.follow_options()
        if follow == "name":
            journey.name_here()
            self.options = ["-f", os.path.join(journey.dir, "here")]
        getattr(self, "open_by_" + opened_by)(journey)
        wait_for(f"{count} streams to be open",
                 lambda: self.n_open(journey.daemon) == count, 30, 0.1)

    def open_by_host(self, journey):
        self.inside = GuestFlows(journey, f"-l host {self.channel}",
                                 self.guest_words)
        self.inside.wait_listening()
        self.outside = journey.t.host_connect(
            journey.daemon, self.channel, *self.host_words,
            options=[*self.options, "-n", str(self.count)])

    def open_by_guest(self, journey):
        self.outside = journey.t.host_serve(
            journey.daemon, self.channel, *self.host_words,
            options=[*self.options, "-n", str(self.count)])
        self.inside = GuestFlows(
            journey, f"-n {self.count} -c host {self.channel}",
            self.guest_words)

    def ids(self, daemon):
        streams = varlink(daemon, "org.vmchannel.Broker.Streams")["streams"]
        return [s["id"] for s in streams if s["channel"] == self.channel and
                s["state"] == "open"]

    def n_open(self, daemon):
        return len(self.ids(daemon))

    def going(self):
        """Nothing has ended yet."""
        for where, read in (("host", self.outside.errors),
                            ("guest", self.inside.read)):
            if "flow " not in read():
                continue
            time.sleep(END_SECONDS)
            said = re.sub(r" gaps \S*", "", read())
            raise Failure(f"{self.channel}: a stream ended on the {where}: "
                          f"{said[-600:]}")

    def finish(self, timeout=60):
        """Both sides stop; each byte must have come. Returns the host's ends
        and the guest's."""
        tell_flows(self.outside, signal.SIGUSR1)
        self.inside.stop()
        host = host_ends(self.outside, self.count, timeout)
        guest = self.inside.ends(self.count, timeout)
        check_exact(guest, host, "guest's end of")
        check_exact(host, guest, "host's end of")
        self.inside.job.kill()
        for end in host.values():
            check(end.got > 0 and end.out > 0, f"nothing moved: {end}")
        return host, guest


def check_prefix(ours, theirs, what):
    """A stream that was cut: what came is the beginning of what was sent."""
    for number, mine in ours.items():
        other = theirs[number]
        check(mine.lost == mine.doubled == mine.garbage == 0,
              f"{what} {number}: {mine}")
        check(mine.got <= other.out,
              f"{what} {number}: got {mine.got} of {other.out}")


def check_exact(ours, theirs, what):
    """A stream that ended in order."""
    check_prefix(ours, theirs, what)
    for number, mine in ours.items():
        check_equal(mine.got, theirs[number].out, f"{what} {number}: bytes")


def downtimes(ends, move):
    """For each stream: ms without bytes around the switch, less the pause."""
    pause = move.resumed - move.stopped
    found = []
    for end in ends.values():
        across = [b - a for a, b in end.gaps
                  if a < move.resumed and b > move.stopped]
        if across:
            found.append(max(0.0, max(across) - pause))
    return found


# How far the guest's clock may be from ours: it has stood still at each move
# before, and began with a whole second.
CLOCK_MS = 2000


def downtimes_inside(ends, move):
    """The same in the guest, whose clock stands still in the pause."""
    return [max([0.0] + [b - a for a, b in end.gaps
                         if move.stopped - CLOCK_MS < b and
                         a < move.resumed + CLOCK_MS])
            for end in ends.values()]


def state_times(daemon, what):
    """ms that QEMU waited for each answer of this daemon: saved, loaded"""
    return [int(us) / 1000 for us in
            re.findall(rf"ev={what} bytes=\d+ us=(\d+)", daemon.proc.errors())]


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def tell_times(what, values):
    if values:
        print(f"# {what}: {len(values)} times p50 "
              f"{statistics.median(values):.1f} ms, p95 "
              f"{percentile(values, 0.95):.1f} ms, max {max(values):.1f} ms",
              flush=True)


def tell_downtimes(values):
    tell_times("downtime of streams", values)
