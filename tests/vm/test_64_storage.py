# SPDX-License-Identifier: MIT
"""org.vmchannel.Storage against what the guest itself says; freezing."""
import os
import subprocess
import time

from operations import Events, call, error_of, ready
from vmtest import check, check_equal, test, wait_for

STORAGE = "org.vmchannel.Storage."
DISK_BYTES = 32 << 20
LONG_MS = 600000


def disk_guest(t, n=2):
    """The minimal guest with ext4 disks at /mnt/vda, /mnt/vdb, ..."""
    disks = []
    for i in range(n):
        path = os.path.join(t.dir, f"disk{i}")
        subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", path,
                        f"{DISK_BYTES >> 10}k"], check=True,
                       capture_output=True)
        disks.append((path, "raw"))
    vm = t.vm(disks=disks)
    vm.images = [d[0] for d in disks]
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    ready(t, daemon)
    for i in range(n):
        disk = "vd" + "ab"[i]
        vm.guest.run(f"mkdir -p /mnt/{disk} && mount -t ext4 /dev/{disk} "
                     f"/mnt/{disk}")
    return vm, daemon


class Writer:
    """Appends to a file in the guest as fast as it is allowed."""

    def __init__(self, t, vm, folder):
        self.vm = vm
        self.file = f"{folder}/written"
        vm.guest.run(f": >{self.file}")
        self.job = t.job(vm, f"while echo x >>{self.file}; do :; done")
        self.goes_on()

    def size(self):
        return int(self.vm.guest.run(f"stat -c %s {self.file}").text())

    def goes_on(self):
        before = self.size()
        wait_for("the writer to go on", lambda: self.size() > before, 90, 0.2)

    def stands(self):
        """What it has written once it is frozen does not change."""
        before = self.size()
        time.sleep(0.5)
        check_equal(self.size(), before, "size of what a frozen one wrote")


def pids(vm, name):
    return vm.guest.run(f"grep -lx {name} /proc/[0-9]*/comm | cut -d/ -f3",
                        check=False).text().split()


def status(t, daemon):
    return call(t, daemon, STORAGE + "FreezeStatus")


@test(timeout=240)
def test_storage_lists_are_those_of_the_guest(t):
    vm, daemon = disk_guest(t)
    vm.guest.run("mkdir '/mnt/a b' && mount -o bind /mnt/vda '/mnt/a b' && "
                 "mkdir /mnt/vda/x && echo 1 >/mnt/vda/x/y && sync")
    there = {f["mount"]: f for f in call(
        t, daemon, STORAGE + "ListFilesystems")["filesystems"]}
    for mount in ("/mnt/vda", "/mnt/vdb", "/run", "/tmp"):
        words = vm.guest.run(f"df -k {mount} | tail -n 1").text().split()
        f = there[mount]
        check_equal([f["source"], f["total"] // 1024, f["used"] // 1024,
                     f["available"] // 1024],
                    [words[0]] + [int(w) for w in words[1:4]],
                    f"df {mount}")
    check_equal(there["/mnt/vda"]["disks"], ["vda"], "disks of /mnt/vda")
    check_equal(there["/mnt/vda"]["type"], "ext4", "type")
    check("/proc" not in there and "/sys" not in there, f"{sorted(there)}")
    # A bind mount is the same file system.
    check("/mnt/a b" not in there, f"{sorted(there)}")
    disks = {d["name"]: d for d in call(
        t, daemon, STORAGE + "ListDisks")["disks"]}
    check_equal(sorted(d for d in disks if d.startswith("vd")),
                ["vda", "vdb"], "disks")
    check_equal(disks["vda"]["size"], DISK_BYTES, "size")
    check_equal(disks["vda"]["bus"], "virtio", "bus")
    before = vm.guest.run("cat /sys/block/vdb/stat").text().split()
    vm.guest.run("dd if=/dev/zero of=/mnt/vdb/f bs=1M count=4 conv=fsync")
    after = [d for d in call(t, daemon, STORAGE + "GetDiskStats")["disks"]
             if d["name"] == "vdb"][0]
    said = vm.guest.run("cat /sys/block/vdb/stat").text().split()
    check(int(before[6]) * 512 + (4 << 20) <= after["written_bytes"] <=
          int(said[6]) * 512, f"{before} {after} {said}")


@test(timeout=240)
def test_storage_freeze_holds_and_thaws(t):
    vm, daemon = disk_guest(t)
    events = t.keep(Events(t, daemon, types=[STORAGE + "*"]))
    writer = Writer(t, vm, "/mnt/vda")
    check_equal(status(t, daemon), {"frozen": False, "mounts": []}, "status")
    frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS)
    check_equal(frozen["frozen"], 2, "how many are frozen")
    told = events.next()
    check_equal((told["type"], told["parameters"]["lease"],
                 told["parameters"]["mounts"]),
                (STORAGE + "Frozen", frozen["lease"], 2), "event")
    writer.stands()
    s = status(t, daemon)
    check_equal((s["frozen"], s["lease"], sorted(s["mounts"])),
                (True, frozen["lease"], ["/mnt/vda", "/mnt/vdb"]), "status")
    check(all(f["frozen"] == f["mount"].startswith("/mnt/vd") for f in call(
        t, daemon, STORAGE + "ListFilesystems")["filesystems"]), "frozen")
    # A second one is refused and harms the first one's lease not.
    name, params = error_of(t, daemon, STORAGE + "Freeze", lease_ms=100)
    check_equal((name, params), (STORAGE + "AlreadyFrozen",
                                 {"lease": frozen["lease"]}), "second")
    for method in ("RenewFreeze", "Thaw"):
        more = {"lease_ms": 100} if method == "RenewFreeze" else {}
        check_equal(error_of(t, daemon, STORAGE + method, lease="other",
                             **more)[0], STORAGE + "NoSuchLease", method)
    writer.stands()
    check_equal(call(t, daemon, STORAGE + "Thaw", lease=frozen["lease"]),
                {"thawed": 2}, "thawed")
    told = events.next()
    check_equal((told["type"], told["parameters"]),
                (STORAGE + "Thawed", {"lease": frozen["lease"], "mounts": 2,
                                      "cause": "host"}), "event")
    writer.goes_on()
    check_equal(call(t, daemon, STORAGE + "Thaw"), {"thawed": 0}, "again")
    wait_for("the keeper to end", lambda: not pids(vm, "vmch-freeze"),
             60, 0.2)


