# SPDX-License-Identifier: MIT
"""Guests that move to another host."""
import signal
import time

from migrate import (END, GuestFlows, Journey, Load, carries_state,
                     check_prefix, host_ends, seed_of_run, tell_downtimes,
                     tell_flows)
from moves import MIB, PROFILES, Round, run_round, ways
from vmtest import (Failure, Skip, check, check_equal, program, test,
                    wait_for)

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


@test(timeout=180, soak=True)
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
    ends = inside.ends(1)[0], host_ends(outside, 1)[0]
    there.vm.qemu.kill()
    there.vm.qemu.wait()
    return ends


def panicked(vms):
    return any("Kernel panic" in vm.serial() for vm in vms)


def raw_port_loses(t):
    """Whether bytes from the guest came twice, or not at all; None: nobody
    knows, since its kernel has not survived the switch."""
    before = len(t.vms)
    try:
        guest, host = raw_port(t, 2 * MIB)
    except (Failure, OSError):  # QEMU ends with its guest
        vms = t.vms[before:]
        if not panicked(vms):
            raise
        for vm in vms:
            vm.qemu.kill()
            vm.qemu.wait()
        t.note("raw port: the guest's kernel panicked; another one is booted")
        return None
    for name, end, other in (("host to guest", guest, host),
                             ("guest to host", host, guest)):
        t.note(f"raw port, {name}: {other.out} bytes sent, {end.lost} lost, "
               f"{end.doubled} doubled, {other.out - end.got} not there at "
               "the end")
    check(guest.lost > 0, f"host to guest nothing was lost: {guest}")
    return host.doubled + guest.out - host.got > 0


# A switch at which QEMU was not throttling does no harm that way.
RAW_ATTEMPTS = 4
# It is not our port; that its guest's kernel meets the end once was seen.
RAW_PANICS = 3


@test(timeout=400)
def test_raw_port_loses(t):
    """What is tested here is the tests: the same switch, the same checker,
    and a port without vmchannel."""
    switches = panics = 0
    while switches < RAW_ATTEMPTS:
        loses = raw_port_loses(t)
        if loses:
            return
        if loses is None:
            panics += 1
            check(panics < RAW_PANICS, f"{panics} kernels panicked")
        else:
            switches += 1
    raise Failure(f"guest to host all came once at {switches} switches")


def need_state():
    if not carries_state():
        raise Skip("this vmchanneld does not take streams along")


@test(timeout=300)
def test_migrations(t):
    """Ten, with streams that follow; the long run is soak-migrate."""
    need_state()
    seed = seed_of_run()
    passed, waited = [], []
    for count, profile, hops in ((1, PROFILES[1], 4), (8, PROFILES[0], 5),
                                 (64, PROFILES[2], 1)):
        waited += run_round(t, seed, count, profile, hops, passed.append)
    for text in passed:
        t.note(text)
    tell_downtimes(waited)


@test(timeout=300)
def test_migrate_other_ways(t):
    need_state()
    travel = Round(t, seed_of_run(), 8, PROFILES[1])
    others = [w for w in ways() if w != "precopy"]
    # Away from a QEMU to which it came by postcopy, too.
    for way in others + others[:1]:
        t.note(travel.hop(way))
    travel.finish()


def fail_once(journey, how):
    """A migration that does not come to its end; the guest stays."""
    there, qmp = journey.prepare(), journey.here.qmp
    qmp.command("migrate-set-parameters", max_bandwidth=1 << 33)
    how(journey, qmp, there)
    status = Journey.wait_status(qmp, "failed", "cancelled", "completed")
    there.vm.qemu.kill()
    there.vm.qemu.wait()
    if status == "completed":
        # Died while it loaded: somebody must say that the guest is here.
        qmp.command("cont")
    wait_for("the guest to run on", lambda: qmp.command("query-status")[
        "running"], 10)
    qmp.events.clear()
    there.close()
    return status


def killed_at_stop(journey, qmp, there):
    """Its QEMU is killed when the source has stopped: around the Save. Later
    than its Load it would run, and be no failure."""
    qmp.command("migrate", uri=there.address)
    qmp.wait_event("STOP")
    time.sleep(journey.random.uniform(0, 0.008))
    there.vm.qemu.kill()


def cancelled_early(journey, qmp, there):
    qmp.command("migrate-set-parameters", max_bandwidth=MIB)
    qmp.command("migrate", uri=there.address)
    time.sleep(journey.random.uniform(0.05, 0.3))
    qmp.command("migrate_cancel")


def cancelled_before_switch(_journey, qmp, there):
    for one in (qmp, there.qmp):
        one.command("migrate-set-capabilities", capabilities=[
            {"capability": "pause-before-switchover", "state": True}])
    qmp.command("migrate", uri=there.address)
    Journey.wait_status(qmp, "pre-switchover")
    qmp.command("migrate_cancel")


@test(timeout=240)
def test_migrations_that_fail(t):
    """The guest stays, and so do all streams, whether they follow or not."""
    need_state()
    seed = seed_of_run()
    journey = Journey(t, seed, state=True, qmp=seed % 2 == 0)
    load = Load(journey, 8)
    plain = Load(journey, 2)
    for how in (cancelled_early, killed_at_stop, killed_at_stop,
                killed_at_stop, cancelled_before_switch):
        time.sleep(0.3)
        status = fail_once(journey, how)
        t.note(f"{how.__name__}: {status}")
        time.sleep(0.5)
        load.going()
        plain.going()
    load.finish()
    plain.finish()
