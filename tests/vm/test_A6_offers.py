# SPDX-License-Identifier: MIT
"""Services of the guest that a policy line offers to the host."""
import contextlib
import json
import socket

import operations as ops
from operations import error_of
from test_88_debian import TIMEOUT
from vmtest import check, check_equal, test, varlink, wait_for

NAME = "io.example.Offered"
SERVICE = "org.varlink.service."
FILE = "/etc/vmchannel/policy.d/60-offer.conf"
RELOAD = "vmchannel call host --local org.vmchannel.Broker.Reload"
SOCKET = "/run/offered"
CHUNK = 65536
BIG = 3 << 20


def channels(daemon):
    return {c["name"] for c in varlink(
        daemon, "org.vmchannel.Broker.List")["channels"]}


@contextlib.contextmanager
def rules(vm, daemon, text):
    """The guest's policy has these lines, and its offers are there."""
    names = {line.split()[1] for line in text.splitlines()
             if line.startswith("offer")}
    vm.guest.run(f"mkdir -p /etc/vmchannel/policy.d; cat >{FILE}; {RELOAD}",
                 stdin=text.encode())
    try:
        wait_for("the offers", lambda: names <= channels(daemon), 60, 0.1)
        yield
    finally:
        vm.guest.run(f"rm {FILE}; {RELOAD}")
        wait_for("the end of the offers",
                 lambda: not names & channels(daemon), 60, 0.1)


def echo(stream, text):
    stream.send(NAME + ".Echo", {"text": text})
    check_equal(stream.reply(), {"text": text}, "what came back")


def seen(vm):
    return vm.guest.run("cat /tmp/offered.log").text().split()


