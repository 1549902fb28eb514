# SPDX-License-Identifier: MIT
"""A guest's operations, called without our own library."""
import json
import time

from vmtest import Failure, varlink, wait_for

PATIENCE = 60
AGENT = "org.vmchannel.Agent."


class OpError(Exception):
    def __init__(self, name, params):
        super().__init__(f"{name} {params}")
        self.name = name
        self.params = params


class Stream:
    """A stream to the channel of an interface, and the messages on it."""

    def __init__(self, t, daemon, interface):
        self.socket = t.raw_connect(daemon, interface)
        self.socket.settimeout(PATIENCE)
        self.data = b""

    def send(self, method, _params=None, **flags):
        self.socket.sendall(json.dumps(
            {"method": method, "parameters": _params or {}, **flags}).encode()
            + b"\0")

    def message(self):
        """The next message as it is, or None at the end."""
        while b"\0" not in self.data:
            piece = self.socket.recv(65536)
            if not piece:
                return None
            self.data += piece
        one, self.data = self.data.split(b"\0", 1)
        return json.loads(one)

    def reply(self):
        m = self.message()
        if m is None:
            raise Failure("the stream ended before the reply")
        if "error" in m:
            raise OpError(m["error"], m.get("parameters", {}))
        return m["parameters"]

    def close(self):
        self.socket.close()


def call(t, daemon, method, **params):
    """One call: the reply's parameters; OpError for an error reply."""
    s = Stream(t, daemon, method.rsplit(".", 1)[0])
    try:
        s.send(method, params)
        return s.reply()
    finally:
        s.close()


def error_of(t, daemon, method, **params):
    """The error of a call that must have one: (name, parameters)."""
    try:
        answer = call(t, daemon, method, **params)
    except OpError as e:
        return e.name, e.params
    raise Failure(f"{method}: no error but {answer}")


class Events:
    """A subscription; .position and .lost are those of its first reply."""

    def __init__(self, t, daemon, **params):
        self.stream = Stream(t, daemon, "org.vmchannel.Agent")
        self.stream.send(AGENT + "Subscribe", params, more=True)
        first = self.stream.reply()
        self.position, self.lost = first["position"], first["lost"]

    def next(self, kind=None, timeout=PATIENCE):
        """The next event, or the next of that type."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.stream.socket.settimeout(max(0.01, end - time.monotonic()))
            event = self.stream.reply().get("event")
            if event and kind in (None, event["type"]):
                return event
        raise Failure(f"no event {kind} within {timeout} s")

    def close(self):
        self.stream.close()


def ready(t, daemon):
    """Until the guest's operations are announced; returns their pid."""
    def look():
        return "org.vmchannel.System" in [
            c["name"] for c in varlink(
                daemon, "org.vmchannel.Broker.List")["channels"]]
    wait_for("the guest's operations", look, PATIENCE, 0.1)
    return call(t, daemon, AGENT + "GetInfo")["pid"]
