#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the guest's operations: events, calls, streams of them.

    bench/guest.py [--build DIR] [--rounds N] [--only NAME]...
                        [--guest minimal|debian]... [--quick]

Each round boots each guest anew and runs each part (op_*.py) in it. All
samples of all boots are in build/bench-guest.json; the table has their
p50, p90 and max, and how far the p50 of the boots are apart.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "vm"))
sys.path.insert(0, HERE)
from part import RAW_PORT  # noqa: E402

ROUND_SECONDS = 900
GUESTS = ("minimal", "debian")


class Bench:
    """One boot of one guest, and where its samples go."""

    def __init__(self, t, guest, quick):
        self.t, self.guest, self.quick = t, guest, quick
        self.samples = {}
        self.raw = None
        device = [
            "-chardev", "socket,id=cb,path=" + self.raw_path() +
            ",server=on,wait=off",
            # The only port of its controller, as a careful user has it.
            "-device", "virtio-serial-pci,id=vsb,max_ports=2",
            "-device", "virtserialport,bus=vsb.0,nr=1,chardev=cb,"
            f"name={RAW_PORT}"]
        if guest == "debian":
            self.vm = t.debian(args=device)
            t.wait_sessions(self.vm)
        else:
            self.vm = t.vm(args=device)
        self.daemon = t.daemon(self.vm)
        t.wait_peer(self.daemon, 120)

    def raw_path(self):
        return os.path.join(self.t.dir, "raw")

    def raw_port(self):
        """The host's end of the port: one connection for all of the boot."""
        if not self.raw:
            self.raw = self.t.keep(socket.socket(socket.AF_UNIX))
            self.raw.connect(self.raw_path())
        return self.raw

    def add(self, key, *values):
        self.samples.setdefault(key, []).extend(values)

    def p50(self, key):
        return statistics.median(self.samples[key])

    def times(self, full):
        """How often to do something; the quick form: a third."""
        return max(3, full // 3) if self.quick else full

    def put(self, path):
        """A built program into the guest; returns where it is."""
        import vmtest
        with open(vmtest.program(path), "rb") as f:
            to = "/tmp/" + os.path.basename(path)
            self.vm.guest.write_file(to, f.read(), 0o755)
        return to


def parts():
    """(name, figures, function) of each op_*.py: FIGURES and run(bench)."""
    import importlib
    found = []
    for name in sorted(os.listdir(HERE)):
        if name.startswith("op_") and name.endswith(".py"):
            module = importlib.import_module(name[:-3])
            found.append((name[3:-3], module.FIGURES, module.run))
    return found


def on_alarm(_signum, _frame):
    raise TimeoutError("the round took too long")


def one_boot(fleet, guest, chosen, quick, number):
    """Returns the samples of one boot; a part that fails is said and left
    out."""
    import vmtest
    test = vmtest.Test(f"bench{number}", None, ROUND_SECONDS, True, True)
    context = vmtest.Context(fleet, test)
    samples = {}
    signal.alarm(ROUND_SECONDS)
    try:
        bench = Bench(context, guest, quick)
        samples = bench.samples
        for name, _figures, run in chosen:
            start = time.monotonic()
            try:
                run(bench)
            except (vmtest.Failure, OSError) as e:
                print(f"guest: {guest}: {name}: {e}", file=sys.stderr)
            print(f"guest: round {number}: {guest}: {name}: "
                  f"{time.monotonic() - start:.0f} s", file=sys.stderr,
                  flush=True)
    finally:
        signal.alarm(0)
        context.close(failed=True)
    return samples


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def rows(figures, boots):
    """One for each figure and guest; boots: [(guest, samples)]"""
    for figure in figures:
        for guest in GUESTS:
            each = [s[figure.key] for g, s in boots
                    if g == guest and s.get(figure.key)]
            flat = [v for values in each for v in values]
            if not flat:
                continue
            medians = [statistics.median(values) for values in each]
            yield {"figure": figure.key, "title": figure.title,
                   "unit": figure.unit, "target": figure.target,
                   "guest": guest, "n": len(flat),
                   "p50": statistics.median(flat),
                   "p90": percentile(flat, 0.9), "max": max(flat),
                   "p50_of_boots": sorted(medians), "samples": each}


def table(found):
    from report import number
    lines = [["figure", "guest", "unit", "n", "p50", "p90", "max",
              "p50 of boots", "target"]]
    for r in found:
        apart = r["p50_of_boots"]
        lines.append([r["title"], r["guest"], r["unit"], str(r["n"]),
                      number(r["p50"]), number(r["p90"]), number(r["max"]),
                      f"{number(apart[0])}-{number(apart[-1])}",
                      r["target"]])
    widths = [max(len(line[i]) for line in lines)
              for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(w) for text, w in
                               zip(line, widths)).rstrip()
                     for line in lines)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/guest.py")
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, help="boots (default 5, quick 1)")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--guest", action="append", choices=GUESTS)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    build = os.path.abspath(args.build)
    os.environ["VMCHANNEL_BUILD"] = build
    import vmtest
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [p for p in parts() if not args.only or p[0] in args.only]
    figures = [f for p in chosen for f in p[1]]
    boots, found = [], []
    with tempfile.TemporaryDirectory(prefix="vmb.") as top:
        fleet = vmtest.Fleet(top)
        for n in range(1, 1 + (args.rounds or (1 if args.quick else 5))):
            for guest in args.guest or GUESTS:
                try:
                    boots.append((guest, one_boot(fleet, guest, chosen,
                                                  args.quick, n)))
                except (vmtest.Failure, vmtest.Skip, TimeoutError) as e:
                    print(f"guest: {guest}: {e}", file=sys.stderr)
            found = list(rows(figures, boots))
            # Whoever interrupts us has what was measured until then.
            with open(os.path.join(build, "bench-guest.json"), "w",
                      encoding="utf-8") as f:
                json.dump(found, f, indent=1)
    print(table(found))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
