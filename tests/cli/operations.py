# SPDX-License-Identifier: MIT
"""A guest's operations, as a test wants them: interfaces announced in the
guest of a World, each call answered by what the test says."""
import json
import socket
import threading

from world import PATIENCE, wait_until

PREFIX = "org.vmchannel."


class Refuse(Exception):
    """An error reply: Refuse("Power.Busy", action="reboot")."""

    def __init__(self, name, /, **parameters):
        super().__init__(name)
        self.name, self.parameters = name, parameters


class Hang(Exception):
    """No answer, until the caller has gone."""


class Drop(Exception):
    """The stream ends without an answer."""


class Raw(Exception):
    """These bytes."""


class Parts(list):
    """Several replies."""


class Flow(list):
    """Several replies, and more may come: the call goes on."""


def read_message(s):
    data = b""
    while not data.endswith(b"\0"):
        byte = s.recv(1)
        if not byte:
            return None
        data += byte
    return json.loads(data[:-1])


class Operations:
    """answers: "Session.ListSessions" -> what is to be replied: an object, one
    of the exceptions above, or a function of the parameters that returns or
    raises one. calls: what came, in order. cancelled: Hang calls whose caller
    went away."""

    def __init__(self, w, answers):
        self.w = w
        self.answers = answers
        self.calls = []
        self.cancelled = []
        self.ears = []
        self.lock = threading.Lock()
        for name in sorted({a.split(".")[0] for a in answers}):
            self.listen(PREFIX + name)
        wait_until("the operations are seen", lambda: all(
            (PREFIX + a.split(".")[0]).encode() in w.on_host(
                "channels", "web1", "--names").stdout.split()
            for a in answers))

    def listen(self, channel):
        s = self.w.varlink(self.w.guest, "host", "Listen", "more",
                           channel=channel)
        s.settimeout(None)
        self.ears.append(s)
        threading.Thread(target=self.take, args=(s,), daemon=True).start()

    def take(self, ear):
        try:
            while True:
                offer = read_message(ear)
                if not offer:
                    return
                s = self.w.varlink(self.w.guest, "host", "Accept", "upgrade",
                                   token=offer["parameters"]["token"])
                threading.Thread(target=self.serve, args=(s,),
                                 daemon=True).start()
        except (OSError, AssertionError):
            pass  # the test is over

    def serve(self, s):
        s.settimeout(PATIENCE)
        with s:
            try:
                while True:
                    call = read_message(s)
                    if not call:
                        return
                    self.answer(s, call)
            except (Drop, OSError):
                pass

    def answer(self, s, call):
        name = call["method"][len(PREFIX):]
        with self.lock:
            self.calls.append((name, call.get("parameters", {})))
        answer = self.answers[name]
        try:
            if callable(answer) and not isinstance(answer, type):
                answer = answer(call.get("parameters", {}))
            if isinstance(answer, Exception) or isinstance(answer, type):
                raise answer
        except Hang:
            while s.recv(100):
                pass
            with self.lock:
                self.cancelled.append(name)
            raise Drop from None
        except Raw as e:
            s.sendall(e.args[0])
            return
        except Refuse as e:
            self.send(s, {"error": PREFIX + e.name,
                          "parameters": e.parameters})
            return
        if not isinstance(answer, list):
            self.send(s, {"parameters": answer})
            return
        flows = isinstance(answer, Flow)
        for i, part in enumerate(answer):
            self.send(s, {"parameters": part,
                          "continues": flows or i + 1 < len(answer)})
        while flows and s.recv(100):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def send(s, message):
        s.sendall(json.dumps(message).encode() + b"\0")

    def count(self, name):
        with self.lock:
            return [c[0] for c in self.calls].count(name)

    def last(self, name):
        with self.lock:
            return [p for n, p in self.calls if n == name][-1]

    def close(self):
        for s in self.ears:
            s.shutdown(socket.SHUT_RDWR)
            s.close()
        names = [PREFIX + a.split(".")[0] for a in self.answers]
        wait_until("the operations are gone", lambda: not any(
            n.encode() in self.w.on_host(
                "channels", "web1", "--names").stdout.split()
            for n in names))


