# SPDX-License-Identifier: MIT
"""Both sides are told what happens."""
import json

from vmtest import check, check_equal, test, wait_for


def events(output, kind=None):
    """Events of a running "vmchannel monitor --json"."""
    found = []
    for line in output.text().splitlines():
        event = json.loads(line)
        if kind in (None, event["type"]):
            found.append(event)
    return found


def wait_event(output, kind, timeout=60, stream=None, **fields):
    """stream: its channel; others' streams come and go, too."""
    def look():
        for e in events(output, kind):
            if stream and e["stream"]["channel"] != stream:
                continue
            if all(e.get(k) == v for k, v in fields.items()):
                return e
        return None
    return wait_for(f"{kind} {fields} in {output.name}", look, timeout)


def watch(t, vm, daemon):
    """Monitors on the host and (as bob) in the guest."""
    host = t.cli(daemon, "monitor", vm.name, "--json")
    guest = t.job(vm, "vmchannel monitor host --json", user="bob")
    for m in (host, guest):
        wait_event(m, "snapshot-end")
    return host, guest


@test()
def test_channel_added_and_removed(t):
    vm, daemon = t.shared()
    host, guest = watch(t, vm, daemon)
    server = t.guest_serve(vm, "org.example.watched", "echo", user="alice")
    wait_event(host, "channel-added", channel="org.example.watched",
               side="peer")
    wait_event(guest, "channel-added", channel="org.example.watched",
               side="local")
    server.kill()
    wait_event(host, "channel-removed", channel="org.example.watched",
               side="peer")
    wait_event(guest, "channel-removed", channel="org.example.watched",
               side="local")


@test()
def test_stream_opened_and_closed(t):
    vm, daemon = t.shared()
    host, guest = watch(t, vm, daemon)
    t.guest_serve(vm, "org.example.seen", "echo", user="bob")
    t.host_connect(daemon, "org.example.seen", "duplex", 5000, 1).ok()
    wait_event(host, "stream-opened", stream="org.example.seen")
    closed = wait_event(host, "stream-closed", stream="org.example.seen",
                        reason="ok")
    check_equal(closed["stream"]["bytes_in"], 5000, "bytes in")
    wait_event(guest, "stream-closed", stream="org.example.seen", reason="ok")


@test()
def test_events_are_numbered(t):
    vm, daemon = t.shared()
    host, guest = watch(t, vm, daemon)
    for i in range(5):
        t.guest_serve(vm, f"org.example.n{i}", "echo", user="alice").kill()
    for m in (host, guest):
        wait_event(m, "channel-removed", channel="org.example.n4")
        seqs = [e["seq"] for e in events(m) if e["seq"] > 0]
        check_equal(seqs, list(range(seqs[0], seqs[0] + len(seqs))),
                    "numbers of events")


@test(timeout=90)
def test_snapshot_tells_what_is(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.already", "echo")
    host, _ = watch(t, vm, daemon)
    snapshot = [e for e in events(host) if e["seq"] == 0]
    check("peer-up" in [e["type"] for e in snapshot], f"{snapshot}")
    check("org.example.already" in [e.get("channel") for e in snapshot],
          f"{snapshot}")
