# SPDX-License-Identifier: MIT
"""A guest with one transport, and the load programs on both of its sides."""
import os
import socket
import subprocess
import time

BOOT_TIMEOUT_S = 60
REPLY_TIMEOUT_S = 90
MEMORY_MB = 192


class BenchError(Exception):
    """Something did not work; the text says what."""


class Load:
    """A load program: orders out, one line back (bench/load.c)."""

    def __init__(self, side):
        self.side = side
        self.buffer = b""

    def write(self, data):
        raise NotImplementedError

    def read(self):
        raise NotImplementedError

    def line(self):
        while b"\n" not in self.buffer:
            data = self.read()
            if not data:
                raise BenchError(f"{self.side}: the load program is gone")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def wait_ready(self):
        while self.line() != "ready":
            pass

    def send(self, *words):
        self.last = " ".join(str(w) for w in words)
        self.write(self.last.encode() + b"\n")

    def answer(self):
        words = self.line().split()
        if not words or words[0] != "ok":
            raise BenchError(f"{self.side}: {self.last}: {' '.join(words)}")
        return [float(w) for w in words[1:]]

    def do(self, *words):
        self.send(*words)
        return self.answer()


class HostLoad(Load):
    def __init__(self, program, env):
        super().__init__("host")
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            bufsize=0, env=env)
        self.wait_ready()

    def write(self, data):
        self.process.stdin.write(data)

    def read(self):
        return self.process.stdout.read(4096)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class GuestLoad(Load):
    def __init__(self, path, process, log):
        super().__init__("guest")
        self.socket = connect_soon(path, process, log)
        self.socket.settimeout(REPLY_TIMEOUT_S)
        self.wait_ready()

    def write(self, data):
        self.socket.sendall(data)

    def read(self):
        try:
            return self.socket.recv(4096)
        except socket.timeout:
            raise BenchError(f"guest: {self.last}: no answer") from None

    def close(self):
        self.socket.close()


def connect_soon(path, process, log):
    """Connects to a socket that QEMU is about to make."""
    end = time.monotonic() + BOOT_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"QEMU ended: {tail(log)}")
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            time.sleep(0.02)
    raise BenchError(f"{path}: nobody listens: {tail(log)}")


def tail(path):
    try:
        with open(path, errors="replace") as f:
            return " | ".join(f.read().splitlines()[-5:])
    except OSError:
        return "no log"


class Machine:
    """One boot. Subclasses say how QEMU gets its transport and how a stream
    is opened; slot n of one side is then joined to slot n of the other."""

    name = "?"
    kernel_words = ""
    accel = "tcg,thread=multi"

    def __init__(self, setup, n_streams):
        self.setup = setup
        self.n_streams = n_streams
        self.n_open = 0
        self.process = self.guest = self.host = None

    # What a transport is made of ------------------------------------------
    def devices(self):
        raise NotImplementedError

    def command(self, qemu):
        return qemu

    def environment(self):
        return dict(os.environ)

    def connected(self):
        """Called once, when both load programs are there."""

    def open_stream(self, slot):
        raise NotImplementedError

    # The same for all -----------------------------------------------------
    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def boot(self):
        d = self.setup.scratch
        log = os.path.join(d, "console")
        control = os.path.join(d, "control")
        if os.path.exists(control):
            os.unlink(control)
        qemu = [
            "qemu-system-x86_64", "-M", "q35", "-accel", self.accel,
            "-cpu", "qemu64", "-smp", "1", "-m", str(MEMORY_MB),
            "-name", "bench,debug-threads=on",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot",
            "-kernel", self.setup.kernel, "-initrd", self.setup.initramfs,
            "-append", "console=ttyS0 quiet panic=1 "
            f"vmch.exec=/bin/guest-start {self.kernel_words}",
            "-serial", f"file:{log}",
            "-chardev", f"socket,id=control,path={control},server=on,wait=off",
            "-serial", "chardev:control"] + self.devices()
        with open(os.path.join(d, "qemu.log"), "w") as err:
            self.process = subprocess.Popen(
                self.command(qemu), stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, env=self.environment())
        self.guest = GuestLoad(control, self.process, err.name)
        self.host = HostLoad(self.setup.load, self.environment())
        self.connected()
        self.open_streams(self.n_streams)

    def open_streams(self, n):
        """As many as @n in all."""
        while self.n_open < n:
            self.open_stream(self.n_open)
            self.n_open += 1

    def __exit__(self, *_):
        for load in (self.host, self.guest):
            if load:
                load.close()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def open_both(self, guest_order, host_order):
        """Two orders that wait for each other."""
        self.guest.send(*guest_order)
        self.host.send(*host_order)
        self.host.answer()
        self.guest.answer()


class RawPorts(Machine):
    """A virtserialport per stream."""

    def controller(self):
        raise NotImplementedError

    def devices(self):
        out = ["-device", self.controller()]
        for n in range(self.n_streams):
            path = os.path.join(self.setup.scratch, f"port{n}")
            out += ["-chardev",
                    f"socket,id=c{n},path={path},server=on,wait=off",
                    "-device",
                    f"virtserialport,bus=vs.0,chardev=c{n},name=bench.{n},"
                    f"nr={n + 1}"]
        return out

    def open_stream(self, slot):
        path = os.path.join(self.setup.scratch, f"port{slot}")
        self.host.do("open", slot, f"unix:{path}")
        self.guest.do("open", slot, f"file:/dev/vport0p{slot + 1}")


class RawDefault(RawPorts):
    name = "raw_default"

    def controller(self):
        return "virtio-serial-pci,id=vs"


class RawTuned(RawPorts):
    """Just the queues needed, and an interrupt for each of them."""
    name = "raw_tuned"

    def controller(self):
        ports = self.n_streams + 1
        queues = 2 * (ports + 1)
        return (f"virtio-serial-pci,id=vs,max_ports={ports},"
                f"vectors={queues + 1}")


class SlirpTcp(Machine):
    """TCP through QEMU's user network to a listener on the loopback."""
    name = "tcp"

    def devices(self):
        return ["-netdev", "user,id=net", "-device",
                "virtio-net-pci,netdev=net,romfile="]

    def connected(self):
        self.port = int(self.host.do("listen", "tcp:127.0.0.1:0")[0])

    def open_stream(self, slot):
        self.open_both(("open", slot, f"tcp:10.0.2.2:{self.port}"),
                       ("accept", slot))


class Ours(Machine):
    """The program and the daemon as "vmchannel run" sets them up."""
    name = "ours"
    kernel_words = "vmch.agent"
    VM = "bench"
    CHANNEL = "org.example.bench"

    def environment(self):
        env = super().environment()
        env["VMCHANNEL_DIR"] = self.setup.scratch
        return env

    def devices(self):
        return []

    def command(self, qemu):
        return [self.setup.command, "run", "--name", self.VM, "--"] + qemu

    def connected(self):
        """The agent starts beside the load program: it may need a moment."""
        end = time.monotonic() + BOOT_TIMEOUT_S
        while True:
            try:
                return self.guest.do("listen", f"vmc:host:{self.CHANNEL}")
            except BenchError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def open_stream(self, slot):
        self.open_both(("accept", slot),
                       ("open", slot, f"vmc:{self.VM}:{self.CHANNEL}"))

    def directory(self):
        return os.path.join(self.setup.scratch, self.VM)
