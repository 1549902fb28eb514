#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py VMCHANNELD AGENT MANPAGE [TEST...] - the real vmchanneld against a
socket that behaves like QEMU's chardev, with the real agent or with hostile
bytes behind it; TAP."""
import contextlib
import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import hostbench
from hostbench import (EXTRA, SANITIZED, VMCHANNELD, Qemu, echo_once, gone,
                       vmc)
from vmc import Skip, ended, equal, has, test, wait_channel

MANPAGE = sys.argv[3]
MEMORY_KB = 4096  # both processes, RssAnon + RssShmem
OTHER_UID = 54321


def run_bad(b, *args, env=None):
    p = subprocess.run([VMCHANNELD, *args], stderr=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True, timeout=vmc.TIMEOUT,
                       env=env, check=False)
    return p.returncode, p.stderr


# ---- starting and ending -----------------------------------------------------


@test
def start_and_end(b):
    b.start()
    equal(os.stat(b.host).st_mode & 0o777, 0o700)
    for name in ("control", "connect"):
        equal(os.stat(f"{b.host}/{name}").st_mode & 0o777, 0o600)
    info = vmc.call(b.host, "GetInfo")
    equal((info["side"], info["vm"], info["link"]), ("host", "vm", "down"))
    vmc.wait_for(lambda: "waiting for QEMU at" in
                 vmc.call(b.host, "GetInfo")["link_detail"])
    worker = b.worker()
    equal(os.sched_getscheduler(worker) & ~os.SCHED_RESET_ON_FORK,
          os.SCHED_BATCH)
    equal(b.end(), 0)
    assert not os.path.exists(b.host)
    assert gone(worker)
    assert ": error:" not in b.logged(), b.logged()


@test
def sigint_ends_in_order(b):
    b.start()
    equal(b.end(signal.SIGINT), 0)
    assert not os.path.exists(b.host)


@test
def uuid_and_access(b):
    b.start("--uuid", "8f0e2f3c-0001-4bcd-8000-00000000abcd",
            "--access", "all")
    equal(vmc.call(b.host, "GetInfo")["uuid"],
          "8f0e2f3c-0001-4bcd-8000-00000000abcd")
    equal(os.stat(b.host).st_mode & 0o777, 0o755)
    equal(os.stat(f"{b.host}/control").st_mode & 0o777, 0o666)
    equal(b.end(), 0)


@test
def wrong_use(b):
    rows = [
        ([], "expected the name of one VM"),
        (["a", "b"], "expected the name of one VM"),
        (["../a"], "is not a VM's name"),
        (["--uuid", "1234", "a"], "--uuid \"1234\": expected xxxxxxxx-"),
        (["--link-fd", "77", "a"], "--link-fd \"77\": expected the number"),
        (["--link-fd", "x", "a"], "--link-fd \"x\": expected the number"),
        (["--link-fd", "0", "a"], "expected a connected stream socket"),
        (["--link", "/x", "--link-fd", "0", "a"], "exclude each other"),
        (["--sandbox=maybe", "a"], "expected on or off"),
        (["--access", "me", "a"], "expected owner or all"),
        (["--link", "/" + 200 * "x", "a"], "give a shorter one"),
        (["--qemu-group", "no-such-group", "a"], "a group's name or number"),
        (["--qemu-group", "4294967295", "a"], "a group's name or number"),
        (["--dir", "/" + 200 * "x", "a"], "give a shorter --dir"),
        (["--worker", "a"], "is for vmchanneld itself"),
        (["--nonsense", "a"], "see vmchanneld --help"),
    ]
    for args, part in rows:
        if not any(a in ("--dir", "--worker") for a in args):
            args = ["--dir", f"{b.top}/h", *args]
        status, err = run_bad(b, *args)
        equal((args, status), (args, 2))
        has(err, part)
        assert err.strip().count("\n") == 0 or "--nonsense" in args, err
    equal(os.listdir(f"{b.top}/h"), [])
    env = {k: v for k, v in os.environ.items()
           if k not in ("XDG_RUNTIME_DIR", "VMCHANNEL_DIR")}
    if os.geteuid() != 0:
        status, err = run_bad(b, "a", env=env)
        equal(status, 2)
        has(err, "XDG_RUNTIME_DIR is not set")


@test
def help_is_in_the_manual(b):
    out = subprocess.run([VMCHANNELD, "--help"], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    with open(MANPAGE, encoding="utf-8") as f:
        page = f.read().replace("\\", "")
    options = set(re.findall(r"--[a-z-]+", out))
    assert len(options) >= 10, options
    for o in options:
        has(page, o)
    for o in set(re.findall(r"\*(--[a-z-]+)", page)):
        has(out, o)
    subprocess.run([VMCHANNELD, "--version"], stdout=subprocess.PIPE,
                   check=True)


@test
def directory_in_use(b):
    b.start()
    status, err = run_bad(b, *b.command()[1:])
    equal(status, 3)
    has(err, f"{b.host} is in use by process {b.daemon.pid}; ")
    equal(vmc.call(b.host, "GetInfo")["vm"], "vm")  # undisturbed
    equal(b.end(), 0)


@test
def directory_that_was_there(b):
    os.mkdir(b.host)
    os.chmod(b.host, 0o777)
    status, err = run_bad(b, *b.command()[1:])
    equal((status, err), (1, f"vmchanneld: {b.host} may be written by other "
                             "users; chmod go-w it, or use another --dir\n"))
    equal(os.stat(b.host).st_mode & 0o777, 0o777)
    equal(os.listdir(b.host), [])
    os.chmod(b.host, 0o755)
    b.start()
    equal(os.stat(b.host).st_mode & 0o777, 0o755)
    equal(b.end(), 0)


@test
def service_manager_is_told(b):
    path = f"{b.top}/notify"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(vmc.TIMEOUT)
    b.start(env={**os.environ, "NOTIFY_SOCKET": path})
    equal(s.recv(100), b"READY=1")
    equal(b.end(), 0)
    equal(s.recv(100), b"STOPPING=1")
    s.close()


# ---- configuration ---------------------------------------------------------------


@test
def bad_configuration(b):
    b.put("policy.d/10.conf", "\nconnect a host perhaps\n")
    status, err = run_bad(b, *b.command()[1:])
    equal(status, 2)
    equal(err, f"vmchanneld: {b.config}/policy.d/10.conf:2: \"perhaps\": "
               "expected allow or deny\n")
    assert not os.path.exists(b.host)
    b.put("policy.d/10.conf", "")
    b.put("services.d/x.conf", "[Service]\nCommand=cat\n")
    status, err = run_bad(b, *b.command()[1:])
    equal(status, 2)
    has(err, "services.d/x.conf:2: Command: \"cat\" must begin with /")


def allowed(b, channel):
    r = vmc.call(b.host, "CheckPolicy", operation="connect", channel=channel,
                 caller={"side": "guest", "uid": 5, "gid": 5})
    return r["allowed"], os.path.basename(r["rule"])


@test
def policy_folders_and_order(b):
    os.makedirs(f"{b.config}/vm/policy.d")
    b.put("policy.d/20.conf", "connect c guest:* deny\n")
    b.put("policy.d/10.conf", "# first\nconnect a guest:5 deny\n")
    b.put("vm/policy.d/05.conf", "connect a guest:* allow\n"
          "connect b guest:* deny\n")
    b.start()
    equal(allowed(b, "a"), (False, "10.conf:2"))
    equal(allowed(b, "b"), (False, "05.conf:2"))
    equal(allowed(b, "c"), (False, "20.conf:1"))
    equal(allowed(b, "d"), (True, "built-in:5"))
    equal(allowed(b, "org.vmchannel.x"), (False, "built-in:4"))
    equal(b.end(), 0)


@test
def reload_by_signal(b):
    b.start()
    equal(allowed(b, "a"), (True, "built-in:5"))
    b.put("policy.d/10.conf", "connect a guest:* deny\n")
    b.daemon.send_signal(signal.SIGHUP)
    vmc.wait_for(lambda: allowed(b, "a") == (False, "10.conf:1"))
    b.put("policy.d/10.conf", "nonsense\n")
    b.daemon.send_signal(signal.SIGHUP)
    vmc.wait_for(lambda: "ev=reload-failed" in b.logged())
    has(b.logged(), "10.conf:1: expected")
    equal(allowed(b, "a"), (False, "10.conf:1"))  # the old one stays
    os.kill(b.worker(), signal.SIGKILL)  # also for the next worker
    vmc.wait_for(lambda: b.state(b.host) != "gone")
    equal(allowed(b, "a"), (False, "10.conf:1"))
    equal(b.end(), 0)


@test
def reload_by_call(b):
    b.start()
    b.put("policy.d/10.conf", "connect a guest:* deny\n")
    vmc.call(b.host, "Reload")
    equal(allowed(b, "a"), (False, "10.conf:1"))
    b.put("policy.d/10.conf", "connect \x01 guest:* deny\n")
    try:
        vmc.call(b.host, "Reload")
        raise AssertionError("a bad file was taken")
    except vmc.Error as e:
        equal(e.name, "ConfigError")
        has(e.params["detail"], "10.conf:1: byte 0x01 is not allowed here")
    equal(allowed(b, "a"), (False, "10.conf:1"))
    b.put("policy.d/10.conf", "")
    vmc.call(b.host, "Reload")
    equal(allowed(b, "a"), (True, "built-in:5"))
    equal(b.end(), 0)


# ---- with an agent ------------------------------------------------------------------


@test
def streams_both_ways(b):
    b.start_all()
    equal(vmc.call(b.host, "GetInfo")["peer_instance"],
          vmc.call(b.guest, "GetInfo")["instance"])
    echo_once(b)
    echo_once(b, os.urandom(100000))
    equal(b.end(), 0)


@test
def bulk_is_intact(b):
    b.start_all()
    data = random.Random(1).randbytes(16 << 20)
    for here, there in ((b.host, b.guest), (b.guest, b.host)):
        lis = vmc.Listener(there, "org.test.bulk")
        wait_channel(here, "org.test.bulk")
        mine, _, theirs, _ = vmc.join(here, lis)
        t = threading.Thread(target=lambda s=mine: (
            s.sendall(data), s.shutdown(socket.SHUT_WR)))
        t.start()
        equal(hashlib.sha256(vmc.read_all(theirs)).digest(),
              hashlib.sha256(data).digest())
        t.join()
        for s in (mine, theirs, lis):
            s.close()
        wait_channel(here, "org.test.bulk", False)
    equal(b.end(), 0)


@test
def services(b):
    b.put("services.d/org.test.env.conf", "[Service]\nMaxStreams=2\nCommand="
          "/bin/sh -c \"echo $VMCHANNEL_CHANNEL $VMCHANNEL_CALLER $#; cat\"\n")
    b.put("services.d/org.test.none.conf",
          "[Service]\nCommand=/no/such/program\n")
    b.put("services.d/org.test.sock.conf",
          f"[Service]\nSocket={b.top}/echo\n")
    lis = socket.socket(socket.AF_UNIX)
    lis.bind(f"{b.top}/echo")
    lis.listen(4)
    b.start_all()
    for name in ("env", "none", "sock"):
        wait_channel(b.guest, f"org.test.{name}")

    s, first = vmc.raw(b.guest, b"CONNECT org.test.env\n")
    has(first, "OK ")
    equal(vmc.line(s), f"org.test.env guest:{os.getuid()} 0\n")
    s.sendall(b"x")
    equal(s.recv(1), b"x")
    s.shutdown(socket.SHUT_WR)
    equal(vmc.read_all(s), b"")
    s.close()

    _, first = vmc.raw(b.guest, b"CONNECT org.test.none\n")
    has(first, "ERR no-service")
    has(b.logged(), "ev=service-failed channel=org.test.none")

    s, first = vmc.raw(b.guest, b"CONNECT org.test.sock\n")
    has(first, "OK ")
    peer = lis.accept()[0]
    s.sendall(b"to the socket")
    equal(vmc.read_exact(peer, 13), b"to the socket")
    peer.close()
    s.close()

    # no zombies: only the worker is left
    def children():
        return subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(b.daemon.pid)],
            stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    vmc.wait_for(lambda: len(children()) == 1)

    # withdrawn and announced by a reload
    os.unlink(f"{b.config}/services.d/org.test.env.conf")
    b.put("services.d/org.test.new.conf", "[Service]\nCommand=/bin/cat\n")
    b.daemon.send_signal(signal.SIGHUP)
    wait_channel(b.guest, "org.test.env", False)
    wait_channel(b.guest, "org.test.new")
    lis.close()
    equal(b.end(), 0)


@test
def link_cut_and_back(b):
    b.start_all()
    seen = b.qemu.clients
    with b.qemu.lock:
        b.qemu.drop()
    vmc.wait_for(lambda: b.qemu.clients > seen)
    b.wait_up()
    echo_once(b)
    # QEMU ends and starts again
    b.qemu.close()
    vmc.wait_for(lambda: b.state(b.host) == "down")
    time.sleep(0.3)
    b.qemu = Qemu(b.top)
    b.wait_up()
    echo_once(b)
    equal(b.end(), 0)


@test
def exit_with_link(b):
    b.start_all("--exit-with-link")
    with b.qemu.lock:
        b.qemu.drop()  # only cut: somebody still listens
    time.sleep(0.3)
    b.wait_up()
    b.qemu.close()
    equal(b.daemon.wait(vmc.TIMEOUT), 0)
    assert not os.path.exists(b.host)
    has(b.logged(), "ev=stopping why=\"QEMU has ended\"")


@test
def link_by_descriptor(b):
    b.qemu = Qemu(b.top)
    fd = socket.socket(socket.AF_UNIX)
    fd.connect(f"{b.top}/link")
    b.start("--link-fd", str(fd.fileno()), link=False, pass_fds=[fd.fileno()])
    fd.close()
    b.start_agent()
    b.wait_up()
    echo_once(b)
    with b.qemu.lock:
        b.qemu.drop()
    equal(b.daemon.wait(vmc.TIMEOUT), 0)  # there is no way to another one


# ---- death -----------------------------------------------------------------------------


@test
def worker_killed(b):
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.death")
    wait_channel(b.host, "org.test.death")
    mine, _, theirs, info = vmc.join(b.host, lis)
    mine.sendall(b"x")
    equal(theirs.recv(1), b"x")
    old = b.worker()
    began = time.monotonic()
    os.kill(old, signal.SIGKILL)
    equal(vmc.read_all(mine), b"")  # the host's program sees an end
    vmc.wait_for(lambda: b.worker() not in (None, old))
    assert time.monotonic() - began < 2
    equal(ended(b.guest, info["id"])["reason"], "daemon-lost")
    b.wait_up()
    wait_channel(b.host, "org.test.death")  # the guest announces again
    lis.close()
    wait_channel(b.host, "org.test.death", False)
    echo_once(b)
    has(b.logged(), "ev=worker-died signal=9 restart_ms=0")
    mine.close()
    theirs.close()
    equal(b.end(), 0)


@test
def worker_dies_often(b):
    b.start()
    for _ in range(7):
        pid = vmc.wait_for(b.worker)
        vmc.wait_for(lambda: b.state(b.host) != "gone")
        os.kill(pid, signal.SIGKILL)
        vmc.wait_for(lambda: gone(pid))
    has(b.logged(), "restart_ms=1000")
    vmc.wait_for(lambda: b.state(b.host) != "gone")
    equal(b.end(), 0)


@test
def term_while_no_worker_runs(b):
    b.start()

    def waits():
        """How many fit into the ten seconds depends on the machine."""
        pid = b.worker()
        if pid and "restart_ms=1000" not in b.logged():
            os.kill(pid, signal.SIGKILL)
            vmc.wait_for(lambda: gone(pid))
        return "restart_ms=1000" in b.logged()
    vmc.wait_for(waits)
    equal(b.end(), 0)
    assert not os.path.exists(b.host)


@test
def stopped_worker_cannot_delay_the_end(b):
    b.start()
    os.kill(b.worker(), signal.SIGSTOP)
    began = time.monotonic()
    equal(b.end(), 0)
    assert time.monotonic() - began < 8
    assert not os.path.exists(b.host)


@test
def supervisor_killed(b):
    b.start_all()
    worker = b.worker()
    b.daemon.kill()
    b.daemon.wait()
    vmc.wait_for(lambda: gone(worker))
    assert os.path.exists(f"{b.host}/lock")  # stale, and taken over
    b.start()
    b.wait_up()
    echo_once(b)
    equal(b.end(), 0)


@test
def guest_hears_the_goodbye(b):
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.bye")
    wait_channel(b.host, "org.test.bye")
    mine, _, theirs, info = vmc.join(b.host, lis)
    equal(b.end(), 0)
    equal(ended(b.guest, info["id"])["reason"], "shutdown")
    for s in (mine, theirs, lis):
        s.close()


def end_while_qemu_is_slow(b, seconds):
    """SIGTERM, and QEMU does nothing for a while."""
    with b.qemu.lock:
        b.daemon.send_signal(signal.SIGTERM)
        time.sleep(seconds)
    equal(b.daemon.wait(vmc.TIMEOUT), 0)


@test
def guest_hears_the_goodbye_of_a_busy_machine(b):
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.bye")
    wait_channel(b.host, "org.test.bye")
    mine, _, theirs, info = vmc.join(b.host, lis)
    end_while_qemu_is_slow(b, 1)
    equal(ended(b.guest, info["id"])["reason"], "shutdown")
    for s in (mine, theirs, lis):
        s.close()


@test
def guest_hears_the_goodbye_behind_a_full_link(b):
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.bye")
    wait_channel(b.host, "org.test.bye")
    mine, _, theirs, info = vmc.join(b.host, lis)

    def writes():
        return vmc.call(b.host, "Stats")["broker"]["link_writes"]
    before = writes()

    def write_some():
        for _ in range(100):
            mine.sendall(b"x")
            time.sleep(0.001)
        return writes() - before > 200
    with b.qemu.lock:
        # A socket takes 278 small writes; a busy machine joins some bytes.
        vmc.wait_for(write_some)
        for _ in range(3):
            write_some()
        assert writes() - before < 400, writes() - before
        b.daemon.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    equal(b.daemon.wait(vmc.TIMEOUT), 0)
    equal(ended(b.guest, info["id"])["reason"], "shutdown")
    for s in (mine, theirs, lis):
        s.close()


# ---- hostile ------------------------------------------------------------------------------


@test
def garbage_on_the_link(b):
    b.qemu = Qemu(b.top, guest=False)
    b.start()
    vmc.wait_for(lambda: b.qemu.host)
    worker = b.worker()
    rnd = random.Random(7)
    for size in (1, 7, 64, 4096, 65536, 1 << 20):
        with b.qemu.lock:
            host = b.qemu.host
            if host:
                host.settimeout(0.2)
                with contextlib.suppress(OSError):
                    host.sendall(rnd.randbytes(size))
        vmc.wait_for(lambda: b.qemu.host)
        equal(vmc.call(b.host, "GetInfo")["vm"], "vm")  # local ones are served
    equal(b.worker(), worker)
    b.qemu.close()
    b.qemu = Qemu(b.top)
    b.start_agent()
    b.wait_up()
    echo_once(b)
    equal(b.worker(), worker)
    equal(b.end(), 0)


@test
def mute_link_is_tried_again(b):
    """Behind somebody else's connection everything is accepted and nothing
    answered, until that one leaves."""
    b.qemu = Qemu(b.top, guest=False)
    b.start()
    vmc.wait_for(lambda: b.qemu.clients == 1)
    vmc.wait_for(lambda: b.qemu.clients == 2)
    has(b.logged(), "ev=link-ended why=no-answer")
    equal(b.end(), 0)


@test
def worker_is_in_its_sandbox(b):
    if SANITIZED:
        raise Skip("a sanitizer needs more than the sandbox gives")
    b.start_all()
    with open(f"/proc/{b.worker()}/status", encoding="ascii") as f:
        status = f.read()
    for line in ("Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000",
                 "CapPrm:\t0000000000000000"):
        has(status, line)
    kinds = [os.readlink(f"/proc/{b.worker()}/fd/{n}").split(":")[0]
             for n in os.listdir(f"/proc/{b.worker()}/fd")]
    files = [k for k in kinds if k.startswith("/")]
    assert set(files) <= {"/dev/null", f"{b.top}/log"}, files
    equal(b.end(), 0)


def own_namespaces():
    """May this user make some? In a container often not."""
    return subprocess.run(["unshare", "-m", "-n", "-i", "-u", "true"],
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


@test
def worker_sees_no_names(b):
    """What seccomp would hide from the worker is not there either."""
    if SANITIZED or os.geteuid() != 0 or not own_namespaces():
        raise Skip("needs root, namespaces and the sandbox")
    b.start_all("--user", str(OTHER_UID))
    proc = f"/proc/{b.worker()}"
    for ns in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"{proc}/ns/{ns}") != \
            os.readlink(f"/proc/self/ns/{ns}"), ns
    equal(os.listdir(f"{proc}/root"), [])
    # The kernel gives the files of what may not be dumped to root.
    equal(os.stat(f"{proc}/mem").st_uid, 0)
    with open(f"{proc}/limits", encoding="ascii") as f:
        limits = dict(re.findall(r"^(Max [a-z ]+?)  +(\d+) ", f.read(), re.M))
    equal(limits["Max open files"], "4096")
    equal(limits["Max data size"], str(256 << 20))
    equal(limits["Max processes"], "0")
    equal(limits["Max core file size"], "0")
    equal(b.end(), 0)


@test
def other_users_need_a_rule(b):
    if os.geteuid() != 0:
        raise Skip("needs root to be two users")
    os.chmod(b.top, 0o755)
    os.chmod(f"{b.top}/h", 0o755)
    b.put("policy.d/10.conf", "connect org.test.a group:54322 allow\n")
    b.start_all("--access", "all")
    lis = [vmc.Listener(b.guest, f"org.test.{c}") for c in "ab"]
    for c in "ab":
        wait_channel(b.host, f"org.test.{c}")

    def ask(channel, groups):
        """The first line that another user gets, as a pipe."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.setgroups(groups)
                os.setgid(OTHER_UID)
                os.setuid(OTHER_UID)
                s, first = vmc.raw(b.host, f"CONNECT {channel}\n".encode())
                os.write(w, first.encode())
                s.close()
            os._exit(0)
        os.close(w)
        return pid, os.fdopen(r)

    for channel, groups, first in (("org.test.a", [], "ERR denied"),
                                   ("org.test.b", [54322], "ERR denied"),
                                   ("org.test.a", [54322], "OK ")):
        pid, pipe = ask(channel, groups)
        if first == "OK ":
            lis[0].accept()[0].close()
        out = pipe.read()
        pipe.close()
        os.waitpid(pid, 0)
        assert out.startswith(first), (channel, groups, out)
    equal(b.end(), 0)


