# SPDX-License-Identifier: MIT
"""Calls and events of a guest while it moves, and while processes die."""
import collections
import contextlib
import json
import os
import signal
import subprocess

import operations as ops
from callers import Caller, Terminal, Watcher, check_calls, start_all, stop_all
from migrate import Journey, seed_of_run
from moves import WAYS, ways
from vmtest import Failure, check, check_equal, test, wait_for

CALLERS = 50
DEATH_CALLERS = 20
FREEZE = "org.vmchannel.Storage.Freeze"
LEASE_MS = 500
HOOK = """#!/bin/sh
echo $1 >>/run/hooked
[ $1 = thaw ] && exit
while [ ! -e /run/go ]; do sleep 0.1; done
rm /run/go
"""
# So that there are events while nothing else happens.
RENAME = ("(i=0; while sleep 0.3; do i=$((i+1)); hostname name$i; done) "
          "</dev/null >/dev/null 2>&1 & echo $! >/run/rename")
Fixed = collections.namedtuple("Fixed", "daemon")


def disk(t):
    """A file system that the guest takes along, as QEMU's arguments."""
    path = os.path.join(t.dir, "disk")
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", path, "16M"],
                   stdout=subprocess.DEVNULL, check=True)
    return ["-drive", f"if=none,id=dm,file={path},format=raw,cache=unsafe,"
            "file.locking=off", "-device", "virtio-blk-pci,drive=dm"]


class Traveller:
    """A guest with callers that moves."""

    def __init__(self, t, seed):
        self.t, self.seed = t, seed
        self.terminal = Terminal(t.dir)
        self.journey = Journey(t, seed, state=True, qmp=seed % 2 == 0,
                               args=[*self.terminal.args, *disk(t)])
        ops.ready(t, self.journey.daemon)
        guest = self.journey.guest
        self.terminal.log_in(t, self.journey.here.vm)
        guest.write_file("/etc/vmchannel/freeze.d/hold", HOOK, 0o755)
        guest.run("mkdir -p /mnt && mount /dev/vda /mnt; " + RENAME)
        self.callers = [Caller(t, self.journey, i, seed)
                        for i in range(CALLERS)]
        self.watcher = Watcher(t, self.journey)
        start_all([*self.callers, self.watcher])

    def hooked(self):
        return self.journey.guest.run(
            "cat /run/hooked", check=False).text().count("freeze")

    def freeze(self, request, *options):
        """The command, which asks the daemon that is left then."""
        return self.t.cli(self.journey.daemon, "call", "vm", FREEZE,
                          json.dumps({"mounts": ["/mnt"],
                                      "lease_ms": LEASE_MS,
                                      "request": request}), *options)

    def hop(self, way, request, follow):
        """A move in the middle of a Freeze, which its hook holds up."""
        journey, before = self.journey, self.hooked()
        there = journey.prepare()
        options = ["--follow", "--to", os.path.join(there.dir, "run")]
        command = self.freeze(request, *(options if follow else []))
        wait_for("the hook", lambda: self.hooked() > before, 60)
        source = journey.here
        journey.switch(there, **WAYS[way])
        source.leave()
        journey.guest.run("touch /run/go")
        self.t.wait_peer(journey.daemon, 60)
        status = command.wait(60)
        if not follow:
            check_equal(status, 125, "exit status: " + command.errors())
            check("(migrated)" in command.errors() and
                  "the same request is not done twice" in command.errors(),
                  command.errors())
        self.repeat(request, command.text() if follow else "")
        check_equal(self.hooked(), before + 1, "it was frozen so often")
        source.close()

    def repeat(self, request, said):
        """The same call is answered as the first time, and not done."""
        def look():
            again = self.freeze(request)
            again.wait(60)
            return "RequestRunning" not in again.errors() and again
        again = wait_for("the first one's end", look, 60)
        check_equal(again.wait(60), 0, again.errors())
        check_equal(again.text(), said or again.text(), "the answer")

    def finish(self):
        stop_all([*self.callers, self.watcher])
        self.watcher.check()
        check(self.watcher.types.count(
            "org.vmchannel.System.HostnameChanged") > 1, "names were told")
        self.t.note(f"events: {len(self.watcher.seqs)}, subscribed "
                    f"{self.watcher.times} times")
        check_calls(self.t, self.terminal, self.callers)


@test(timeout=300)
def test_calls_across_moves(t):
    """Each call has its reply or is cut off by name, and none is done twice."""
    travel = Traveller(t, seed_of_run())
    for i, way in enumerate(w for w in ways() if w != "pause-before-switchover"):
        travel.hop(way, f"plain{i}", follow=False)
        travel.hop(way, f"follow{i}", follow=True)
    travel.finish()


PIDS = "$(grep -lx {} /proc/[0-9]*/comm | cut -d/ -f3)"
RESTART_AGENT = "vmchannel-agent </dev/null >>/var/log/agent.log 2>&1 &"


def kill_worker(_t, _vm, daemon):
    os.kill(daemon.worker(), signal.SIGKILL)


def kill_daemon(_t, _vm, daemon):
    daemon.proc.kill()
    daemon.proc.wait(60)
    daemon.start()


def upgrade(t, vm, daemon):
    t.cli(daemon, "upgrade", vm.name).ok(60)


def kill_agent(_t, vm, _daemon):
    vm.guest.run(f"kill -9 {PIDS.format('vmchannel-agent')}; {RESTART_AGENT}")


def renew_agent(_t, vm, _daemon):
    """As its package does: ended, and started anew."""
    pid = vm.guest.run(f"echo {PIDS.format('vmchannel-agent')}").text().split()
    vm.guest.run(f"kill {' '.join(pid)}")
    wait_for("the agent's end", lambda: vm.guest.run(
        f"kill -0 {pid[0]}", check=False).status, 60)
    vm.guest.run(RESTART_AGENT)


def kill_operations(_t, vm, _daemon):
    vm.guest.run(f"kill -9 {PIDS.format('vmchannel-ops')}")


def answers(t, daemon):
    with contextlib.suppress(Failure, ops.OpError, OSError):
        return ops.call(t, daemon, ops.AGENT + "Ping", token="there")
    return None


DEATHS = (kill_worker, upgrade, kill_operations, kill_agent, renew_agent,
          kill_operations, kill_daemon)


@test(timeout=240)
def test_calls_across_deaths(t):
    """Whoever dies in the middle of calls: none hangs, none is done twice."""
    terminal = Terminal(t.dir)
    vm = t.vm(args=terminal.args)
    daemon = t.daemon(vm)
    ops.ready(t, daemon)
    terminal.log_in(t, vm)
    place = Fixed(daemon)
    callers = [Caller(t, place, i, 1) for i in range(DEATH_CALLERS)]
    watcher = Watcher(t, place)
    start_all([*callers, watcher])
    for death in DEATHS:
        before = sum(len(c.results) for c in callers)
        death(t, vm, daemon)
        wait_for("a call to be answered", lambda: answers(t, daemon), 60, 0.1)
        wait_for("calls to go on", lambda: sum(
            len(c.results) for c in callers) > before + DEATH_CALLERS, 60)
    stop_all([*callers, watcher])
    watcher.check()
    check("org.vmchannel.Agent.Started" in watcher.types, "Started was told")
    check_calls(t, terminal, callers)


@test(timeout=1500, soak=True)
def test_calls_across_many_moves(t):
    seed = seed_of_run()
    for trip in range(4):
        travel = Traveller(t, seed + trip)
        dice = travel.journey.random
        for i in range(8):
            travel.hop(dice.choice(ways()), f"r{i}", dice.random() < 0.5)
        travel.finish()
