# SPDX-License-Identifier: MIT
"""Off, reboot and sleep: the guest does it, and said so before."""
import json

import operations as ops
from operations import AGENT, call, error_of
from test_88_debian import TIMEOUT
from vmtest import check, check_equal, test, wait_for

POWER = "org.vmchannel.Power."
REASON = "the host's disk is full"
OFF_TIMEOUT = 180


def power_event(events, kind):
    return events.next(POWER + kind)["parameters"]


def act(t, daemon, method, **params):
    """Do it; returns the event that must come before."""
    events = ops.Events(t, daemon, types=[POWER + "*"])
    job = call(t, daemon, POWER + method, reason=REASON, **params)["job"]
    event = power_event(events, "PrepareForShutdown")
    check_equal((event["start"], event["initiator"], event["reason"],
                 event["job"]), (True, "host", REASON, job),
                "the event before")
    return event


def booted(t, vm, minimal):
    daemon = t.daemon(vm)
    ops.ready(t, daemon)
    if not minimal:
        t.wait_sessions(vm)
    return daemon


def boot_event(t, daemon):
    """BootComplete of this boot, however early it was."""
    events = ops.Events(t, daemon, after={"boot": "another", "seq": 0},
                        types=[POWER + "BootComplete"])
    try:
        return power_event(events, "BootComplete")["duration_us"]
    finally:
        events.close()


@test(timeout=OFF_TIMEOUT)
def test_power_minimal_without_init(t):
    """Process 1 is a shell, which takes no signal."""
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    check_equal(call(t, daemon, POWER + "Can", action="power_off")["can"],
                "no", "Can")
    name, params = error_of(t, daemon, POWER + "PowerOff")
    check_equal(name, "org.vmchannel.NotSupported", "PowerOff")
    check("process 1" in params["detail"], params["detail"])
    lacking = [c["method"] for c in call(t, daemon, AGENT + "GetInfo")[
        "capabilities"] if not c["available"]]
    check(POWER + "PowerOff" in lacking, f"{lacking} are not available")
    check_equal(call(t, daemon, POWER + "ListInhibitors"),
                {"inhibitors": []}, "inhibitors")
    check(boot_event(t, daemon) > 0, "no time from boot")


@test(timeout=OFF_TIMEOUT)
def test_power_minimal_off(t):
    vm = t.vm(append="vmch.init")
    daemon = booted(t, vm, True)
    check_equal(call(t, daemon, POWER + "Can", action="power_off"),
                {"can": "yes"}, "Can")
    check_equal(act(t, daemon, "PowerOff")["type"], "power_off", "type")
    vm.qemu.wait(OFF_TIMEOUT)


@test(timeout=OFF_TIMEOUT)
def test_power_minimal_scheduled_reboot(t):
    vm = t.vm(append="vmch.init")
    daemon = booted(t, vm, True)
    events = ops.Events(t, daemon, types=[POWER + "*"])
    now = call(t, daemon, AGENT + "Ping")["time_us"]
    far, near = now + 3600 * 10 ** 6, now + 3 * 10 ** 6
    for at in (now - 1, now + 400 * 24 * 3600 * 10 ** 6):
        check_equal(error_of(t, daemon, POWER + "ScheduleShutdown",
                             action="reboot", time_us=at)[0],
                    POWER + "InvalidTime", "a wrong time")
    call(t, daemon, POWER + "ScheduleShutdown", action="halt", time_us=far)
    want = {"schedule": {"action": "halt", "time_us": far}}
    check_equal(power_event(events, "ShutdownScheduled"), want, "the event")
    check_equal(call(t, daemon, POWER + "GetScheduledShutdown"), want,
                "the schedule")
    check_equal(call(t, daemon, POWER + "CancelScheduledShutdown"),
                {"cancelled": True}, "CancelScheduledShutdown")
    check_equal(power_event(events, "ShutdownScheduled"), {}, "the event")
    check_equal(call(t, daemon, POWER + "CancelScheduledShutdown"),
                {"cancelled": False}, "once more")
    call(t, daemon, POWER + "ScheduleShutdown", action="reboot",
         time_us=near, message=REASON)
    power_event(events, "ShutdownScheduled")
    event = power_event(events, "PrepareForShutdown")
    check_equal((event["type"], event["initiator"], event["reason"]),
                ("reboot", "host", REASON), "the event before")
    vm.qemu.wait(OFF_TIMEOUT)  # started with -no-reboot


