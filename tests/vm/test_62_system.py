# SPDX-License-Identifier: MIT
"""org.vmchannel.System against what the guest itself says."""
import re

from operations import Events, call, error_of, ready
from vmtest import check, check_equal, test

SYSTEM = "org.vmchannel.System."


@test()
def test_system_is_described(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    d = call(t, daemon, SYSTEM + "Describe")

    def says(command):
        return vm.guest.run(command).text().strip()
    check_equal(d["hostname"], says("hostname"), "hostname")
    check_equal(d["kernel"], says("uname -r"), "kernel")
    check_equal(d["kernel_version"], says("uname -v"), "kernel version")
    check_equal(d["architecture"], says("uname -m"), "architecture")
    check_equal(d["boot_id"], says("cat /proc/sys/kernel/random/boot_id"),
                "boot id")
    check_equal(d["cpus"], int(says("grep -c ^processor /proc/cpuinfo")),
                "CPUs")
    check_equal(d["virtualization"], "qemu", "virtualization under TCG")
    check_equal(d["chassis"], "vm", "chassis")


@test()
def test_system_load_is_that_of_proc(t):
    vm, daemon = t.shared()
    ready(t, daemon)

    def column(path, key):
        text = vm.guest.run(f"cat {path}").text()
        return int(re.search(rf"^{key}:?\s+(\d+)", text, re.M).group(1))
    memory = call(t, daemon, SYSTEM + "GetMemory")
    check_equal(memory["total"], column("/proc/meminfo", "MemTotal") * 1024,
                "memory")
    check(0 < memory["free"] <= memory["total"], f"free: {memory}")
    before = column("/proc/stat", "processes")
    cpu = call(t, daemon, SYSTEM + "GetCpuStats")
    check(before <= cpu["forks"] <= column("/proc/stat", "processes"),
          f"forks: {cpu['forks']} after {before}")
    check(cpu["times"]["user_us"] > 0 and cpu["times"]["idle_us"] >= 0,
          f"times: {cpu['times']}")
    load = call(t, daemon, SYSTEM + "GetLoad")
    check(load["processes"] > 10 and load["running"] >= 1, f"load: {load}")
    before = float(vm.guest.run("cat /proc/uptime").text().split()[0])
    uptime = call(t, daemon, SYSTEM + "GetUptime")["uptime_us"] / 1e6
    after = float(vm.guest.run("cat /proc/uptime").text().split()[0])
    check(before - 0.02 <= uptime <= after + 0.02,
          f"uptime: {before} {uptime} {after}")


@test()
def test_system_time_is_set_once_and_told(t):
    vm = t.vm()
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    ready(t, daemon)
    events = t.keep(Events(t, daemon, types=[SYSTEM + "*"]))
    want = 2000000000
    answer = call(t, daemon, SYSTEM + "SetTime", realtime_us=want * 1000000,
                  request="once")
    check_equal(answer, {"set_us": want * 1000000}, "answer")
    now = int(vm.guest.run("date +%s").text())
    check(want <= now < want + 3600, f"the guest's time: {now}")
    jump = events.next()
    check_equal(jump["type"], SYSTEM + "TimeJump", "event")
    check(abs(jump["parameters"]["time_us"] / 1e6 - want) < 3600,
          f"event: {jump}")
    # Asked again, it is answered again, not done again.
    vm.guest.run("date -s @1900000000")
    jump = events.next()
    check(jump["parameters"]["difference_us"] < -90000000 * 1000000,
          f"event: {jump}")
    check_equal(call(t, daemon, SYSTEM + "SetTime", realtime_us=want * 1000000,
                     request="once"), answer, "second answer")
    now = int(vm.guest.run("date +%s").text())
    check(now < want, f"it was set again: {now}")
    got = call(t, daemon, SYSTEM + "GetTime")["realtime_us"] // 1000000
    check(now <= got < now + 3600, f"GetTime: {got}, date {now}")
    # By a difference, and the hardware clock with it.
    call(t, daemon, SYSTEM + "SetTime", difference_us=86400 * 1000000)
    jump = events.next()
    check(abs(jump["parameters"]["difference_us"] - 86400 * 1000000) < 10**6,
          f"event: {jump}")
    rtc = int(vm.guest.run("cat /sys/class/rtc/rtc0/since_epoch").text())
    check(abs(rtc - now - 86400) < 3600, f"hardware clock: {rtc}")


@test()
def test_system_time_that_makes_no_sense_is_refused(t):
    _, daemon = t.shared()
    ready(t, daemon)
    for wrong in ({}, {"realtime_us": 1, "difference_us": 1},
                  {"difference_us": -2**62}):
        check_equal(error_of(t, daemon, SYSTEM + "SetTime", **wrong)[0],
                    SYSTEM + "InvalidTime", f"SetTime {wrong}")


@test()
def test_system_hostname_change_is_told(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    events = t.keep(Events(t, daemon, types=[SYSTEM + "HostnameChanged"]))
    vm.guest.run("hostname another")
    check_equal(events.next()["parameters"], {"hostname": "another"},
                "event")
    vm.guest.run("hostname guest")
    check_equal(events.next()["parameters"], {"hostname": "guest"}, "event")


@test()
def test_system_timezone(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    vm.guest.write_file("/etc/timezone", "Etc/Nowhere\n")
    try:
        check_equal(call(t, daemon, SYSTEM + "GetTimezone"),
                    {"timezone": "Etc/Nowhere", "offset_s": 0}, "timezone")
    finally:
        vm.guest.run("rm /etc/timezone")
