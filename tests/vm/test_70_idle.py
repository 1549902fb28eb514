# SPDX-License-Identifier: MIT
"""Nothing happens when nothing happens."""
import re
import time

from vmtest import Skip, check, check_equal, test

IDLE_SECONDS = 10


def switches(text):
    """Each wake-up ends in one; the others are the machine being busy."""
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text,
                         re.M).group(1))


def host_switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return switches(f.read())


def agent_switches(vm, name="vmchannel-agent"):
    return switches(vm.guest.run(
        f"cat $(grep -lx {name} /proc/[0-9]*/comm | "
        "sed s/comm$/status/)").text())


@test(timeout=90)
def test_idle_wakes_nobody(t):
    vm = t.vm()
    daemon = t.daemon(vm, args=["--qmp-events", vm.qmp_events])
    t.wait_peer(daemon)
    t.guest_serve(vm, "org.example.idle", "echo")
    t.host_connect(daemon, "org.example.idle", "hold", 80)
    time.sleep(4)  # the last acknowledgements and timers
    pids = [daemon.proc.pid, daemon.worker(), daemon.qmp_process()]
    before = [host_switches(p) for p in pids] + [agent_switches(vm)]
    operations = agent_switches(vm, "vmchannel-ops")
    traces = [t.host("strace", "-f", "-qq", "-p", p, name=f"strace {p}")
              for p in pids]
    time.sleep(IDLE_SECONDS)
    for s in traces:
        s.close()
    if "ptrace" in traces[0].errors() and "not permitted" in \
            traces[0].errors():
        raise Skip("strace may not attach here")
    calls = [line for s in traces for line in s.errors().splitlines()
             if not re.search(r"resum|detached|strace|unfinished", line)]
    # What strace prints first is the call that the process waits in.
    calls = [c for c in calls if not re.match(
        r"(\[pid +\d+\] )?(epoll_p?wait|poll|ppoll|wait4|recvmsg|read)\(",
        c)]
    check_equal(calls, [], "system calls while idle")
    after = agent_switches(vm)
    check_equal(after - before[3], 0, "wake-ups of the agent")
    check_equal(agent_switches(vm, "vmchannel-ops") - operations, 0,
                "wake-ups of the operations process")


@test(timeout=90)
def test_agent_looks_once_a_second_when_host_is_closed(t):
    vm = t.vm()
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    daemon.close()
    time.sleep(2)
    before = agent_switches(vm)
    time.sleep(IDLE_SECONDS)
    count = agent_switches(vm) - before
    check(count <= IDLE_SECONDS + 2, f"{count} wake-ups in {IDLE_SECONDS} s")
