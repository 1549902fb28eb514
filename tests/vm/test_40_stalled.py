# SPDX-License-Identifier: MIT
"""The port is never throttled, however the guest writes."""
import os
import signal
import time

from vmtest import LINK_PORT, check, check_equal, test, wait_for


def never_throttled(vm, seconds, until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        check_equal(vm.qmp.port(LINK_PORT)["throttle"], "off", "throttle")
        time.sleep(0.02)


@test(timeout=600)
def test_every_write_length_into_a_stalled_host(t):
    """Lengths in blocks, each written while the worker is stopped."""
    vm = t.vm()
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    # In each block the guest writes until the pipe is full, so that the
    # lengths near its start meet an empty pipe and the rest a full one.
    blocks = [(1, 400), (401, 3000), (3001, 20000), (20001, 45000),
              (45001, 70000)]
    if t.quick:
        blocks = [(1, 400), (401, 9000), (30000, 33000), (69000, 70000)]
    for number, (first, last) in enumerate(blocks):
        name = f"org.example.len{number}"
        t.guest_serve(vm, name, "lengths", first, last)
        total = (first + last) * (last - first + 1) // 2
        sink = t.host_connect(daemon, name, "sink", total, 1)
        worker = daemon.worker()
        while sink.status is None:
            os.kill(worker, signal.SIGSTOP)
            never_throttled(vm, 0.3)
            os.kill(worker, signal.SIGCONT)
            time.sleep(0.7 if number < 2 else 2.5)
        check_equal(sink.status, 0, "sink: " + sink.tail())
    check_equal(vm.qmp.port(LINK_PORT)["throttle"], "off", "throttle")


@test(timeout=120)
def test_each_length_alone_into_a_stalled_host(t):
    """One stream per length class, all at once, against a stopped worker."""
    vm = t.vm()
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    worker = daemon.worker()
    lengths = [1, 63, 64, 100, 352, 353, 1000, 1700, 3000, 4095, 4096, 6000,
               16384, 32720, 32768, 65536, 70000]
    for n in lengths:
        t.guest_serve(vm, f"org.example.w{n}", "lengths", n, n + 20)
    holders = [t.host_connect(daemon, f"org.example.w{n}", "hold", 1000)
               for n in lengths]
    time.sleep(1)
    os.kill(worker, signal.SIGSTOP)
    floods = [t.job(vm, "vmchannel channels host >/dev/null; true")
              for _ in range(5)]
    never_throttled(vm, 3)
    os.kill(worker, signal.SIGCONT)
    for job in floods:
        job.wait(20)
    for n, h in zip(lengths, holders):
        # What fits into the window whole is written, and its program leaves.
        whole = f" in {sum(range(n, n + 21))} "
        check(h.status is None or whole in h.tail(),
              "a held stream ended: " + h.tail())
        h.kill()
    wait_for("the link", lambda: t.link_up(daemon))


@test(timeout=120)
def test_host_stopped_for_long_goes_on(t):
    vm = t.vm()
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    size = 8 << 20
    t.guest_serve(vm, "org.example.slow", "source", size, 3)
    sink = t.host_connect(daemon, "org.example.slow", "sink", size, 3)
    worker = daemon.worker()
    for _ in range(3):
        time.sleep(0.02)
        os.kill(worker, signal.SIGSTOP)
        never_throttled(vm, 4)
        os.kill(worker, signal.SIGCONT)
    sink.ok(60)
