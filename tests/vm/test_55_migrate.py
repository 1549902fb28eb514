# SPDX-License-Identifier: MIT
"""Guests that move to another host."""
import signal
import time

from migrate import (END, GuestFlows, Journey, check_prefix, host_ends,
                     parse_ends, seed_of_run, tell_flows)
from vmtest import Failure, check, check_equal, program, test, wait_for

MIB = 1 << 20


def works(t, journey, name):
    """New streams, both ways, at once."""
    served = GuestFlows(journey, f"-l host {name}", "echo")
    served.wait_listening()
    t.host_connect(journey.daemon, name, "duplex", 100000, 1).ok(20)
    t.host_serve(journey.daemon, name + ".h", "echo")
    guest = journey.guest.run(
        f"vmctest -c host {name}.h duplex 100000 1 >/dev/null 2>&1")
    check_equal(guest.status, 0, "a new stream from the guest")
    served.job.kill()


def without_state(t, early):
    journey = Journey(t, seed_of_run())
    flows = "flow 7 0 0 10"
    inside = GuestFlows(journey, "-l host org.example.in", flows)
    inside.wait_listening()
    outer = t.host_serve(journey.daemon, "org.example.out", *flows.split())
    inner = GuestFlows(journey, "-n 2 -c host org.example.out", flows)
    client = t.host_connect(journey.daemon, "org.example.in", *flows.split(),
                            options=["-n", "6"])
    time.sleep(1)
    _, source = journey.hop(early)
    began = time.monotonic()
    t.wait_peer(journey.daemon, 30)
    t.note(f"{'early' if early else 'late'}: a new stream "
           f"{time.monotonic() - began:.2f} s after the source ended")
    works(t, journey, "org.example.again")
    there, back = inside.ends(6), inner.ends(2)
    # A daemon whose VM has left for good ends with it.
    try:
        here = host_ends(client, 6, 3)
    except Failure:
        source.daemon.close()
        here = host_ends(client, 6)
    check_prefix(here, there, "host's end of")
    check_prefix(there, here, "guest's end of")
    check_prefix(back, host_ends(outer, 2), "guest's end of an own one")
    for text in (inside.read(), inner.read()):
        for reason in END.findall(text):
            check(reason in ("migrated", "daemon-lost", "session-lost"),
                  f"a stream in the guest ended with {reason}")


@test(timeout=180)
def test_migrate_without_state(t):
    """A clean, named reset; new streams at once; nothing silently lost."""
    without_state(t, early=True)


@test(timeout=180)
def test_migrate_without_state_late(t):
    without_state(t, early=False)


def raw_port(t, rate):
    """Returns what each side of a raw port says after a switch: guest, host.
    rate: what the host reads in a second; 0: all at once"""
    journey = Journey(t, seed_of_run(), daemon=False, raw=True)
    inside = GuestFlows(journey, "-p org.vmchannel.raw", "flow 7 0 0 10")
    source = journey.here
    there = journey.prepare()
    outside = t.host(program("tests/vm/vmctest"), "-u", source.raw,
                     there.raw, "flow", 7, 0, rate, 10)
    time.sleep(1)
    journey.switch(there)
    tell_flows(outside, signal.SIGUSR2)
    time.sleep(2)
    source.leave()
    inside.stop()
    tell_flows(outside, signal.SIGUSR1)
    return inside.ends(1)[0], host_ends(outside, 1)[0]


@test(timeout=180)
def test_raw_port_loses(t):
    """What is tested here is the tests: the same switch, the same checker,
    and a port without vmchannel."""
    guest, host = raw_port(t, 2 * MIB)
    for name, end, other in (("host to guest", guest, host),
                             ("guest to host", host, guest)):
        t.note(f"raw port, {name}: {other.out} bytes sent, {end.lost} lost, "
               f"{end.doubled} doubled, {other.out - end.got} not there at "
               "the end")
    check(guest.lost > 0, f"host to guest nothing was lost: {guest}")
    # Twice, or the port is wedged: which of them is QEMU's luck.
    check(host.doubled + guest.out - host.got > 0,
          f"guest to host all came once: {host}")
