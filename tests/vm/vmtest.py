# SPDX-License-Identifier: MIT
"""vmtest - boot the test guest and drive both sides of it.

A test is a function test_*(t) in a file test_*.py beside this one, marked
with @test(). t is a Context: it gives the VM, starts programs and cleans up.
Everything that is started dies with the test run, whatever happens to it.
"""
import collections
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))

DEBIAN = "guest-debian"
DEBIAN_MEMORY = 512
# To fetch a Debian, once; else it takes seconds.
DEBIAN_MAKE_SECONDS = 900
SPARE_DISK_BYTES = 64 << 20
CANNOT = 77

RUNNER_PORT = "org.vmchannel.test"
LINK_PORT = "org.vmchannel.0"
# The channels of the guest's operations process.
OPERATIONS = ["org.vmchannel." + n for n in (
    "Agent", "Exec", "File", "Network", "Power", "Session", "Storage",
    "System")]
USERS = {"root": 0, "alice": 1000, "bob": 1001}

# A boot takes 2 s on an idle machine; a loaded one gets this long.
BOOT_TIMEOUT = 120
# The Debian takes 10 s.
DEBIAN_BOOT_TIMEOUT = 300
DEFAULT_TIMEOUT = 60


class Failure(Exception):
    """A check did not hold; the text says which."""


class Skip(Exception):
    """The test cannot run here; the text says why."""


class TimedOut(Failure):
    pass


