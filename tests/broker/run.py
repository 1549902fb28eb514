#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py HOST_BROKER AGENT - two brokers, real processes, no VM; TAP."""
import contextlib
import errno
import hashlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import vmc
from vmc import (ended, equal, local_names, streams, test, wait_channel)

HOST_BROKER, AGENT = sys.argv[1], sys.argv[2]
OTHER_UID = 54321
BIG = int(os.environ.get("VMC_TEST_BYTES", 64 << 20))


class Pair:
    """A host-role broker and an agent joined by a unix socket."""

    def __init__(self, top):
        self.top = top
        self.host = f"{top}/h/test"
        self.guest = f"{top}/g/host"
        self.link = f"{top}/link"
        self.config = f"{top}/config"
        for d in ("h", "g", "config/policy.d", "config/services.d"):
            os.makedirs(f"{top}/{d}", exist_ok=True)
        with open(f"{self.config}/services.d/org.test.cat.conf", "w") as f:
            f.write("[Service]\nCommand=/bin/cat\nMaxStreams=2\n")
        self.procs = {}
        self.start_host()
        self.start_agent()

    def start_host(self):
        self.procs["host"] = subprocess.Popen(
            [HOST_BROKER, f"{self.top}/h", self.link])
        vmc.wait_for(lambda: os.path.exists(f"{self.host}/connect"))

    def start_agent(self):
        self.procs["agent"] = subprocess.Popen(
            [AGENT, "--device", self.link, "--dir", f"{self.top}/g",
             "--config", self.config, "--no-operations"])
        vmc.wait_for(lambda: os.path.exists(f"{self.guest}/connect"))
        self.wait_up()

    def wait_up(self):
        for d in (self.host, self.guest):
            vmc.wait_for(
                lambda: vmc.call(d, "GetInfo")["link"] == "up")

    def stop(self, name):
        p = self.procs.pop(name)
        p.terminate()
        return p.wait(20)

    def sides(self):
        return ((self.host, self.guest), (self.guest, self.host))


@test
def info_says_who_is_there(p):
    host, guest = vmc.call(p.host, "GetInfo"), vmc.call(p.guest, "GetInfo")
    equal((host["side"], guest["side"]), ("host", "guest"))
    equal((host["vm"], guest["vm"]), ("test", "host"))
    equal(host["peer_instance"], guest["instance"])
    equal(guest["peer_instance"], host["instance"])
    equal(guest["pid"], p.procs["agent"].pid)


@test
def out_of_descriptors_does_not_spin(p):
    pid = p.procs["agent"].pid
    c = vmc.Control(p.guest)
    before = c.call("Stats")["broker"]
    begin = time.monotonic()
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(n) for n in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, old[1]))
    late = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    try:
        for i, s in enumerate(late):
            s.settimeout(vmc.TIMEOUT)
            s.connect(f"{p.guest}/" + ("control", "connect")[i % 2])
        def paused():
            now = c.call("Stats")["broker"]
            n = now["limit_files"] - before["limit_files"]
            return n if n >= 2 else 0
        vmc.wait_for(paused)
        time.sleep(0.5)
        # Twice a second at most, not as often as the loop goes round.
        most = 8 + 4 * (time.monotonic() - begin)
        assert paused() < most, (paused(), most)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    late[1].sendall(b"CONNECT org.test.nobody\n")
    assert late[1].recv(64).startswith(b"ERR ")
    for s in late:
        s.close()
    c.close()


@test
def connect_and_listen_both_ways(p):
    for here, there in p.sides():
        lis = vmc.Listener(there, "org.test.echo")
        wait_channel(here, "org.test.echo")
        a, ident, b, info = vmc.join(here, lis)
        equal(info["caller"]["uid"], os.getuid())
        a.sendall(b"to there")
        b.sendall(b"to here")
        equal(vmc.read_exact(b, 8), b"to there")
        equal(vmc.read_exact(a, 7), b"to here")
        live = vmc.call(here, "StreamStatus", id=ident)["stream"]
        equal((live["state"], live["direction"]), ("open", "outgoing"))
        a.close()
        b.close()
        lis.close()
        wait_channel(here, "org.test.echo", False)


@test
def half_close(p):
    for here, there in p.sides():
        lis = vmc.Listener(there, "org.test.half")
        wait_channel(here, "org.test.half")
        a, ident, b, info = vmc.join(here, lis)
        a.sendall(b"question")
        a.shutdown(socket.SHUT_WR)
        equal(vmc.read_all(b), b"question")
        b.sendall(b"answer")
        b.close()
        equal(vmc.read_all(a), b"answer")
        a.close()
        s = ended(here, ident)
        equal((s["reason"], s["bytes_out"], s["bytes_in"]), ("ok", 8, 6))
        s = ended(there, info["id"])
        equal((s["reason"], s["bytes_out"], s["bytes_in"]), ("ok", 6, 8))
        lis.close()
        wait_channel(here, "org.test.half", False)


@test
def a_question_in_pieces(p):
    """Small pieces fill a small socket, and its rest must go in."""
    lis = vmc.Listener(p.host, "org.test.ask")
    wait_channel(p.guest, "org.test.ask")
    a, _, b, _ = vmc.join(p.guest, lis)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    for _ in range(3):
        a.sendall(b"ask")
        equal(vmc.read_exact(b, 3), b"ask")
        b.sendall(b"answer")
        equal(vmc.read_exact(a, 6), b"answer")
    a.settimeout(vmc.TIMEOUT)
    for i in range(100):  # 2000 bytes, one at a time
        a.sendall(bytes([i]) * 20)
    equal(vmc.read_exact(b, 2000), b"".join(bytes([i]) * 20
                                            for i in range(100)))
    for s in (a, b, lis):
        s.close()


