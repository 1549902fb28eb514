# SPDX-License-Identifier: MIT
"""Guests that go back in time, and guests that exist twice."""
import os
import struct
import time

from migrate import (END, Journey, Load, carries_state,
                     host_ends, seed_of_run)
from vmtest import Failure, check, test
from test_55_migrate import works

PACED = (200000, 0)
CLUSTER = 65536
# How a stream may end whose guest is one of another history.
CUT = ("rollback", "cloned", "migrated", "daemon-lost", "session-lost",
       "agent-lost")


def empty_qcow2(path):
    """16 MiB of nothing: a place for snapshots."""
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16,
                       16 << 20, 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0,
                       4, 104)
    image = bytearray(4 * CLUSTER)
    image[:len(head)] = head
    image[CLUSTER:CLUSTER + 8] = struct.pack(">Q", 2 * CLUSTER)
    for i in range(4):
        image[2 * CLUSTER + 2 * i:2 * CLUSTER + 2 * i + 2] = b"\0\1"
    with open(path, "wb") as f:
        f.write(image)


def monitor(qmp, line):
    text = qmp.monitor(line)
    check("rror" not in text, f"{line}: {text}")


def check_cut(load, allowed):
    """All streams ended by name, and each had only bytes of its own."""
    host = host_ends(load.outside, load.count, 30)
    guest = load.inside.ends(load.count, 30)
    for end in list(host.values()) + list(guest.values()):
        check(end.lost == end.doubled == end.garbage == 0, f"{end}")
    load.outside.wait(20)
    told = END.findall(load.outside.errors()) + END.findall(
        load.inside.read())
    check(len(told) == 2 * load.count, f"{len(told)} reasons")
    for reason in told:
        check(reason in allowed, f"a stream ended with {reason}")
    return sorted(set(told))


@test(timeout=180)
def test_savevm_and_loadvm(t):
    disk = os.path.join(t.dir, "disk")
    empty_qcow2(disk)
    journey = Journey(t, seed_of_run(), disk=disk, state=carries_state())
    qmp = journey.here.qmp
    load = Load(journey, 4, PACED, PACED)
    time.sleep(0.5)
    monitor(qmp, "savevm one")
    time.sleep(1)
    load.going()
    monitor(qmp, "loadvm one")
    began = time.monotonic()
    # Whatever becomes of the link: a guest that gets no CPU for a second
    # looks deaf, and is connected to anew.
    reasons = check_cut(load, ("rollback",))
    t.note(f"loadvm: {reasons}, all told {time.monotonic() - began:.2f} s "
           "after")
    t.wait_peer(journey.daemon)
    works(t, journey, "org.example.again")
    # Stopped meanwhile, by somebody who does not hurry.
    load = Load(journey, 4, PACED, PACED)
    qmp.command("stop")
    monitor(qmp, "savevm two")
    time.sleep(2)
    qmp.command("cont")
    time.sleep(1)
    load.finish()


@test(timeout=240)
def test_restored_twice(t):
    """Two VMs from one file: each its own; and one after the other at one
    daemon."""
    journey = Journey(t, seed_of_run(), state=carries_state())
    image = os.path.join(t.dir, "image")
    load = Load(journey, 4, PACED, PACED)
    time.sleep(0.5)
    source = journey.here
    source.qmp.command("migrate", uri="exec:cat >" + image)
    journey.wait_status(source.qmp, "completed")
    source.leave()
    reasons = set()
    try:
        host_ends(load.outside, load.count, 5)
    except Failure:
        source.daemon.close()
    for number in (1, 2):
        host = restore(journey, f"exec:cat {image}")
        host.attach()
        t.wait_peer(host.daemon)
        guest = load.inside.ends(load.count, 20)
        check(len(guest) == load.count, f"{len(guest)} ends")
        reasons |= set(END.findall(load.inside.read()))
        works(t, journey, "org.example.again")
        if number == 1:
            first = host
    check(reasons <= set(CUT), f"reasons in the guests: {reasons}")
    t.note(f"restored: {sorted(reasons)}")
    # The second one's QEMU dies; the first one comes to its daemon.
    load = Load(journey, 2, PACED, PACED)
    time.sleep(0.5)
    host.vm.qemu.kill()
    os.unlink(host.entry)
    first.daemon.close()
    os.symlink(first.vm.link, host.entry)
    ends = host_ends(load.outside, 2, 60)
    check_own(ends)
    journey.here = first
    first.daemon = host.daemon
    t.wait_peer(host.daemon, 60)
    works(t, journey, "org.example.third")


def check_own(ends):
    for end in ends.values():
        check(end.lost == end.doubled == end.garbage == 0, f"{end}")


def restore(journey, address):
    host = journey.host(address)
    host.qmp.wait_event("RESUME")
    host.vm.guest.take_over(journey.here.vm.guest)
    journey.here = host
    return host
