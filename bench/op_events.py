# SPDX-License-Identifier: MIT
"""How much later than its cause an event is at a host's subscriber.

The guest's program (marker.c) writes a byte to a raw port at the moment of
it; the host sees when that byte and when the event arrive.
"""
import random
import select
import time

from part import Figure, Marker

EVENTS = 36
WAIT_S = 20
TARGET = "p50 <= 20 ms"
# Between two: whatever is gathered for a moment has been told.
PAUSE_S = (0.25, 0.45)

# What becomes an event: (name, program, guests, type of the event).
KINDS = (
    ("hostname", "marker", ("minimal", "debian"),
     "org.vmchannel.System.HostnameChanged"),
    ("address", "marker", ("minimal", "debian"),
     "org.vmchannel.Network.AddressesChanged"),
    ("locked", "marker-bus", ("debian",),
     "org.vmchannel.Session.Session*"),
    ("idle", "marker-bus", ("debian",),
     "org.vmchannel.Session.IdleChanged"),
)
# What else goes on: a program that computes, a stream at full speed.
LOADS = ("quiet", "cpu", "stream")

FIGURES = [Figure(f"event_{kind[0]}_{load}",
                  f"event {kind[0]}, after its cause; {load}", "ms",
                  TARGET if load == "quiet" else "")
           for kind in KINDS for load in LOADS]
FIGURES += [Figure(f"event_{kind[0]}_asked",
                   f"event {kind[0]}, after it was asked for", "ms")
            for kind in KINDS if kind[1] == "marker-bus"]


def has_event(stream):
    """Takes what is there."""
    stream.data += stream.socket.recv(65536)
    *whole, stream.data = stream.data.split(b"\0")
    return any(b'"event"' in message for message in whole)


def one(marker, stream):
    """Returns (seconds of each marker's byte, seconds of the event)."""
    p = select.poll()
    p.register(marker.socket, select.POLLIN)
    p.register(stream.socket, select.POLLIN)
    said, event = {}, None
    marker.socket.sendall(b"!")
    end = time.monotonic() + WAIT_S
    while "s" not in said or event is None:
        ready = p.poll(max(0, end - time.monotonic()) * 1000)
        now = time.monotonic()
        if not ready:
            raise OSError(f"no event; marker {list(said)}")
        for fd, _ in ready:
            if fd == marker.socket.fileno():
                for c in marker.socket.recv(16).decode():
                    said[c] = now
            elif has_event(stream):
                event = event or now
    return said, event


def load(bench, name):
    """Starts it; returns what ends it."""
    from vmtest import wait_for, varlink
    if name == "cpu":
        job = bench.t.job(bench.vm, "while :; do :; done")
        return [job.kill]
    if name == "stream":
        channel = "org.example.load"
        served = bench.t.guest_serve(bench.vm, channel, "source",
                                     1 << 40, 1)
        sink = bench.t.host_connect(bench.daemon, channel, "sink", 1 << 40, 1)
        wait_for("its bytes", lambda: any(
            s["bytes_in"] > 1 << 20 for s in varlink(
                bench.daemon, "org.vmchannel.Broker.Streams")["streams"]), 60)
        return [sink.kill, served.kill]
    return []


def kind_of_event(bench, name, program, event):
    import operations as ops
    words = name
    if program == "marker-bus":
        words += " $(loginctl show-user alice -p Display --value)"
    types = ([event] if "*" not in event else
             [event.replace("*", w) for w in ("Locked", "Unlocked")])
    subscription = ops.Events(bench.t, bench.daemon, types=types)
    marker = Marker(bench, program, words)
    for what in LOADS:
        ends = load(bench, what)
        for _ in range(bench.times(EVENTS)):
            time.sleep(random.uniform(*PAUSE_S))
            said, at = one(marker, subscription.stream)
            bench.add(f"event_{name}_{what}", (at - said["s"]) * 1e3)
            if what == "quiet" and "a" in said:
                bench.add(f"event_{name}_asked", (at - said["a"]) * 1e3)
        for end in ends:
            end()
    marker.close()
    subscription.close()


def run(bench):
    for name, program, guests, event in KINDS:
        if bench.guest in guests:
            kind_of_event(bench, name, program, event)