def may_connect(path, groups):
    """Whether another user with these groups can."""
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(OSError):
            os.setgroups(groups)
            os.setgid(OTHER_UID)
            os.setuid(OTHER_UID)
            socket.socket(socket.AF_UNIX).connect(path)
            status = 0
        os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


@test
def qemu_of_another_user(b):
    """Its group comes as far as vmstate.sock; nobody else comes there."""
    if os.geteuid() != 0:
        raise Skip("needs root to be two users")
    os.chmod(b.top, 0o755)
    os.chmod(f"{b.top}/h", 0o755)
    b.start("--qemu-group", "54322")
    equal(os.stat(b.host).st_mode & 0o777, 0o710)
    equal(os.stat(f"{b.host}/vmstate.sock").st_mode & 0o777, 0o660)
    for name, groups, may in (("vmstate.sock", [], False),
                              ("vmstate.sock", [54322], True),
                              ("control", [54322], False),
                              ("connect", [54322], False)):
        equal((name, groups, may_connect(f"{b.host}/{name}", groups)),
              (name, groups, may))
    b.daemon.send_signal(signal.SIGUSR2)  # the next program does the same
    vmc.wait_for(lambda: "ev=upgraded" in b.logged())
    equal(may_connect(f"{b.host}/vmstate.sock", [54322]), True)
    equal(b.end(), 0)
    # A directory that everybody may enter needs no group of its own.
    b.start("--qemu-group", "54322", "--access", "all")
    equal(os.stat(b.host).st_gid, os.getegid())
    equal(may_connect(f"{b.host}/vmstate.sock", [54322]), True)
    equal(may_connect(f"{b.host}/vmstate.sock", []), False)
    equal(b.end(), 0)
    # Not one's own to give away.
    os.chmod(f"{b.top}/h", 0o777)
    b.daemon = None
    r = subprocess.run(b.command("--qemu-group", "54322"),
                       stderr=subprocess.PIPE, text=True, check=False,
                       user=OTHER_UID, group=OTHER_UID, extra_groups=[],
                       timeout=vmc.TIMEOUT)
    equal(r.returncode, 1)
    has(r.stderr, "--qemu-group 54322: Operation not permitted")
    assert not os.path.exists(b.host)