@test
def the_connect_socket(p):
    lis = vmc.Listener(p.guest, "org.test.raw")
    wait_channel(p.host, "org.test.raw")
    got = []

    def serve():
        s, _ = lis.accept()
        got.append(vmc.read_all(s))
        s.sendall(b"bye")
        s.close()
    t = threading.Thread(target=serve)
    t.start()
    # Bytes right behind the line belong to the stream.
    s, first = vmc.raw(p.host, b"CONNECT org.test.raw\nhello")
    assert first.startswith("OK "), first
    s.sendall(b" world")
    s.shutdown(socket.SHUT_WR)
    equal(vmc.read_all(s), b"bye")
    t.join()
    equal(got, [b"hello world"])
    equal(ended(p.host, first.split()[1])["reason"], "ok")
    lis.close()
    wait_channel(p.host, "org.test.raw", False)


@test
def the_connect_line_in_pieces(p):
    lis = vmc.Listener(p.host, "org.test.slow")
    wait_channel(p.guest, "org.test.slow")
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(vmc.TIMEOUT)
    s.connect(f"{p.guest}/connect")
    for c in b"CONNECT org.test.slow\n":
        s.sendall(bytes([c]))
        time.sleep(0.002)
    b, _ = lis.accept()
    assert vmc.line(s).startswith("OK ")
    s.close()
    b.close()
    lis.close()
    wait_channel(p.guest, "org.test.slow", False)


@test
def bad_lines(p):
    bad = [
        (b"\n", "protocol"), (b"connect org.test.x\n", "protocol"),
        (b"CONNECT\n", "protocol"), (b"CONNECT \n", "protocol"),
        (b"CONNECT ../x\n", "protocol"), (b"CONNECT a/b\n", "protocol"),
        (b"CONNECT a\0b\n", "protocol"), (b"CONNECT " + b"a" * 65 + b"\n",
                                          "protocol"),
        (b"C" * 128, "protocol"), (b"CONNECT no.such.channel\n",
                                   "no-service"),
    ]
    for here, _ in p.sides():
        for text, word in bad:
            s, first = vmc.raw(here, text)
            equal(first.split()[:2], ["ERR", word])
            equal(s.recv(1), b"")
            s.close()


@test
def errors_of_calls(p):
    def fails(name, method, params=None, directory=p.host, **flags):
        c = vmc.Control(directory)
        try:
            c.call(method, params, **flags)
        except vmc.Error as e:
            equal(e.name, name)
            return e.params
        finally:
            c.close()
        raise AssertionError(f"{method} did not fail")
    up = {"upgrade": True}
    fails("NoSuchChannel", "Connect", {"channel": "no.such"}, **up)
    fails("InvalidName", "Connect", {"channel": "../etc"}, **up)
    fails("InvalidName", "Listen", {"channel": ".x"}, more=True)
    fails("NeedsUpgrade", "Connect", {"channel": "no.such"})
    fails("NeedsMore", "Listen", {"channel": "org.test.x"})
    fails("NeedsMore", "Monitor")
    fails("NameInUse", "Listen", {"channel": "org.varlink.service"},
          more=True)
    fails("NoSuchToken", "Accept", {"token": "0" * 32}, **up)
    fails("NoSuchToken", "Reject", {"token": ""})
    fails("NoSuchStream", "StreamStatus", {"id": "1"})
    equal(fails("InvalidParameter", "Connect", {}, **up),
          {"parameter": "channel"})
    equal(fails("InvalidParameter", "Connect", {"channel": 1}, **up),
          {"parameter": "channel"})
    equal(fails("InvalidParameter", "List", {"x": 1}), {"parameter": "x"})
    fails("MethodNotFound", "Nothing")
    fails("InterfaceNotFound", "a.b.C")
    # One connection goes on after an error.
    c = vmc.Control(p.host)
    c.send("Nothing")
    c.send("GetInfo")
    try:
        c.reply()
    except vmc.Error as e:
        equal(e.name, "MethodNotFound")
    equal(c.reply()["vm"], "test")


class Calls(vmc.Listener):
    """A service at the other side: takes one stream at a time by hand."""

    def take(self, n=1):
        """(stream, the first n messages on it)."""
        s, _ = self.accept()
        s.settimeout(vmc.TIMEOUT)
        return s, [message(s) for _ in range(n)]


def message(sock):
    out = b""
    while not out.endswith(b"\0"):
        byte = sock.recv(1)
        if not byte:
            raise EOFError
        out += byte
    return json.loads(out[:-1])


def answer(sock, **reply):
    sock.sendall(json.dumps(reply).encode() + b"\0")


def fails_as(c, name, params):
    try:
        c.reply()
    except vmc.Error as e:
        equal((e.name, e.params), (name, params))
        return
    raise AssertionError(f"no {name}")


@test
def calls_of_the_other_side(p):
    """Several interfaces on one connection, in turn."""
    for here, there in p.sides():
        one, two = Calls(there, "org.test.one"), Calls(there, "org.test.two")
        wait_channel(here, "org.test.two")
        c = vmc.Control(here)
        for i, lis in enumerate((one, two, one)):
            # All at once: each waits for the one before.
            c.send(lis.channel + ".Do", {"i": i})
            c.send("GetInfo")
            c.send("org.varlink.service.GetInterfaceDescription",
                   {"interface": lis.channel})
            s, (m,) = lis.take()
            equal(m, {"method": lis.channel + ".Do", "parameters": {"i": i}})
            # What comes behind the reply is nobody's.
            answer(s, parameters={"text": "x" * 300000})
            answer(s, parameters={"text": "second"})
            equal(len(c.reply()["text"]), 300000)
            assert "vm" in c.reply()
            s.close()
            s, (m,) = lis.take()
            equal(m["parameters"], {"interface": lis.channel})
            answer(s, error="org.test.No", parameters={"why": "so"})
            fails_as(c, "No", {"why": "so"})
            s.close()
        c.send("org.test.nobody.Do")
        fails_as(c, "InterfaceNotFound", {"interface": "org.test.nobody"})
        c.send("nonsense..x.Do")
        fails_as(c, "InterfaceNotFound", {"interface": "nonsense..x"})
        # No reply at all, and half of one.
        c.send("org.test.one.Do")
        one.take()[0].close()
        fails_as(c, "Refused", {"channel": "org.test.one",
                                "reason": "app-gone"})
        c.send("org.test.one.Do")
        s, _ = one.take()
        s.sendall(b"{")
        s.close()
        try:
            c.reply()
            raise AssertionError("half a reply")
        except (EOFError, ConnectionResetError):
            pass
        for x in (c, one, two):
            x.close()
        wait_channel(here, "org.test.two", False)


