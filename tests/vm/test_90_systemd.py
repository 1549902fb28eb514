# SPDX-License-Identifier: MIT
"""A Debian guest with systemd: "make install" is all that it needs."""
import json
import os
import re
import subprocess

from vmtest import (DEBIAN_BOOT_TIMEOUT, DEBIAN_MAKE_SECONDS, SOURCE, Failure,
                    check, check_equal, program, test, wait_for)

UNIT = "vmchannel-agent.service"
TIMEOUT = DEBIAN_MAKE_SECONDS + 2 * DEBIAN_BOOT_TIMEOUT


def prop(vm, name):
    return vm.guest.run(f"systemctl show -P {name} {UNIT}").text().strip()


def wait_active(vm, timeout=60):
    def look():
        return prop(vm, "ActiveState") == "active"
    try:
        wait_for(UNIT, look, timeout, 0.3)
    except Failure as e:
        log = vm.guest.run(f"systemctl status {UNIT}; journalctl -b -n 20",
                           check=False)
        raise Failure(f"{e}: {log.text()[-1500:]}") from None


def journal(vm):
    return vm.guest.run(f"journalctl -b -u {UNIT} -o cat").text()


def works(t, vm, daemon, name):
    """An unprivileged user in the guest serves, the host connects."""
    t.guest_serve(vm, name, "echo", user="alice")
    wait_for("the channel on the host", lambda: name in t.cli(
        daemon, "channels", vm.name).ok(), 20, 0.3)
    t.host_connect(daemon, name, "duplex", 100000, 1).ok(30)


@test(timeout=TIMEOUT, slow=True)
def test_systemd_port_at_boot(t):
    vm = t.debian()
    daemon = t.daemon(vm)
    wait_active(vm)
    # udev wanted it, nobody enabled it.
    check_equal(prop(vm, "UnitFileState"), "disabled", "the unit's file")
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.boot")
    installed_is_sound(vm)
    services_run_as_their_user(t, vm, daemon)
    killed_is_restarted(t, vm, daemon)
    installed_while_running(t, vm, daemon)


def installed_is_sound(vm):
    """What systemd and udev think of our files, in their own words."""
    said = vm.guest.run(f"systemd-analyze verify --man=no {UNIT} "
                        "vmchanneld@vm.service 2>&1 | grep -i vmchannel",
                        check=False)
    check_equal(said.text(), "", "systemd-analyze verify")
    said = vm.guest.run("journalctl -b -o cat -u systemd-udevd "
                        "| grep -F 60-vmchannel", check=False)
    check_equal(said.text(), "", "udev on the rule")
    failed = vm.guest.run("systemctl --failed --plain --no-legend").text()
    check("vmchannel" not in failed, "failed units: " + failed)
    # The loader finds the library, and a user the command.
    text = vm.guest.run("vmchannel --version && vmchannel list",
                        user="alice").text()
    check("host" in text, text)


def services_run_as_their_user(t, vm, daemon):
    """The unit's hardening leaves User= and set-user-id programs alone."""
    folder = "/etc/vmchannel/services.d"
    status = "'(Uid|Groups|CapEff|NoNewPrivs|Seccomp):'"
    vm.guest.write_file("/usr/local/bin/who",
                        f"#!/bin/sh\nexec grep -E {status} "
                        "/proc/self/status\n", 0o755)
    for name, user in (("alice", "User=alice\n"), ("root", "")):
        vm.guest.write_file(
            f"{folder}/org.example.who-{name}.conf",
            f"[Service]\nCommand=/usr/local/bin/who\n{user}")
    vm.guest.run(f"systemctl restart {UNIT}")
    t.wait_peer(daemon)

    def who(name):
        text = t.cli(daemon, "connect", vm.name, "org.example.who-" + name,
                     stdin=subprocess.DEVNULL).ok()
        return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.M))
    alice, root = who("alice"), who("root")
    check_equal(alice["Uid"].split(), ["1000"] * 4, "User=alice")
    check("2000" in alice["Groups"].split(), f"alice's groups: {alice}")
    check_equal(int(alice["CapEff"], 16), 0, "alice's capabilities")
    check_equal(alice["NoNewPrivs"], "0", "NoNewPrivs")
    check_equal(root["Uid"].split(), ["0"] * 4, "without User=")

    vm.guest.write_file(f"{folder}/org.example.late.conf",
                        "[Service]\nCommand=/bin/echo late\n")
    vm.guest.run(f"systemctl reload {UNIT}")
    wait_for("the reload", lambda: "ev=reload" in journal(vm), 10, 0.3)
    wait_for("the new service", lambda: "org.example.late" in t.cli(
        daemon, "channels", vm.name).ok(), 10, 0.3)
    check_equal(t.cli(daemon, "connect", vm.name, "org.example.late",
                      stdin=subprocess.DEVNULL).ok(), "late\n", "reload")