def die_with_parent():
    """In a child: be killed when the test run goes away (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_for(what, condition, timeout=10.0, interval=0.02):
    """Poll until condition() is true and return its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimedOut(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


class Output:
    """What a program printed so far, fed by a thread, waited for by the test."""

    def __init__(self, name):
        self.name = name
        self.out = bytearray()
        self.err = bytearray()
        self.status = None
        self.changed = threading.Condition()

    def _feed(self, stream, data):
        with self.changed:
            stream += data
            self.changed.notify_all()

    def _end(self, status):
        with self.changed:
            self.status = status
            self.changed.notify_all()

    def _wait(self, what, condition, timeout):
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise TimedOut(f"{self.name}: {what}: not within "
                                   f"{timeout:g} s; {self.tail()}")
                self.changed.wait(min(left, 1.0))

    def tail(self):
        return (f"stdout {bytes(self.out[-400:])!r}, "
                f"stderr {bytes(self.err[-400:])!r}")

    def expect(self, pattern, timeout=10.0, stream="out"):
        """Wait until the output matches; returns the match."""
        if isinstance(pattern, str):
            pattern = pattern.encode()

        def look():
            m = re.search(pattern, bytes(getattr(self, stream)), re.M)
            if not m and self.status is not None:
                raise Failure(f"{self.name}: ended with {self.status} before "
                              f"{pattern!r}; {self.tail()}")
            return m
        return self._wait(f"output {pattern!r}", look, timeout)

    def wait(self, timeout=30.0):
        """Wait for the end; returns the exit status."""
        self._wait("end", lambda: self.status is not None, timeout)
        return self.status

    def ok(self, timeout=30.0):
        """Wait for the end, which must be exit status 0; returns stdout."""
        if self.wait(timeout) != 0:
            raise Failure(f"{self.name}: exit status {self.status}; "
                          f"{self.tail()}")
        return self.text()

    def text(self):
        return bytes(self.out).decode(errors="replace")

    def errors(self):
        return bytes(self.err).decode(errors="replace")


class Proc(Output):
    """A program on the host."""

    def __init__(self, argv, stdin=None, env=None, cwd=None, name=None,
                 pass_fds=(), uid=None):
        super().__init__(name or os.path.basename(argv[0]))
        full_env = dict(os.environ, **(env or {}))
        self.popen = subprocess.Popen(
            argv, stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env=full_env, cwd=cwd, preexec_fn=die_with_parent,
            pass_fds=pass_fds, user=uid)
        self.pid = self.popen.pid
        self.threads = [
            threading.Thread(target=self._pump, args=a, daemon=True)
            for a in ((self.popen.stdout, self.out),
                      (self.popen.stderr, self.err))]
        for thread in self.threads:
            thread.start()
        threading.Thread(target=self._reap, daemon=True).start()

    def _pump(self, pipe, stream):
        while True:
            data = os.read(pipe.fileno(), 65536)
            if not data:
                break
            self._feed(stream, data)

    def _reap(self):
        status = self.popen.wait()
        # A child that was left behind may keep the pipes open: do not wait
        # for it for ever.
        for thread in self.threads:
            thread.join(1.0)
        self._end(status if status >= 0 else 128 - status)

    def write(self, data):
        self.popen.stdin.write(data)

    def close_stdin(self):
        self.popen.stdin.close()

    def kill(self, signum=signal.SIGKILL):
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def close(self):
        """End it: politely first."""
        if self.status is None:
            self.kill(signal.SIGTERM)
            with contextlib.suppress(Failure):
                self.wait(8.0)  # a daemon may say goodbye for 2.5 s
        self.kill()
        with contextlib.suppress(OSError):
            self.popen.stdin and self.popen.stdin.close()


class Job(Output):
    """A shell command in the guest."""

    def __init__(self, guest, ident, command):
        super().__init__("guest: " + command)
        self.guest = guest
        self.ident = ident

    def write(self, data):
        for i in range(0, len(data), 32768):
            self.guest.send(self.ident, b"I", data[i:i + 32768])

    def close_stdin(self):
        self.guest.send(self.ident, b"E", b"")

    def kill(self, signum=signal.SIGKILL):
        if self.status is None:
            self.guest.send(self.ident, b"K", bytes([signum]))

    def close(self):
        if self.status is None:
            with contextlib.suppress(OSError):
                self.kill()


class Guest:
    """The host's end of tests/vm/guest/runner.c."""

    def __init__(self, path, alive):
        self.jobs = {}
        self.next = 1
        self.hello = threading.Event()
        self.lock = threading.Lock()

        def connect():
            alive()
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
            except OSError:
                s.close()
                return None
            return s
        self.sock = wait_for("runner's socket", connect, BOOT_TIMEOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def take_over(self, before):
        """The guest has moved here; nothing may be on its way meanwhile."""
        self.jobs, before.jobs = before.jobs, {}
        self.next = before.next
        for job in self.jobs.values():
            job.guest = self
        self.hello.set()

    def _recv(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def _read(self):
        try:
            while True:
                length, ident, kind = struct.unpack("<IIc", self._recv(9))
                self._frame(ident, kind, self._recv(length))
        except OSError:
            for job in list(self.jobs.values()):
                job._end(-1)

    def _frame(self, ident, kind, data):
        job = self.jobs.get(ident)
        if kind == b"H":
            self.hello.set()
        elif job is None:
            return
        elif kind == b"O":
            job._feed(job.out, data)
        elif kind == b"S":
            job._feed(job.err, data)
        elif kind == b"X":
            del self.jobs[ident]
            job._end(struct.unpack("<I", data)[0])

    def send(self, ident, kind, data):
        with self.lock:
            self.sock.sendall(struct.pack("<IIc", len(data), ident, kind)
                              + data)

    def start(self, command, user="root", timeout=0.0):
        """Start a shell command; timeout 0 is none."""
        job = Job(self, self.next, command)
        self.jobs[self.next] = job
        self.next += 1
        self.send(job.ident, b"R", struct.pack(
            "<II", USERS.get(user, user), int(timeout * 1000))
            + command.encode())
        return job

    def run(self, command, user="root", timeout=30.0, check=True, stdin=b""):
        """Run a shell command to its end; returns its Job."""
        job = self.start(command, user, timeout)
        if stdin:
            job.write(stdin)
        job.close_stdin()
        job.wait(timeout + 10)
        if check and job.status != 0:
            raise Failure(f"{job.name}: exit status {job.status}; "
                          f"{job.tail()}")
        return job

    def write_file(self, path, data, mode=0o644):
        if isinstance(data, str):
            data = data.encode()
        self.run(f"mkdir -p $(dirname {path}) && cat >{path} && "
                 f"chmod {mode:o} {path}", stdin=data)

    def close(self):
        self.sock.close()


class QmpError(Failure):
    pass


class Qmp:
    """A QMP client that keeps the events."""

    def __init__(self, path, alive):
        def connect():
            alive()
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
            except OSError:
                s.close()
                return None
            return s
        self.sock = wait_for("QMP socket", connect, 20)
        self.file = self.sock.makefile("rb")
        self.events = []
        json.loads(self.file.readline())
        self.command("qmp_capabilities")

    def command(self, execute, **arguments):
        request = {"execute": execute}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v
                                    for k, v in arguments.items()}
        self.sock.sendall(json.dumps(request).encode())
        while True:
            line = self.file.readline()
            if not line:
                raise QmpError(f"QMP {execute}: QEMU is gone")
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"QMP {execute}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, event):
        """Wait for an event that came or comes; returns it."""
        while True:
            for i, e in enumerate(self.events):
                if e["event"] == event:
                    return self.events.pop(i)
            self.events.append(json.loads(self.file.readline()))

    def monitor(self, line):
        """A command of the human monitor; returns its text."""
        return self.command("human-monitor-command", command_line=line)

    def port(self, name):
        """State of a virtserialport from info qtree, e.g. throttle: off."""
        tree = self.monitor("info qtree")
        for block in tree.split("dev: ")[1:]:
            if f'name = "{name}"' in block:
                m = re.search(r"port (\d+), guest (\w+), host (\w+), "
                              r"throttle (\w+)", block)
                return dict(zip(("nr", "guest", "host", "throttle"),
                                m.groups()))
        return None

    def close(self):
        self.file.close()
        self.sock.close()


class VM:
    """One QEMU with the test guest.

    link: the port org.vmchannel.0 exists from the start
    agent: init starts vmchannel-agent
    boot_timeout: seconds that it may take to boot
    net: a virtio-net card on slirp (10.0.2.15)
    memory: MiB
    folder: where its sockets are, if not in one of its name
    incoming: it waits for a migration from this address
    disks: (file, format) of /dev/vda, /dev/vdb, ...
    """

    def __init__(self, top, name="vm0", link=True, agent=True, net=False,
                 initramfs=None, args=(), append="", paused=False,
                 boot_timeout=BOOT_TIMEOUT, memory=256, folder=None,
                 incoming=None, disks=()):
        self.name = name
        self.dir = os.path.join(top, folder or name)
        os.makedirs(self.dir, exist_ok=True)
        self.link = os.path.join(self.dir, "link")
        self.log = os.path.join(self.dir, "serial")
        self.qmp_path = os.path.join(self.dir, "qmp")
        self.qmp_events = os.path.join(self.dir, "qmp-events")
        runner = os.path.join(self.dir, "runner")
        words = ["console=ttyS0 quiet panic=1 no_timer_check vmch.runner",
                 append]
        if agent:
            words.append("vmch.agent")
        argv = machine_args(initramfs or guest_dir("guest"), words, memory)
        argv += [
            "-name", name, "-serial", "file:" + self.log,
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
            "-qmp", f"unix:{self.qmp_events},server=on,wait=off",
            "-device", "virtio-serial-pci,id=vs0,max_ports=8",
            "-chardev", f"socket,id=ct,path={runner},server=on,wait=off",
            "-device", "virtserialport,bus=vs0.0,chardev=ct,nr=1,id=pt,"
            f"name={RUNNER_PORT}"]
        if link:
            argv += [
                "-chardev",
                f"socket,id=c0,path={self.link},server=on,wait=off",
                "-device", "virtserialport,bus=vs0.0,chardev=c0,nr=2,id=p0,"
                f"name={LINK_PORT}"]
        if net:
            argv += ["-netdev", "user,id=n0",
                     "-device", "virtio-net-pci,netdev=n0"]
        for i, (path, form) in enumerate(disks):
            argv += ["-drive", f"if=none,id=d{i},file={path},format={form},"
                     "discard=unmap,cache=unsafe",
                     "-device", f"virtio-blk-pci,drive=d{i},id=disk{i},"
                     f"serial=vmch-disk{i}"]
        if incoming:
            argv += ["-incoming", incoming]
        self.qemu = Proc(argv + list(args), stdin=subprocess.DEVNULL,
                         name="qemu")
        try:
            self.qmp = Qmp(self.qmp_path, self.alive)
            self.guest = Guest(runner, self.alive)
            if not paused and not incoming:
                self.wait_boot(boot_timeout)
        except BaseException:
            self.close()
            raise

    def alive(self):
        if self.qemu.status is not None:
            raise Failure(f"qemu: ended with {self.qemu.status}: "
                          f"{self.qemu.errors()[-400:]}")

    def wait_boot(self, timeout=BOOT_TIMEOUT):
        end = time.monotonic() + timeout
        while not self.guest.hello.wait(0.2):
            self.alive()
            if time.monotonic() > end:
                raise TimedOut("guest did not boot: "
                               + self.serial()[-400:])

    def serial(self):
        with contextlib.suppress(OSError):
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        return ""

    def close(self):
        for thing in ("guest", "qmp"):
            if hasattr(self, thing):
                getattr(self, thing).close()
        self.qemu.close()


def machine_args(guest, words, memory=256):
    """The part of QEMU's command line that all our guests share."""
    return ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi",
            "-cpu", "qemu64", "-smp", "1", "-m", str(memory), "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", os.path.join(guest, "vmlinuz"),
            "-initrd", os.path.join(guest, "initramfs"),
            "-append", " ".join(w for w in words if w)]


# ---- where things are ----------------------------------------------------

BUILD = os.environ.get("VMCHANNEL_BUILD", os.path.join(SOURCE, "build"))


def guest_dir(variant):
    """Folder with vmlinuz and initramfs of a variant of the guest."""
    path = os.path.join(BUILD, variant)
    if not os.path.exists(os.path.join(path, "initramfs")):
        raise Failure(f"{path}/initramfs is missing: run make guest")
    return path


def debian_guest():
    """Folder of the Debian; the packages are fetched once, and what is
    installed is what was built last."""
    if not debian_guest.path:
        p = subprocess.run([os.path.join(SOURCE, "guest/mkdebian"), BUILD],
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=DEBIAN_MAKE_SECONDS,
                           check=False)
        said = p.stderr.strip()
        if p.returncode == CANNOT:
            raise Skip(said.splitlines()[-1] if said else "no Debian")
        if p.returncode:
            raise Failure("mkdebian: " + said)
        debian_guest.path = os.path.join(BUILD, DEBIAN)
    return debian_guest.path


debian_guest.path = None


def debian_vm(top, name, **options):
    """A VM with the Debian: /dev/vda is its own layer over the built disc,
    /dev/vdb an empty ext4 of SPARE_DISK_BYTES that is not mounted (VM.spare).
    Nobody but udev and systemd starts the agent."""
    image = os.path.join(debian_guest(), "disk.img")
    folder = os.path.join(top, name)
    os.makedirs(folder, exist_ok=True)
    root = os.path.join(folder, "root.qcow2")
    spare = os.path.join(folder, "spare.img")
    for argv in (
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F",
             "raw", root],
            ["/sbin/mke2fs", "-q", "-t", "ext4", spare,
             f"{SPARE_DISK_BYTES >> 10}k"]):
        p = subprocess.run(argv, capture_output=True, text=True, check=False)
        check_equal(p.returncode, 0, f"{argv[0]}: {p.stderr}")
    options.setdefault("memory", DEBIAN_MEMORY)
    options.setdefault("boot_timeout", DEBIAN_BOOT_TIMEOUT)
    append = "vmch.root=/dev/vda " + options.pop("append", "")
    vm = VM(top, name, agent=False, append=append,
            disks=((root, "qcow2"), (spare, "raw")), **options)
    vm.spare = spare
    return vm


