# SPDX-License-Identifier: MIT
"""A guest and local programs that mean ill: each hurts only itself."""
import json
import os
import random
import socket
import time

from vmtest import check, check_equal, program, test, varlink, wait_for

SECONDS = 3
# What both processes of vmchanneld may have of their own, in KiB.
MEMORY_LIMIT = 4096


def hostile(t, vm, daemon, mode, seconds=SECONDS):
    """Put an ill-meaning agent in place of the real one for a while."""
    vm.guest.run("killall -9 vmchannel-agent; true")
    worker = daemon.worker()
    slowest = 0.0
    job = t.job(vm, f"hostile {mode} {seconds}")
    try:
        while job.status is None:
            check(t.daemon_rss(daemon) <= MEMORY_LIMIT,
                  f"{mode}: vmchanneld has {t.daemon_rss(daemon)} KiB")
            check(daemon.proc.status is None, f"{mode}: vmchanneld ended")
            asked = time.monotonic()
            info = varlink(daemon, "org.vmchannel.Broker.GetInfo")
            check_equal(info["vm"], vm.name, "GetInfo while under attack")
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.1)
        job.ok()
        check_equal(daemon.worker(), worker, f"{mode}: pid of the worker")
        t.note(f"{job.text().strip()}; slowest answer {slowest:.1f} s")
    finally:
        job.close()
        vm.guest.run("vmchannel-agent </dev/null >>/var/log/agent.log 2>&1 "
                     "& sleep 1")
        t.wait_peer(daemon, 60)
    return job.text()


def attack(mode, handshakes=True):
    """A test of one mode of tests/vm/guest/hostile.c."""
    def run(t):
        vm, daemon = t.shared()
        t.host_serve(daemon, "org.example.flood", "hold", 60)
        report = hostile(t, vm, daemon, mode)
        if handshakes:
            check(" 0 handshakes" not in report, report)
        name = f"org.example.after.{mode}"
        t.guest_serve(vm, name, "echo", user="alice")
        t.host_connect(daemon, name, "duplex", 300000, 1).ok()
    run.__name__ = "test_hostile_guest_" + mode
    test(timeout=90)(run)


for _mode in ("garbage", "hello"):
    attack(_mode, handshakes=False)
for _mode in ("credit", "opens", "storm", "pings", "badnames", "manynames",
              "types", "acks", "long", "spoof", "silent"):
    attack(_mode)


@test()
def test_hostile_guest_names_stay_out(t):
    """No bad name is ever shown to anybody on the host."""
    vm, daemon = t.shared()
    watcher = t.cli(daemon, "monitor", vm.name, "--json")
    hostile(t, vm, daemon, "badnames")
    for line in watcher.text().splitlines():
        name = json.loads(line).get("channel")
        check(name is None or ("/" not in name and ".." not in name
                               and "%" not in name), f"name {name!r}")


@test()
def test_hostile_guest_cannot_speak_for_the_host(t):
    vm, daemon = t.shared()
    server = t.host_serve(daemon, "org.vmchannel.closed", "who")
    hostile(t, vm, daemon, "spoof")
    check("host uid" not in server.errors(), "a guest was taken for the host")


@test(timeout=120)
def test_hostile_guest_leaves_another_vm_alone(t):
    good_vm, good = t.shared()
    bad_vm = t.vm("bad", agent=False)
    bad = t.daemon(bad_vm)
    t.guest_serve(good_vm, "org.example.calm", "echo")
    job = t.job(bad_vm, "hostile storm 12; hostile types 12")
    time.sleep(1)
    ping = t.host_connect(good, "org.example.calm", "ping", 300)
    ping.ok(60)
    t.host_connect(good, "org.example.calm", "duplex", 1 << 20, 1).ok(60)
    check(bad.proc.status is None, "the attacked vmchanneld ended")
    job.kill()


# ---- programs on this side --------------------------------------------------

