# SPDX-License-Identifier: MIT
"""varlinkctl of a newer systemd, which knows nothing of us, at the socket
"control" of the host, and through it in the guest."""
import json
import os
import subprocess

import operations as ops
import vmtest
from test_88_debian import TIMEOUT
from test_A6_offers import NAME, SOCKET, rules, seen
from vmtest import (CANNOT, OPERATIONS, SOURCE, Failure, Skip, check,
                    check_equal, test, wait_for)

# To fetch it, once; else it takes a second.
FETCH_SECONDS = 600
USERS = "io.systemd.UserDatabase"


class Ctl:
    def __init__(self, t, daemon):
        self.t = t
        self.address = os.path.join(daemon.dir, "control")
        folder = os.path.join(vmtest.BUILD, "varlinkctl")
        p = subprocess.run(
            [os.path.join(SOURCE, "tools/newer-varlinkctl"), folder],
            capture_output=True, text=True, timeout=FETCH_SECONDS,
            check=False)
        if p.returncode == CANNOT:
            raise Skip(p.stderr.strip().rpartition("\n")[2])
        if p.returncode:
            raise Failure("tools/newer-varlinkctl: " + p.stderr)
        self.program = os.path.join(folder, "bin", "varlinkctl")

    def start(self, verb, *args, options=()):
        return self.t.host(self.program, *options, verb, self.address, *args,
                           name="varlinkctl " + verb)

    def text(self, verb, *args, options=()):
        return self.start(verb, *args, options=options).ok(60)

    def call(self, method, _options=(), **params):
        """All replies."""
        text = self.text("call", method, json.dumps(params),
                         options=("--json=short", *_options))
        # Of several, each begins with a mark (RFC 7464).
        return [json.loads(line.lstrip("\x1e")) for line in text.split("\n")
                if line]

    def fails(self, method, word):
        p = self.start("call", method, "{}")
        check(p.wait(60) != 0, f"{method} worked")
        check(word in p.errors(), f"{method}: {p.errors()}")


@test(timeout=FETCH_SECONDS + 180, soak=True)
def test_varlinkctl_reaches_both_sides(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    ctl = Ctl(t, daemon)
    info = json.loads(ctl.text("info", options=("--json=short",)))
    check_equal(info["product"], "vmchanneld", "info")
    own = ["org.varlink.service", "org.vmchannel.Broker"]
    check_equal(sorted(ctl.text("list-interfaces").split()),
                sorted(own + OPERATIONS), "list-interfaces")
    # One connection for all of them.
    text = ctl.text("introspect")
    for name in own + OPERATIONS:
        check(f"interface {name}\n" in text, f"{name} is not in {text}")
    methods = ctl.text("list-methods").split()
    for method in ("Broker.Monitor", "System.GetUptime", "Agent.Subscribe",
                   "Power.PowerOff"):
        check("org.vmchannel." + method in methods, f"methods: {methods}")

    check_equal(ctl.call("org.vmchannel.Broker.GetInfo")[0]["vm"], vm.name,
                "the broker itself")
    boot = vm.guest.run("cat /proc/sys/kernel/random/boot_id").text().strip()
    check_equal(ctl.call("org.vmchannel.Agent.GetInfo")[0]["boot"], boot,
                "an operation")
    check_equal(ctl.call("org.vmchannel.Agent.Ping", token="t")[0]["token"],
                "t", "an operation with a parameter")
    ctl.fails("org.vmchannel.Agent.Nothing", "MethodNotFound")
    ctl.fails("org.vmchannel.Nothing.Do", "InterfaceNotFound")
    ctl.fails("org.vmchannel.Exec.RunService", "NeedsUpgrade")
    # It goes on until the client has enough.
    events = ctl.start("call", "org.vmchannel.Agent.Subscribe", "{}",
                       options=("-E", "--json=short"))
    events.expect(rf'"boot":"{boot}"', 60)
    events.kill()
    events = ctl.start("call", "org.vmchannel.Broker.Monitor",
                       '{"snapshot": true}', options=("-E", "--json=short"))
    events.expect('"snapshot-end"', 60)
    events.kill()
    offered(t, vm, daemon, ctl)


def offered(t, vm, daemon, ctl):
    service = t.job(vm, f"exec offered {SOCKET} 2>/tmp/offered.log")
    wait_for("the service", lambda: vm.guest.run(
        f"test -S {SOCKET}", check=False).status == 0, 60)
    with rules(vm, daemon, f"call {NAME}.Close host deny\n"
                           f"offer {NAME} host {SOCKET}\n"):
        text = ctl.text("introspect", NAME, "org.vmchannel.System")
        check(f"interface {NAME}\n" in text and
              "interface org.vmchannel.System\n" in text, text)
        check_equal(ctl.call(NAME + ".Echo", text="\u00e4\u20ac"),
                    [{"text": "\u00e4\u20ac"}], "Echo")
        check_equal(ctl.call(NAME + ".Count", ("--more",), n=100),
                    [{"i": i} for i in range(1, 101)], "Count")
        check_equal(len(ctl.call(NAME + ".Big", bytes=1 << 20)[0]["data"]),
                    1 << 20, "Big")
        ctl.call(NAME + ".Echo", ("--oneway",), text="unheard")
        wait_for("the call without a reply", lambda: seen(vm).count(
            NAME + ".Echo") == 2, 60)
        ctl.fails(NAME + ".Close", "PolicyDenied")
    service.kill()


@test(timeout=FETCH_SECONDS + TIMEOUT, soak=True)
def test_varlinkctl_reaches_systemd(t):
    """The guest's own systemd answers the host's."""
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    ctl = Ctl(t, daemon)
    vm.guest.run("systemd-run --unit=dyn -p Type=exec -p DynamicUser=yes "
                 "-p User=dynuser sleep 1000")
    try:
        with rules(vm, daemon, f"offer {USERS} host /run/systemd/userdb/"
                               "io.systemd.DynamicUser\n"):
            answer, = ctl.call(USERS + ".GetUserRecord",
                               service="io.systemd.DynamicUser",
                               userName="dynuser")
            pid = vm.guest.run("systemctl show -P MainPID dyn").text().strip()
            uid = int(vm.guest.run(f"stat -c %u /proc/{pid}").text())
            check_equal(answer["record"]["uid"], uid, "its uid")
            sessions, = ctl.call("org.vmchannel.Session.ListSessions")
            check_equal({s["user"] for s in sessions["sessions"]},
                        {"alice", "bob"}, "who is logged in")
    finally:
        vm.guest.run("systemctl stop dyn", check=False)
