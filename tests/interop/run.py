#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py HOST_BROKER VMC_DIR - the host's broker against a second
implementation of docs/protocol.md (guest.py); TAP."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

import guest
from xxh64 import xxh64

sys.path.insert(0, sys.argv[2])
HOST_BROKER = sys.argv[1]
import vmc  # noqa: E402

BIG = bytes(i * 7 % 251 for i in range(150_000))
KNOWN = [(b"", 0, 0xef46db3751d8e999), (b"abc", 0, 0x44bc2cf5ad770999)]


class World:
    def __init__(self, top):
        self.dir, self.link = f"{top}/h/test", f"{top}/link"
        os.mkdir(f"{top}/h")
        self.process = subprocess.Popen([HOST_BROKER, f"{top}/h", self.link])
        vmc.wait_for(lambda: os.path.exists(self.link) and
                     os.path.exists(f"{self.dir}/connect"))
        self.g = guest.Guest(self.link)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


class Program(threading.Thread):
    """A local program of the host, in a thread of its own."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.result = work, None
        self.start()

    def run(self):
        try:
            self.result = self.work()
        except Exception as e:  # shown by whoever looks at the result
            self.result = e


def hash_is_right(_):
    for data, seed, want in KNOWN:
        assert xxh64(data, seed) == want, data


def handshake(w):
    w.g.attach()
    w.g.pump(lambda: w.g.up)
    assert w.g.resumed is False and w.g.epoch == 1
    vmc.wait_for(lambda: vmc.call(w.dir, "GetInfo")["link"] == "up")
    # Types and TLVs that nobody knows are ignored (the HELLO had one).
    w.g.frame(0xf3, 0, b"grease")
    w.g.pump(lambda: not w.g.retained)


def from_the_guest(w):
    g = w.g
    lis = vmc.Listener(w.dir, "org.interop.sink")
    g.pump(lambda: "org.interop.sink" in g.names)
    ident = g.open("org.interop.sink")
    p = Program(lambda: vmc.read_all(lis.accept()[0]))
    g.pump(lambda: g.streams[ident].accepted)
    g.send(ident, BIG, fin=True)
    g.pump(lambda: p.result is not None)
    assert p.result == BIG, p.result
    g.pump(lambda: g.streams[ident].fin)
    lis.close()
    g.pump(lambda: "org.interop.sink" not in g.names)


def connect(w, name):
    """A program of the host calls; (its socket, our stream)"""
    p = Program(lambda: vmc.raw(w.dir, b"CONNECT %s\n" % name.encode()))
    w.g.opened.clear()
    w.g.pump(lambda: w.g.opened)
    w.g.pump(lambda: p.result is not None)
    return p.result[0], w.g.opened[0]


def from_the_host(w):
    g = w.g
    g.advertise("org.interop.source")
    vmc.wait_channel(w.dir, "org.interop.source")
    sock, ident = connect(w, "org.interop.source")
    assert g.streams[ident].name == "org.interop.source"
    assert (g.streams[ident].kind, g.streams[ident].uid) == (0, os.getuid())

    def work():
        sock.sendall(BIG)
        sock.shutdown(socket.SHUT_WR)
        return vmc.read_all(sock)
    p = Program(work)
    g.pump(lambda: g.streams[ident].fin)
    assert g.streams[ident].received == BIG
    g.send(ident, b"thanks", fin=True)
    g.pump(lambda: p.result is not None)
    assert p.result == b"thanks", p.result
    sock.close()


def no_such_channel(w):
    ident = w.g.open("org.interop.nobody")
    w.g.pump(lambda: w.g.streams[ident].rejected is not None)
    assert w.g.streams[ident].rejected == 1, w.g.streams[ident].rejected


def resets_both_ways(w):
    g = w.g
    sock, ident = connect(w, "org.interop.source")
    g.frame(guest.RESET, ident, bytes([6, 0, 0, 0]))
    p = Program(lambda: sock.recv(1))
    g.pump(lambda: p.result is not None)
    assert p.result == b"" or isinstance(p.result, ConnectionError), p.result
    lis = vmc.Listener(w.dir, "org.interop.rude")
    g.pump(lambda: "org.interop.rude" in g.names)
    ident = g.open("org.interop.rude")
    g.send(ident, b"x" * 100)
    q = Program(lambda: lis.accept()[0].close())
    g.pump(lambda: g.streams[ident].reset is not None or
           g.streams[ident].fin)
    lis.close()


def cut_and_resume(w):
    """Cut in the middle of a frame, with frames lost on both ways."""
    g = w.g
    sock, ident = connect(w, "org.interop.source")
    first, second = BIG[:10_000], BIG[10_000:14_000]
    g.send(ident, first)
    # The whole of it is retained; the link gets a torn half.
    real, g.write = g.write, lambda *unit: None
    g.frame(guest.DATA, ident, second)
    g.streams[ident].sent += len(second)
    g.write = real
    g.sock.sendall(b"\x20\0\0\x10")
    g.cut()
    sock.sendall(b"meanwhile")
    session = g.session
    g.attach()
    g.pump(lambda: g.up)
    assert g.resumed and g.session == session
    got = Program(lambda: vmc.read_exact(sock, len(first + second)))
    g.pump(lambda: got.result is not None)
    assert got.result == first + second, got.result
    g.pump(lambda: g.streams[ident].received == b"meanwhile")
    # HELLO in UP with another nonce, on the same link: as good as a cut.
    g.begin()
    g.pump(lambda: g.up)
    assert g.resumed
    sock.sendall(b"!")
    g.pump(lambda: g.streams[ident].received == b"meanwhile!")
    sock.close()
    g.pump(lambda: g.streams[ident].fin or g.streams[ident].reset)


def other_history_is_a_rollback(w):
    g = w.g
    g.cut()
    g.rx_digest ^= 1
    before = g.epoch
    g.attach()
    g.pump(lambda: g.up)
    assert g.resumed is False and g.epoch == before + 1


def rules_are_kept(w):
    w.g.frame(guest.DATA, 77, b"never opened")
    w.g.pump(lambda: w.g.bye is not None)
    assert w.g.bye == 8, w.g.bye


TESTS = [hash_is_right, handshake, from_the_guest, from_the_host,
         no_such_channel, resets_both_ways, cut_and_resume,
         other_history_is_a_rollback, rules_are_kept]


def main():
    failed = False
    print(f"1..{len(TESTS)}", flush=True)
    with tempfile.TemporaryDirectory() as top:
        w = World(top)
        try:
            for n, test in enumerate(TESTS, 1):
                if failed:
                    print(f"not ok {n} - {test.__name__} # not tried")
                    continue
                try:
                    test(w)
                    print(f"ok {n} - {test.__name__}", flush=True)
                except Exception:
                    failed = True
                    print(f"not ok {n} - {test.__name__}\n# " +
                          traceback.format_exc().replace("\n", "\n# "),
                          flush=True)
        finally:
            w.end()
    return failed


if __name__ == "__main__":
    sys.exit(main())