@test
def calls_that_become_streams(p):
    for here, there in p.sides():
        lis = Calls(there, "org.test.up")
        wait_channel(here, "org.test.up")
        for flag in ("more", "upgrade"):
            c = vmc.Control(here)
            c.sock.sendall(json.dumps({
                "method": "org.test.up.Do", flag: True}).encode()
                + b"\0raw \0")
            s, (m,) = lis.take()
            equal(m[flag], True)
            equal(vmc.read_exact(s, 5), b"raw \0")
            answer(s, parameters={"i": 1}, continues=True)
            answer(s, parameters={"i": 2})
            equal((c.reply()["i"], c.continues), (1, True))
            equal((c.reply()["i"], c.continues), (2, False))
            # Both ways, until both have finished.
            c.sock.sendall(b"more")
            c.sock.shutdown(socket.SHUT_WR)
            equal(vmc.read_all(s), b"more")
            s.sendall(b"bye")
            s.close()
            equal(vmc.read_all(c.sock), b"bye")
            c.close()
        c = vmc.Control(here)
        c.send("org.test.nobody.Do", more=True)
        fails_as(c, "InterfaceNotFound", {"interface": "org.test.nobody"})
        equal(c.sock.recv(1), b"")
        lis.close()
        wait_channel(here, "org.test.up", False)


@test
def calls_are_cancelled_by_leaving(p):
    lis = Calls(p.guest, "org.test.hung")
    wait_channel(p.host, "org.test.hung")
    waiting = []
    for _ in range(3):
        c = vmc.Control(p.host)
        c.send("org.test.hung.Do")
        waiting.append((c, lis.take()[0]))
    # Half-closed, it still wants its reply.
    c, s = waiting.pop()
    c.sock.shutdown(socket.SHUT_WR)
    answer(s, parameters={"late": True})
    equal(c.reply(), {"late": True})
    equal(c.sock.recv(1), b"")
    s.close()
    # One in the middle of a reply that it does not read.
    c, s = waiting.pop()
    done = []

    def pour():
        try:
            while True:
                s.sendall(b" " * 65536)
        except OSError:
            done.append(True)
    t = threading.Thread(target=pour)
    t.start()
    equal(c.sock.recv(1), b" ")
    # Nobody else waits for it.
    other = vmc.Control(p.host)
    other.send("org.test.hung.Do")
    s2, _ = lis.take()
    answer(s2, parameters={"ok": True})
    equal(other.reply(), {"ok": True})
    c.close()
    t.join(vmc.TIMEOUT)
    equal(done, [True])
    c, s3 = waiting.pop()
    c.close()
    equal(s3.recv(1), b"")
    for x in (s, s2, s3, other, lis):
        x.close()
    vmc.wait_for(lambda: not streams(p.host))
    wait_channel(p.host, "org.test.hung", False)


@test
def calls_without_a_reply(p):
    lis = Calls(p.guest, "org.test.oneway")
    wait_channel(p.host, "org.test.oneway")
    c = vmc.Control(p.host)
    c.send("org.test.oneway.Do", {"i": 1}, oneway=True)
    c.send("GetInfo")
    s, (m,) = lis.take()
    equal((m["oneway"], m["parameters"]), (True, {"i": 1}))
    equal(s.recv(1), b"")
    answer(s, parameters={"unasked": True})
    s.close()
    assert "vm" in c.reply()
    # Who wants no reply does not wait for it to arrive.
    c2 = vmc.Control(p.host)
    c2.send("org.test.oneway.Do", {"i": 2}, oneway=True)
    c2.close()
    s, (m,) = lis.take()
    equal(m["parameters"], {"i": 2})
    equal(s.recv(1), b"")
    s.close()
    # Nobody there: no word of it either.
    c.send("org.test.nobody.Do", oneway=True)
    equal(c.call("GetInfo")["vm"], "test")
    c.close()
    lis.close()
    wait_channel(p.host, "org.test.oneway", False)


@test
def a_reply_must_end(p):
    lis = Calls(p.guest, "org.test.endless")
    wait_channel(p.host, "org.test.endless")
    before = vmc.call(p.host, "Stats")["broker"]["limit_reply"]
    c = vmc.Control(p.host)
    c.send("org.test.endless.Do")
    s, _ = lis.take()
    got = []

    def drain():
        n = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := c.sock.recv(1 << 20):
                n += len(piece)
        got.append(n)
    t = threading.Thread(target=drain)
    t.start()
    try:
        for _ in range(1024):
            s.sendall(b" " * 65536)
        raise AssertionError("64 MiB were taken")
    except OSError:
        pass
    t.join(vmc.TIMEOUT)
    assert len(got) == 1 and got[0] <= 16 << 20, got
    equal(vmc.call(p.host, "Stats")["broker"]["limit_reply"], before + 1)
    for x in (s, c, lis):
        x.close()
    wait_channel(p.host, "org.test.endless", False)


