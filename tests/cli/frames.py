# SPDX-License-Identifier: MIT
"""The guest's end of Exec and File, as a test wants it."""
import hashlib
import json
import struct
import threading

from operations import Drop, Operations
from world import PATIENCE

DATA, OUT, ERR, END, SIZE, SIGNAL, EXIT, SUM, ERROR, TOOK = range(10)
WINDOW = 256 * 1024


def frame(kind, body=b""):
    return struct.pack("<IBBH", len(body), kind, 0, 0) + body


def ended(status=0):
    return frame(EXIT, bytes([0, status]))


def killed(number):
    return frame(EXIT, bytes([1, number]))


def error(name, /, **parameters):
    return frame(ERROR, json.dumps({"error": "org.vmchannel." + name,
                                    "parameters": parameters}).encode())


def sum_of(data):
    return frame(SUM, hashlib.sha256(data).digest())


class Stream:
    """What a handler gets after its reply."""

    def __init__(self, s):
        self.s = s
        self.untaken = 0

    def send(self, *frames):
        self.s.sendall(b"".join(frames))

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.s.recv(n - len(data))
            if not part:
                raise Drop
            data += part
        return data

    def frame(self):
        """The next one: its type and body. Data counts until took()."""
        size, kind, zero, zero2 = struct.unpack("<IBBH", self.read(8))
        assert zero == zero2 == 0 and size <= 65536, (size, kind)
        if kind == DATA:
            self.untaken += size
        return kind, self.read(size)

    def expect(self, kind, body=None):
        got = self.frame()
        assert got[0] == kind, (got[0], got[1][:99])
        assert body is None or got[1] == body, got[1][:99]
        return got[1]

    def took(self, n):
        self.untaken -= n
        self.send(frame(TOOK, struct.pack("<I", n)))

    def gone(self):
        """Reads until the caller has gone."""
        while self.s.recv(65536):
            pass


class Far(Operations):
    """As Operations; the answer to a call with "upgrade" is a pair: the
    reply's parameters and a function of a Stream, or a function of the call's
    parameters that returns one. failed: what went wrong in those."""

    def __init__(self, w, answers):
        self.failed = []
        self.over = threading.Event()
        super().__init__(w, answers)

    def answer(self, s, call):
        name = call["method"][len("org.vmchannel."):]
        answer = self.answers[name]
        if call.get("upgrade") and callable(answer):
            answer = answer(call["parameters"])
        if not isinstance(answer, tuple):
            super().answer(s, call)
            return
        assert call.get("upgrade"), call
        with self.lock:
            self.calls.append((name, call["parameters"]))
        self.send(s, {"parameters": answer[0]})
        try:
            answer[1](Stream(s))
        except (AssertionError, Drop, OSError) as e:
            self.failed.append(e)
        self.over.set()
        raise Drop

    def check(self):
        """The last stream is over, and was as it should be."""
        assert self.over.wait(PATIENCE)
        self.over.clear()
        assert not self.failed, self.failed
