# SPDX-License-Identifier: MIT
"""A QMP server that says what it is told to, true or not."""
import contextlib
import json
import os
import select
import socket
import threading

TIMEOUT = 90
GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'


class ScriptedQmp:
    """One client at a time, as QEMU; what it says is what .status and
    .migrate are. script: bytes to send instead, then the end."""

    def __init__(self, path, status="running", script=None, greets=True):
        self.path = path
        self.status, self.migrate = status, None
        self.script, self.greets = script, greets
        self.on_add = None  # called for object-add; returns an error or None
        self.asked = []
        self.ended = 0
        self.client = None
        self.lock = threading.Lock()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.path)
        self.listening.listen(4)
        self.wake, self.end = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            ready, _, _ = select.select([self.listening, self.wake], [], [])
            if self.wake in ready:
                return
            self.client = self.listening.accept()[0]
            with contextlib.suppress(OSError):
                self.serve()
            self.client.close()
            self.client = None
            self.ended += 1

    def serve(self):
        if self.script is not None:
            self.client.settimeout(TIMEOUT)
            self.client.sendall(self.script)
            while self.client.recv(4096):  # it is the other one who ends
                pass
            return
        if self.greets:
            self.client.sendall(GREETING)
        data = b""
        while True:
            ready, _, _ = select.select([self.client, self.wake], [], [])
            more = b"" if self.wake in ready else self.client.recv(4096)
            if not more:
                return
            *lines, data = (data + more).split(b"\n")
            for text in lines:
                self.answer(json.loads(text))

    def answer(self, m):
        name, value = m["execute"], {}
        self.asked.append((name, m.get("arguments")))
        error = None
        if name == "query-status":
            value = {"status": self.status, "running": False}
        elif name == "query-migrate" and self.migrate:
            value = {"status": self.migrate}
        elif name == "object-add" and self.on_add:
            error = self.on_add()
        if error:
            self.say({"error": {"class": "GenericError", "desc": error},
                      "id": m["id"]})
        else:
            self.say({"return": value, "id": m["id"]})

    def say(self, m):
        with self.lock:
            self.client.sendall(json.dumps(m).encode() + b"\r\n")

    def event(self, name, status=None):
        if status:
            self.status = status
        self.say({"event": name, "timestamp": {}})

    def count(self, name):
        return sum(n == name for n, _ in self.asked)

    def close(self):
        os.write(self.end, b"x")
        with contextlib.suppress(OSError, AttributeError):
            self.client.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listening.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