@test(timeout=300)
def test_storage_lease_ends_without_the_host(t):
    """The host's daemon is killed while the guest is frozen."""
    vm, daemon = disk_guest(t, 1)
    events = t.keep(Events(t, daemon, types=[STORAGE + "*"]))
    writer = Writer(t, vm, "/mnt/vda")
    frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=4000)
    renewed = call(t, daemon, STORAGE + "RenewFreeze", lease_ms=15000,
                   lease=frozen["lease"])
    check(renewed["until_us"] > frozen["until_us"], f"{frozen} {renewed}")
    worker = daemon.worker()
    daemon.proc.kill()
    os.kill(worker, 9)
    daemon.proc.wait()
    writer.stands()
    check(pids(vm, "vmch-freeze") != [], "the keeper lives")
    writer.goes_on()
    daemon.start()
    t.wait_peer(daemon)
    ready(t, daemon)
    after = events.position
    events = t.keep(Events(t, daemon, types=[STORAGE + "*"], after=after))
    told = [events.next(), events.next()]
    check_equal([e["type"] for e in told],
                [STORAGE + "Frozen", STORAGE + "Thawed"], "events")
    check_equal(told[1]["parameters"],
                {"lease": frozen["lease"], "mounts": 1,
                 "cause": "lease_expired"}, "event")
    check_equal(error_of(t, daemon, STORAGE + "Thaw",
                         lease=frozen["lease"])[0],
                STORAGE + "NoSuchLease", "the lease has ended")


def killed(t, vm, daemon, writer, victims, cause):
    """Those processes are killed while it is frozen with a long lease."""
    events = Events(t, daemon)
    after = events.position
    events.close()
    frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS)
    writer.stands()
    numbers = " ".join(p for v in victims for p in pids(vm, v))
    vm.guest.run(f"kill -9 {numbers}")
    writer.goes_on()
    ready(t, daemon)
    events = Events(t, daemon, types=[STORAGE + "Thawed"], after=after)
    check_equal(events.next()["parameters"],
                {"lease": frozen["lease"], "mounts": 1, "cause": cause},
                f"event after the end of {victims}")
    events.close()
    wait_for("the end of it", lambda: not pids(vm, "vmch-thaw") and
             not pids(vm, "vmch-freeze"), 60, 0.2)


@test(timeout=480)
def test_storage_thaws_whoever_is_killed(t):
    vm, daemon = disk_guest(t, 1)
    writer = Writer(t, vm, "/mnt/vda")
    ops, keeper = "vmchannel-ops", "vmch-freeze"
    killed(t, vm, daemon, writer, [keeper], "guest")
    killed(t, vm, daemon, writer, [ops], "restart")
    killed(t, vm, daemon, writer, [keeper, ops], "restart")
    call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS)
    writer.stands()
    vm.guest.run(f"kill -9 {' '.join(pids(vm, 'vmchannel-agent'))}")
    writer.goes_on()
    wait_for("all of it to end", lambda: not pids(vm, keeper) and
             not pids(vm, ops), 60, 0.2)


