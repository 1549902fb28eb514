# SPDX-License-Identifier: MIT
"""What is measured on a machine: streams are slots of both load programs."""
import time

MIB = 1024 * 1024
WARM_UP_S = 0.3
QUIET_MS = 60
FLOOD_SIZE = 32768


def ends(machine, direction):
    """Returns (sender, receiver) of "g2h" or "h2g"."""
    if direction == "g2h":
        return machine.guest, machine.host
    return machine.host, machine.guest


class Flood:
    """Writers on some streams for as long as the block lasts."""

    def __init__(self, machine, direction, slots, size, read=True):
        self.sender, self.receiver = ends(machine, direction)
        self.slots, self.size, self.read = list(slots), size, read

    def __enter__(self):
        if self.read:
            self.receiver.do("sink", *self.slots)
        self.sender.do("source", self.size, *self.slots)
        time.sleep(WARM_UP_S)
        return self

    def __exit__(self, *failed):
        if failed[0]:
            return
        self.sender.do("stop", *self.slots)
        if not self.read:
            self.receiver.do("sink", *self.slots)
        self.receiver.do("quiet", QUIET_MS, *self.slots)
        self.receiver.do("stop", *self.slots)


def bulk(machine, direction, size, slots, seconds, around=None):
    """MiB/s of each stream, as its receiver counts. around(): called before
    and after; the last result is (its difference per GiB)."""
    with Flood(machine, direction, slots, size) as f:
        before = around() if around else 0
        us, *counts = f.receiver.do("count", int(seconds * 1000), *slots)
        used = (around() - before) if around else 0
    rates = [n / MIB / (us / 1e6) for n in counts]
    gib = sum(counts) / MIB / 1024
    return rates, (used / gib if gib else float("inf"))


def jain(rates):
    squares = sum(r * r for r in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0


def ping(machine, slot, n, seconds):
    """Round trip of one byte, started by the host; (p50, p99) in us."""
    machine.guest.do("echo", slot)
    _, p50, p99, _ = machine.host.do("ping", n, int(seconds * 1000), slot)
    machine.guest.do("stop", slot)
    return p50, p99


def ping_under_flood(machine, direction, slots, n, seconds):
    """The first slot's p99 while the others are flooded."""
    with Flood(machine, direction, slots[1:], FLOOD_SIZE):
        return ping(machine, slots[0], n, seconds)[1]


def ping_beside_sleeper(machine, direction, quiet, sleeper, n, seconds):
    """(p50 idle, p50 while nobody reads the stream @sleeper)."""
    idle = ping(machine, quiet, n, seconds)[0]
    with Flood(machine, direction, [sleeper], FLOOD_SIZE, read=False):
        asleep = ping(machine, quiet, n, seconds)[0]
    return idle, asleep