def throw(path, data, end=True):
    """Send bytes to a socket and read what comes until it is closed."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(path)
        try:
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return answer
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            return b""
        except socket.timeout:
            return None


def bad_control_messages():
    rng = random.Random(1)
    yield b"\0"
    yield b"{}\0"
    yield b"[]\0"
    yield b"[" * 60000 + b"\0"
    yield b'{"method":1}\0'
    yield b'{"method":"x"}\0'
    yield b'{"method":"org.vmchannel.Broker.Nope"}\0'
    yield b'{"method":"org.vmchannel.Broker.Connect"}\0'
    yield (b'{"method":"org.vmchannel.Broker.Connect","upgrade":true,'
           b'"parameters":{"channel":"../x"}}\0')
    yield b'{"method":"org.vmchannel.Broker.Accept","upgrade":true}\0'
    yield (b'{"method":"org.vmchannel.Broker.Accept","upgrade":true,'
           b'"parameters":{"token":"0000"}}\0')
    yield b'{"method":"org.vmchannel.Broker.Listen","more":true,"oneway":1}\0'
    yield b'{"method":"\xff\xfe"}\0'
    yield b"x" * 70000
    yield b'{"a":"' + b"y" * 70000 + b'"}\0'
    for _ in range(40):
        yield bytes(rng.randrange(256) for _ in range(rng.randrange(2000)))


@test(timeout=120)
def test_hostile_local_client_control(t):
    _, daemon = t.shared()
    path = os.path.join(daemon.dir, "control")
    for data in bad_control_messages():
        check(throw(path, data) is not None,
              f"no answer and no end for {data[:60]!r}")
        varlink(daemon, "org.vmchannel.Broker.GetInfo")
    check_equal(daemon.proc.status, None, "status of vmchanneld")


@test(timeout=120)
def test_hostile_local_client_connect(t):
    _, daemon = t.shared()
    path = os.path.join(daemon.dir, "connect")
    for data in (b"\n", b"CONNECT\n", b"CONNECT \n", b"CONNECT a b\n",
                 b"CONNECT ../../etc\n", b"GET / HTTP/1.1\r\n\r\n",
                 b"CONNECT " + b"x" * 200 + b"\n", b"x" * 100000,
                 b"CONNECT a\0b\n", b"connect org.example.x\n", b""):
        answer = throw(path, data)
        check(answer is not None, f"no end for {data[:40]!r}")
        check(not answer.startswith(b"OK"), f"{data[:40]!r} was accepted")
        check(not data or answer == b"" or answer.startswith(b"ERR "),
              f"{data[:40]!r}: {answer!r}")


@test(timeout=120)
def test_hostile_local_client_in_guest(t):
    vm, daemon = t.shared()
    vm.guest.run("head -c 100000 /dev/urandom | timeout 5 nc "
                 "local:/run/vmchannel/host/control >/dev/null; true",
                 user="bob")
    # Thousands of connections, and one that never ends its line.
    vm.guest.run("i=0; while [ $i -lt 200 ]; do vmchannel channels host "
                 ">/dev/null & i=$((i+1)); done; wait", user="bob",
                 timeout=60)
    t.guest_serve(vm, "org.example.still", "echo", user="alice")
    t.host_connect(daemon, "org.example.still", "duplex", 1000, 1).ok()


@test(timeout=60)
def test_slow_line_is_ended(t):
    """A connect line that does not come is given up, without harm."""
    vm, daemon = t.shared()
    s = t.keep(socket.socket(socket.AF_UNIX))
    s.connect(os.path.join(daemon.dir, "connect"))
    s.sendall(b"CONN")
    s.settimeout(20)
    answer = s.recv(1000)
    check(answer == b"" or answer.startswith(b"ERR "), f"answer {answer!r}")
    t.guest_serve(vm, "org.example.slowline", "echo")
    t.host_connect(daemon, "org.example.slowline", "duplex", 1000, 1).ok()


@test(timeout=120)
def test_many_local_connections_are_bounded(t):
    """Hundreds of idle connections: refused at a limit, all else goes on."""
    vm, daemon = t.shared()
    held = []
    for _ in range(2000):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        try:
            s.connect(os.path.join(daemon.dir, "control"))
        except OSError:
            s.close()
            break
        held.append(s)
    time.sleep(1)
    rss = t.daemon_rss(daemon)
    for s in held:
        s.close()
    check(rss <= MEMORY_LIMIT + 4096, f"vmchanneld has {rss} KiB")
    wait_for("an answer afterwards", lambda: varlink(
        daemon, "org.vmchannel.Broker.GetInfo"), 10)
    t.guest_serve(vm, "org.example.crowd", "echo")
    t.host_connect(daemon, "org.example.crowd", "duplex", 1000, 1).ok()


@test(timeout=60)
def test_other_users_keep_out(t):
    """Sockets of the VM's owner are closed to other users of the host."""
    vm, daemon = t.shared()
    if os.getuid() != 0:
        from vmtest import Skip
        raise Skip("only root can become somebody else")
    p = t.host(program("src/cli/vmchannel"), "channels", vm.name, uid=65534,
               env={"VMCHANNEL_DIR": daemon.top})
    check(p.wait() != 0, "nobody was let in")
    check_equal(p.errors().count("\n"), 1, "lines: " + p.errors())
