#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures vmchannel beside raw ports and TCP over slirp, on one guest.

Each value is the median of fresh boots; the boots of the transports
alternate, so that a busy moment of this machine hurts all of them alike.
"""
import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import measures
import report
from daemon import Daemon, Strace, have_strace
from figures import FIGURES, Samples, result
from machine import BenchError, Ours, RawDefault, RawTuned, SlirpTcp

STREAMS = 16
SIZES = (("64", 64), ("4k", 4096), ("32k", 32768))
DIRECTIONS = ("g2h", "h2g")
SLEEPER_TURNS = 5
# Figures of the first boot only.
ONCE = ("engine", "idle_host", "idle_guest")


class Effort:
    """How long to look. The quick form looks at the same things."""

    def __init__(self, quick):
        self.rounds = 3 if quick else 5
        self.bulk_s = 0.7 if quick else 1.5
        self.many_s = 1.0 if quick else 2.0
        self.flood_s = 2.0 if quick else 5.0
        self.pings = 500 if quick else 2000
        self.sleeper_s = 1.0
        self.idle_s = 10


class Round:
    """One boot of one transport: fills in the samples."""

    def __init__(self, machine, effort, samples):
        self.machine, self.effort, self.samples = machine, effort, samples

    def add(self, figure, value):
        self.samples.add(figure, self.machine.name, value)

    def one_stream(self, cpu=None):
        for direction in DIRECTIONS:
            for name, size in SIZES:
                rates, per_gib = measures.bulk(
                    self.machine, direction, size, [0], self.effort.bulk_s,
                    cpu)
                self.add(f"{direction}_{name}", sum(rates))
                if cpu and name == "32k":
                    self.add(f"{direction}_cpu", per_gib)
        p50, p99 = measures.ping(self.machine, 0, self.effort.pings,
                                 self.effort.flood_s)
        self.add("rtt_p50", p50)
        self.add("rtt_p99", p99)

    def many_streams(self):
        slots = list(range(STREAMS))
        for direction in DIRECTIONS:
            rates, _ = measures.bulk(self.machine, direction,
                                     measures.FLOOD_SIZE, slots,
                                     self.effort.many_s)
            self.add(f"{direction}_16_total", sum(rates))
            self.add(f"{direction}_16_jain", measures.jain(rates))
            self.add(f"{direction}_flood_p99", measures.ping_under_flood(
                self.machine, direction, slots, self.effort.pings,
                self.effort.flood_s))

    def sleeper(self):
        for direction in DIRECTIONS:
            turns = [measures.ping_beside_sleeper(
                self.machine, direction, 0, 1, self.effort.pings // 4,
                self.effort.sleeper_s) for _ in range(SLEEPER_TURNS)]
            idle, asleep = (sorted(column)[SLEEPER_TURNS // 2]
                            for column in zip(*turns))
            self.add(f"{direction}_sleeper", asleep / idle)

    def idle(self, daemon):
        guest = self.machine.guest
        before = guest.do("proc", "vmchannel-agent")
        if have_strace():
            with Strace(daemon.pids) as strace:
                time.sleep(self.effort.idle_s)
            host = strace.calls
        else:
            switches = daemon.switches()
            time.sleep(self.effort.idle_s)
            host = daemon.switches() - switches
        after = guest.do("proc", "vmchannel-agent")
        self.add("idle_host", host)
        self.add("idle_guest", sum(after[3:5]) - sum(before[3:5]))


def measure_ours(setup, effort, samples, first):
    with Ours(setup, 1) as machine:
        daemon = Daemon(machine.directory())
        r = Round(machine, effort, samples)
        r.one_stream(daemon.cpu_s)
        machine.open_streams(STREAMS)
        r.many_streams()
        r.sleeper()
        r.add("memory", daemon.private_mib())
        if first:
            time.sleep(1)
            r.idle(daemon)


def measure_tcp(setup, effort, samples, _first):
    with SlirpTcp(setup, 1) as machine:
        r = Round(machine, effort, samples)
        r.one_stream()
        machine.open_streams(STREAMS)
        r.many_streams()


def measure_raw(kind):
    """A port costs something even when it is idle, so that one stream is
    measured on a device with one port."""
    def one(setup, effort, samples, _first):
        with kind(setup, 1) as machine:
            Round(machine, effort, samples).one_stream()

    def many(setup, effort, samples, _first):
        with kind(setup, STREAMS) as machine:
            Round(machine, effort, samples).many_streams()
    return [(kind.name, one), (f"{kind.name}, {STREAMS} ports", many)]


BOOTS = ([("ours", measure_ours)] + measure_raw(RawDefault) +
         measure_raw(RawTuned) + [("tcp", measure_tcp)])


class Setup:
    """Where the pieces are; builds the guest out of them."""

    def __init__(self, build, scratch):
        self.load = os.path.join(build, "bench", "load")
        self.command = os.path.join(build, "src", "cli", "vmchannel")
        self.scratch = scratch
        guest = os.path.join(build, "bench", "guest")
        self.kernel = os.path.join(guest, "vmlinuz")
        self.initramfs = os.path.join(guest, "initramfs")
        here = os.path.dirname(os.path.abspath(__file__))
        parts = [(self.load, "/bin/load"),
                 (os.path.join(here, "guest-start"), "/bin/guest-start"),
                 (os.path.join(build, "src", "guest",
                               "vmchannel-agent.static"),
                  "/usr/sbin/vmchannel-agent")]
        make = [os.path.join(here, "..", "guest", "mkguest"), "--out", guest,
                "--cache", os.path.join(build, "guest-cache")]
        for path, target in parts:
            if not os.path.exists(path):
                raise BenchError(f"{path} is missing: run make bench")
            make += ["--add", f"{path}:{target}"]
        if subprocess.run(make).returncode != 0:
            raise BenchError("the guest was not built")


@contextlib.contextmanager
def lock(path):
    """Where several measure on one machine, they take turns."""
    if not path:
        yield
        return
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def measure_engine(build, samples):
    program = os.path.join(build, "bench", "bench-engine")
    if not os.path.exists(program):
        return
    out = subprocess.run([program], capture_output=True, text=True,
                         check=True).stdout
    samples.add("engine", "ours", json.loads(out)["ours"])


def boot(setup, effort, name, measure, first):
    """The samples of one boot, whole or not at all: what does not work is
    tried once more, said, and left out."""
    for _ in range(2):
        samples = Samples()
        try:
            measure(setup, effort, samples, first)
            return samples
        except BenchError as error:
            print(f"bench: {name}: {error}", file=sys.stderr, flush=True)
    return Samples()


def rounds(setup, effort, samples, only, lock_file, done):
    """done(n): called after each round."""
    boots = [b for b in BOOTS if not only or b[0].split(",")[0] in only]
    for n in range(effort.rounds):
        for name, measure in boots:
            with lock(lock_file):
                start = time.monotonic()
                samples.merge(boot(setup, effort, name, measure, n == 0))
            print(f"bench: round {n + 1}/{effort.rounds}: {name}: "
                  f"{time.monotonic() - start:.0f} s", file=sys.stderr,
                  flush=True)
        done(n + 1)


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default="build", help="the build folder")
    p.add_argument("--quick", action="store_true",
                   default=bool(os.environ.get("QUICK")),
                   help="three boots and shorter looks (also QUICK=1)")
    p.add_argument("--rounds", type=int, help="boots of each kind")
    p.add_argument("--only", action="append", default=[],
                   help="just this transport; may be repeated")
    p.add_argument("--lock", help="file to lock during each boot")
    return p.parse_args()


def main():
    args = arguments()
    # Whoever ends us wants the machines ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    effort = Effort(args.quick)
    effort.rounds = args.rounds or effort.rounds
    samples = Samples()

    def write(n):
        """Whoever interrupts us has what was measured until then."""
        rows = [result(f, samples) for f in FIGURES]
        what = (f"medians (min-max) of {n} fresh boots of each transport, "
                f"alternating{', quick form' if args.quick else ''}; "
                "TCG, 1 vCPU")
        report.write_json(os.path.join(args.build, "bench.json"), rows)
        report.write_svg(os.path.join(args.build, "bench.svg"), rows, what)
        return rows, what

    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        setup = Setup(args.build, scratch)
        measure_engine(args.build, samples)
        rounds(setup, effort, samples, args.only, args.lock, write)
    rows, what = write(effort.rounds)
    print(what + "\n\n" + report.table(rows))
    few = [r["figure"] for r in rows
           if r["ours"] is not None and r["target"] and
           r["figure"] not in ONCE and
           len(r["ours_samples"]) < effort.rounds]
    if few:
        print(f"\nboots failed; fewer values of: {', '.join(few)}")
    verdicts = [r["met"] for r in rows if r["met"] is not None]
    missed = [r["figure"] for r in rows if r["met"] is False]
    print(f"\n{args.build}/bench.json and {args.build}/bench.svg written; "
          f"{verdicts.count(True)} met, {len(missed)} missed: "
          f"{', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