@test
def interfaces_of_the_other_side(p):
    def interfaces(directory):
        c = vmc.Control(directory)
        names = c.call("org.varlink.service.GetInfo")["interfaces"]
        c.close()
        return names
    own = ["org.varlink.service", "org.vmchannel.Broker"]
    equal(interfaces(p.host), own)
    listeners = [vmc.Listener(p.guest, "org.vmchannel.Test"),
                 vmc.Listener(p.guest, "org.vmchannel.Framed", True),
                 vmc.Listener(p.guest, "org.test.other")]
    wait_channel(p.host, "org.test.other")
    equal(interfaces(p.host), own + ["org.vmchannel.Test"])
    rules = f"{p.config}/policy.d/20-calls.conf"
    with open(rules, "w") as f:
        f.write("connect org.test.other host deny\n")
    vmc.call(p.guest, "Reload")
    c = vmc.Control(p.host)
    c.send("org.test.other.Do")
    fails_as(c, "Denied", {"channel": "org.test.other", "rule": "peer"})
    # The peer has no way through us.
    s, first = vmc.raw(p.guest, b"CONNECT org.varlink.service\n"
                       b'{"method":"org.test.other.Do"}\0')
    assert first.startswith("OK "), first
    equal(message(s)["error"], "org.varlink.service.InterfaceNotFound")
    s.close()
    os.unlink(rules)
    vmc.call(p.guest, "Reload")
    for x in (c, *listeners):
        x.close()
    wait_channel(p.host, "org.test.other", False)


@test
def name_in_use(p):
    a = vmc.Listener(p.guest, "org.test.one")
    try:
        vmc.Listener(p.guest, "org.test.one")
        raise AssertionError("announced twice")
    except vmc.Error as e:
        equal(e.name, "NameInUse")
    a.close()
    vmc.wait_for(lambda: "org.test.one" not in
                 [c["name"] for c in vmc.call(p.guest, "List")["channels"]])
    vmc.Listener(p.guest, "org.test.one").close()


@test
def too_many_channels(p):
    """256 a side, one of them the broker's own and some the services'."""
    have = len(local_names(p.guest))
    held = [vmc.Listener(p.guest, f"org.test.n{i}") for i in range(256 - have)]
    try:
        vmc.Listener(p.guest, "org.test.more")
        raise AssertionError("one channel too many")
    except vmc.Error as e:
        equal((e.name, e.params),
              ("LimitReached", {"limit": "channels", "value": 256}))
    equal(vmc.call(p.guest, "Stats")["broker"]["limit_channels"], 1)
    # All of them are there for the other side.
    wait_channel(p.host, f"org.test.n{255 - have}")
    for lis in held:
        lis.close()
    wait_channel(p.host, "org.test.n0", False)
    vmc.wait_for(lambda: len(local_names(p.guest)) == have)


@test
def reject_and_withdraw(p):
    lis = vmc.Listener(p.guest, "org.test.no")
    wait_channel(p.host, "org.test.no")
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(vmc.TIMEOUT)
    s.connect(f"{p.host}/connect")
    s.sendall(b"CONNECT org.test.no\n")
    vmc.call(p.guest, "Reject", token=lis.waiting()["token"])
    equal(vmc.line(s).split()[:2], ["ERR", "denied"])
    s2 = socket.socket(socket.AF_UNIX)
    s2.settimeout(vmc.TIMEOUT)
    s2.connect(f"{p.host}/connect")
    s2.sendall(b"CONNECT org.test.no\n")
    lis.waiting()
    lis.close()
    equal(vmc.line(s2).split()[:2], ["ERR", "withdrawn"])


@test
def a_program_that_closes_first(p):
    lis = vmc.Listener(p.guest, "org.test.first")
    wait_channel(p.host, "org.test.first")
    a, ident, b, info = vmc.join(p.host, lis)
    b.sendall(b"bye")
    b.close()
    equal(vmc.read_all(a), b"bye")
    # Nobody reads any more: after a moment that is told, and writing fails.
    hang_up = select.poll()
    hang_up.register(a, 0)
    vmc.wait_for(lambda: hang_up.poll(0))
    try:
        a.sendall(b"x")
        raise AssertionError("it can still be written")
    except OSError:
        pass
    a.close()
    # No byte was lost, so that is an orderly end.
    equal(ended(p.host, ident)["reason"], "ok")
    equal(ended(p.guest, info["id"])["reason"], "ok")
    lis.close()
    wait_channel(p.host, "org.test.first", False)


@test
def a_program_that_dies(p):
    for unread in (10, 1 << 20):
        lis = vmc.Listener(p.guest, "org.test.dies")
        wait_channel(p.host, "org.test.dies")
        a, ident, b, info = vmc.join(p.host, lis)
        a.setblocking(False)
        sent = a.send(b"x" * unread)
        vmc.wait_for(lambda: select.select([b], [], [], 0)[0])
        time.sleep(0.1)
        b.close()
        a.settimeout(vmc.TIMEOUT)
        equal(vmc.read_all(a), b"")
        a.close()
        equal(ended(p.host, ident)["reason"], "app-gone")
        equal(ended(p.guest, info["id"])["reason"], "app-gone")
        lis.close()
        wait_channel(p.host, "org.test.dies", False)


def transfer(here, there, channel, n):
    lis = vmc.Listener(there, channel)
    wait_channel(here, channel)
    a, ident, b, info = vmc.join(here, lis)
    block = os.urandom(1 << 20)
    sent, got = hashlib.sha256(), hashlib.sha256()

    def write():
        left = n
        while left:
            part = block[:min(len(block), left)]
            sent.update(part)
            a.sendall(part)
            left -= len(part)
        a.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=write)
    start = time.monotonic()
    t.start()
    total = 0
    while True:
        data = b.recv(1 << 18)
        if not data:
            break
        total += len(data)
        got.update(data)
    took = time.monotonic() - start
    t.join()
    b.close()
    equal(vmc.read_all(a), b"")
    a.close()
    equal((total, got.hexdigest()), (n, sent.hexdigest()))
    s = ended(here, ident)
    equal((s["reason"], s["bytes_out"]), ("ok", n))
    lis.close()
    wait_channel(here, channel, False)
    print(f"# {n >> 20} MiB in {took:.2f} s, {n / took / (1 << 20):.0f} MiB/s")


@test
def big_transfer_each_way(p):
    transfer(p.guest, p.host, "org.test.big", BIG)
    transfer(p.host, p.guest, "org.test.big", BIG)


