# SPDX-License-Identifier: MIT
"""A minimal client of the broker's two sockets, and what else the tests of
brokers without a VM share."""
import contextlib
import json
import socket
import sys
import tempfile
import time

TIMEOUT = 90  # seconds; only ever waited for in full when a test fails


class Error(Exception):
    def __init__(self, name, params):
        super().__init__(f"{name} {params}")
        self.name = name.rsplit(".", 1)[-1]
        self.params = params


class Control:
    """One connection to "control"."""

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(f"{directory}/control")
        self.continues = False

    def send(self, method, params=None, **flags):
        if "." not in method:
            method = "org.vmchannel.Broker." + method
        msg = {"method": method, "parameters": params or {}, **flags}
        self.sock.sendall(json.dumps(msg).encode() + b"\0")

    def reply(self):
        """One message, and not a byte more: a stream may follow it."""
        out = b""
        while not out.endswith(b"\0"):
            data = self.sock.recv(65536, socket.MSG_PEEK)
            if not data:
                raise EOFError
            end = data.find(b"\0")
            out += self.sock.recv(end + 1 if end >= 0 else len(data))
        msg = json.loads(out[:-1])
        self.continues = bool(msg.get("continues"))
        if msg.get("error"):
            raise Error(msg["error"], msg.get("parameters", {}))
        return msg.get("parameters", {})

    def call(self, method, params=None, **flags):
        self.send(method, params, **flags)
        return self.reply()

    def close(self):
        self.sock.close()


def call(directory, method, **params):
    c = Control(directory)
    try:
        return c.call(method, params)
    finally:
        c.close()


def connect(directory, channel, messages=None):
    """Connect by the control socket: (socket, id)."""
    c = Control(directory)
    params = {"channel": channel}
    if messages is not None:
        params["messages"] = messages
    try:
        ident = c.call("Connect", params, upgrade=True)["id"]
    except Exception:
        c.close()
        raise
    return c.sock, ident


def join(directory, listener):
    """Connect there from here: (socket, id) here, (socket, info) there."""
    c = Control(directory)
    params = {"channel": listener.channel}
    if listener.messages is not None:
        params["messages"] = listener.messages
    c.send("Connect", params, upgrade=True)
    sock, info = listener.accept()
    ident = c.reply()["id"]
    return c.sock, ident, sock, info


def line(sock):
    out = b""
    while not out.endswith(b"\n"):
        data = sock.recv(1)
        if not data:
            break
        out += data
    return out.decode()


def raw(directory, text):
    """Connect by the connect socket: (socket, first line)."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(TIMEOUT)
    s.connect(f"{directory}/connect")
    s.sendall(text)
    return s, line(s)


class Listener:
    def __init__(self, directory, channel, messages=None):
        self.directory = directory
        self.channel, self.messages = channel, messages
        self.control = Control(directory)
        params = {"channel": channel}
        if messages is not None:
            params["messages"] = messages
        first = self.control.call("Listen", params, more=True)
        assert "token" not in first or first["token"] is None, first

    def waiting(self):
        return self.control.reply()

    def accept(self):
        info = self.waiting()
        c = Control(self.directory)
        c.call("Accept", {"token": info["token"]}, upgrade=True)
        return c.sock, info

    def close(self):
        self.control.close()


def read_all(sock):
    out = bytearray()
    while True:
        data = sock.recv(1 << 16)
        if not data:
            return bytes(out)
        out += data


def read_exact(sock, n):
    out = bytearray()
    while len(out) < n:
        data = sock.recv(min(1 << 16, n - len(out)))
        if not data:
            break
        out += data
    return bytes(out)


def wait_for(what, timeout=TIMEOUT):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(what)


# ---- what tests are made of --------------------------------------------------

TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


class Skip(Exception):
    pass


def equal(a, b):
    assert a == b, f"{a!r} != {b!r}"


def has(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def parts(directory, method, key):
    """The lists of all replies of a call with "more"."""
    c = Control(directory)
    out = []
    c.send(method, more=True)
    while True:
        out += c.reply()[key]
        if not c.continues:
            c.close()
            return out


def channels(directory):
    return parts(directory, "List", "channels")


def local_names(directory):
    return [c["name"] for c in channels(directory) if c["side"] != "peer"]


def streams(directory):
    return parts(directory, "Streams", "streams")


def wait_channel(directory, name, present=True):
    def look():
        names = [c["name"] for c in channels(directory)
                 if c["side"] == "peer"]
        return (name in names) == present
    wait_for(look)


def ended(directory, ident):
    def look():
        s = call(directory, "StreamStatus", id=ident)["stream"]
        return s if s["state"] == "ended" else None
    return wait_for(look)


def chosen(names):
    """The tests of these names; all if there are none."""
    return [t for t in TESTS if not names or t.__name__ in names]


def say_why(e):
    """A failure, as comments of TAP."""
    print(f"#   {type(e).__name__}: {e}")
    tb = e.__traceback__
    while tb:
        print(f"#   line {tb.tb_lineno} {tb.tb_frame.f_code.co_name}")
        tb = tb.tb_next


LOG_LINES = 15  # of a log, with a test that failed


def attempt(n, name, do, logged=lambda: ""):
    """Test @n of TAP. Return: is it good? @logged: what else may explain it."""
    try:
        do()
        print(f"ok {n} - {name}", flush=True)
        return True
    except Skip as e:
        print(f"ok {n} - {name} # SKIP {e}", flush=True)
        return True
    except Exception as e:  # every failure is a test's
        print(f"not ok {n} - {name}", flush=True)
        for line in logged().splitlines()[-LOG_LINES:]:
            print(f"#   {line}")
        say_why(e)
        return False


def run_one(n, fn, make, logged=None):
    """A test in a world of its own, which @make(folder, test) gives and the
    test gets: it has close(). @logged(world): see attempt()"""
    world = None

    def do():
        nonlocal world
        world = make(top, fn)
        fn(world)

    with tempfile.TemporaryDirectory(prefix="vmc-test-") as top, \
            contextlib.ExitStack() as stack:
        stack.callback(lambda: world and world.close())
        return attempt(n, fn.__name__, do,
                       lambda: logged(world) if world and logged else "")


def run_all(names, make, logged=None):
    """Those tests, or all if there are none; ends the process."""
    tests = chosen(names)
    print(f"1..{len(tests)}", flush=True)
    results = [run_one(n, fn, make, logged) for n, fn in enumerate(tests, 1)]
    sys.exit(0 if all(results) else 1)
