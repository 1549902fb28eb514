# SPDX-License-Identifier: MIT
"""The figures, what each must reach, and their medians."""
import statistics

TRANSPORTS = ("ours", "raw_default", "raw_tuned", "tcp")


class Target:
    """ours OP factor (x the median of another transport)."""

    def __init__(self, op, factor, of=None):
        self.op, self.factor, self.of = op, factor, of

    def text(self):
        if not self.of:
            return f"{self.op} {self.factor:g}"
        if self.factor == 1:
            return f"{self.op} {self.of}"
        return f"{self.op} {self.factor:g} x {self.of}"

    def check(self, medians):
        """Returns None if something was not measured."""
        ours = medians["ours"]
        base = medians[self.of] if self.of else 1
        if ours is None or base is None:
            return None
        limit = self.factor * base
        return {">=": ours >= limit, "<=": ours <= limit,
                ">": ours > limit}[self.op]


class Figure:
    def __init__(self, key, title, unit, *targets):
        self.key, self.title, self.unit = key, title, unit
        self.targets = targets


FIGURES = [
    Figure("g2h_64", "guest to host, 64 B writes", "MiB/s",
           Target(">=", 1.1, "raw_default"), Target(">", 1, "tcp")),
    Figure("g2h_4k", "guest to host, 4 KiB writes", "MiB/s"),
    Figure("g2h_32k", "guest to host, 32 KiB writes", "MiB/s",
           Target(">=", 0.25, "raw_tuned"), Target(">", 1, "tcp")),
    Figure("h2g_64", "host to guest, 64 B writes", "MiB/s",
           Target(">=", 1, "tcp")),
    Figure("h2g_4k", "host to guest, 4 KiB writes", "MiB/s"),
    Figure("h2g_32k", "host to guest, 32 KiB writes", "MiB/s",
           Target(">=", 0.28, "raw_tuned"), Target(">=", 1, "tcp")),
    Figure("rtt_p50", "1-byte round trip, p50", "us",
           Target("<=", 3.0, "raw_tuned")),
    Figure("rtt_p99", "1-byte round trip, p99", "us"),
    Figure("g2h_16_total", "16 streams guest to host, total", "MiB/s"),
    Figure("h2g_16_total", "16 streams host to guest, total", "MiB/s"),
    Figure("g2h_16_jain", "16 streams guest to host, Jain index", "",
           Target(">=", 0.98)),
    Figure("h2g_16_jain", "16 streams host to guest, Jain index", "",
           Target(">=", 0.98)),
    Figure("g2h_flood_p99", "1 byte beside 15 floods guest to host, p99",
           "us", Target("<=", 0.25, "raw_tuned"),
           Target("<=", 0.25, "raw_default")),
    Figure("h2g_flood_p99", "1 byte beside 15 floods host to guest, p99",
           "us", Target("<=", 0.12, "raw_tuned"),
           Target("<=", 0.12, "raw_default")),
    Figure("g2h_sleeper", "p50 beside a sleeping reader on the host, "
           "x own idle", "x", Target("<=", 1.2)),
    Figure("h2g_sleeper", "p50 beside a sleeping reader in the guest, "
           "x own idle", "x", Target("<=", 1.2)),
    Figure("g2h_cpu", "vmchanneld CPU, 32 KiB guest to host", "s/GiB",
           Target("<=", 0.5)),
    Figure("h2g_cpu", "vmchanneld CPU, 32 KiB host to guest", "s/GiB",
           Target("<=", 0.5)),
    Figure("memory", "vmchanneld private memory after the load", "MiB",
           Target("<=", 4)),
    Figure("engine", "engine alone, 32 KiB frames", "GiB/s",
           Target(">=", 3)),
    Figure("idle_host", "system calls of vmchanneld while idle", "",
           Target("<=", 0)),
    Figure("idle_guest", "wake-ups of vmchannel-agent while idle", "",
           Target("<=", 0)),
]


class Samples:
    """Values by figure and transport, one per boot."""

    def __init__(self):
        self.values = {}

    def add(self, figure, transport, value):
        self.values.setdefault((figure, transport), []).append(value)

    def merge(self, other):
        for key, values in other.values.items():
            self.values.setdefault(key, []).extend(values)

    def median(self, figure, transport):
        values = self.values.get((figure, transport))
        return statistics.median(values) if values else None

    def bounds(self, figure, transport):
        values = self.values.get((figure, transport))
        return (min(values), max(values)) if values else (None, None)


def result(figure, samples):
    """One row of bench.json."""
    medians = {t: samples.median(figure.key, t) for t in TRANSPORTS}
    row = {"figure": figure.key, "title": figure.title, "unit": figure.unit}
    row.update(medians)
    checks = [(t, t.check(medians)) for t in figure.targets]
    row["target"] = " and ".join(t.text() for t, _ in checks) or None
    verdicts = [ok for _, ok in checks]
    if not verdicts or (None in verdicts and False not in verdicts):
        row["met"] = None
    else:
        row["met"] = all(verdicts)
    for t in TRANSPORTS:
        row[f"{t}_min"], row[f"{t}_max"] = samples.bounds(figure.key, t)
        row[f"{t}_samples"] = samples.values.get((figure.key, t), [])
    row["ratios"] = {
        t: medians["ours"] / medians[t] for t in TRANSPORTS[1:]
        if medians["ours"] is not None and medians[t]}
    return row
