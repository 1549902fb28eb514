# SPDX-License-Identifier: MIT
"""A host and a guest in one machine: vmchanneld and vmchannel-agent joined by
a pipe that a test can cut, with a folder of their own and no QEMU between."""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = 90  # seconds; only ever waited for in full when a test fails


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain: " + what)


class Pipe:
    """Two listening sockets; whoever connects to one talks to the other."""

    def __init__(self, a, b):
        self.ears = []
        for path in (a, b):
            ear = socket.socket(socket.AF_UNIX)
            ear.bind(path)
            ear.listen(4)
            self.ears.append(ear)
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        ends = [None, None]
        while True:
            readable, _, _ = select.select(
                self.ears + [self.wake] + [e for e in ends if e], [], [])
            if self.wake in readable:
                break
            for i, ear in enumerate(self.ears):
                if ear in readable:
                    if ends[i]:
                        ends[i].close()
                    ends[i] = ear.accept()[0]
            for i in (0, 1):
                if ends[i] in readable and ends[1 - i]:
                    self.move(ends, i)
        for s in self.ears + [e for e in ends if e] + [self.wake]:
            s.close()

    @staticmethod
    def move(ends, i):
        try:
            data = ends[i].recv(65536)
            if data:
                ends[1 - i].sendall(data)
                return
        except OSError:
            pass
        ends[i].close()
        ends[i] = None

    def close(self):
        self.waker.close()
        self.thread.join()


class FakeBroker:
    """The control socket of a VM; says what a test wants to be said.
    @answers: for each method, parameters of the reply
    @stream: what is done with the connection that becomes a stream"""

    def __init__(self, root, vm, answers, stream=None):
        self.answers = answers
        self.stream = stream
        self.failed = None
        self.dir = os.path.join(root, vm)
        os.mkdir(self.dir)
        self.ear = socket.socket(socket.AF_UNIX)
        self.ear.bind(os.path.join(self.dir, "control"))
        self.ear.listen(8)
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.wake not in select.select([self.ear, self.wake], [], [])[0]:
            with self.ear.accept()[0] as s:
                s.settimeout(PATIENCE)
                try:
                    self.serve(s)
                except Exception as e:  # pylint: disable=broad-except
                    self.failed = e

    def serve(self, s):
        while True:
            call = b""
            while not call.endswith(b"\0"):
                byte = s.recv(1)
                if not byte:
                    return
                call += byte
            call = json.loads(call[:-1])
            method = call["method"].rsplit(".", 1)[1]
            if method in self.answers:
                reply = {"parameters": self.answers[method]}
            else:
                reply = {"error": "org.varlink.service.MethodNotFound",
                         "parameters": {"method": call["method"]}}
            s.sendall(json.dumps(reply).encode() + b"\0")
            if call.get("upgrade"):
                self.stream(s)
                return

    def close(self):
        self.waker.close()
        self.thread.join()
        for s in (self.ear, self.wake):
            s.close()
        shutil.rmtree(self.dir)
        if self.failed:
            raise self.failed


class World:
    def __init__(self, build):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix="vmc-cli-")
        self.host = os.path.join(self.dir, "h")
        self.guest = os.path.join(self.dir, "g")
        self.config = os.path.join(self.dir, "etc")
        for d in (self.host, self.guest, self.config):
            os.mkdir(d)
        self.link = os.path.join(self.dir, "link")
        self.port = os.path.join(self.dir, "port")
        self.processes = []
        self.pipe = None
        self.daemon = self.agent = None

    def path(self, *parts):
        return os.path.join(self.build, *parts)

    def start(self, argv, **kw):
        p = subprocess.Popen(argv, **kw)
        self.processes.append(p)
        return p

    def log(self, name):
        return open(os.path.join(self.dir, name), "ab")

    def start_daemon(self, *more):
        with self.log("daemon.log") as log:
            self.daemon = self.start(
                [self.path("src/host/vmchanneld"), "--dir", self.host,
                 "--config", self.config, "--link", self.link, *more, "web1"],
                stderr=log)
        wait_until("vmchanneld answers",
                   lambda: self.info(self.host, "web1"))

    def start_agent(self):
        with self.log("agent.log") as log:
            self.agent = self.start(
                [self.path("src/guest/vmchannel-agent"), "--dir", self.guest,
                 "--config", self.config, "--device", self.port,
                 "--no-operations"], stderr=log)
        wait_until("the agent answers", lambda: self.info(self.guest, "host"))

    def start_pipe(self):
        self.pipe = Pipe(self.link, self.port)

    def start_all(self):
        self.start_pipe()
        self.start_daemon()
        self.start_agent()
        self.wait_up()

    def wait_up(self):
        for root, vm in ((self.host, "web1"), (self.guest, "host")):
            wait_until(vm + " is up", lambda r=root, v=vm:
                       (self.info(r, v) or {}).get("link") == "up")

    def info(self, root, vm):
        run = self.run(root, "call", vm, "--local",
                       "org.vmchannel.Broker.GetInfo")
        return json.loads(run.stdout) if run.returncode == 0 else None

    def command(self, root, *args, static=False):
        name = "vmchannel.static" if static else "vmchannel"
        return [self.path("src/cli", name), "--dir", root, *args]

    def run(self, root, *args, stdin=b"", static=False):
        return subprocess.run(self.command(root, *args, static=static),
                              input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE,
                              check=False)

    def on_host(self, *args, **kw):
        return self.run(self.host, *args, **kw)

    def in_guest(self, *args, **kw):
        return self.run(self.guest, *args, **kw)

    def listen(self, root, vm, channel, *args):
        """A listener in the background, once its channel is announced."""
        p = self.start(self.command(root, "listen", vm, channel, *args),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
        line = p.stderr.readline()
        assert b"listening on" in line, line
        other, name = ((self.host, "web1") if root == self.guest
                       else (self.guest, "host"))
        wait_until(channel + " is seen", lambda: channel.encode() in self.run(
            other, "channels", name, "--names").stdout.split())
        return p

    @staticmethod
    def varlink(root, vm, method, mode, **parameters):
        """A call to a broker, and its first reply. The socket stays open."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect(os.path.join(root, vm, "control"))
        call = {"method": "org.vmchannel.Broker." + method,
                "parameters": parameters, mode: True}
        s.sendall(json.dumps(call).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            byte = s.recv(1)
            assert byte, reply
            reply += byte
        reply = json.loads(reply[:-1])
        assert "error" not in reply, reply
        return s

    def stop(self, p, sig=signal.SIGTERM):
        if p.poll() is None:
            p.send_signal(sig)
        p.wait(PATIENCE)
        for f in (p.stdin, p.stdout, p.stderr):
            if f:
                f.close()
        self.processes.remove(p)

    def close(self):
        for p in reversed(list(self.processes)):
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
            self.stop(p)
        if self.pipe:
            self.pipe.close()
        shutil.rmtree(self.dir, ignore_errors=True)
