# SPDX-License-Identifier: MIT
"""What tests of vmchanneld share: a socket that behaves like QEMU's chardev, a
folder with both daemons, and how a list of tests is run; TAP."""
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "broker"))
import vmc  # noqa: E402
from vmc import equal, wait_channel  # noqa: E402

VMCHANNELD, AGENT = sys.argv[1:3]
SANITIZED = bool(os.environ.get("VMC_TEST_SANITIZED"))
EXTRA = ["--sandbox=off"] if SANITIZED else []


class Qemu:
    """Listens like QEMU's chardev: one client at a time, the others wait in
    the backlog. What the client sends goes to whoever is on the guest's side,
    and the other way round."""

    def __init__(self, top, guest=True):
        self.link, self.port = f"{top}/link", f"{top}/port"
        self.lock = threading.RLock()
        self.open = True
        self.clients = 0
        self.host = self.guest = None
        self.sinks = b""
        self.listening = self.listen(self.link)
        self.guest_listening = self.listen(self.port) if guest else None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @staticmethod
    def listen(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        os.chmod(path, 0o666)
        s.listen(4)
        return s

    def drop(self):
        """Both ends of the present connection; as when QEMU unplugs."""
        with self.lock:
            for s in (self.host, self.guest):
                if s:
                    s.close()
            self.host = self.guest = None

    def watched(self):
        out = []
        out.append(self.host if self.host else self.listening)
        if self.guest:
            out.append(self.guest)
        elif self.guest_listening and self.host:
            out.append(self.guest_listening)
        return [s for s in out if s]

    @staticmethod
    def hung_up(s):
        p = select.poll()
        p.register(s, 0)
        return any(ev & select.POLLHUP for _, ev in p.poll(0))

    def move(self, src, dst):
        # As QEMU 7.2: what lies unread when the host closes is thrown away.
        if src is self.host and self.hung_up(src):
            return False
        data = src.recv(65536)
        if not data:
            return False
        if dst:
            dst.sendall(data)
        elif src is self.host:
            self.sinks += data
        return True

    def turn(self, s):
        if s is self.listening:
            self.host = s.accept()[0]
            self.clients += 1
        elif s is self.guest_listening:
            self.guest = s.accept()[0]
        elif not self.move(s, self.guest if s is self.host else self.host):
            self.drop()

    def run(self):
        while self.open:
            with self.lock:
                for s in select.select(self.watched(), [], [], 0.02)[0]:
                    try:
                        self.turn(s)
                    except OSError:
                        self.drop()
                    break
            time.sleep(0.0001)  # whoever waits for the lock is let in

    def close(self):
        self.open = False
        self.thread.join()
        self.drop()
        for s in (self.listening, self.guest_listening):
            if s:
                s.close()
        for path in (self.link, self.port):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


class Bench:
    """A folder, a vmchanneld, what is around it."""

    def __init__(self, top):
        self.top = top
        self.config = f"{top}/config"
        self.host, self.guest = f"{top}/h/vm", f"{top}/g/host"
        for d in ("h", "g", "config/policy.d", "config/services.d"):
            os.makedirs(f"{top}/{d}")
        self.log = open(f"{top}/log", "w+", encoding="utf-8")
        self.qemu = None
        self.procs = []
        self.daemon = self.agent = None
        self.command_path = VMCHANNELD
        self.through, self.pass_fds = [], []  # what starts vmchanneld

    def put(self, name, text):
        with open(f"{self.config}/{name}", "w", encoding="utf-8") as f:
            f.write(text)

    def command(self, *more, link=True):
        args = [self.command_path, "--dir", f"{self.top}/h", "--config", self.config]
        if link:
            args += ["--link", f"{self.top}/link"]
        return args + EXTRA + list(more) + ["vm"]

    def start(self, *more, link=True, **popen):
        r, w = os.pipe()
        self.daemon = subprocess.Popen(
            self.through + self.command("--ready-fd", str(w), *more,
                                        link=link),
            stderr=self.log,
            pass_fds=[w, *self.pass_fds, *popen.pop("pass_fds", [])], **popen)
        os.close(w)
        with os.fdopen(r, "rb") as f:
            line = f.readline()
        self.procs.append(self.daemon)
        if line != b"ready\n":
            raise RuntimeError(f"not ready: {self.daemon.wait(10)}")

    def start_agent(self):
        self.agent = subprocess.Popen(
            [AGENT, "--device", f"{self.top}/port", "--dir", f"{self.top}/g",
             "--config", f"{self.top}/none", "--no-operations"],
            stderr=self.log)
        self.procs.append(self.agent)
        vmc.wait_for(lambda: os.path.exists(f"{self.guest}/connect"))

    def start_all(self, *more):
        self.qemu = Qemu(self.top)
        self.start(*more)
        self.start_agent()
        self.wait_up()

    def state(self, directory):
        with contextlib.suppress(OSError, EOFError):
            return vmc.call(directory, "GetInfo")["link"]
        return "gone"

    def wait_up(self):
        for d in (self.host, self.guest):
            vmc.wait_for(lambda: self.state(d) == "up")

    def worker(self):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid",
                              str(self.daemon.pid)], stdout=subprocess.PIPE,
                             check=False, text=True).stdout.split()
        for pid in out:
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if b"--worker" in f.read():
                        return int(pid)
        return None

    def logged(self):
        with open(f"{self.top}/log", encoding="utf-8") as f:
            return f.read()

    def end(self, sig=signal.SIGTERM):
        self.daemon.send_signal(sig)
        return self.daemon.wait(20)

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.kill()
                p.wait()
        if self.qemu:
            self.qemu.close()
        self.log.close()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def echo_once(b, text=b"hello"):
    """One stream each way."""
    for here, there in ((b.host, b.guest), (b.guest, b.host)):
        lis = vmc.Listener(there, "org.test.echo")
        wait_channel(here, "org.test.echo")
        mine, _, theirs, _ = vmc.join(here, lis)
        mine.sendall(text)
        equal(vmc.read_exact(theirs, len(text)), text)
        theirs.sendall(text)
        equal(vmc.read_exact(mine, len(text)), text)
        for s in (mine, theirs, lis):
            s.close()
        wait_channel(here, "org.test.echo", False)


def run_all(names):
    vmc.run_all(names, lambda top, _: Bench(top), Bench.logged)
