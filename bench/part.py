# SPDX-License-Identifier: MIT
"""What the parts of bench/guest.py (op_*.py) share."""

# A virtio port without vmchannel, in each guest that is measured.
RAW_PORT = "org.vmchannel.bench"


class Figure:
    """What is measured, in which unit; target: what it should be, as text."""

    def __init__(self, key, title, unit, target=""):
        self.key, self.title, self.unit = key, title, unit
        self.target = target


class Marker:
    """marker.c in the guest, and the host's end of its raw port."""

    def __init__(self, bench, program, words):
        self.job = bench.t.job(bench.vm, f"exec {bench.put('bench/' + program)}"
                               f" {RAW_PORT} {words}")
        self.job.expect("ready", 60)
        self.socket = bench.raw_port()

    def close(self):
        self.job.kill()
        self.job.wait(60)
