# SPDX-License-Identifier: MIT
"""Programs on both sides find each other by name and talk."""
import os
import re
import time

from vmtest import Failure, Skip, check, check_equal, test, varlink, wait_for

MIB = 1 << 20


def names(daemon, side):
    channels = varlink(daemon, "org.vmchannel.Broker.List")["channels"]
    return [c["name"] for c in channels if c["side"] == side]


@test()
def test_discovery_by_name(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.found", "echo", user="alice")
    wait_for("the guest's channel on the host",
             lambda: "org.example.found" in names(daemon, "peer"))
    t.host_serve(daemon, "org.example.onhost", "echo")
    wait_for("the host's channel in the guest",
             lambda: "org.example.onhost" in vm.guest.run(
                 "vmchannel channels host", user="bob").text())


@test()
def test_unprivileged_guest_user_serves_host(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.alice", "echo", user="alice")
    client = t.host_connect(daemon, "org.example.alice", "duplex", MIB, 7)
    client.ok()
    check("end: ok" in client.errors(), client.tail())


@test()
def test_host_service_called_from_guest(t):
    vm, daemon = t.shared()
    t.host_serve(daemon, "org.example.service", "echo")
    for user in ("root", "alice", "bob"):
        job = t.guest_connect(vm, "org.example.service", "duplex", MIB, 3,
                              user=user)
        job.ok()
        check("end: ok" in job.errors(), job.tail())


@test()
def test_caller_is_named_by_the_broker(t):
    vm, daemon = t.shared()
    server = t.host_serve(daemon, "org.example.who", "who")
    t.guest_connect(vm, "org.example.who", "sink", 0, 0, user="bob").wait()
    server.expect(r"guest uid 1001 gid 1001", stream="err")
    job = t.guest_serve(vm, "org.example.whoguest", "who", user="alice")
    t.host_connect(daemon, "org.example.whoguest", "sink", 0, 0).wait()
    job.expect(rf"host uid {os.getuid()} ", stream="err")


@test()
def test_blocked_stream_beside_flowing_one(t):
    vm, daemon = t.shared()
    size = 16 * MIB
    t.guest_serve(vm, "org.example.stuck", "source", 1 << 40, 1)
    t.guest_serve(vm, "org.example.flow", "source", size, 2)
    stuck = t.host_connect(daemon, "org.example.stuck", "hold", 120)
    time.sleep(0.5)
    flow = t.host_connect(daemon, "org.example.flow", "sink", size, 2)
    flow.ok(60)
    # The other way round: the guest does not read, the host writes.
    t.guest_serve(vm, "org.example.stuckin", "hold", 120)
    t.guest_serve(vm, "org.example.flowin", "sink", size, 4)
    t.host_connect(daemon, "org.example.stuckin", "source", 1 << 40, 3)
    time.sleep(0.5)
    t.host_connect(daemon, "org.example.flowin", "source", size, 4).ok(60)
    check(stuck.status is None, "the blocked stream ended: " + stuck.tail())
    check_equal(vm.qmp.port("org.vmchannel.0")["throttle"], "off", "throttle")


@test()
def test_half_close_both_ways(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.half", "echo")
    # echo answers after the end of its input: the way back is still open.
    client = t.host_connect(daemon, "org.example.half", "duplex", 300000, 5)
    client.ok()
    check("end: ok in 300000 out 300000" in client.errors(), client.tail())
    t.host_serve(daemon, "org.example.half2", "echo")
    t.guest_connect(vm, "org.example.half2", "duplex", 300000, 6).ok()


@test()
def test_message_boundaries(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.msg", "msgecho", options="-m")
    client = t.host_connect(daemon, "org.example.msg", "msgs", 0, 3000, 7,
                            options=["-m"])
    client.ok(60)
    t.host_connect(daemon, "org.example.msg", "msgs", MIB - 1, MIB, 1,
                   options=["-m"]).ok()
    t.host_serve(daemon, "org.example.msg2", "msgecho", options=["-m"])
    t.guest_connect(vm, "org.example.msg2", "msgs", 65530, 65545, 1,
                    options="-m").ok(60)


@test()
def test_message_mode_must_agree(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.bytes", "echo")
    client = t.host_connect(daemon, "org.example.bytes", "hold", 1,
                            options=["-m"])
    check_equal(client.wait(), 1, "status of a client that wants messages")
    check("connect:" in client.errors(), client.tail())


@test()
def test_too_big_message_resets_one_stream(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.big", "msgecho", options="-m")
    with t.raw_connect(daemon, "org.example.big", messages=True) as s:
        s.sendall((MIB + 1).to_bytes(4, "little") + b"x" * 100)
        check_equal(s.recv(10), b"", "a reset stream's bytes")
    t.host_connect(daemon, "org.example.big", "msgs", 5, 5, 1,
                   options=["-m"]).ok()


@test()
def test_name_in_use_and_unknown(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.once", "echo", user="alice")
    second = t.job(vm, "vmctest -l host org.example.once echo", user="bob")
    check(second.wait() != 0, "a second listener was taken")
    check("org.example.once" in second.errors(), second.tail())
    none = t.host_connect(daemon, "org.example.none", "echo")
    check_equal(none.wait(), 1, "status of a client of an unknown channel")
    check("org.example.none" in none.errors(), none.tail())


@test()
def test_reserved_names_need_root(t):
    vm, daemon = t.shared()
    denied = t.job(vm, "vmctest -l host org.vmchannel.evil echo",
                   user="alice")
    check(denied.wait() != 0, "alice announced org.vmchannel.evil")
    t.host_serve(daemon, "org.vmchannel.host", "echo")
    denied = t.guest_connect(vm, "org.vmchannel.host", "echo", user="alice")
    check(denied.wait() != 0, "alice connected to org.vmchannel.host")
    t.guest_connect(vm, "org.vmchannel.host", "duplex", 1000, 1).ok()


@test()
def test_bad_names_are_refused(t):
    vm, daemon = t.shared()
    for bad in ("", ".", "a..b", ".a", "a/b", "a b", "x" * 65, "ä"):
        p = t.host_connect(daemon, bad, "echo")
        check(p.wait() != 0, f"connected to {bad!r}")
        job = t.job(vm, f"vmctest -l host '{bad}' echo")
        check(job.wait() != 0, f"announced {bad!r}")


@test()
def test_connect_socket_needs_no_library(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.plain", "echo")
    with t.plain_connect(daemon, "org.example.plain", b"early") as s:
        s.shutdown(1)
        data = b"".join(iter(lambda: s.recv(4096), b""))
        check_equal(data, b"early", "bytes sent with the line")
    try:
        t.plain_connect(daemon, "org.example.none")
        raise Failure("connected to nothing")
    except ConnectionRefusedError as e:
        check(re.match(r"ERR no-service ", str(e)), f"answer {e}")


@test()
def test_one_byte_round_trips(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.ping", "echo")
    client = t.host_connect(daemon, "org.example.ping", "ping", 500)
    client.ok(60)
    client.expect(r"ping: 500, p50 (\d+) us", stream="err")


@test(timeout=120)
def test_200_streams_at_once(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.many", "echo")
    client = t.host_connect(daemon, "org.example.many", "duplex", 100000, 9,
                            options=["-n", "200"])
    client.ok(110)
    check_equal(client.errors().count("end: ok"), 200, "streams that ended ok")


@test(timeout=300)
def test_bulk_both_ways_by_checksum(t):
    vm, daemon = t.shared()
    size = (64 if t.quick else 1024) * MIB
    t.guest_serve(vm, "org.example.out", "source", size, 11)
    t.guest_serve(vm, "org.example.in", "sink", size, 12)
    out = t.host_connect(daemon, "org.example.out", "sink", size, 11)
    out.ok(140)
    t.host_connect(daemon, "org.example.in", "source", size, 12).ok(140)
    t.note(out.errors().splitlines()[0])


@test()
def test_reader_that_never_reads(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.never", "source", 1 << 40, 1)
    holders = [t.host_connect(daemon, "org.example.never", "hold", 100)
               for _ in range(8)]
    time.sleep(2)
    rss = t.daemon_rss(daemon)
    time.sleep(2)
    check(t.daemon_rss(daemon) <= rss + 256, "the daemon's memory grows")
    check_equal(vm.qmp.port("org.vmchannel.0")["throttle"], "off", "throttle")
    t.guest_serve(vm, "org.example.beside", "echo")
    t.host_connect(daemon, "org.example.beside", "duplex", MIB, 1).ok()
    for h in holders:
        h.kill()


@test()
def test_policy_file_denies_a_guest_user(t):
    vm, daemon = t.shared()
    t.host_serve(daemon, "org.example.policy", "echo")
    conf = os.path.join(daemon.config, "policy.d", "10-test.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("connect org.example.policy guest:1001 deny\n")
    try:
        varlink(daemon, "org.vmchannel.Broker.Reload")
        bob = t.guest_connect(vm, "org.example.policy", "echo", user="bob")
        check(bob.wait() != 0, "bob was let in")
        t.guest_connect(vm, "org.example.policy", "duplex", 1000, 1,
                        user="alice").ok()
    finally:
        os.remove(conf)
        varlink(daemon, "org.vmchannel.Broker.Reload")
    t.guest_connect(vm, "org.example.policy", "duplex", 1000, 1,
                    user="bob").ok()


@test()
def test_services_by_command_and_socket(t):
    vm, daemon = t.shared()
    conf = os.path.join(daemon.config, "services.d", "org.example.cmd.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write("[Service]\nCommand=/bin/sh -c \"echo $VMCHANNEL_CALLER; "
                "exec cat\"\n")
    try:
        varlink(daemon, "org.vmchannel.Broker.Reload")
        wait_for("the service in the guest", lambda: "org.example.cmd" in
                 vm.guest.run("vmchannel channels host").text())
        job = vm.guest.run("echo hello | vmchannel connect host "
                           "org.example.cmd", user="alice")
        check_equal(job.text(), "guest:1000\nhello\n", "the service's answer")
    finally:
        os.remove(conf)
        varlink(daemon, "org.vmchannel.Broker.Reload")
