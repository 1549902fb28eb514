# SPDX-License-Identifier: MIT
"""What vmchanneld's processes use, from /proc and strace."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def comm(pid):
    with open(f"/proc/{pid}/comm") as f:
        return f.read().strip()


class Daemon:
    """Supervisor, worker and the rest, from the pid in the VM directory's lock."""

    def __init__(self, directory):
        with open(os.path.join(directory, "lock")) as f:
            supervisor = int(f.read().split()[0])
        self.pids = [supervisor] + [p for p in children(supervisor)
                                    if comm(p).startswith("vmchanneld")]

    def worker(self):
        """The process that holds the session."""
        return next(p for p in self.pids if comm(p) == "vmchanneld-work")

    def cpu_s(self):
        """utime + stime of all."""
        total = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def private_mib(self):
        """RssAnon + RssShmem of all."""
        kib = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/status") as f:
                kib += sum(int(n) for n in re.findall(
                    r"^Rss(?:Anon|Shmem):\s+(\d+) kB", f.read(), re.M))
        return kib / 1024

    def switches(self):
        """Voluntary context switches: times it went to sleep again."""
        total = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/status") as f:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                       f.read(), re.M)[1])
        return total


class Strace:
    """Counts the system calls that return in the block: the one in which
    each process sleeps from its beginning to its end does not."""

    def __init__(self, pids):
        self.pids = pids
        self.calls = None

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("r", prefix="bench-strace")
        command = ["strace", "-f", "-qq", "-o", self.file.name]
        for pid in self.pids:
            command += ["-p", str(pid)]
        self.process = subprocess.Popen(command)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.lines = [line for line in self.file
                      if re.search(r"\) += ", line)]
        self.calls = len(self.lines)
        self.file.close()


def have_strace():
    return shutil.which("strace") is not None
