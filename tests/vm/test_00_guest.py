# SPDX-License-Identifier: MIT
"""The test guest and the framework themselves, without our brokers."""
from vmtest import check, check_equal, test, wait_for


@test()
def test_guest_runs_commands(t):
    g = t.vm(link=False, agent=False).guest
    check_equal(g.run("id -u", user="alice").text(), "1000\n", "uid")
    check("2000" in g.run("id -G", user="bob").text(), "bob's groups")
    check_equal(g.run("exit 3", check=False).status, 3, "exit status")
    check_equal(g.run("sleep 60", timeout=0.3, check=False).status, 124,
                "status after the time-out")
    check_equal(g.run("cat", stdin=b"x" * 100000).out, b"x" * 100000, "stdin")
    jobs = [t.job(t.vms[0], f"sleep 0.2; echo {i}") for i in range(10)]
    for i, job in enumerate(jobs):
        check_equal(job.ok(), f"{i}\n", "one of ten jobs")


@test()
def test_guest_sees_ports(t):
    vm = t.vm(agent=False)
    names = vm.guest.run("cat /sys/class/virtio-ports/*/name").text().split()
    check("org.vmchannel.0" in names, f"port names: {names}")
    check_equal(vm.qmp.port("org.vmchannel.0")["throttle"], "off", "throttle")
    vm.qmp.command("device_del", id="p0")
    wait_for("port gone", lambda: "org.vmchannel.0" not in vm.guest.run(
        "cat /sys/class/virtio-ports/*/name").text())