@test(timeout=120)
def test_offer_one_line_is_enough(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    with rules(vm, daemon, f"call {NAME}.Close host deny\n"
                           f"offer {NAME} host {SOCKET}\n"):
        # Nothing is there yet: said so, and the stream goes on.
        s = ops.Stream(t, daemon, NAME)
        s.send(NAME + ".Echo", {"text": "early"})
        check_equal(s.message(), {
            "error": "org.vmchannel.Failed", "parameters": {
                "operation": NAME + ".Echo", "name": "ENOENT",
                "detail": SOCKET + ": No such file or directory"}}, "no socket")
        service = t.job(vm, f"exec offered {SOCKET} 2>/tmp/offered.log")
        wait_for("the service", lambda: vm.guest.run(
            f"test -S {SOCKET}", check=False).status == 0, 60)
        echo(s, "late")

        # It speaks for itself.
        s.send(SERVICE + "GetInfo")
        check_equal(s.reply()["product"], "offered", "GetInfo")
        s.send(SERVICE + "GetInterfaceDescription", {"interface": NAME})
        check("method Echo" in s.reply()["description"], "description")

        # Every message is looked at, wherever it stands.
        for method, answer in (
                (NAME + ".Close", ("org.vmchannel.PolicyDenied", {
                    "operation": NAME + ".Close", "class": "full",
                    "rule": FILE + ":1"})),
                ("io.example.Other.X", (SERVICE + "InterfaceNotFound", {
                    "interface": "io.example.Other"}))):
            s.send(NAME + ".Echo", {"text": "before"})
            s.send(method)
            s.send(NAME + ".Echo", {"text": "behind"})
            check_equal(s.reply(), {"text": "before"}, "the call before")
            m = s.message()
            check_equal((m["error"], m["parameters"]), answer, method)
            check_equal(s.reply(), {"text": "behind"}, "the call behind")
        check(NAME + ".Close" not in seen(vm), "what was denied came through")
        said = vm.guest.run(f"vmchannel policy test host call {NAME}.Close "
                            f"--as host; vmchannel policy test host call "
                            f"{NAME}.Echo --as host; vmchannel policy test "
                            f"host listen {NAME} --as guest:1000",
                            check=False).text()
        check_equal([line.split(":")[0] for line in said.splitlines()],
                    ["denied", "allowed", "denied"], said)
        check(f"(rule {FILE}:1)" in said and f"(rule {FILE}:2)" in said, said)
        p = t.cli(daemon, "call", vm.name, NAME + ".Close")
        check_equal((p.wait(60), f"{FILE}:1" in p.errors()), (126, True),
                    "denied by the command: " + p.errors())

        replies(t, vm, daemon, s)
        upgraded(t, daemon)
        service.kill()
    s.send(NAME + ".Echo")
    m = s.message()
    check_equal((m["error"], m["parameters"]["rule"]),
                ("org.vmchannel.PolicyDenied", "none"), "offered no more")
    s.close()


def replies(t, vm, daemon, s):
    """Many, long, none."""
    s.send(NAME + ".Count", {"n": 1000}, more=True)
    for i in range(1, 1001):
        m = s.message()
        check_equal((m["parameters"]["i"], m.get("continues", False)),
                    (i, i < 1000), "a reply")
    s.send(NAME + ".Big", {"bytes": BIG})
    check_equal(len(s.reply()["data"]), BIG, "bytes of a long reply")
    text = t.cli(daemon, "call", vm.name, NAME + ".Count", '{"n": 3}',
                 "--more").ok()
    check_equal([json.loads(line)["i"] for line in text.splitlines()],
                [1, 2, 3], "replies by the command")
    p = t.cli(daemon, "call", vm.name, NAME + ".Big",
              json.dumps({"bytes": BIG}))
    check(p.wait(60) != 0 and p.errors().count("\n") == 1, p.errors())
    # One that waits hinders nobody, and its end is passed on.
    hung = ops.Stream(t, daemon, NAME)
    hung.send(NAME + ".Never")
    echo(s, "meanwhile")
    wait_for("the hung call", lambda: NAME + ".Never" in seen(vm), 60)
    before = vm.guest.run("pidof offered | wc -w", check=False).text()
    hung.close()
    wait_for("the end of the hung call", lambda: vm.guest.run(
        "pidof offered | wc -w", check=False).text() != before, 60)
    s.send(NAME + ".Echo", {"text": "unheard"}, oneway=True)
    echo(s, "after a call without a reply")


def upgraded(t, daemon):
    s = ops.Stream(t, daemon, NAME)
    s.send(NAME + ".Raw")
    check_equal(s.message()["error"], NAME + ".Refused", "no upgrade")
    s.send(NAME + ".Raw", upgrade=True)
    check_equal(s.reply(), {}, "the upgrade")
    data = bytes(range(256)) * 4096
    s.socket.settimeout(60)
    got = s.data
    for i in range(0, len(data), CHUNK):
        s.socket.sendall(data[i:i + CHUNK])
        while len(got) < i + CHUNK:
            piece = s.socket.recv(CHUNK)
            check(piece, f"the end after {len(got)} bytes")
            got += piece
    check(got == data, "raw bytes came back changed")
    # The end of one direction is not that of the other.
    s.socket.shutdown(socket.SHUT_WR)
    tail = b""
    while piece := s.socket.recv(CHUNK):
        tail += piece
    check_equal(tail, b"bye", "after our end")
    s.close()


@test(timeout=TIMEOUT, slow=True)
def test_offer_of_systemd(t):
    """Two services of the guest's own systemd, by one line each."""
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    users, journal = "io.systemd.UserDatabase", "io.systemd.Journal"
    vm.guest.run("systemd-run --unit=dyn -p Type=exec -p DynamicUser=yes "
                 "-p User=dynuser sleep 1000")
    try:
        with rules(vm, daemon, f"call {journal}.Rotate host deny\n"
                   f"offer {users} host /run/systemd/userdb/"
                   "io.systemd.DynamicUser\n"
                   f"offer {journal} host /run/systemd/journal/"
                   "io.systemd.journal\n"):
            pid = vm.guest.run("systemctl show -P MainPID dyn").text().strip()
            uid = int(vm.guest.run(f"stat -c %u /proc/{pid}").text())
            text = t.cli(daemon, "call", vm.name, users + ".GetUserRecord",
                         json.dumps({"service": "io.systemd.DynamicUser",
                                     "userName": "dynuser"})).ok()
            check_equal(json.loads(text)["record"]["uid"], uid, "its uid")
            text = t.cli(daemon, "call", vm.name, users + ".GetUserRecord",
                         json.dumps({"service": "io.systemd.DynamicUser"}),
                         "--more").ok()
            check("dynuser" in [json.loads(line)["record"]["userName"]
                                for line in text.splitlines()], text)
            name, _ = error_of(t, daemon, users + ".GetUserRecord",
                               service="io.systemd.DynamicUser",
                               userName="nobody-of-that-name")
            check_equal(name, users + ".NoRecordFound", "the service's error")
            # The journal's method has come when its record is there.
            name, params = error_of(t, daemon, journal + ".Rotate")
            check_equal((name, params["rule"]),
                        ("org.vmchannel.PolicyDenied", FILE + ":1"), "Rotate")
            t.cli(daemon, "call", vm.name, journal + ".Synchronize").ok()
    finally:
        vm.guest.run("systemctl stop dyn", check=False)
