# SPDX-License-Identifier: MIT
"""The Debian guest has what the tests of guest operations build upon."""
import os
import re

from vmtest import (DEBIAN_BOOT_TIMEOUT, DEBIAN_MAKE_SECONDS,
                    SPARE_DISK_BYTES, check, check_equal, test, wait_for)

TIMEOUT = DEBIAN_MAKE_SECONDS + DEBIAN_BOOT_TIMEOUT + 180
UNIT = "vmchannel-agent.service"


def session(vm, user):
    """What logind says of the user's session, as a dict."""
    text = vm.guest.run(f"loginctl show-session $(loginctl show-user {user} "
                        "-p Display --value)").text()
    return dict(line.split("=", 1) for line in text.splitlines())


def check_has(got, want, what):
    for key, value in want.items():
        check_equal(got.get(key), value, f"{what}: {key}")


@test(timeout=TIMEOUT, slow=True)
def test_debian_agent_and_channel(t):
    vm, daemon = t.shared_debian()
    state = vm.guest.run("systemctl show -p ActiveState -p UnitFileState "
                         + UNIT).text().split()
    # udev wanted it when the port appeared, nobody enabled it.
    check_equal(sorted(state), ["ActiveState=active",
                                "UnitFileState=disabled"], UNIT)
    t.guest_serve(vm, "org.example.debian", "echo", user="alice")
    wait_for("the channel on the host", lambda: "org.example.debian" in
             t.cli(daemon, "channels", vm.name).ok(), 60, 0.3)
    t.host_connect(daemon, "org.example.debian", "duplex", 100000, 1).ok(60)
    took = vm.guest.run("systemd-analyze | head -n 1").text().strip()
    t.note("the Debian guest: " + took)


@test(timeout=TIMEOUT, slow=True)
def test_debian_people(t):
    """Alice at the desktop, bob at a text console, both on seat0."""
    vm, _daemon = t.shared_debian()
    common = {"Seat": "seat0", "Class": "user", "Remote": "no",
              "LockedHint": "no"}
    check_has(session(vm, "alice"), dict(
        common, Type="wayland", State="active", Active="yes", TTY="tty1",
        Desktop="sway"), "alice")
    check_has(session(vm, "bob"), dict(
        common, Type="tty", State="online", Active="no", TTY="tty2"), "bob")
    who = vm.guest.run("who").text()
    check_equal(re.findall(r"^(\w+) +(\w+)", who, re.M),
                [("alice", "tty1"), ("bob", "tty2")], "who")

    def locked(want):
        wait_for(f"LockedHint={want}", lambda: session(vm, "alice")[
            "LockedHint"] == want, 60, 0.3)
    vm.guest.run("loginctl lock-sessions")
    locked("yes")
    wait_for("the locker", lambda: vm.guest.run(
        "pidof swaylock", check=False).status == 0, 60, 0.3)
    vm.guest.run("loginctl unlock-sessions")
    locked("no")


@test(timeout=TIMEOUT, slow=True)
def test_debian_system(t):
    """What answers on D-Bus, and what is there and not there."""
    vm, _daemon = t.shared_debian()
    for name, interface, prop, want in (
            ("hostname1", "hostname1", "Hostname", 's "guest"'),
            ("timedate1", "timedate1", "Timezone", "s "),
            ("login1", "login1.Manager", "IdleHint", "b false")):
        said = vm.guest.run(
            f"busctl get-property org.freedesktop.{name} /org/freedesktop/"
            f"{name} org.freedesktop.{interface} {prop}", timeout=120).text()
        check(said.startswith(want), f"{name}: {said}")
    vm.guest.run("command -v ip who df findmnt lsblk fstrim fsfreeze "
                 "loginctl busctl")
    check_equal(vm.guest.run("command -v qemu-ga", check=False).status, 127,
                "command -v qemu-ga")
    root = vm.guest.run("findmnt -n -o SOURCE,FSTYPE /").text().split()
    check_equal(root, ["/dev/vda", "ext4"], "findmnt /")
    failed = vm.guest.run("systemctl --failed --plain --no-legend").text()
    check_equal(failed, "", "failed units")


@test(timeout=TIMEOUT, slow=True)
def test_debian_spare_disk(t):
    """Its file system is frozen and thawed; trimming it frees the host's."""
    vm, _daemon = t.shared_debian()
    used = SPARE_DISK_BYTES // 4

    def on_host():
        return os.stat(vm.spare).st_blocks * 512
    vm.guest.run("mount /dev/vdb /mnt")
    vm.guest.run(f"head -c {used} /dev/urandom >/mnt/file && sync /mnt/file",
                 timeout=120)
    check(on_host() >= used, f"on the host: {on_host()} bytes")
    vm.guest.run("fsfreeze -f /mnt")
    writer = t.job(vm, "echo $$; echo written >/mnt/late && echo done")
    pid = writer.expect(r"^(\d+)\n", 60).group(1).decode()
    # D: it waits in the kernel, where no signal reaches it.
    wait_for("the writer to wait", lambda: vm.guest.run(
        f"ps -o stat= -p {pid}").text().startswith("D"), 60, 0.3)
    vm.guest.run("fsfreeze -u /mnt")
    check(writer.ok(60).endswith("done\n"), "the writer: " + writer.text())
    vm.guest.run("rm /mnt/file /mnt/late && sync -f /mnt && fstrim /mnt",
                 timeout=120)
    check(on_host() < used, f"on the host after fstrim: {on_host()} bytes")
    vm.guest.run("umount /mnt")