def program(path):
    """A built program, by its path below the build folder."""
    full = os.path.join(BUILD, path)
    if not os.path.exists(full):
        raise Failure(f"{path} is not built: run make")
    return full


# ---- tests ---------------------------------------------------------------

TESTS = []
Test = collections.namedtuple("Test", "name function timeout slow soak")


def test(timeout=DEFAULT_TIMEOUT, slow=False, soak=False):
    """Mark a test. slow: left out by --quick; soak: only with --soak."""
    def mark(function):
        name = function.__name__.removeprefix("test_")
        TESTS.append(Test(name, function, timeout, slow, soak))
        return function
    return mark


def check(condition, text):
    if not condition:
        raise Failure(text)


def check_equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: got {got!r}, wanted {want!r}")


# ---- what a test works with ----------------------------------------------

QUICK = False
SOAK = False


def child_with(pid, option):
    """The child of vmchanneld that was started with this option, or None."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split()
        for child in children:
            with open(f"/proc/{child}/cmdline", "rb") as f:
                if option in f.read().split(b"\0"):
                    return int(child)
    return None


class Daemon:
    """vmchanneld for one VM, and the folder where its sockets are."""

    def __init__(self, vm, top, config=None, args=()):
        self.vm = vm
        self.top = os.path.join(top, "run")
        self.config = config or os.path.join(vm.dir, "config")
        os.makedirs(self.top, exist_ok=True)
        for folder in ("policy.d", "services.d"):
            os.makedirs(os.path.join(self.config, folder), exist_ok=True)
        self.args = list(args)
        self.dir = os.path.join(self.top, vm.name)
        self.start()

    def start(self):
        self.proc = Proc([program("src/host/vmchanneld"), "--dir", self.top,
                          "--config", self.config, "--link", self.vm.link,
                          *self.args, self.vm.name],
                         stdin=subprocess.DEVNULL)
        wait_for("vmchanneld's control socket", self._ready, 10)

    def _ready(self):
        if self.proc.status is not None:
            raise Failure(f"vmchanneld: ended with {self.proc.status}: "
                          f"{self.proc.errors()[-400:]}")
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(os.path.join(self.dir, "control")) == 0

    def worker(self):
        """The pid of the sandboxed worker, one of the supervisor's children."""
        return wait_for("a worker", lambda: child_with(
            self.proc.pid, b"--worker"), 20)

    def qmp_process(self):
        """The pid of the process that hears QEMU's events."""
        return wait_for("a QMP process", lambda: child_with(
            self.proc.pid, b"--qmp"), 20)

    def close(self):
        self.proc.close()