@test
def a_reader_that_never_reads(p):
    for here, there in p.sides():
        lis = vmc.Listener(there, "org.test.stuck")
        ok = vmc.Listener(there, "org.test.fine")
        wait_channel(here, "org.test.stuck")
        wait_channel(here, "org.test.fine")
        a, ident, b, _ = vmc.join(here, lis)
        a.setblocking(False)
        written, quiet = 0, 0
        while quiet < 20:
            try:
                written += a.send(b"x" * 65536)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.01)
        # The other stream does not notice.
        c, _, d, _ = vmc.join(here, ok)
        for i in range(100):
            c.sendall(b"ping")
            equal(vmc.read_exact(d, 4), b"ping")
        # And when it reads at last, nothing was lost.
        a.setblocking(True)
        a.shutdown(socket.SHUT_WR)
        equal(len(vmc.read_all(b)), written)
        for s in (a, b, c, d):
            s.close()
        lis.close()
        ok.close()
        wait_channel(here, "org.test.fine", False)


@test
def two_hundredstreams(p):
    n = 200
    for here, there in p.sides():
        lis = vmc.Listener(there, "org.test.many")
        wait_channel(here, "org.test.many")
        pairs = []
        for i in range(n):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(vmc.TIMEOUT)
            s.connect(f"{here}/connect")
            s.sendall(b"CONNECT org.test.many\nstream %d\n" % i)
            b, _ = lis.accept()
            pairs.append((s, b))
        for i, (s, b) in enumerate(pairs):
            assert vmc.line(s).startswith("OK ")
            equal(vmc.line(b), f"stream {i}\n")
            b.sendall(b"back %d\n" % i)
        for i, (s, b) in enumerate(pairs):
            equal(vmc.line(s), f"back {i}\n")
        equal(len([s for s in streams(here) if s["state"] == "open"]), n)
        for s, b in pairs:
            s.close()
            b.close()
        vmc.wait_for(lambda: not streams(here) and not streams(there))
        lis.close()
        wait_channel(here, "org.test.many", False)


def knock(directory, name, n):
    """@n programs that connect while the daemon has no time for any."""
    out = []
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX)
        out.append(s)
        s.setblocking(False)
        s.connect(f"{directory}/{name}")  # refused: BlockingIOError
        s.settimeout(vmc.TIMEOUT)
    return out


def refused(directory):
    stats = vmc.call(directory, "Stats")["broker"]
    return {k: stats[k] for k in ("limit_connect_pending", "limit_control",
                                  "limit_files", "limit_backlog",
                                  "connects_refused")}


@test
def two_hundred_at_the_same_moment(p):
    n = 200
    for here, there, name in ((p.host, p.guest, "host"),
                              (p.guest, p.host, "agent")):
        before = refused(here), refused(there)
        lis = vmc.Listener(there, "org.test.rush")
        wait_channel(here, "org.test.rush")
        os.kill(p.procs[name].pid, signal.SIGSTOP)
        try:
            calls = knock(here, "control", n)
            socks = knock(here, "connect", n)
        finally:
            os.kill(p.procs[name].pid, signal.SIGCONT)
        for s in calls:
            s.sendall(b'{"method":"org.vmchannel.Broker.GetInfo"}\0')
        for s in calls:
            assert b'"link":"up"' in s.recv(4096).replace(b" ", b"")
            s.close()
        # All of them wait for the one program that listens.
        for i, s in enumerate(socks):
            s.sendall(b"CONNECT org.test.rush\nnumber %d\n" % i)
        vmc.wait_for(lambda: len(streams(there)) == n)
        taken = [lis.accept()[0] for _ in range(n)]
        for s in socks:
            assert vmc.line(s).startswith("OK ")
        equal({vmc.line(s) for s in taken},
              {f"number {i}\n" for i in range(n)})
        equal((refused(here), refused(there)), before)
        for s in socks + taken:
            s.close()
        vmc.wait_for(lambda: not streams(here) and not streams(there))
        lis.close()
        wait_channel(here, "org.test.rush", False)


@test
def more_than_may_wait_are_refused_and_counted(p):
    lis = vmc.Listener(p.guest, "org.test.full")
    wait_channel(p.host, "org.test.full")
    before = refused(p.guest)
    n = 210  # BACKLOG_MAX and two
    socks = knock(p.host, "connect", n)
    for s in socks:
        s.sendall(b"CONNECT org.test.full\n")
    equal([vmc.line(s).split()[:2] for s in socks[-2:]],
          [["ERR", "backlog"]] * 2)
    equal(refused(p.guest)["limit_backlog"] - before["limit_backlog"], 2)
    for s in socks:
        s.close()
    lis.close()
    wait_channel(p.host, "org.test.full", False)
    vmc.wait_for(lambda: not streams(p.host) and not streams(p.guest))


@test
def message_boundaries(p):
    lis = vmc.Listener(p.guest, "org.test.msg", messages=True)
    wait_channel(p.host, "org.test.msg")
    try:
        vmc.connect(p.host, "org.test.msg")
        raise AssertionError("bytes joined messages")
    except vmc.Error as e:
        equal((e.name, e.params["reason"]), ("Refused", "mode"))
    a, _, b, _ = vmc.join(p.host, lis)
    msg = (5).to_bytes(4, "little") + b"hello"
    a.sendall(msg)
    equal(vmc.read_exact(b, 9), msg)
    a.close()
    b.close()
    a, ident, b, info = vmc.join(p.host, lis)
    a.sendall(((1 << 20) + 1).to_bytes(4, "little") + b"x" * 100)
    equal(vmc.read_all(b), b"")
    equal(ended(p.guest, info["id"])["reason"], "too-big")
    equal(ended(p.host, ident)["reason"], "too-big")
    a.close()
    b.close()
    lis.close()
    wait_channel(p.host, "org.test.msg", False)