def killed_is_restarted(t, vm, daemon):
    old = prop(vm, "MainPID")
    vm.guest.run(f"kill -9 {old}")
    wait_for("a restart", lambda: prop(vm, "MainPID") not in ("0", old), 30,
             0.3)
    wait_active(vm)
    check_equal(prop(vm, "NRestarts"), "1", "restarts")
    t.wait_peer(daemon)
    works(t, vm, daemon, "org.example.again")


def installed_while_running(t, vm, daemon):
    """The last step of "make install" starts it where the port is there."""
    vm.guest.run(f"systemctl stop {UNIT}")
    check_equal(prop(vm, "Result"), "success", "the end of the unit")
    check("ev=" in journal(vm), "no log")
    left = vm.guest.run("ls /run/vmchannel/host", check=False).text()
    check("control" not in left, "left behind: " + left)
    with open(os.path.join(SOURCE, "packaging/post-install"), "rb") as f:
        vm.guest.write_file("/root/post-install", f.read(), 0o755)
    said = vm.guest.run("/root/post-install 2>&1", timeout=60).text()
    check_equal(said, "", "post-install")
    wait_active(vm)
    t.wait_peer(daemon)


@test(timeout=TIMEOUT, slow=True)
def test_systemd_hot_plug(t):
    """The port comes later, goes, and comes again."""
    vm = t.debian(link=False)
    top = os.path.join(t.dir, "run")
    os.makedirs(top)
    env = {"VMCHANNEL_DIR": top,
           "VMCHANNELD": program("src/host/vmchanneld")}
    check_equal(prop(vm, "ActiveState"), "inactive", "without a port")
    # One client at a time can use a QMP socket.
    vm.qmp.close()

    def cli(*args, **options):
        return t.host(program("src/cli/vmchannel"), *args, env=env,
                      name="vmchannel " + args[0], **options)

    def attach(*options):
        cli("attach", vm.name, "--qmp", vm.qmp_path, *options).ok(60)

    def announced():
        p = cli("channels", vm.name)
        return p.wait() == 0 and "org.example.plugged" in p.text()

    def link():
        return json.loads(vm.guest.run(
            "vmchannel call --local host org.vmchannel.Broker.GetInfo")
            .text())["link"]

    attach()
    wait_active(vm)
    serve = t.guest_serve(vm, "org.example.plugged", "echo", user="bob")
    wait_for("the channel on the host", announced, 30, 0.5)
    pid = prop(vm, "MainPID")
    attach("--detach")
    # It stays for the programs that wait for the host, and does not fail.
    wait_for("the agent to see it", lambda: link() != "up", 30, 0.5)
    check_equal(prop(vm, "ActiveState"), "active", "without the port")
    attach()
    wait_for("the channel again", announced, 30, 0.5)
    check_equal(prop(vm, "MainPID"), pid, "the agent's process")
    check(serve.status is None, "the listener ended: " + serve.tail())
    attach("--detach")