class Fleet:
    """The VMs that tests share; made anew after a test that failed."""

    MAKERS = {"shared": VM, "debian": debian_vm}

    def __init__(self, top):
        self.top = top
        self.pairs = {}

    def get(self, name):
        if name not in self.pairs:
            program("src/host/vmchanneld")
            vm = self.MAKERS[name](self.top, name)
            try:
                self.pairs[name] = (vm, Daemon(vm, self.top))
            except BaseException:
                vm.close()
                raise
        return self.pairs[name]

    def close(self, name=None):
        for key in [name] if name else list(self.pairs):
            vm, daemon = self.pairs.pop(key, (None, None))
            if vm:
                daemon.close()
                vm.close()
                shutil.rmtree(vm.dir, ignore_errors=True)


class Context:
    """One test's hands: everything made here is cleaned up after it."""

    def __init__(self, fleet, tst):
        self.fleet = fleet
        self.test = tst
        self.dir = os.path.join(fleet.top, tst.name[:20])
        os.makedirs(self.dir, exist_ok=True)
        self.things = []
        self.vms = []
        self.daemons = []
        self.uses = set()

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def shared(self, name="shared"):
        """(vm, daemon) with the agent up; leave it as you found it."""
        self.uses.add(name)
        vm, daemon = self.fleet.get(name)
        if vm not in self.vms:
            self.vms.append(vm)
            self.daemons.append(daemon)
            self.wait_peer(daemon, DEBIAN_BOOT_TIMEOUT)
        return vm, daemon

    def shared_debian(self):
        """As shared(), with the Debian, where alice and bob are logged in.
        It is the slow one to boot, so not for each test one of its own."""
        vm, daemon = self.shared("debian")
        self.wait_sessions(vm)
        return vm, daemon

    def vm(self, name="vm", **options):
        """A VM of this test's own."""
        return self.keep_vm(VM(self.dir, name, **options))

    def debian(self, name="vm", **options):
        """A VM of this test's own with the Debian."""
        return self.keep_vm(debian_vm(self.dir, name, **options))

    def keep_vm(self, vm):
        self.vms.append(self.keep(vm))
        return vm

    @staticmethod
    def wait_sessions(vm, timeout=DEBIAN_BOOT_TIMEOUT):
        """Until alice's desktop and bob's console are there."""
        def look():
            return vm.guest.run(
                "loginctl show-user alice && loginctl show-user bob && "
                "pidof swayidle", check=False).status == 0
        wait_for("alice and bob to be logged in", look, timeout, 0.5)

    def daemon(self, vm, **options):
        daemon = self.keep(Daemon(vm, self.dir, **options))
        self.daemons.append(daemon)
        return daemon

    def wait_peer(self, daemon, timeout=30):
        """Until a call gets through to the agent."""
        def look():
            return self.link_up(daemon) and self.peer_answers(daemon)
        wait_for("the peer", look, timeout, 0.1)

    @staticmethod
    def link_up(daemon):
        return varlink(daemon, "org.vmchannel.Broker.GetInfo")["link"] == "up"

    def peer_answers(self, daemon):
        with contextlib.suppress(Failure, OSError):
            with self.plain_connect(daemon, "org.varlink.service",
                                    b'{"method":"org.varlink.service.GetInfo"'
                                    b'}\0') as s:
                s.settimeout(3)
                return b"org.varlink.service" in s.recv(65536)
        return False

    def host(self, *argv, **options):
        """Start a program on the host."""
        return self.keep(Proc([str(a) for a in argv], **options))

    def cli(self, daemon, *args, **options):
        """Start the vmchannel command on the host."""
        options.setdefault("name", "vmchannel " + args[0])
        return self.host(program("src/cli/vmchannel"), *args,
                         env={"VMCHANNEL_DIR": daemon.top}, **options)

    def job(self, vm, command, user="root", timeout=0.0):
        """Start a shell command in the guest."""
        return self.keep(vm.guest.start(command, user, timeout))

    # ---- programs that talk ----------------------------------------------

    def guest_serve(self, vm, channel, role, *args, user="root", options=""):
        """Announce a channel in the guest, played by vmctest."""
        words = " ".join(str(a) for a in args)
        job = self.job(vm, f"exec vmctest {options} -l host {channel} "
                       f"{role} {words}", user=user)
        job.expect("listening")
        return job

    def guest_connect(self, vm, channel, role, *args, user="root",
                      options=""):
        words = " ".join(str(a) for a in args)
        return self.job(vm, f"exec vmctest {options} -c host {channel} "
                        f"{role} {words}", user=user)

    def host_vmctest(self, daemon, *args):
        return self.host(program("tests/vm/vmctest"), *args,
                         env={"VMCHANNEL_DIR": daemon.top})

    def host_serve(self, daemon, channel, role, *args, options=()):
        proc = self.host_vmctest(daemon, *options, "-l", daemon.vm.name,
                                 channel, role, *args)
        proc.expect("listening")
        return proc

    def host_connect(self, daemon, channel, role, *args, options=()):
        return self.host_vmctest(daemon, *options, "-c", daemon.vm.name,
                                 channel, role, *args)

    @staticmethod
    def check_nothing_left(vm, daemon):
        """Programs are gone: so are their streams and channels."""
        def look():
            streams = varlink(daemon, "org.vmchannel.Broker.Streams")
            there = json.loads(vm.guest.run(
                "vmchannel call host --local org.vmchannel.Broker.Streams")
                .text())
            names = [c["name"] for c in varlink(
                daemon, "org.vmchannel.Broker.List")["channels"]
                if not c["name"].startswith("org.varlink.") and
                c["name"] not in OPERATIONS]
            live = [s for s in streams["streams"] + there["streams"]
                    if s["state"] != "ended"]
            # Asking in the guest is no stream, but asking here may be seen.
            left = live + names
            return not left or None
        try:
            wait_for("streams and channels of programs that ended to go",
                     look, 10, 0.2)
        except Failure as e:
            raise Failure(f"{e}: " + str(varlink(
                daemon, "org.vmchannel.Broker.Streams"))[:600] + str(varlink(
                    daemon, "org.vmchannel.Broker.List"))) from None

    def plain_connect(self, daemon, channel, data=b""):
        """The socket "connect" by hand; raises with the broker's ERR line."""
        s = socket.socket(socket.AF_UNIX)
        self.keep(s).settimeout(20)
        s.connect(os.path.join(daemon.dir, "connect"))
        s.sendall(b"CONNECT " + channel.encode() + b"\n" + data)
        line = b""
        while not line.endswith(b"\n"):
            byte = s.recv(1)
            if not byte:
                raise Failure(f"connect socket: closed after {line!r}")
            line += byte
        if not line.startswith(b"OK "):
            raise ConnectionRefusedError(line.decode())
        return s

    def raw_connect(self, daemon, channel, **parameters):
        """A stream by a varlink upgrade, without our library."""
        s = self.keep(socket.socket(socket.AF_UNIX))
        s.settimeout(20)
        s.connect(os.path.join(daemon.dir, "control"))
        s.sendall(json.dumps({
            "method": "org.vmchannel.Broker.Connect", "upgrade": True,
            "parameters": dict(parameters, channel=channel)}).encode()
            + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            byte = s.recv(1)
            if not byte:
                raise Failure(f"control socket: closed after {answer!r}")
            answer += byte
        reply = json.loads(answer[:-1])
        if "error" in reply:
            raise Failure(f"Connect {channel}: {reply}")
        return s

    def note(self, text):
        """Something worth seeing beside the result."""
        print("# " + text, flush=True)

    @property
    def quick(self):
        return QUICK

    @property
    def soak(self):
        return SOAK

    @staticmethod
    def daemon_rss(daemon):
        """Private memory of both processes in KiB: RssAnon + RssShmem."""
        total = 0
        for pid in (daemon.proc.pid, daemon.worker()):
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                total += sum(int(n) for n in re.findall(
                    r"Rss(?:Anon|Shmem):\s+(\d+)", f.read()))
        return total

    def diagnosis(self):
        """What a failed test leaves in the report."""
        text = ""
        for vm in self.vms:
            text += f"serial of {vm.name}: {vm.serial()[-600:]}\n"
            with contextlib.suppress(Exception):
                log = vm.guest.run("tail -n 15 /var/log/agent.log || "
                                   "journalctl -b -n 25 -o short-monotonic",
                                   timeout=20, check=False)
                text += f"agent of {vm.name}: {log.text()[-1500:]}\n"
        for daemon in self.daemons:
            text += (f"vmchanneld of {daemon.vm.name}: "
                     f"{daemon.proc.errors()[-1500:]}\n")
            with contextlib.suppress(Exception):
                streams = varlink(daemon, "org.vmchannel.Broker.Streams")
                text += f"its streams: {str(streams)[-1500:]}\n"
        return text

    def close(self, failed):
        for thing in reversed(self.things):
            thing.close()
        for name in self.uses:
            if failed:
                self.fleet.close(name)
            else:
                self.check_nothing_left(*self.fleet.get(name))
        shutil.rmtree(self.dir, ignore_errors=True)


def varlink(daemon, method, **parameters):
    """One varlink call to a broker on the host, without our own library."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(os.path.join(daemon.dir, "control"))
        s.sendall(json.dumps({"method": method, "parameters": parameters})
                  .encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            piece = s.recv(65536)
            if not piece:
                raise Failure(f"{method}: the broker closed the connection")
            data += piece
    answer = json.loads(data[:-1])
    if "error" in answer:
        raise Failure(f"{method}: {answer['error']} "
                      f"{answer.get('parameters')}")
    return answer.get("parameters", {})