@test
def a_service(p):
    wait_channel(p.host, "org.test.cat")
    socks = []
    for i in range(2):
        s, first = vmc.raw(p.host, b"CONNECT org.test.cat\n")
        assert first.startswith("OK "), first
        s.sendall(b"meow %d\n" % i)
        equal(vmc.line(s), f"meow {i}\n")
        socks.append(s)
    # MaxStreams=2: the third waits for one to end.
    third = socket.socket(socket.AF_UNIX)
    third.settimeout(vmc.TIMEOUT)
    third.connect(f"{p.host}/connect")
    third.sendall(b"CONNECT org.test.cat\nlate\n")
    equal(select.select([third], [], [], 0.3)[0], [])
    for s in socks:
        s.shutdown(socket.SHUT_WR)
        equal(vmc.read_all(s), b"")
        s.close()
    assert vmc.line(third).startswith("OK ")
    equal(vmc.line(third), "late\n")
    third.close()


@test
def reload_changes_services_and_policy(p):
    name = f"{p.config}/services.d/org.test.new.conf"
    with open(name, "w") as f:
        f.write("[Service]\nCommand=/bin/echo hi\n")
    vmc.call(p.guest, "Reload")
    wait_channel(p.host, "org.test.new")
    s, first = vmc.raw(p.host, b"CONNECT org.test.new\n")
    equal(vmc.read_all(s), b"hi\n")
    rules = f"{p.config}/policy.d/10-test.conf"
    with open(rules, "w") as f:
        f.write("connect org.test.new host deny\n")
    vmc.call(p.guest, "Reload")
    s, first = vmc.raw(p.host, b"CONNECT org.test.new\n")
    equal(first.split()[:2], ["ERR", "denied"])
    who = {"side": "host", "uid": 0, "gid": 0}
    v = vmc.call(p.guest, "CheckPolicy", operation="connect",
                 channel="org.test.new", caller=who)
    equal(v["allowed"], False)
    assert v["rule"].endswith("10-test.conf:1"), v
    with open(rules, "w") as f:
        f.write("nonsense\n")
    try:
        vmc.call(p.guest, "Reload")
        raise AssertionError("bad policy was taken")
    except vmc.Error as e:
        equal(e.name, "ConfigError")
        assert "10-test.conf:1" in e.params["detail"], e.params
    os.unlink(rules)
    os.unlink(name)
    vmc.call(p.guest, "Reload")
    wait_channel(p.host, "org.test.new", False)


@test
def the_agents_own_varlink_service(p):
    s, first = vmc.raw(p.host, b"CONNECT org.varlink.service\n")
    assert first.startswith("OK "), first
    s.sendall(b'{"method":"org.varlink.service.GetInfo"}\0')
    data = b""
    while not data.endswith(b"\0"):
        data += s.recv(4096)
    info = vmc.json.loads(data[:-1])["parameters"]
    equal(info["product"], "vmchannel-agent")
    # Its control methods are not for the other side.
    s.sendall(b'{"method":"org.vmchannel.Broker.List"}\0')
    data = b""
    while not data.endswith(b"\0"):
        data += s.recv(4096)
    assert b"InterfaceNotFound" in data or b"MethodNotFound" in data, data
    s.close()
    c = vmc.Control(p.host)
    text = c.call("org.varlink.service.GetInterfaceDescription",
                  {"interface": "org.vmchannel.Broker"})["description"]
    assert "method Monitor" in text


@test
def monitor(p):
    m = vmc.Control(p.host)
    m.send("Monitor", {"snapshot": True}, more=True)
    seen = []
    while not seen or seen[-1]["type"] != "snapshot-end":
        seen.append(m.reply()["event"])
    types = [e["type"] for e in seen]
    assert "link-up" in types and "peer-up" in types, types
    equal({e["seq"] for e in seen}, {0})
    lis = vmc.Listener(p.guest, "org.test.mon")
    e = m.reply()["event"]
    while e.get("channel") != "org.test.mon":  # what still ended before
        e = m.reply()["event"]
    equal((e["type"], e["side"]), ("channel-added", "peer"))
    first = e["seq"]
    a, ident, b, _ = vmc.join(p.host, lis)
    e = m.reply()["event"]
    equal((e["type"], e["seq"]), ("stream-opened", first + 1))
    a.close()
    b.close()
    e = m.reply()["event"]
    equal((e["type"], e["seq"]), ("stream-closed", first + 2))
    lis.close()
    e = m.reply()["event"]
    equal((e["type"], e["seq"]), ("channel-removed", first + 3))
    # Again from a number that is remembered.
    n = vmc.Control(p.host)
    n.send("Monitor", {"after": first, "instance": e["instance"]}, more=True)
    equal([n.reply()["event"]["seq"] for _ in range(3)],
          [first + 1, first + 2, first + 3])


@test
def a_monitor_that_does_not_read(p):
    m = vmc.Control(p.guest)
    m.send("Monitor", more=True)
    for i in range(1500):
        lis = vmc.Listener(p.guest, "org.test.flap")
        lis.close()
        vmc.wait_for(lambda: "org.test.flap" not in
                     [c["name"] for c in
                      vmc.call(p.guest, "List")["channels"]])
    types, last, lost = set(), 0, 0
    end = vmc.call(p.guest, "Stats")["broker"]["events"]
    while last < end:
        e = m.reply()["event"]
        if e["type"] == "lost":
            lost += e["lost"]
        types.add(e["type"])
        last = e["seq"]
    assert "lost" in types and lost > 0, types
    equal(last, vmc.call(p.guest, "Stats")["broker"]["events"])


@test
def hostile_local_clients(p):
    before = refused(p.guest)
    held = knock(p.guest, "connect", 258)  # CONNECT_PENDING_UID_MAX and two
    for s in held[-2:]:
        equal(vmc.line(s), "ERR limit too many calls at once\n")
    equal(refused(p.guest)["limit_connect_pending"] -
          before["limit_connect_pending"], 2)
    for text in (b"garbage\0", b"{}\0", b"[]\0", b'{"method":1}\0',
                 b"{" * 70000, b'{"method":"' + b"x" * 70000 + b'"}\0'):
        c = vmc.Control(p.guest)
        try:
            c.sock.sendall(text)
            equal(c.sock.recv(4096), b"")
        except (BrokenPipeError, ConnectionResetError):
            pass
        c.close()
    # Nobody else is disturbed.
    equal(vmc.call(p.guest, "GetInfo")["link"], "up")
    for s in held:
        s.close()