@test
def runs_without_root(b):
    if os.geteuid() != 0:
        raise Skip("the other tests did")
    os.chmod(b.top, 0o777)
    os.chmod(f"{b.top}/h", 0o777)
    b.qemu = Qemu(b.top)
    b.start(user=OTHER_UID, group=OTHER_UID, extra_groups=[])
    b.start_agent()
    b.wait_up()  # root's programs are the owner's
    echo_once(b)
    if not SANITIZED:
        with open(f"/proc/{b.worker()}/status", encoding="ascii") as f:
            has(f.read(), "Seccomp:\t2")
    equal(b.end(), 0)


@test
def worker_as_another_user(b):
    if os.geteuid() != 0 or SANITIZED:
        raise Skip("needs root and the sandbox")
    b.start_all("--user", str(OTHER_UID))
    with open(f"/proc/{b.worker()}/status", encoding="ascii") as f:
        has(f.read(), "\nUid:\t" + "\t".join(4 * [str(OTHER_UID)]))
    echo_once(b)
    equal(b.end(), 0)
    b.daemon = None
    status, err = run_bad(b, *b.command("--user", "no-such-user")[1:])
    equal(status, 1)
    has(err, "what=user")


# ---- cost ------------------------------------------------------------------------------------


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return [int(n) for n in re.findall(r"ctxt_switches:\t(\d+)", f.read())]