@test(timeout=240)
def test_storage_freezes_the_inner_one_first(t):
    """A file system in a file of another one: outside in would hang."""
    vm, daemon = disk_guest(t, 1)
    vm.guest.run("dd if=/dev/zero of=/mnt/vda/image bs=1M count=8 && "
                 "mke2fs -F /mnt/vda/image && losetup /dev/loop0 "
                 "/mnt/vda/image && mkdir /mnt/in && "
                 "mount -t ext4 /dev/loop0 /mnt/in", timeout=120)
    inner = Writer(t, vm, "/mnt/in")
    outer = Writer(t, vm, "/mnt/vda")
    for mounts in (None, ["/mnt/vda", "/mnt/in"], ["/mnt/in", "/mnt/vda"]):
        frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS,
                      mounts=mounts)
        check_equal(frozen["frozen"], 2, f"frozen of {mounts}")
        inner.stands()
        outer.stands()
        check_equal(call(t, daemon, STORAGE + "Thaw",
                         lease=frozen["lease"]), {"thawed": 2}, "thawed")
        inner.goes_on()
        outer.goes_on()
        wait_for("the keeper's end", lambda: not pids(
            vm, "vmch-freeze"), 60, 0.2)


@test(timeout=240)
def test_storage_freeze_that_fails_thaws_all(t):
    vm, daemon = disk_guest(t)

    def failed(want, params, **call_with):
        got = error_of(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS,
                       **call_with)
        check_equal(got, (STORAGE + want, params), want)
        wait_for("the keeper's end", lambda: not pids(
            vm, "vmch-freeze"), 60, 0.2)
        vm.guest.run("echo x >/mnt/vdb/x && sync")
    failed("NoSuchMount", {"mount": "/mnt"}, mounts=["/mnt/vda", "/mnt"])
    failed("FreezeFailed", {"mount": "/run", "error": "EOPNOTSUPP"},
           mounts=["/mnt/vdb", "/run"])
    # One that is frozen already, by somebody else.
    vm.guest.run("fsfreeze --freeze /mnt/vda")
    failed("FreezeFailed", {"mount": "/mnt/vda", "error": "EBUSY"})
    vm.guest.run("fsfreeze --unfreeze /mnt/vda; echo x >/mnt/vda/x")
    # Hooks: in order, then back; one that fails is the end of it.
    folder = "/etc/vmchannel/freeze.d"
    for name in ("10-a", "20-b"):
        vm.guest.write_file(f"{folder}/{name}", "#!/bin/sh\n"
                            f"echo {name} $1 >>/run/hooks\n", 0o755)
    vm.guest.write_file(f"{folder}/15-anybodys", "#!/bin/sh\nexit 1\n", 0o777)
    frozen = call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS)
    call(t, daemon, STORAGE + "Thaw", lease=frozen["lease"])
    wait_for("the hooks", lambda: not pids(vm, "vmch-freeze"), 60, 0.2)
    check_equal(vm.guest.run("cat /run/hooks; rm /run/hooks").text(),
                "10-a freeze\n20-b freeze\n20-b thaw\n10-a thaw\n", "hooks")
    vm.guest.write_file(f"{folder}/20-b", "#!/bin/sh\nexit 7\n", 0o755)
    failed("HookFailed", {"hook": "20-b", "status": 7})
    check_equal(vm.guest.run("cat /run/hooks").text(),
                "10-a freeze\n10-a thaw\n", "hooks")
    # Without them it works.
    call(t, daemon, STORAGE + "Freeze", lease_ms=LONG_MS, hooks=False)
    call(t, daemon, STORAGE + "Thaw")


@test(timeout=240)
def test_storage_trim_gives_back(t):
    vm, daemon = disk_guest(t, 1)
    image = vm.images[0]
    vm.guest.run("dd if=/dev/urandom of=/mnt/vda/f bs=1M count=16 conv=fsync")
    full = os.stat(image).st_blocks * 512
    vm.guest.run("rm /mnt/vda/f && sync")
    trimmed = call(t, daemon, STORAGE + "Trim")["trimmed"]
    check_equal([r["mount"] for r in trimmed], ["/mnt/vda"], "mounts")
    check(trimmed[0]["trimmed"] >= 16 << 20, f"{trimmed}")
    left = os.stat(image).st_blocks * 512
    check(left <= full - (15 << 20), f"the image: {full} -> {left} bytes")
    check_equal(error_of(t, daemon, STORAGE + "Trim", mounts=["/none"]),
                (STORAGE + "NoSuchMount", {"mount": "/none"}), "no mount")
