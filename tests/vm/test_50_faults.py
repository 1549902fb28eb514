# SPDX-License-Identifier: MIT
"""Brokers and ports that go away and come back."""
import json
import os
import signal
import time

from vmtest import LINK_PORT, RUNNER_PORT, check, check_equal, test, wait_for

MIB = 1 << 20


def own(t, **options):
    vm = t.vm(**options)
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    return vm, daemon


def start_agent(t, vm):
    return t.job(vm, "exec vmchannel-agent >>/var/log/agent.log 2>&1")


def works(t, vm, daemon, name):
    """New streams work in both directions, at once."""
    t.guest_serve(vm, name, "echo", user="alice")
    t.host_connect(daemon, name, "duplex", 100000, 1).ok(20)
    t.host_serve(daemon, name + ".h", "echo")
    t.guest_connect(vm, name + ".h", "duplex", 100000, 1, user="bob").ok(20)


def ended(output, *reasons):
    """The program was told how its stream ended, in time."""
    output.wait(60)
    check(any(f"end: {r} " in output.errors() for r in reasons),
          f"wanted one of {reasons}: {output.tail()}")


@test(timeout=120)
def test_agent_killed_and_restarted(t):
    vm, daemon = own(t)
    t.guest_serve(vm, "org.example.a", "echo")
    t.host_serve(daemon, "org.example.h", "hold", 60)
    client = t.host_connect(daemon, "org.example.a", "sink", 1, 1)
    time.sleep(0.5)
    vm.guest.run("killall -9 vmchannel-agent")
    start_agent(t, vm)
    ended(client, "agent-lost", "session-lost")
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.again")


@test(timeout=120)
def test_worker_killed_and_restarted(t):
    vm, daemon = own(t)
    t.host_serve(daemon, "org.example.h", "hold", 60)
    client = t.guest_connect(vm, "org.example.h", "sink", 1, 1)
    time.sleep(0.5)
    old = daemon.worker()
    os.kill(old, signal.SIGKILL)
    wait_for("another worker", lambda: daemon.worker() != old)
    ended(client, "daemon-lost", "session-lost")
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.again")


@test(timeout=120)
def test_daemon_stopped_and_started(t):
    vm, daemon = own(t)
    t.guest_serve(vm, "org.example.stays", "echo")
    t.host_serve(daemon, "org.example.h", "hold", 60)
    client = t.guest_connect(vm, "org.example.h", "sink", 1, 1)
    time.sleep(0.5)
    daemon.close()
    check(daemon.proc.status == 0, f"exit status {daemon.proc.status}")
    check(not os.path.exists(os.path.join(daemon.dir, "control")),
          "the control socket was left behind")
    ended(client, "shutdown")
    time.sleep(1)
    daemon.start()
    t.wait_peer(daemon)
    # What the guest announced is announced again without the program's help.
    t.host_connect(daemon, "org.example.stays", "duplex", 1000, 1).ok()
    works(t, vm, daemon, "org.example.again")


@test(timeout=120)
def test_daemon_killed_leaves_nothing_in_the_way(t):
    vm, daemon = own(t)
    worker = daemon.worker()
    daemon.proc.kill()
    daemon.proc.wait()
    wait_for("the worker to follow its supervisor",
             lambda: not os.path.exists(f"/proc/{worker}"))
    daemon.start()
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.again")


@test(timeout=120)
def test_second_daemon_is_refused(t):
    _, daemon = t.shared()
    from vmtest import program
    second = t.host(program("src/host/vmchanneld"), "--dir", daemon.top,
                    "--config", daemon.config, "--link", daemon.vm.link,
                    daemon.vm.name)
    check_equal(second.wait(), 3, "status of a second daemon")
    check_equal(second.errors().count("\n"), 1, "lines: " + second.errors())


@test(timeout=120)
def test_port_unplugged_and_plugged_again(t):
    vm, daemon = own(t)
    events = t.job(vm, "exec vmchannel monitor host --json")
    events.expect("snapshot-end")
    vm.qmp.command("device_del", id="p0")
    vm.qmp.wait_event("DEVICE_DELETED")
    events.expect("port-removed")
    vm.qmp.command("device_add", driver="virtserialport", id="p9",
                   bus="vs0.0", chardev="c0", name=LINK_PORT, nr=5)
    events.expect("port-added")
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.again")
    for line in events.text().splitlines():
        json.loads(line)


@test(timeout=120)
def test_agent_before_the_port_exists(t):
    vm = t.vm(link=False)
    vm.guest.run("vmchannel list", user="alice")
    log = vm.guest.run("cat /var/log/agent.log").text()
    job = t.guest_serve(vm, "org.example.early", "echo")
    vm.qmp.command("chardev-add", id="c0", backend={
        "type": "socket", "data": {"addr": {
            "type": "unix", "data": {"path": vm.link}},
            "server": True, "wait": False}})
    vm.qmp.command("device_add", driver="virtserialport", id="p0",
                   bus="vs0.0", chardev="c0", name=LINK_PORT, nr=3)
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    t.host_connect(daemon, "org.example.early", "duplex", MIB, 1).ok()
    check(job.status is None, "the early listener ended: " + job.tail() + log)


@test(timeout=120)
def test_other_ports_are_left_alone(t):
    """The agent takes its own port by name, never somebody else's."""
    vm, _ = own(t)
    vm.qmp.command("chardev-add", id="cx",
                   backend={"type": "null", "data": {}})
    vm.qmp.command("device_add", driver="virtserialport", id="px",
                   bus="vs0.0", chardev="cx", name="org.vmchannel.0.other",
                   nr=6)
    time.sleep(1)
    check_equal(vm.qmp.port("org.vmchannel.0.other")["guest"], "off",
                "guest side of a foreign port")
    check_equal(vm.qmp.port(RUNNER_PORT)["guest"], "on", "runner's port")


@test(timeout=120)
def test_qemu_paused_goes_on(t):
    vm, daemon = own(t)
    size = 16 * MIB
    t.guest_serve(vm, "org.example.p", "source", size, 3)
    sink = t.host_connect(daemon, "org.example.p", "sink", size, 3)
    time.sleep(0.2)
    vm.qmp.command("stop")
    time.sleep(3)
    vm.qmp.command("cont")
    sink.ok(60)


@test(timeout=120)
def test_guest_rebooted(t):
    vm, daemon = own(t, args=["-action", "reboot=reset"])
    t.guest_serve(vm, "org.example.r", "hold", 100)
    client = t.host_connect(daemon, "org.example.r", "sink", 1, 1)
    time.sleep(0.5)
    vm.qmp.command("system_reset")
    ended(client, "agent-lost", "session-lost", "rebooted")
    t.wait_peer(daemon, 60)


@test(timeout=120)
def test_client_killed_ends_its_stream_only(t):
    vm, daemon = own(t)
    server = t.guest_serve(vm, "org.example.k", "sink", 1, 1)
    other = t.host_connect(daemon, "org.example.k", "hold", 60)
    client = t.host_connect(daemon, "org.example.k", "source", 1 << 40, 1)
    time.sleep(1)
    client.kill()
    # The server's child sees the end although it got too much or too little.
    server.expect("sink: ", stream="err", timeout=20)
    check(other.status is None, "another client was disturbed")
