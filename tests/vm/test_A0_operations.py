# SPDX-License-Identifier: MIT
"""The guest's operations: what they all have in common."""
import json
import os
import socket

import operations as ops
from operations import AGENT, call, error_of
from vmtest import (OPERATIONS, SOURCE, check, check_equal, test, varlink,
                    wait_for)

SERVICE = "org.varlink.service."
RULES = "/etc/vmchannel/policy.d/50-test.conf"
CALLERS = 50


@test()
def test_ops_agent_answers(t):
    vm, daemon = t.shared()
    pid = ops.ready(t, daemon)
    check_equal(call(t, daemon, AGENT + "Ping", token="t")["token"], "t",
                "what Ping gives back")
    info = call(t, daemon, AGENT + "GetInfo")
    check_equal(info["boot"], vm.guest.run(
        "cat /proc/sys/kernel/random/boot_id").text().strip(), "boot")
    check_equal(info["back_end"], "kernel", "back end of a minimal guest")
    check_equal(vm.guest.run(f"cat /proc/{pid}/comm").text().strip(),
                "vmchannel-ops", "the process of that pid")
    ping = [c for c in info["capabilities"] if c["method"] == AGENT + "Ping"]
    check_equal(ping, [{"method": AGENT + "Ping", "class": "read",
                        "available": True, "allowed": True}], "Ping")