@test(timeout=TIMEOUT, slow=True)
def test_power_logind_asks(t):
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    finished = int(vm.guest.run(
        "systemctl show -p FinishTimestampMonotonic --value").text())
    check(abs(boot_event(t, daemon) - finished) < 1000,
          "BootComplete is not what systemd says")
    ours = [i for i in call(t, daemon, POWER + "ListInhibitors")["inhibitors"]
            if i["who"] == "vmchannel"]
    check_equal([(i["what"], i["mode"], i["uid"]) for i in ours],
                [("shutdown:sleep", "delay", 0)], "our inhibitor")

    block = t.job(vm, "systemd-inhibit --what=shutdown --who=tester "
                  "--why='a test' --mode=block sleep 1000")
    wait_for("the inhibitor", lambda: "tester" in json.dumps(
        call(t, daemon, POWER + "ListInhibitors")), 60, 0.2)
    check_equal(call(t, daemon, POWER + "Can", action="reboot"),
                {"can": "inhibited", "detail": "tester: a test"}, "Can")
    check_equal(error_of(t, daemon, POWER + "PowerOff", reason=REASON),
                (POWER + "Inhibited", {"who": "tester", "why": "a test"}),
                "PowerOff")
    block.close()
    wait_for("its end", lambda: call(t, daemon, POWER + "Can",
                                     action="reboot")["can"] == "yes", 60)

    events = ops.Events(t, daemon, types=[POWER + "*"])
    at = call(t, daemon, AGENT + "Ping")["time_us"] + 3600 * 10 ** 6
    want = {"schedule": {"action": "power_off", "time_us": at}}
    call(t, daemon, POWER + "ScheduleShutdown", action="power_off",
         time_us=at, message=REASON)
    check_equal(power_event(events, "ShutdownScheduled"), want, "the event")
    check_equal(vm.guest.run(
        "sed -n 's/^USEC=//p' /run/systemd/shutdown/scheduled").text().strip(),
        str(at), "logind's schedule")
    check_equal(call(t, daemon, POWER + "GetScheduledShutdown"), want,
                "the schedule")
    check_equal(call(t, daemon, POWER + "CancelScheduledShutdown"),
                {"cancelled": True}, "CancelScheduledShutdown")
    check_equal(power_event(events, "ShutdownScheduled"), {}, "the event")
    events.close()


@test(timeout=TIMEOUT, slow=True)
def test_power_logind_off(t):
    vm = t.debian()
    daemon = booted(t, vm, False)
    event = act(t, daemon, "PowerOff", inhibitors="ignore")
    check_equal(event["type"], "power_off", "type")
    vm.qemu.wait(TIMEOUT)


@test(timeout=TIMEOUT, slow=True)
def test_power_logind_says_who(t):
    """Somebody in the guest ends it."""
    vm = t.debian()
    daemon = booted(t, vm, False)
    events = ops.Events(t, daemon, types=[POWER + "*"])
    # In a session of root's, as after "su -" or by ssh.
    t.job(vm, "systemd-run --uid=0 --property=PAMName=login systemctl "
          f'reboot --message="{REASON}"')
    event = power_event(events, "PrepareForShutdown")
    check_equal(event, {"start": True, "type": "reboot", "uid": 0,
                        "initiator": "guest_user", "reason": REASON},
                "the event before")
    vm.qemu.wait(TIMEOUT)
