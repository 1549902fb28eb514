# SPDX-License-Identifier: MIT
"""System, Network and Storage against the tools of a whole Debian."""
import json

from operations import Events, call, ready
from vmtest import (DEBIAN_BOOT_TIMEOUT, DEBIAN_MAKE_SECONDS, check_equal,
                    test, wait_for)

TIMEOUT = DEBIAN_MAKE_SECONDS + DEBIAN_BOOT_TIMEOUT + 240
SYSTEM, NETWORK, STORAGE = ("org.vmchannel." + n + "." for n in (
    "System", "Network", "Storage"))


def says(vm, command):
    return vm.guest.run(command, timeout=120).text().strip()


@test(timeout=TIMEOUT, slow=True)
def test_debian_facts_are_what_its_tools_say(t):
    vm, daemon = t.shared_debian()
    ready(t, daemon)
    d = call(t, daemon, SYSTEM + "Describe")
    host = json.loads(says(vm, "hostnamectl --json=short"))
    check_equal([d["hostname"], d["os_name"], d["kernel"]],
                [host["Hostname"], host["OperatingSystemPrettyName"],
                 host["KernelRelease"]], "hostnamectl")
    check_equal(d["machine_id"], says(vm, "cat /etc/machine-id"),
                "machine id")
    check_equal(d["virtualization"], says(vm, "systemd-detect-virt"),
                "virtualization")
    zone = call(t, daemon, SYSTEM + "GetTimezone")["timezone"]
    check_equal(zone, says(vm, "timedatectl show -p Timezone --value"),
                "timezone")
    ours = {i["name"]: sorted(a["address"] for a in i["addresses"])
            for i in call(t, daemon, NETWORK + "ListInterfaces")[
                "interfaces"]}
    theirs = {i["ifname"]: sorted(a["local"] for a in i["addr_info"])
              for i in json.loads(says(vm, "ip -j addr"))}
    check_equal(ours, theirs, "ip -j addr")
    ours = {f["mount"]: (f["type"], f["source"]) for f in call(
        t, daemon, STORAGE + "ListFilesystems")["filesystems"]}
    root = says(vm, "findmnt -n -o FSTYPE,SOURCE /").split()
    check_equal(list(ours["/"]), root, "findmnt /")
    theirs = says(vm, "df -a --output=target,size | tail -n +2 | "
                  "grep -v ' [-0]$' | sed 's/ .*//' | sort -u").split()
    check_equal([m for m in ours if m not in theirs], [], "not in df")
    ours = {k["name"]: k["size"] for k in call(
        t, daemon, STORAGE + "ListDisks")["disks"]}
    theirs = {k["name"]: int(k["size"]) for k in json.loads(says(
        vm, "lsblk -J -b -l -o NAME,SIZE"))["blockdevices"]}
    check_equal(ours, theirs, "lsblk")


@test(timeout=TIMEOUT, slow=True)
def test_debian_thaws_its_own_root(t):
    """Nobody asks for it: the lease ends while the root is frozen."""
    vm, daemon = t.shared_debian()
    ready(t, daemon)
    events = t.keep(Events(t, daemon, types=[STORAGE + "*"]))
    frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=3000,
                  mounts=["/"])
    check_equal(frozen["frozen"], 1, "frozen")
    check_equal(events.next()["type"], STORAGE + "Frozen", "event")
    check_equal(events.next()["parameters"],
                {"lease": frozen["lease"], "mounts": 1,
                 "cause": "lease_expired"}, "event")
    vm.guest.run("echo x >/var/tmp/after && rm /var/tmp/after", timeout=90)
    wait_for("the keeper's end", lambda: vm.guest.run(
        "grep -lx vmch-freeze /proc/[0-9]*/comm", check=False).status != 0,
        60, 0.3)