@test
def idle_is_idle(b):
    """The timers of the handshake may still look once; nothing comes again
    and again."""
    b.start_all()
    pids = (b.daemon.pid, b.worker())
    for _ in range(4):
        before = [switches(p) for p in pids]
        time.sleep(4)
        if [switches(p) for p in pids] == before:
            break
    else:
        raise AssertionError("no quiet 4 s in 16 s")
    equal(b.end(), 0)


def private_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return sum(int(n) for n in
                   re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", f.read()))


@test
def memory(b):
    if SANITIZED:
        raise Skip("a sanitizer's own memory is not ours")
    b.start_all()
    lis = vmc.Listener(b.guest, "org.test.many")
    wait_channel(b.host, "org.test.many")
    joined = [vmc.join(b.host, lis) for _ in range(50)]
    for mine, _, theirs, _ in joined:
        mine.sendall(bytes(100000))
        theirs.sendall(bytes(100000))
    time.sleep(0.5)
    used = [private_kb(p) for p in (b.daemon.pid, b.worker())]
    print(f"# supervisor {used[0]} kB, worker {used[1]} kB")
    assert sum(used) <= MEMORY_KB, used
    for mine, _, theirs, _ in joined:
        mine.close()
        theirs.close()
    equal(b.end(), 0)


hostbench.run_all(sys.argv[4:])