def half_closed(directory, *texts):
    """All that comes back after @texts and the end of writing."""
    c = vmc.Control(directory)
    for text in texts:
        c.sock.sendall(text)
    c.sock.shutdown(socket.SHUT_WR)
    return vmc.read_all(c.sock).split(b"\0")[:-1]


@test
def calls_at_once_and_half_close(p):
    """Every call is answered, however many there were and though the client
    has closed its half by then."""
    info = b'{"method":"org.vmchannel.Broker.GetInfo"}\0'
    lists = (b'{"method":"org.vmchannel.Broker.List","more":true}\0'
             b'{"method":"org.vmchannel.Broker.Streams","more":true}\0')
    for d in (p.host, p.guest):
        for n in (1, 31, 32, 33, 500, 4000):
            equal(len(half_closed(d, info * n)), n)
        equal(len(half_closed(d, lists * 1000)), 2000)
        # What is answered later: also to calls behind it.
        reload = b'{"method":"org.vmchannel.Broker.Reload"}\0'
        equal(len(half_closed(d, reload)), 1)
        equal(len(half_closed(d, reload + info, info * 50)), 52)
        # The rest of a call that never came is no call.
        equal(len(half_closed(d, info * 40 + b'{"method"')), 40)
        # What goes on until the client's end ends now.
        listen = (b'{"method":"org.vmchannel.Broker.Listen","more":true,'
                  b'"parameters":{"channel":"org.test.half"}}\0')
        equal(len(half_closed(d, info * 40 + listen)), 41)
        monitor = b'{"method":"org.vmchannel.Broker.Monitor","more":true}\0'
        equal(len(half_closed(d, info + monitor)), 1)
        # A client that is gone altogether leaves nothing behind.
        fds = fds_of(vmc.call(d, "GetInfo")["pid"])
        for text in (info * 4000, reload, listen, monitor):
            c = vmc.Control(d)
            c.sock.sendall(text)
            c.close()
        vmc.wait_for(lambda: fds_of(vmc.call(d, "GetInfo")["pid"]) == fds)


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def send_with_fds(s, data):
    """One piece with 200 descriptors."""
    with open("/dev/null", "rb") as f:
        socket.send_fds(s, [data], [f.fileno()] * 200)


def send_urgent(s, data):
    """@data, then an urgent byte; plain where the kernel has none."""
    s.sendall(data)
    try:
        s.send(b"!", socket.MSG_OOB)
    except OSError as e:
        equal(e.errno, errno.EOPNOTSUPP)


def read_but_urgent(s, n):
    """An urgent byte is skipped, but for one that a later one overtook."""
    out = b""
    while len(out) < n:
        data = s.recv(n - len(out))
        if not data:
            break
        out += data.replace(b"!", b"")
    return out


@test
def descriptors_and_urgent_bytes(p):
    """Both cut reads short; what lies behind them comes all the same, and no
    descriptor stays in the daemon."""
    for here, there, name in ((p.host, p.guest, "host"),
                              (p.guest, p.host, "agent")):
        pid = p.procs[name].pid
        fds = fds_of(pid)
        lis = vmc.Listener(there, "org.test.odd")
        wait_channel(here, "org.test.odd")
        for odd in (send_with_fds, send_urgent):
            # Within a stream.
            a, ident, b, _ = vmc.join(here, lis)
            for _ in range(20):
                odd(a, b"one")
                odd(a, b"two")
                a.sendall(b"three")
                equal(read_but_urgent(b, 11), b"onetwothree")
            # And all of it at once.
            os.kill(pid, signal.SIGSTOP)
            for _ in range(20):
                odd(a, b"one")
                a.sendall(b"two")
            os.kill(pid, signal.SIGCONT)
            equal(read_but_urgent(b, 120), b"onetwo" * 20)
            a.close()
            equal(vmc.read_all(b).replace(b"!", b""), b"")
            b.close()
            # On both sockets, in the middle of a line and of a call.
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(vmc.TIMEOUT)
            s.connect(f"{here}/connect")
            os.kill(pid, signal.SIGSTOP)
            odd(s, b"CONNECT org.")
            s.sendall(b"test.odd\nhello")
            os.kill(pid, signal.SIGCONT)
            b, _ = lis.accept()
            assert vmc.line(s).startswith("OK ")
            equal(vmc.read_exact(b, 5), b"hello")
            s.close()
            b.close()
            c = vmc.Control(here)
            odd(c.sock, b'{"method":"org.vmch')
            c.sock.sendall(b'annel.Broker.GetInfo"}\0')
            equal(c.reply()["link"], "up")
            c.close()
        vmc.wait_for(lambda: not streams(here) and not streams(there))
        lis.close()
        wait_channel(here, "org.test.odd", False)
        vmc.wait_for(lambda: fds_of(pid) == fds)


