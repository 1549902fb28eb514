# SPDX-License-Identifier: MIT
"""Calls to the guest's operations from the host, by hand: a varlink message
on the channel of the interface, without our own library."""
import contextlib
import json
import os
import socket

from vmtest import Failure, wait_for

# Generous: the machine may be busy, and the guest is emulated.
TIMEOUT = 90


class Stream:
    """One call and its replies."""

    def __init__(self, daemon, method, parameters, more=False):
        channel = method.rpartition(".")[0]
        self.method = method
        self.data = b""
        self.sock = self._connect(daemon, channel)
        message = {"method": method, "parameters": parameters}
        if more:
            message["more"] = True
        self.sock.sendall(json.dumps(message).encode() + b"\0")

    @staticmethod
    def _connect(daemon, channel):
        """The operations process may just be starting again."""
        def look():
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(TIMEOUT)
            with contextlib.suppress(OSError):
                s.connect(os.path.join(daemon.dir, "connect"))
                s.sendall(b"CONNECT " + channel.encode() + b"\n")
                line = b""
                while not line.endswith(b"\n"):
                    byte = s.recv(1)
                    if not byte:
                        break
                    line += byte
                if line.startswith(b"OK "):
                    return s
            s.close()
            return None
        return wait_for(f"the channel {channel}", look, TIMEOUT, 0.1)

    def reply(self):
        """The next message: a dict."""
        while b"\0" not in self.data:
            piece = self.sock.recv(65536)
            if not piece:
                raise Failure(f"{self.method}: the stream ended")
            self.data += piece
        message, _, self.data = self.data.partition(b"\0")
        return json.loads(message)

    def close(self):
        self.sock.close()


def call_any(daemon, method, **parameters):
    """The one reply, whatever it is."""
    stream = Stream(daemon, method, parameters)
    try:
        return stream.reply()
    finally:
        stream.close()


def call(daemon, method, **parameters):
    """The parameters of the reply, which must be none of an error."""
    reply = call_any(daemon, method, **parameters)
    if "error" in reply:
        raise Failure(f"{method}: {reply['error']} {reply.get('parameters')}")
    return reply.get("parameters", {})


def call_error(daemon, method, **parameters):
    """The name of the error that must be answered."""
    reply = call_any(daemon, method, **parameters)
    if "error" not in reply:
        raise Failure(f"{method}: {reply}, not an error")
    return reply["error"]


class Events(Stream):
    """A subscription to the guest's events."""

    def __init__(self, daemon, types, after=None):
        super().__init__(daemon, "org.vmchannel.Agent.Subscribe",
                         {"types": types, "after": after}, more=True)
        first = self.reply()
        if "error" in first:
            raise Failure(f"Subscribe: {first}")
        self.position = first["parameters"]["position"]

    def next(self):
        """The next event: a dict with type and parameters."""
        while True:
            event = self.reply()["parameters"].get("event")
            if event:
                return event


def subscribe(t, daemon, types, after=None):
    return t.keep(Events(daemon, types, after))
