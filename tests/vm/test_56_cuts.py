# SPDX-License-Identifier: MIT
"""Connections that are cut, VMs that stand still: streams go on."""
import re
import socket
import statistics
import time

from migrate import RAW_PORT, GuestFlows, Journey, Load, seed_of_run
from vmtest import LINK_PORT, check, check_equal, test, wait_for

MIB = 1 << 20
CUTS = 150


def speed(t, journey, name):
    """MB/s from the guest; the best of three, the machine is shared."""
    size = 8 * MIB
    serve = journey.guest.start(
        f"exec vmctest -l host {name} source {size} 3 2>&1")
    serve.expect("listening", 20)
    found = []
    for _ in range(3):
        sink = t.host_connect(journey.daemon, name, "sink", size, 3)
        sink.ok(60)
        found.append(float(re.search(r"([\d.]+) MB/s",
                                     sink.errors()).group(1)))
    serve.kill()
    return max(found)


def cut_often(t, cuts, both):
    """Cut with a full backlog, again and again; returns how long it took
    each time until bytes came, and the speed before and after."""
    journey = Journey(t, seed_of_run(), tap=True)
    tap, qmp = journey.here.tap, journey.here.qmp
    before = speed(t, journey, "org.example.before")
    load = Load(journey, 8)
    took = []
    for _ in range(cuts):
        tap.wait_moving(20)
        tap.hold()
        time.sleep(journey.random.uniform(0.01, 0.08))
        check_equal(qmp.port(LINK_PORT)["throttle"], "off", "throttle")
        began = time.monotonic()
        tap.cut(both)
        tap.wait_moving(20)
        took.append(time.monotonic() - began)
    load.finish()
    after = speed(t, journey, "org.example.after")
    t.note(f"{cuts} cuts, bytes again after p50 {statistics.median(took):.2f}"
           f" s, max {max(took):.2f} s; {before:.0f} MB/s before, {after:.0f} "
           "after")
    check(after > before / 2, f"{before} MB/s before, {after} after")


@test(timeout=400)
def test_disconnects(t):
    """With a full backlog, 150 times in the soak; then full speed."""
    cut_often(t, CUTS if t.soak else 15, both=True)


@test(timeout=200, soak=True)
def test_disconnects_unseen(t):
    """QEMU has a new connection, vmchanneld still the old one."""
    cut_often(t, 10, both=False)


@test(timeout=120, soak=True)
def test_raw_port_wedges(t):
    """The same on a port without vmchannel: it is dead for good."""
    journey = Journey(t, seed_of_run(), daemon=False, raw=True)
    GuestFlows(journey, f"-p {RAW_PORT}", "flow 7 0 0 10")

    def reads(seconds):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(journey.here.raw)
            s.settimeout(seconds)
            try:
                return len(s.recv(65536))
            except TimeoutError:
                return 0
    wait_for("the first bytes", lambda: reads(1), 20)
    for done in range(0, 2 * CUTS, 10):
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(journey.here.raw)
                time.sleep(0.04)
        if not reads(2):
            t.note(f"raw port: dead after about {done + 10} disconnects")
            return
    check(False, "a raw port survived: the test of disconnects says nothing")


@test(timeout=240, soak=True)
def test_paused_for_long(t):
    """Longer than any limit of the handshake; then also cut meanwhile."""
    journey = Journey(t, seed_of_run(), tap=True)
    qmp = journey.here.qmp
    load = Load(journey, 4)
    for cut, seconds in ((False, 25), (True, 3)):
        journey.here.tap.wait_moving(20)
        qmp.command("stop")
        time.sleep(seconds / 2)
        if cut:
            journey.here.tap.cut()
        time.sleep(seconds / 2)
        qmp.command("cont")
        began = time.monotonic()
        journey.here.tap.wait_moving(40)
        t.note(f"paused {seconds} s{', cut' * cut}: bytes "
               f"{time.monotonic() - began:.2f} s after")
        load.going()
    load.finish()


@test(timeout=120)
def test_guest_clock_jumps(t):
    journey = Journey(t, seed_of_run())
    load = Load(journey, 4, (200000, 0), (200000, 0))
    for jump in ("2038-01-01", "1999-01-01", "2026-06-01"):
        time.sleep(0.5)
        journey.guest.run(f"date -s '{jump} 00:00:00'")
        time.sleep(0.5)
        load.going()
    load.finish()


@test(timeout=120)
def test_guest_suspended(t):
    """The driver resets the device; what was in the rings is gone."""
    journey = Journey(t, seed_of_run())
    load = Load(journey, 4)
    # Once: QEMU would wake it from a second sleep at once.
    job = journey.guest.start("sleep 1; echo mem >/sys/power/state")
    journey.here.qmp.wait_event("SUSPEND")
    time.sleep(2)
    journey.here.qmp.command("system_wakeup")
    journey.here.qmp.wait_event("WAKEUP")
    job.ok(20)
    time.sleep(1)
    load.going()
    load.finish()