@contextlib.contextmanager
def another_user(uid=OTHER_UID):
    """What is connected here is connected by @uid."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def error_of(conn, method, params=None, **flags):
    try:
        conn.call(method, params, **flags)
    except vmc.Error as e:
        return e.name
    return None


@test
def other_users_have_their_own_only(p):
    if os.geteuid() != 0:
        raise vmc.Skip("needs root to be two users")
    os.chmod(p.top, 0o755)
    os.chmod(f"{p.top}/g", 0o755)
    with another_user():
        other = vmc.Control(p.guest)
        theirs = vmc.Listener(p.guest, "org.test.theirs")
    mine = vmc.Listener(p.guest, "org.test.mine")
    wait_channel(p.host, "org.test.mine")
    wait_channel(p.host, "org.test.theirs")
    # The owner's methods, and questions about somebody else.
    equal(error_of(other, "Reload"), "NotAllowed")
    ask = {"operation": "connect", "channel": "org.test.x"}
    for side, uid, error in (("guest", OTHER_UID, None),
                             ("guest", OTHER_UID + 1, "NotAllowed"),
                             ("host", OTHER_UID, "NotAllowed")):
        who = {"side": side, "uid": uid, "gid": uid}
        equal((side, uid, error_of(other, "CheckPolicy",
                                   {**ask, "caller": who})),
              (side, uid, error))
    # A stream of another user: not shown, and a token does not help.
    a = socket.socket(socket.AF_UNIX)
    a.settimeout(vmc.TIMEOUT)
    a.connect(f"{p.host}/connect")
    a.sendall(b"CONNECT org.test.mine\n")
    info = mine.waiting()
    equal(error_of(other, "Accept", {"token": info["token"]}, upgrade=True),
          "NoSuchToken")
    equal(error_of(other, "Reject", {"token": info["token"]}), "NoSuchToken")
    c, _, d, info = vmc.join(p.host, theirs)  # the owner takes theirs
    with another_user():
        equal([s["id"] for s in streams(p.guest)], [])
    equal(error_of(other, "StreamStatus", {"id": info["id"]}), "NoSuchStream")
    equal(len(streams(p.guest)), 2)
    for s in (a, c, d, other, mine, theirs):
        s.close()
    wait_channel(p.host, "org.test.mine", False)
    vmc.wait_for(lambda: not streams(p.guest) and not streams(p.host))


@test
def other_users_are_limited(p):
    """256 connections of one user, 640 of several; then the owner is still
    let in."""
    if os.geteuid() != 0:
        raise vmc.Skip("needs root to be two users")
    before = refused(p.guest)["limit_control"]
    held = []
    for i, n in enumerate((256, 256, 640 - 512)):
        with another_user(OTHER_UID + i):
            held += knock(p.guest, "control", n)
            late = knock(p.guest, "control", 2)
        for s in late:
            equal(s.recv(1), b"")
            s.close()
        equal(refused(p.guest)["limit_control"] - before, 2 * (i + 1))
    for s in held:
        s.close()


@test
def a_listener_that_does_not_read(p):
    """It is told of each caller; when it has missed too many it is let go."""
    lis = vmc.Listener(p.guest, "org.test.deaf")
    wait_channel(p.host, "org.test.deaf")
    stats = vmc.Control(p.guest)

    def let_go():
        return stats.call("Stats")["broker"]["limit_control_out"]

    def refused_calls():
        return vmc.call(p.host, "Stats")["broker"]["connects_refused"]

    before = let_go()
    end = time.monotonic() + vmc.TIMEOUT
    while let_go() == before:
        assert time.monotonic() < end, "it is still there"
        was = refused_calls()
        socks = knock(p.host, "connect", 200)
        for s in socks:
            s.sendall(b"CONNECT org.test.deaf\n")
        # On a fast machine they are more than one may open in a second.
        vmc.wait_for(lambda: let_go() > before or len(streams(p.guest)) +
                     refused_calls() - was == 200)
        for s in socks:
            s.close()
        vmc.wait_for(lambda: not streams(p.host) and not streams(p.guest))
    equal(let_go() - before, 1)
    wait_channel(p.host, "org.test.deaf", False)
    lis.close()
    stats.close()


@test
def the_link_is_cut(p):
    lis = vmc.Listener(p.guest, "org.test.cut")
    wait_channel(p.host, "org.test.cut")
    a, _, b, _ = vmc.join(p.host, lis)
    p.procs["host"].send_signal(signal.SIGUSR1)
    time.sleep(0.1)
    p.wait_up()
    lis.close()
    a.close()
    b.close()


@test
def the_agent_is_restarted(p):
    lis = vmc.Listener(p.guest, "org.test.gone")
    wait_channel(p.host, "org.test.gone")
    a, ident, b, _ = vmc.join(p.host, lis)
    equal(p.stop("agent"), 0)
    equal(vmc.read_all(a), b"")
    equal(ended(p.host, ident)["reason"], "shutdown")
    wait_channel(p.host, "org.test.gone", False)
    p.start_agent()
    transfer(p.host, p.guest, "org.test.again", 1 << 20)
    p.procs["agent"].kill()
    p.procs.pop("agent").wait()
    p.start_agent()
    transfer(p.guest, p.host, "org.test.again", 1 << 20)


@test
def a_directory_in_use(p):
    r = subprocess.run([AGENT, "--device", p.link, "--dir", f"{p.top}/g"],
                       stderr=subprocess.PIPE, timeout=vmc.TIMEOUT, check=False)
    equal(r.returncode, 1)
    assert b"in use" in r.stderr, r.stderr
    # One of somebody else's, or for somebody else, is left as it is.
    os.makedirs(f"{p.top}/o/host")
    os.chmod(f"{p.top}/o/host", 0o700)
    r = subprocess.run([AGENT, "--device", p.link, "--dir", f"{p.top}/o"],
                       stderr=subprocess.PIPE, timeout=vmc.TIMEOUT, check=False)
    equal(r.returncode, 1)
    assert b"chmod 755 it" in r.stderr, r.stderr
    equal(os.stat(f"{p.top}/o/host").st_mode & 0o777, 0o700)


@test
def wrong_use(p):
    for args, status in ((["--help"], 0), (["--version"], 0),
                         (["--nonsense"], 2), (["x"], 2)):
        r = subprocess.run([AGENT, *args], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=vmc.TIMEOUT, check=False)
        equal(r.returncode, status)


@test
def ends_in_order(p):
    equal(p.stop("agent"), 0)
    equal(p.stop("host"), 0)
    equal(os.path.exists(p.guest), False)
    equal(os.path.exists(p.host), False)


def main():
    failed = 0
    tests = vmc.chosen(sys.argv[3:])
    print(f"1..{len(tests)}")
    with tempfile.TemporaryDirectory(prefix="vmc") as top:
        p = Pair(top)
        for i, fn in enumerate(tests, 1):
            failed += not vmc.attempt(i, fn.__name__, lambda f=fn: f(p))
        for q in p.procs.values():
            q.kill()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