@test()
def test_ops_describe_themselves(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    for interface in OPERATIONS:
        s = ops.Stream(t, daemon, interface)
        s.send(SERVICE + "GetInfo")
        check_equal(s.reply()["interfaces"],
                    ["org.varlink.service", "org.vmchannel", interface],
                    "interfaces")
        for name in (interface, "org.vmchannel"):
            path = os.path.join(SOURCE, "interfaces", name + ".varlink")
            with open(path, encoding="ascii") as f:
                text = f.read()
            s.send(SERVICE + "GetInterfaceDescription", {"interface": name})
            check_equal(s.reply()["description"], text, name)
        s.close()
    text = t.cli(daemon, "call", vm.name, AGENT + "GetInfo").ok()
    check("capabilities" in text, text)


@test()
def test_ops_wrong_calls_have_their_errors(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    for method, params, error, detail in (
            (AGENT + "Nothing", {}, "MethodNotFound", AGENT + "Nothing"),
            (AGENT + "Ping", {"token": 1}, "InvalidParameter", "token"),
            (AGENT + "Ping", {"tokn": ""}, "InvalidParameter", "tokn"),
            (AGENT + "Ping", {"token": "x" * 1025}, "InvalidParameter",
             "token"),
            (AGENT + "Subscribe", {}, "ExpectedMore", None)):
        name, got = error_of(t, daemon, method, **params)
        check_equal((name, *got.values()),
                    (SERVICE + error, *([detail] if detail else [])), method)
    # One interface's channel is no way to another.
    s = ops.Stream(t, daemon, "org.vmchannel.System")
    s.send(AGENT + "Ping")
    check_equal(s.message()["error"], SERVICE + "InterfaceNotFound",
                "a method of another interface")
    s.send(SERVICE + "GetInterfaceDescription",
           {"interface": "org.vmchannel.Agent"})
    check_equal(s.message()["error"], SERVICE + "InterfaceNotFound",
                "the description of another interface")


@test()
def test_ops_calls_follow_each_other_on_a_stream(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    s = ops.Stream(t, daemon, "org.vmchannel.Agent")
    s.send(AGENT + "Ping", {"token": "unheard"}, oneway=True)
    for i in range(20):
        s.send(AGENT + "Ping", {"token": str(i)})
    # The end of what is sent is not the end of what is wanted.
    s.socket.shutdown(socket.SHUT_WR)
    check_equal([s.reply()["token"] for _ in range(20)],
                [str(i) for i in range(20)], "replies")
    check_equal(s.message(), None, "the end")
    s = ops.Stream(t, daemon, "org.vmchannel.Agent")
    s.socket.sendall(b"not varlink\0")
    check_equal(s.message(), None, "the answer to nonsense")


@test()
def test_ops_fifty_callers_at_once(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    # Some that wait for events, and one that never ends its call.
    waiting = [ops.Events(t, daemon) for _ in range(10)]
    half = ops.Stream(t, daemon, "org.vmchannel.Agent")
    half.socket.sendall(b'{"method":"' + AGENT.encode())
    streams = [ops.Stream(t, daemon, "org.vmchannel.Agent")
               for _ in range(CALLERS)]
    for i, s in enumerate(streams):
        s.send(AGENT + "Ping", {"token": str(i)})
    for i, s in enumerate(streams):
        check_equal(s.reply()["token"], str(i), "the token that came back")
    for s in [*streams, *waiting, half]:
        s.close()


@test()
def test_ops_subscribers_are_limited(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    waiting = [ops.Events(t, daemon) for _ in range(64)]
    s = ops.Stream(t, daemon, "org.vmchannel.Agent")
    s.send(AGENT + "Subscribe", more=True)
    check_equal(s.message(), {"error": "org.vmchannel.LimitReached",
                              "parameters": {"limit": "subscribers",
                                             "value": 64}}, "one too many")
    for e in waiting:
        e.close()

    def look():
        s.send(AGENT + "Subscribe", more=True)
        return "error" not in s.message()
    wait_for("places of those that went", look, 60, 0.2)


@test(timeout=180)
def test_ops_events_outlive_the_process(t):
    vm, daemon = t.shared()
    pid = ops.ready(t, daemon)
    before = ops.Events(t, daemon)
    place = "{boot}:{seq}".format(**before.position)
    cli = t.cli(daemon, "events", vm.name, "--json", "--after", place,
                "--type", "org.vmchannel.Agent.*")
    text = t.cli(daemon, "events", vm.name, "--after", place)
    wait_for("both subscriptions", lambda: len([
        s for s in varlink(daemon, "org.vmchannel.Broker.Streams")["streams"]
        if s["state"] == "open"]) >= 3, 60)
    vm.guest.run(f"kill -9 {pid}")
    check_equal(before.stream.message(), None, "the end of the stream")
    wait_for("another process", lambda: ops.ready(t, daemon) != pid, 60)
    after = ops.Events(t, daemon, after=before.position)
    check_equal((after.position, after.lost), (before.position, 0),
                "where it goes on")
    # Others may happen, too; none is left out before it.
    event = after.next()
    check_equal(event["seq"], before.position["seq"] + 1, "the next number")
    while event["type"] != AGENT + "Started":
        number, event = event["seq"], after.next()
        check_equal(event["seq"], number + 1, "the next number")
    # From the first on, each once and in order.
    again = ops.Events(t, daemon, after={"boot": "other", "seq": 999})
    check_equal([again.next()["seq"] for _ in range(event["seq"])],
                list(range(1, event["seq"] + 1)), "all of this boot")
    # Who asks for other types gets none of these (it could only be too late).
    other = ops.Events(t, daemon, after={"boot": "other", "seq": 0},
                       types=["org.vmchannel.Exec.*", AGENT + "Start"])
    other.stream.socket.settimeout(0.5)
    try:
        check(False, f"{other.stream.message()}")
    except TimeoutError:
        pass
    cli.expect(r'"note": ?"away"', 60)
    cli.expect(r'"note": ?"back"', 60)
    cli.expect(rf'"seq": ?{event["seq"]}\b', 60)
    text.expect(r"^[0-9:.]+ +Agent\.Started +version=\S+ pid=\d+$", 60)
    seen = [json.loads(line) for line in cli.text().splitlines()]
    check_equal([e["seq"] for e in seen if "seq" in e], [event["seq"]],
                "what the command saw")
    for s in (again, other, after):
        s.close()


@test(timeout=180)
def test_ops_events_outlive_the_agent(t):
    vm = t.vm()
    daemon = t.daemon(vm)
    pid = ops.ready(t, daemon)
    before = ops.Events(t, daemon)
    # What a torn write leaves is left out, the rest goes on.
    vm.guest.run("printf '{\"boot\":\"x' >>/run/vmchannel/host.events")
    vm.guest.run("kill -9 $(grep -lx vmchannel-agent /proc/[0-9]*/comm | "
                 "cut -d/ -f3)")
    wait_for("the end of its operations", lambda: vm.guest.run(
        f"test ! -e /proc/{pid} && echo gone; true").text(), 60)
    vm.guest.run("vmchannel-agent </dev/null >>/var/log/agent.log 2>&1 &")
    t.wait_peer(daemon, 60)
    ops.ready(t, daemon)
    after = ops.Events(t, daemon, after=before.position)
    check_equal((after.lost, after.next()["seq"]),
                (0, before.position["seq"] + 1), "where it goes on")


@test()
def test_ops_denied_calls_name_the_line(t):
    vm, daemon = t.shared()
    ops.ready(t, daemon)
    reload = "vmchannel call host --local org.vmchannel.Broker.Reload"
    vm.guest.run("mkdir -p /etc/vmchannel/policy.d; "
                 f"printf '# test\\ncall {AGENT}Ping host deny\\n' >{RULES}; "
                 + reload)
    try:
        def denied():
            s = ops.Stream(t, daemon, "org.vmchannel.Agent")
            s.send(AGENT + "Ping")
            answer = s.message()
            s.close()
            return answer if "error" in answer else None
        check_equal(wait_for("the new policy", denied, 60, 0.1),
                    {"error": "org.vmchannel.PolicyDenied", "parameters": {
                        "operation": AGENT + "Ping", "class": "read",
                        "rule": f"{RULES}:2"}}, "the answer")
        ping = [c for c in call(t, daemon, AGENT + "GetInfo")["capabilities"]
                if c["method"] == AGENT + "Ping"][0]
        check_equal((ping["available"], ping["allowed"]), (True, False),
                    "Ping's capability")
        said = vm.guest.run(f"vmchannel policy test host call {AGENT}Ping "
                            "--as host; echo $?").text()
        check(f"rule {RULES}:2" in said and said.endswith("126\n"), said)
        p = t.cli(daemon, "call", vm.name, AGENT + "Ping")
        check_equal(p.wait(60), 126, "exit status")
        check(f"{RULES}:2" in p.errors(), p.errors())
    finally:
        vm.guest.run(f"rm {RULES}; {reload}")
    wait_for("the old policy", lambda: not denied(), 60, 0.1)


@test(timeout=120)
def test_ops_can_be_left_out(t):
    vm = t.vm()
    daemon = t.daemon(vm)
    ops.ready(t, daemon)
    vm.guest.run("mkdir -p /etc/vmchannel/policy.d; echo 'listen "
                 f"org.vmchannel.Exec * deny' >{RULES}; "
                 "vmchannel call host --local org.vmchannel.Broker.Reload; "
                 "kill $(grep -lx vmchannel-ops /proc/[0-9]*/comm | "
                 "cut -d/ -f3)")

    def look():
        names = [c["name"] for c in varlink(
            daemon, "org.vmchannel.Broker.List")["channels"]]
        return "org.vmchannel.System" in names and \
            "org.vmchannel.Exec" not in names
    wait_for("all but Exec", look, 60, 0.1)
