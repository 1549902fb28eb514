# SPDX-License-Identifier: MIT
"""The frames of org.vmchannel.Exec and .File, without our own library.
docs/operations.md, "Frames"."""
import json
import select
import struct

from operations import PATIENCE, OpError, Stream
from vmtest import Failure, check, check_equal, wait_for

EXEC = "org.vmchannel.Exec."
FILE = "org.vmchannel.File."
DATA, OUT, ERR, END, SIZE, SIGNAL, EXIT, SUM, ERROR, TOOK = range(10)
FRAME_MAX = 65536
WINDOW = 256 << 10
RULES = "/etc/vmchannel/policy.d/60-full.conf"
RELOAD = "vmchannel call host --local org.vmchannel.Broker.Reload"


def frame(kind, data=b""):
    return struct.pack("<IB3x", len(data), kind) + data


class Framed:
    """A stream after the reply of a method with "upgrade"."""

    def __init__(self, t, daemon, method, behind=b"", **params):
        self.stream = Stream(t, daemon, method.rsplit(".", 1)[0])
        self.socket = self.stream.socket
        self.socket.sendall(json.dumps(
            {"method": method, "parameters": params, "upgrade": True}
        ).encode() + b"\0" + behind)
        self.reply = self.stream.reply()
        self.data = self.stream.data

    def send(self, kind, data=b""):
        self.socket.sendall(frame(kind, data))

    def receive(self, n):
        """@n bytes; None at the end of the stream."""
        while len(self.data) < n:
            piece = self.socket.recv(1 << 20)
            if not piece:
                check(not self.data, f"{len(self.data)} bytes of a frame")
                return None
            self.data += piece
        got, self.data = self.data[:n], self.data[n:]
        return got

    def next(self):
        """The next frame (type, bytes), or None at the end."""
        head = self.receive(8)
        if head is None:
            return None
        size, kind, zero = struct.unpack("<IB3s", head)
        check(zero == b"\0\0\0" and size <= FRAME_MAX and kind <= TOOK,
              f"head of a frame {head!r}")
        body = self.receive(size) if size else b""
        check(body is not None, "a frame without its end")
        return kind, body

    def is_over(self):
        """Until the stream has ended; what comes before is nobody's."""
        try:
            while self.next():
                pass
        except ConnectionError:
            pass
        return True

    def close(self):
        self.socket.close()


class Command(Framed):
    """Of Exec: Run by default, with argv or a line for the shell."""

    def __init__(self, t, daemon, command, method="Run", **params):
        if method == "Run":
            params["argv"] = ["sh", "-c", command] \
                if isinstance(command, str) else command
        super().__init__(t, daemon, EXEC + method, **params)
        self.pid = self.reply["pid"]
        self.out, self.err = b"", b""
        self.window = WINDOW
        self.ended = False

    def feed(self):
        """One frame from the guest. Return: (killed, value) of exit."""
        got = self.next()
        check(got, "the stream ended before the exit; "
              f"out {self.out[-200:]!r} err {self.err[-200:]!r}")
        kind, body = got
        if kind == OUT:
            self.out += body
        elif kind == ERR:
            self.err += body
        elif kind == TOOK:
            self.window += struct.unpack("<I", body)[0]
            check(self.window <= WINDOW, f"a window of {self.window}")
        elif kind == EXIT:
            return bool(body[0]), body[1]
        elif kind == END:  # it has closed all that it writes to
            check(not self.ended, "a second end")
            self.ended = True
        else:
            raise Failure(f"a frame of type {kind}")
        return None

    def until(self, text):
        """Until the command has written @text."""
        while text not in self.out:
            end = self.feed()
            check(end is None, f"ended with {end}: {self.out!r} {self.err!r}")

    def give(self, data):
        """All of @data to the command, as the window allows."""
        at = 0
        while at < len(data):
            n = min(self.window, FRAME_MAX, len(data) - at)
            if n:
                readable, writable, _ = select.select(
                    [self.socket], [self.socket], [], PATIENCE)
            if not n or readable:
                end = self.feed()
                check(end is None, f"ended with {end} before it had all")
            elif writable:
                self.send(DATA, data[at:at + n])
                self.window -= n
                at += n

    def wait(self):
        """Until it ends. Return: its status, negative for a signal."""
        end = None
        while end is None:
            end = self.feed()
        check_equal(self.next(), None, "what follows exit")
        self.close()
        return -end[1] if end[0] else end[1]


def run(t, daemon, command, stdin=None, **params):
    """Return: (status, out, err) of a command that was run to its end."""
    c = Command(t, daemon, command, **params)
    if stdin is not None:
        c.give(stdin)
    c.send(END)
    status = c.wait()
    return status, c.out, c.err


def allow(vm, t, daemon, lines=f"call {EXEC}* host allow\n"
                               f"call {FILE}* host allow\n"):
    """Commands and files are the host's from now on."""
    vm.guest.write_file(RULES, lines)
    vm.guest.run(RELOAD)

    def look():
        s = Stream(t, daemon, "org.vmchannel.Agent")
        s.send("org.vmchannel.Agent.GetInfo")
        there = {c["method"]: c["allowed"]
                 for c in s.reply()["capabilities"]}
        s.close()
        return there[EXEC + "Run"] == ("Exec" in lines)
    wait_for("the policy", look, 60, 0.1)


def forbid(vm, t, daemon):
    vm.guest.run(f"rm -f {RULES}")
    allow(vm, t, daemon, lines="")


def error_of(t, daemon, method, **params):
    """The error of a call that must have one: (name, parameters)."""
    try:
        f = Framed(t, daemon, method, **params)
    except OpError as e:
        return e.name, e.params
    raise Failure(f"{method}: no error but {f.reply}")
