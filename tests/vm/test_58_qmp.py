# SPDX-License-Identifier: MIT
"""vmchanneld with a QMP socket of its own: what it hears sooner, and that a
lie costs no byte."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "broker"))
from scripted_qmp import ScriptedQmp  # noqa: E402
from migrate import (END, Journey, Load, check_prefix,  # noqa: E402
                     host_ends, seed_of_run)
from test_55_migrate import need_state, works  # noqa: E402
from test_57_snapshots import empty_qcow2, monitor  # noqa: E402
from vmtest import check, check_equal, test, varlink, wait_for  # noqa: E402

PACED = (200000, 0)
# Less than the grace that would end it without QMP.
PROMPT = 60


def info(daemon, key):
    return varlink(daemon, "org.vmchannel.Broker.GetInfo").get(key)


def says(daemon, word):
    wait_for(f"QMP to say {word}", lambda: info(daemon, "qmp") == word, 30)


def check_migrated(load, host):
    load.outside.wait(20)
    reasons = END.findall(load.outside.errors())
    check_equal(set(reasons), {"migrated"}, "reasons on the host")
    check_equal(len(host), load.count, "ends on the host")


@test(timeout=180)
def test_qmp_tells_of_postmigrate(t):
    """A plain program hears of the move while the source's QEMU stays."""
    need_state()
    journey = Journey(t, seed_of_run(), state=True, qmp=True)
    source = journey.here
    says(source.daemon, "running")
    plain = Load(journey, 2, PACED, PACED)
    follows = Load(journey, 2, PACED, PACED, follow=True)
    time.sleep(0.5)
    move = journey.switch(journey.prepare())
    host = host_ends(plain.outside, plain.count, PROMPT)
    t.note(f"told {time.time() * 1e3 - move.resumed:.0f} ms after RESUME")
    check_equal(source.qmp.command("query-status")["status"], "postmigrate",
                "the source's QEMU")
    check_migrated(plain, host)
    says(source.daemon, "moved")
    check_equal(info(source.daemon, "life"), "away", "life of the source")
    check_prefix(host, plain.inside.ends(plain.count, 30), "host's end of")
    says(journey.daemon, "running")
    follows.finish()
    # Somebody says cont, with the guest there, too: another history.
    journey.here.vm.qemu.kill()
    source.qmp.command("cont")
    says(source.daemon, "running")
    wait_for("the daemon to serve again",
             lambda: info(source.daemon, "life") == "serving", 30)
    t.wait_peer(source.daemon, 60)


@test(timeout=180)
def test_qmp_tells_of_a_paused_vm_that_moves(t):
    """It stands already, so no event says that it leaves."""
    need_state()
    journey = Journey(t, seed_of_run(), state=True, qmp=True)
    daemon, qmp = journey.daemon, journey.here.qmp
    load = Load(journey, 2, PACED, PACED)
    time.sleep(0.5)
    qmp.command("stop")
    says(daemon, "stopped")
    # As it is by default; vmchanneld would hear of it by MIGRATION otherwise.
    qmp.command("migrate-set-capabilities", capabilities=[
        {"capability": "events", "state": False}])
    qmp.command("migrate", uri="exec:cat >/dev/null")
    host = host_ends(load.outside, load.count, PROMPT)
    check_migrated(load, host)
    says(daemon, "moved")
    qmp.command("cont")
    check_prefix(host, load.inside.ends(load.count, 30), "host's end of")
    t.wait_peer(daemon, 60)
    works(t, journey, "org.example.again")


@test(timeout=240)
def test_qmp_bus_is_made_anew(t):
    """The bus process dies; the next move takes the streams along."""
    need_state()
    journey = Journey(t, seed_of_run(), state=True, qmp=True)
    source = journey.daemon
    load = Load(journey, 2, PACED, PACED, follow=True)
    wait_for("QEMU's connection",
             lambda: info(source, "vmstate") == "connected", 30)
    out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid",
                          str(source.proc.pid)], stdout=subprocess.PIPE,
                         check=True, text=True).stdout
    bus, = [int(row.split()[0]) for row in out.splitlines() if "--bus" in row]
    os.kill(bus, signal.SIGKILL)
    wait_for("its end", lambda: "ev=bus-died" in source.proc.errors(), 30)
    wait_for("another connection",
             lambda: "ev=vmstate-mended" in source.proc.errors() and
             info(source, "vmstate") == "connected", 60)
    journey.hop()
    time.sleep(0.5)
    load.going()
    load.finish()


@test(timeout=240)
def test_qmp_that_lies(t):
    """Whatever it says: each stream has its bytes once and in order, or ends
    with a reason; and after the lie all is well again."""
    need_state()
    disk = os.path.join(t.dir, "disk")
    empty_qcow2(disk)
    path = os.path.join(t.dir, "liar")
    liar = ScriptedQmp(path)
    t.keep(liar)
    journey = Journey(t, seed_of_run(), state=True, disk=disk, qmp=path)
    qmp, daemon = journey.here.qmp, journey.daemon
    says(daemon, "running")
    load = Load(journey, 2, PACED, PACED)
    # Moved, stopped, moved again, while it runs: nothing has left.
    for status, migrate, word in (("postmigrate", "completed", "moved"),
                                  ("paused", None, "stopped"),
                                  ("postmigrate", "completed", "moved")):
        liar.migrate = migrate
        liar.event("STOP", status)
        says(daemon, word)
        time.sleep(1.2)
        load.going()
    # A savevm of a stopped VM: a copy has left, and "it moved".
    qmp.command("stop")
    monitor(qmp, "savevm one")
    host = host_ends(load.outside, load.count, PROMPT)
    check_migrated(load, host)
    qmp.command("cont")
    check_prefix(host, load.inside.ends(load.count, 30), "host's end of")
    check_prefix(load.inside.ends(load.count, 30), host, "guest's end of")
    t.wait_peer(daemon, 60)
    works(t, journey, "org.example.again")
    # "It runs" while it stands, over and over, with a copy that has left.
    load = Load(journey, 2, PACED, PACED)
    qmp.command("stop")
    liar.migrate = None
    monitor(qmp, "savevm two")
    for _ in range(200):
        liar.event("RESUME", "running")
    says(daemon, "running")
    check_equal(info(daemon, "life"), "fenced", "life")
    qmp.command("cont")
    time.sleep(1)
    load.going()
    # "It stands" while it runs, and the link is cut.
    liar.event("STOP", "paused")
    says(daemon, "stopped")
    time.sleep(1)
    load.finish()


@test(timeout=600, soak=True)
def test_qmp_pause_longer_than_grace(t):
    """Stopped, saved, and left for longer than the 300 s that a copy is waited
    for: with QMP all streams go on."""
    need_state()
    disk = os.path.join(t.dir, "disk")
    empty_qcow2(disk)
    journey = Journey(t, seed_of_run(), state=True, disk=disk, qmp=True)
    load = Load(journey, 2, PACED, PACED)
    time.sleep(0.5)
    qmp = journey.here.qmp
    qmp.command("stop")
    monitor(qmp, "savevm one")
    says(journey.daemon, "stopped")
    time.sleep(330)
    check_equal(info(journey.daemon, "life"), "fenced", "life")
    qmp.command("cont")
    time.sleep(1)
    load.going()
    load.finish()
