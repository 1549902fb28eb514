# SPDX-License-Identifier: MIT
"""Programs that call while things happen, and how often it was done.

Each tells a user something of its own on a terminal of the guest: a serial
line, which is a file here. So what the guest did is counted without asking it.
"""
import os
import random
import threading
import time

import operations as ops
from test_A1_session import log_in, tty_process, utmp
from vmtest import Failure, check, check_equal, wait_for

SEND = "org.vmchannel.Session.SendMessage"
LINE = "ttyS1"
PATIENCE = 60
RUNNING = "org.vmchannel.RequestRunning"
INTERRUPTED = "org.vmchannel.RequestInterrupted"
# What became of a call.
DONE, UNSEEN, REFUSED, CUT, HUNG = "done", "unseen", "refused", "cut", "hung"


class Terminal:
    """A user's terminal in the guest, and what was written to it."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "terminal")
        # The same file for all QEMUs of a guest that moves.
        self.args = ["-chardev", f"file,id=cc,path={self.path},append=on",
                     "-serial", "chardev:cc"]

    def log_in(self, t, vm):
        pid = tty_process(t, vm, LINE)
        log_in(vm, [utmp(LINE, "bob", pid)])

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()


class Caller(threading.Thread):
    """One call after the other until .stop(). Every other caller gives its
    calls a request, and repeats them until there is an answer."""

    def __init__(self, t, place, number, seed):
        super().__init__(daemon=True)
        self.t, self.place, self.number = t, place, number
        self.random = random.Random(seed * 1000 + number)
        self.repeats = number % 2 == 1
        self.ends = False
        self.results = []
        self.repeated = 0

    def stop(self):
        self.ends = True

    def once(self, parameters):
        try:
            stream = ops.Stream(self.t, self.place.daemon, SEND.rsplit(".", 1)[0])
        except (Failure, OSError):
            return REFUSED
        try:
            stream.send(SEND, parameters)
            answer = stream.message()
        except TimeoutError:
            return HUNG
        except OSError:
            return CUT
        finally:
            stream.close()
        if answer is None:
            return CUT
        if "error" in answer:
            return answer["error"]
        return DONE if answer["parameters"]["shown"] else UNSEEN

    def call(self, parameters):
        end = time.monotonic() + PATIENCE
        result = self.once(parameters)
        was_cut = result == CUT
        while self.repeats and time.monotonic() < end and \
                result in (CUT, RUNNING, REFUSED):
            time.sleep(0.2)
            self.repeated += was_cut
            again = self.once(parameters)
            was_cut = was_cut or again == CUT
            # What was cut before may have been done, whatever is said now.
            result = CUT if was_cut and again == REFUSED else again
        return result

    def run(self):
        n = 0
        while not self.ends:
            n += 1
            token = f"({self.number}.{n})"
            parameters = {"text": token}
            if self.repeats:
                parameters["request"] = token
            self.results.append((token, self.call(parameters)))
            time.sleep(self.random.uniform(0, 0.3))


class Watcher(threading.Thread):
    """A subscriber that comes back where it was; .seqs: what it got."""

    def __init__(self, t, place):
        super().__init__(daemon=True)
        self.t, self.place = t, place
        self.position = None
        self.seqs, self.types = [], []
        self.lost = self.times = 0
        self.ends = False

    def stop(self):
        self.ends = True

    def listen(self):
        after = {"after": self.position} if self.position else {}
        events = ops.Events(self.t, self.place.daemon, **after)
        self.times += 1
        self.lost += events.lost
        self.position = self.position or events.position
        events.stream.socket.settimeout(1)
        while not self.ends:
            try:
                answer = events.stream.message()
            except TimeoutError:
                continue
            if answer is None:
                break
            reply = answer["parameters"]
            self.lost += reply.get("lost", 0)
            event = reply["event"]
            self.seqs.append(event["seq"])
            self.types.append(event["type"])
            self.position = {"boot": event["boot"], "seq": event["seq"]}
        events.close()

    def run(self):
        while not self.ends:
            try:
                self.listen()
            except (Failure, ops.OpError, OSError):
                time.sleep(0.1)

    def check(self):
        check_equal(self.lost, 0, "events that were lost")
        check(self.seqs, "no event came")
        check_equal(self.seqs, list(range(self.seqs[0],
                                          self.seqs[0] + len(self.seqs))),
                    "the numbers of the events")


def start_all(threads):
    for one in threads:
        one.start()


def stop_all(threads):
    for one in threads:
        one.stop()
    for one in threads:
        one.join(3 * PATIENCE)
        check(not one.is_alive(), f"{one} has not come to its end")


# How often it may be there for each thing that may be said; else not at all.
MAY_BE = {DONE: (1, 1), UNSEEN: (0, 1), CUT: (0, 1), INTERRUPTED: (0, 1)}


def check_calls(t, terminal, callers):
    """Each was done as often as the answers allow."""
    wait_for("what was told", lambda: all(
        token in terminal.text() for c in callers
        for token, result in c.results if result == DONE), PATIENCE)
    text = terminal.text()
    counts = {}
    for caller in callers:
        for token, result in caller.results:
            low, high = MAY_BE.get(result, (0, 0))
            n = text.count(token)
            check(low <= n <= high and result != HUNG,
                  f"{token}: {result}, and was done {n} times")
            counts[result] = counts.get(result, 0) + 1
    check(counts.get(DONE), f"none was done: {counts}")
    repeated = sum(c.repeated for c in callers)
    t.note(f"calls: {counts}, repeated {repeated}")
    return counts
