# SPDX-License-Identifier: MIT
"""How long a call takes: beside a raw port's round trip, and many at once."""
import os
import select
import subprocess
import time

from part import Figure, Marker

CALLS = 100
COMMANDS = 20
CALLERS = 50
TURNS = 10
WAIT_S = 60
LIST = "org.vmchannel.Session.ListSessions"
PING = "org.vmchannel.Agent.Ping"
OVER = "p50 <= raw port's + 10 ms"

FIGURES = [
    Figure("raw", "raw port, one byte there and back", "ms"),
    Figure("ping_kept", "Ping on a stream that is open", "ms"),
    Figure("ping", "Ping with its stream", "ms"),
    Figure("list_kept", "ListSessions on a stream that is open", "ms", OVER),
    Figure("list", "ListSessions with its stream", "ms", OVER),
    Figure("list_over_raw", "ListSessions on a stream, over a raw port's p50",
           "ms", "p50 <= 10 ms"),
    Figure("version_command", "vmchannel version: the command itself", "ms"),
    Figure("list_command", "vmchannel call VM ListSessions, all of it", "ms",
           OVER),
    Figure("list_50", f"ListSessions of {CALLERS} callers at once: each", "ms"),
    Figure("list_50_all", f"ListSessions of {CALLERS} callers at once: the "
           "last", "ms"),
]


def timed(function):
    start = time.monotonic()
    function()
    return (time.monotonic() - start) * 1e3


def raw(bench):
    """What a port without vmchannel takes in this boot."""
    port = Marker(bench, "marker", "nothing")

    def once():
        port.socket.sendall(b"!")
        port.socket.recv(1)
    once()
    bench.add("raw", *(timed(once) for _ in range(bench.times(CALLS))))
    port.close()


def on_a_stream(bench, key, method):
    import operations as ops
    stream = ops.Stream(bench.t, bench.daemon, method.rsplit(".", 1)[0])

    def once():
        stream.send(method)
        stream.reply()
    once()
    bench.add(key, *(timed(once) for _ in range(bench.times(CALLS))))
    stream.close()


def with_a_stream(bench, key, method):
    import operations as ops
    bench.add(key, *(timed(lambda: ops.call(bench.t, bench.daemon, method))
                     for _ in range(bench.times(CALLS))))


def command(bench, key, *words):
    from vmtest import program
    path = program("src/cli/vmchannel")
    env = dict(os.environ, VMCHANNEL_DIR=bench.daemon.top)

    def once():
        subprocess.run([path, *words], env=env, check=True,
                       stdout=subprocess.DEVNULL, timeout=WAIT_S)
    bench.add(key, *(timed(once) for _ in range(bench.times(COMMANDS))))


def at_once(bench):
    """Streams that are open; all ask, then the answers are waited for."""
    import operations as ops
    streams = [ops.Stream(bench.t, bench.daemon, LIST.rsplit(".", 1)[0])
               for _ in range(CALLERS)]
    for _ in range(bench.times(TURNS)):
        p = select.poll()
        waiting = {s.socket.fileno(): s for s in streams}
        for fd in waiting:
            p.register(fd, select.POLLIN)
        start = time.monotonic()
        for s in streams:
            s.send(LIST)
        while waiting:
            for fd, _ in p.poll(WAIT_S * 1000):
                waiting.pop(fd).reply()
                p.unregister(fd)
                took = (time.monotonic() - start) * 1e3
                bench.add("list_50", took)
        bench.add("list_50_all", took)
    for s in streams:
        s.close()


def run(bench):
    raw(bench)
    on_a_stream(bench, "ping_kept", PING)
    with_a_stream(bench, "ping", PING)
    on_a_stream(bench, "list_kept", LIST)
    with_a_stream(bench, "list", LIST)
    bench.add("list_over_raw",
              *(v - bench.p50("raw") for v in bench.samples["list_kept"]))
    command(bench, "version_command", "version")
    command(bench, "list_command", "call", bench.vm.name, LIST)
    at_once(bench)
