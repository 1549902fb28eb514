#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The verbs that are operations of the guest, against answers that a test
makes up. Prints TAP.

usage: test_verbs.py BUILD_DIR [WORD]
"""
import json
import os
import signal
import subprocess
import sys

from operations import Drop, Flow, Hang, Operations, Parts, Raw, Refuse
from test_cli import check, run_all
from world import PATIENCE, wait_until

os.environ["TZ"] = "UTC"

ESCAPE = "\x1b[2Jevil\x9b2J\n"
SINCE = 1764000000 * 10 ** 6


def session(ident, user, **more):
    return {"id": ident, "uid": 1000, "user": user, "type": "tty",
            "class": "user", "state": "active", "active": True,
            "remote": False, **more}


SESSIONS = [
    session("1", "alice", type="wayland", seat="seat0", tty="tty2",
            since_us=SINCE, idle=True, idle_since_us=SINCE + 60 * 10 ** 6,
            locked=True),
    session("2", "bob", remote=True, tty="pts/0", remote_host="10.0.0.9",
            since_us=SINCE, idle=False),
    session("c1", "gdm", **{"class": "greeter"}),
    session("3", ESCAPE, state="closing"),
]


def lines(run):
    check(run, 0)
    return [json.loads(line) for line in run.stdout.splitlines()]


def columns(run):
    """A table: the heads, and the cells of each line."""
    check(run, 0)
    return [line.split() for line in run.stdout.decode().splitlines()]


# ---- lists ---------------------------------------------------------------------

def test_who(w):
    with Operations(w, {
        "Session.ListSessions": {"sessions": SESSIONS},
        "Agent.Ping": {"time_us": SINCE + 3720 * 10 ** 6}}) as o:
        assert columns(w.on_host("who", "web1")) == [
            ["USER", "TTY", "SINCE", "IDLE", "FROM"],
            ["alice", "tty2", "2025-11-24", "16:00", "1h01m", "-"],
            ["bob", "pts/0", "2025-11-24", "16:00", ".", "10.0.0.9"]]
        assert lines(w.on_host("who", "web1", "--json")) == [
            {"vm": "web1", **s} for s in SESSIONS[:2]]
        # Its clock is not needed for the rest.
        o.answers["Agent.Ping"] = Refuse("PolicyDenied", operation="a",
                                         **{"class": "read"}, rule="b:1")
        assert columns(w.on_host("who", "web1"))[1][4] == "idle"
        o.answers["Session.ListSessions"] = {"sessions": []}
        check(w.on_host("who", "web1"), 0, b"", "nobody is logged in")
        assert lines(w.on_host("who", "web1", "--json")) == []


def test_sessions_of_all_kinds(w):
    with Operations(w, {"Session.ListSessions": Parts(
        [{"sessions": SESSIONS[:1]}, {"sessions": []},
         {"sessions": SESSIONS[1:]}]), "Agent.Ping": {"time_us": SINCE}}) as o:
        run = w.on_host("sessions", "web1")
        assert len(columns(run)) == 5
        assert b"\x1b" not in run.stdout and b"\x9b" not in run.stdout
        assert b"?[2Jevil" in run.stdout
        assert b" locked " in run.stdout
        assert lines(w.on_host("sessions", "web1", "--json")) == [
            {"vm": "web1", **s} for s in SESSIONS]


def interface(name, *addresses, **more):
    zeros = {a + b: 0 for a in ("rx_", "tx_")
             for b in ("bytes", "packets", "errors")}
    return {"name": name, "index": 1, "up": True, "loopback": name == "lo",
            "state": "up", "mtu": 1500, **zeros, "addresses": [
                {"family": "inet6" if ":" in a else "inet",
                 "address": a.split("/")[0], "prefix": int(a.split("/")[1]),
                 "scope": s} for a, s in addresses], **more}


INTERFACES = [
    interface("lo", ("127.0.0.1/8", "host"), ("::1/128", "host"),
              state="unknown"),
    interface("eth0", ("10.0.2.15/24", "global"), ("fe80::1/64", "link"),
              mac="52:54:00:12:34:56"),
    interface("eth1", state="down"),
]


def test_ip(w):
    with Operations(w, {
        "Network.ListInterfaces": {"interfaces": INTERFACES},
        "Network.ListRoutes": {"routes": [
            {"family": "inet", "destination": "0.0.0.0/0",
             "gateway": "10.0.2.2", "interface": "eth0", "metric": 100,
             "table": 254}]}}) as o:
        assert columns(w.on_host("ip", "web1")) == [
            ["INTERFACE", "STATE", "MAC", "ADDRESSES"],
            ["lo", "unknown", "-", "127.0.0.1/8", "::1/128"],
            ["eth0", "up", "52:54:00:12:34:56", "10.0.2.15/24", "fe80::1/64"],
            ["eth1", "down", "-", "-"]]
        assert lines(w.on_host("ip", "web1", "--json")) == [
            {"vm": "web1", **i} for i in INTERFACES]
        assert columns(w.on_host("ip", "web1", "--routes"))[1] == [
            "0.0.0.0/0", "10.0.2.2", "eth0", "100", "254"]
        assert o.last("Network.ListRoutes") == {"all": False}
        assert lines(w.on_host("ip", "web1", "--all", "--json"))[0]["metric"] == 100
        assert o.last("Network.ListRoutes") == {"all": True}
        # More than a line can have is not cut in silence.
        many = [(f"fd00::{i:x}/64", "global") for i in range(200)]
        o.answers["Network.ListInterfaces"] = {"interfaces": [
            interface("eth0", *many)]}
        assert columns(w.on_host("ip", "web1"))[1][-1] == "..."


def test_df(w):
    fs = {"mount": "/", "source": "/dev/vda1", "type": "ext4",
          "read_only": False, "frozen": False, "total": 10 * 2 ** 30,
          "used": 1536 * 2 ** 20, "available": 8 * 2 ** 30, "disks": ["vda"]}
    silent = {"mount": "/mnt/" + ESCAPE, "source": "nfs:/x", "type": "nfs",
              "read_only": True, "frozen": True, "disks": []}
    with Operations(w, {"Storage.ListFilesystems": {
        "filesystems": [fs, silent]}}) as o:
        assert columns(w.on_host("df", "web1")) == [
            ["FILESYSTEM", "TYPE", "SIZE", "USED", "AVAIL", "USE%", "STATE",
             "MOUNTED", "ON"],
            ["/dev/vda1", "ext4", "10G", "1.5G", "8.0G", "16%", "rw", "/"],
            ["nfs:/x", "nfs", "-", "-", "-", "-", "ro,frozen",
             "/mnt/?[2Jevil??2J?"]]
        assert lines(w.on_host("df", "web1", "--json")) == [
            {"vm": "web1", **fs}, {"vm": "web1", **silent}]


# ---- what can go wrong ------------------------------------------------------------

def test_what_is_wrong_is_said(w):
    check(w.on_host("who", "web9"), 127, b"", "vmchannel run")
    check(w.on_host("who", "web1"), 127, b"", "--for agent")
    with Operations(w, {"Session.ListSessions": None, "Agent.Ping": {
        "time_us": 1}}) as o:
        for answer, status, words in (
                (Refuse("PolicyDenied", operation="x", **{"class": "read"},
                        rule="/etc/p:7"), 126, "/etc/p:7"),
                (Refuse("NotSupported", operation="x", detail=ESCAPE), 1,
                 "cannot do"),
                (Refuse("Failed", operation="x", name="EIO", detail="d"), 1,
                 "EIO d"),
                ({"sessions": [{"id": 7}]}, 125, "sessions[0].id"),
                ({"sessions": 7}, 125, "'sessions'"),
                (Raw(b"nonsense\0"), 125, ""),
                (Raw(b'{"parameters":{"sessions":[' + b" " * 70000), 125, ""),
                (Raw(b'{"parameters":{"sessions":' + b"[" * 200 + b"\0"), 125,
                 "")):
            o.answers["Session.ListSessions"] = answer
            for args in (("who", "web1"), ("who", "web1", "--json")):
                run = w.on_host(*args)
                check(run, status, b"", words)
                assert b"\x1b" not in run.stderr, run.stderr


# ---- power -------------------------------------------------------------------------

def test_power_is_accepted(w):
    with Operations(w, {"Power.PowerOff": {"job": 7}, "Power.Halt": {"job": 8},
                        "Power.Reboot": {"job": 9},
                        "Power.Suspend": {"job": 10},
                        "Power.Hibernate": {"job": 11}}) as o:
        check(w.on_host("shutdown", "web1"), 0,
              b"web1: accepted: it powers off (job 7)\n")
        first = o.last("Power.PowerOff").pop("request")
        check(w.on_host("shutdown", "web1", "--reason", "why", "--force"), 0)
        p = o.last("Power.PowerOff")
        assert p.pop("request") != first and len(first) == 36, p
        assert p == {"reason": "why", "inhibitors": "ignore"}, p
        check(w.on_host("shutdown", "web1", "--request", "once"), 0)
        assert o.last("Power.PowerOff") == {"request": "once"}
        check(w.on_host("shutdown", "web1", "--halt"), 0,
              b"web1: accepted: it halts (job 8)\n")
        assert lines(w.on_host("reboot", "web1", "--json")) == [
            {"vm": "web1", "job": 9}]
        check(w.on_host("suspend", "web1"), 0,
              b"web1: accepted: it goes to sleep (job 10)\n")
        assert list(o.last("Power.Suspend")) == ["request"]
        check(w.on_host("suspend", "web1", "--hibernate"), 0,
              b"web1: accepted: it hibernates (job 11)\n")


def test_power_is_held_up(w):
    blocks = [{"what": "sleep:shutdown", "who": "apt", "why": "upgrade" +
               ESCAPE, "mode": "block", "uid": 0, "pid": 1},
              {"what": "shutdown", "who": "vmchannel", "why": "tell",
               "mode": "delay", "uid": 0, "pid": 2},
              {"what": "sleep", "who": "dvd", "why": "burns", "mode": "block",
               "uid": 0, "pid": 3}]
    with Operations(w, {
            "Power.PowerOff": Refuse("Power.Inhibited", who="x", why="y"),
            "Power.Suspend": Refuse("Power.Inhibited", who="x", why="y"),
            "Power.Reboot": Refuse("Power.Busy", action="power_off"),
            "Power.ListInhibitors": {"inhibitors": blocks}}) as o:
        run = w.on_host("shutdown", "web1")
        check(run, 1, b"", "by apt (upgrade?[2Jevil??2J?); --force")
        check(w.on_host("suspend", "web1"), 1, b"", ", dvd (burns); --force")
        o.answers["Power.ListInhibitors"] = Refuse(
            "PolicyDenied", operation="a", rule="none", **{"class": "read"})
        check(w.on_host("shutdown", "web1"), 1, b"", "by x (y); --force")
        check(w.on_host("reboot", "web1"), 1, b"", "power_off")


def test_power_later(w):
    now = 10 ** 15
    at = {"action": "reboot", "time_us": now}
    with Operations(w, {
            "Agent.Ping": {"time_us": now}, "Power.ScheduleShutdown": {},
            "Power.CancelScheduledShutdown": {"cancelled": True},
            "Power.GetScheduledShutdown": {"schedule": at}}) as o:
        check(w.on_host("reboot", "web1", "--at", "+5", "--reason", "why"), 0,
              b"web1: scheduled; --show tells, --cancel calls it off\n")
        p = o.last("Power.ScheduleShutdown")
        p.pop("request")
        assert p == {"action": "reboot", "time_us": now + 300 * 10 ** 6,
                     "message": "why"}, p
        check(w.on_host("shutdown", "web1", "--at", "23:59"), 0)
        p = o.last("Power.ScheduleShutdown")
        assert p["action"] == "power_off"
        assert 0 < p["time_us"] - now <= 24 * 3600 * 10 ** 6, p
        check(w.on_host("shutdown", "web1", "--show"), 0,
              b"web1: reboot at 2001-09-09 01:46\n")
        assert lines(w.on_host("shutdown", "web1", "--show", "--json")) == [
            {"vm": "web1", "schedule": at}]
        check(w.on_host("shutdown", "web1", "--cancel"), 0,
              b"web1: called off\n")
        o.answers["Power.GetScheduledShutdown"] = {}
        o.answers["Power.CancelScheduledShutdown"] = {"cancelled": False}
        check(w.on_host("shutdown", "web1", "--show"), 0,
              b"web1: nothing is scheduled\n")
        check(w.on_host("shutdown", "web1", "--cancel"), 0,
              b"web1: nothing was scheduled\n")
        o.answers["Power.ScheduleShutdown"] = Refuse("Power.InvalidTime")
        check(w.on_host("shutdown", "web1", "--at", "+1"), 1, b"",
              "does not take that time")
        for bad in ("5", "+", "25:00", "12:60", "noon", "+5x", "-5"):
            check(w.on_host("shutdown", "web1", "--at=" + bad), 125, b"",
                  "HH:MM")
        check(w.on_host("reboot", "web1", "--at", "+1", "--force"), 125, b"",
              "--force")


def test_no_answer_is_not_known(w):
    """The stream ends, or the time: was it done?"""
    with Operations(w, {"Power.PowerOff": Drop, "Storage.Thaw": Drop,
                        "Session.ListSessions": Hang}) as o:
        check(w.on_host("shutdown", "web1", "--request", "r7"), 1, b"",
              "once more with --request r7")
        o.answers["Power.PowerOff"] = Hang
        check(w.on_host("shutdown", "web1", "--timeout", "1"), 1, b"",
              "whether the guest did it is not known")
        run = w.on_host("who", "web1", "--timeout", "1")
        check(run, 1, b"", "--timeout gives it longer")
        assert b"not known" not in run.stderr
        wait_until("the calls are cancelled", lambda: sorted(o.cancelled) == [
            "Power.PowerOff", "Session.ListSessions"])


def test_an_interrupt_cancels_and_says_so(w):
    with Operations(w, {"Power.PowerOff": Hang,
                        "Session.ListSessions": Hang}) as o:
        for verb, name, said in (
                ("shutdown", "Power.PowerOff",
                 b"vmchannel: web1: interrupted; whether the guest did "
                 b"org.vmchannel.Power.PowerOff is not known\n"),
                ("who", "Session.ListSessions", b"")):
            p = w.start(w.command(w.host, verb, "web1"),
                        stderr=subprocess.PIPE)
            wait_until("the call", lambda n=name: o.count(n) == 1)
            p.send_signal(signal.SIGINT)
            assert p.wait(PATIENCE) == -signal.SIGINT
            assert p.stderr.read() == said
            wait_until("it is cancelled", lambda n=name: n in o.cancelled)
            w.stop(p)


# ---- sessions, users -----------------------------------------------------------------

USERS = {"users": [{"uid": 1000, "user": "alice", "state": "active",
                    "linger": False, "sessions": ["1"]},
                   {"uid": 1001, "user": "bob", "state": "online",
                    "linger": False, "sessions": []}]}


def test_lock_and_unlock(w):
    with Operations(w, {
            "Session.LockSession": {}, "Session.LockSessions": {"locked": 2},
            "Session.UnlockSession": {},
            "Session.ListSessions": {"sessions": SESSIONS}}) as o:
        check(w.on_host("lock", "web1"), 0,
              b"web1: 2 sessions were asked to lock\n")
        run = w.on_host("lock", "web1", "7")
        check(run, 0)
        assert b"'vmchannel sessions'" in run.stdout
        assert o.last("Session.LockSession") == {"id": "7"}
        o.answers["Session.LockSessions"] = {"locked": 0}
        check(w.on_host("lock", "web1"), 0,
              b"web1: there is no session that can be locked\n")
        assert lines(w.on_host("lock", "web1", "--json")) == [
            {"vm": "web1", "locked": 0}]
        check(w.on_host("unlock", "web1"), 0,
              b"web1: its desktop was asked to unlock\n")
        assert o.count("Session.UnlockSession") == 1
        assert o.last("Session.UnlockSession") == {"id": "1"}
        check(w.on_host("unlock", "web1", "9"), 0)
        assert o.last("Session.UnlockSession") == {"id": "9"}
        o.answers["Session.UnlockSession"] = Refuse(
            "PolicyDenied", operation="org.vmchannel.Session.UnlockSession",
            rule="built-in:3", **{"class": "full"})
        check(w.on_host("unlock", "web1"), 126, b"",
              "(class full, rule built-in:3)")
        o.answers["Session.ListSessions"] = {"sessions": []}
        check(w.on_host("unlock", "web1"), 0, b"", "no session is locked")
        o.answers["Session.LockSession"] = Refuse("Session.NoSuchSession",
                                                  id=ESCAPE)
        check(w.on_host("lock", "web1", "x"), 1, b"", "'vmchannel sessions")


def test_logoff(w):
    with Operations(w, {"Session.ListUsers": USERS,
                        "Session.TerminateUser": {"sessions": 1},
                        "Session.TerminateSession": {}}) as o:
        check(w.on_host("logoff", "web1", "alice"), 0,
              b"web1: 1 session ends\n")
        p = o.last("Session.TerminateUser")
        assert len(p.pop("request")) == 36 and p == {"uid": 1000}, p
        check(w.on_host("logoff", "web1", "1001"), 0)
        assert o.last("Session.TerminateUser")["uid"] == 1001
        assert o.count("Session.ListUsers") == 1
        check(w.on_host("logoff", "web1", "carol"), 1, b"", "'carol'")
        check(w.on_host("logoff", "web1", "--session", "c1"), 0,
              b"web1: the session ends\n")
        assert o.last("Session.TerminateSession")["id"] == "c1"
        for bad in ((), ("alice", "--session", "1")):
            check(w.on_host("logoff", "web1", *bad), 125, b"", "--session ID")
        o.answers["Session.TerminateUser"] = Refuse("Session.NoSuchUser",
                                                    uid=7)
        check(w.on_host("logoff", "web1", "7"), 1, b"", "no user 7")


def test_message(w):
    with Operations(w, {"Session.ListUsers": USERS,
                        "Session.SendMessage": {"shown": 1}}) as o:
        def sent(*args, **kw):
            check(w.on_host("message", "web1", *args, **kw), 0,
                  b"web1: shown on 1 terminal or desktop\n")
            p = o.last("Session.SendMessage")
            assert len(p.pop("request")) == 36
            return p
        assert sent("hello") == {"text": "hello"}
        assert sent("-", stdin="grüße\n\n".encode()) == {"text": "grüße"}
        assert sent("x", "--user", "bob") == {"text": "x", "uid": 1001}
        assert sent("x", "--session", "1") == {"text": "x", "id": "1"}
        assert sent("-", stdin=b"m" * 4096)["text"] == "m" * 4096
        for args, stdin, words in (
                (("",), b"", "4096"), (("-",), b"m" * 4097, "4096"),
                (("-",), b"a\0b", "not text"), (("-",), b"\xff", "UTF-8"),
                (("x", "--user", "bob", "--session", "1"), b"", "not both")):
            check(w.on_host("message", "web1", *args, stdin=stdin), 125, b"",
                  words)
        o.answers["Session.SendMessage"] = {"shown": 0}
        check(w.on_host("message", "web1", "x"), 1, b"web1: nobody took it\n")


# ---- waiting -----------------------------------------------------------------------

def info(boot):
    return {"version": "1.2", "pid": 1, "boot": boot, "back_end": "kernel",
            "capabilities": []}


def begin(boot, lost=0):
    return {"position": {"boot": boot, "seq": 9}, "lost": lost}


def event(boot, kind, **parameters):
    return {"event": {"boot": boot, "seq": 4, "time_us": SINCE,
                      "type": "org.vmchannel." + kind,
                      "parameters": parameters}}


BOOTED = "Power.BootComplete"


def test_wait_names_the_hop_that_is_missing(w):
    """From nothing to a guest that answers; and one who waited all the
    while."""
    p = w.start(w.command(w.host, "wait", "web1", "--for", "agent",
                          "--timeout", "0"), stdout=subprocess.PIPE)

    def missing(words):
        for goal in ("agent", "boot-complete", "ip"):
            check(w.on_host("wait", "web1", "--for", goal, "--timeout", "1"),
                  1, b"", words)
    missing("no vmchanneld")
    w.start_daemon()
    missing("no connection to QEMU")
    w.start_pipe()
    wait_until("the link", lambda: w.info(w.host, "web1")["link"] != "down")
    missing("agent does not answer")
    w.start_agent()
    w.wait_up()
    missing("offers no operations")
    assert p.poll() is None
    with Operations(w, {"Agent.GetInfo": info("b"),
                        "Agent.Subscribe": Flow([begin("b")]),
                        "Network.ListInterfaces": {
                            "interfaces": INTERFACES[:1]}}) as o:
        said = b"web1: the agent answers: version 1.2, back end kernel\n"
        assert p.stdout.read() == said
        assert p.wait(PATIENCE) == 0
        w.stop(p)
        check(w.on_host("wait", "web1", "--for", "agent"), 0, said)
        for goal, words in (("boot-complete", "boot is complete"),
                            ("ip", "no address but local ones")):
            check(w.on_host("wait", "web1", "--for", goal, "--timeout", "1"),
                  1, b"", words)
        o.answers["Agent.Subscribe"] = Refuse(
            "PolicyDenied", operation="s", rule="f:1", **{"class": "read"})
        check(w.on_host("wait", "web1", "--for", "ip"), 126, b"", "f:1")
    for bad in ((), ("--for", "peace")):
        check(w.on_host("wait", "web1", *bad), 125, b"", "--for agent")
    check(w.on_host("wait", "../x", "--for", "agent"), 125, b"", "name")


def test_wait_for_what_comes(w):
    with Operations(w, {
            "Agent.Subscribe": lambda p: Flow([begin("b"), event(
                "b", BOOTED, duration_us=12340000)]),
            "Network.ListInterfaces": {"interfaces": INTERFACES}}) as o:
        check(w.on_host("wait", "web1", "--for", "boot-complete"), 0,
              b"web1: booted in 12.3 s\n")
        assert o.last("Agent.Subscribe") == {
            "types": ["org.vmchannel.Power.BootComplete"],
            "after": {"boot": "-", "seq": 0}}
        assert lines(w.on_host("wait", "web1", "--for", "boot-complete",
                               "--json")) == [
            {"vm": "web1", **event("b", BOOTED,
                                   duration_us=12340000)["event"]}]
        check(w.on_host("wait", "web1", "--for", "ip"), 0, b"10.0.2.15\n")
        assert lines(w.on_host("wait", "web1", "--for", "ip", "--json")) == [
            {"vm": "web1", **INTERFACES[1]}]
        # What a script would take for an option of its own is no address.
        o.answers["Network.ListInterfaces"] = {"interfaces": [
            {**INTERFACES[1], "addresses": [
                {**INTERFACES[1]["addresses"][0], "address": bad}
                for bad in ("10.0.2.1 -oProxyCommand=id", "-V", "10.0.2")]
                + INTERFACES[1]["addresses"]}]}
        check(w.on_host("wait", "web1", "--for", "ip"), 0, b"10.0.2.15\n")
        o.answers["Network.ListInterfaces"] = {"interfaces": INTERFACES}
        # Long ago, and forgotten.
        o.answers["Agent.Subscribe"] = Flow([begin("b", lost=5000)])
        check(w.on_host("wait", "web1", "--for", "boot-complete"), 0,
              b"web1: booted long ago\n")

        # It is not there at first; the event says when to look again.
        def interfaces(_):
            first = o.count("Network.ListInterfaces") == before + 1
            return {"interfaces": INTERFACES[:1] if first else INTERFACES}
        before = o.count("Network.ListInterfaces")
        o.answers["Network.ListInterfaces"] = interfaces
        o.answers["Agent.Subscribe"] = Flow([begin("b"), event(
            "b", "Network.AddressesChanged", interface="eth0", index=2,
            present=True, up=True, addresses=[])])
        check(w.on_host("wait", "web1", "--for", "ip"), 0, b"10.0.2.15\n")


def test_shutdown_waits(w):
    w.start_all()

    def power_off(_):
        w.pipe.close()
        w.pipe = None
        os.unlink(w.link)
        os.unlink(w.port)
        return {"job": 1}
    o = Operations(w, {"Power.PowerOff": {"job": 1}, "Power.Halt": {"job": 2}})
    waits = w.start(w.command(w.host, "shutdown", "web1", "--wait=0"),
                    stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert b"accepted" in waits.stdout.readline()
    check(w.on_host("shutdown", "web1", "--wait=1"), 1,
          b"web1: accepted: it powers off (job 1)\n", "agent still answers")
    p = w.start(w.command(w.host, "shutdown", "web1", "--halt", "--wait"),
                stdout=subprocess.PIPE)
    wait_until("it is accepted", lambda: o.count("Power.Halt") == 1)
    w.stop(w.agent)
    assert b"\nweb1: gone\n" in p.stdout.read()
    assert p.wait(PATIENCE) == 0
    w.stop(p)
    assert waits.poll() is None
    waits.send_signal(signal.SIGTERM)
    assert waits.stderr.read() == (
        b"vmchannel: web1: interrupted; the guest accepted, what became of "
        b"it is not known\n")
    w.stop(waits)
    for going in (power_off, lambda _: w.stop(w.daemon) or {"job": 1}):
        if not w.pipe:
            w.start_pipe()
        if w.agent not in w.processes:
            w.start_agent()
        w.wait_up()
        o = Operations(w, {"Power.PowerOff": going})
        # Its reply may be lost; whether it went is seen.
        run = w.on_host("shutdown", "web1", "--wait")
        check(run, 0)
        assert run.stdout.endswith(b"web1: gone\n"), run.stdout
        w.stop(w.agent)


def test_reboot_waits_for_another_boot(w):
    w.start_all()
    old = Operations(w, {
        "Agent.GetInfo": info("one"), "Power.Reboot": {"job": 1},
        "Agent.Subscribe": Flow([begin("one"), event("one", BOOTED,
                                                     duration_us=1)])})
    p = w.start(w.command(w.host, "reboot", "web1", "--wait"),
                stdout=subprocess.PIPE)
    wait_until("the old boot's events were seen",
               lambda: old.count("Agent.Subscribe") == 1)
    check(w.on_host("reboot", "web1", "--wait=1"), 1,
          b"web1: accepted: it reboots (job 1)\n", "that another boot is complete")
    w.stop(w.agent)
    w.start_agent()
    w.wait_up()
    with Operations(w, {"Agent.Subscribe": Flow([begin("two"), event(
            "two", BOOTED, duration_us=2500000)])}):
        assert p.stdout.read() == (b"web1: accepted: it reboots (job 1)\n"
                                   b"web1: booted in 2.5 s\n")
        assert p.wait(PATIENCE) == 0
        w.stop(p)


# ---- freeze ------------------------------------------------------------------------

LEASE = {"lease": "l1", "frozen": 2, "until_us": SINCE}


def test_freeze_and_thaw(w):
    with Operations(w, {
            "Storage.Freeze": LEASE, "Storage.Thaw": {"thawed": 2},
            "Storage.FreezeStatus": {
                "frozen": True, "lease": "l1", "until_us": SINCE,
                "mounts": ["/", "/srv"]}}) as o:
        run = w.on_host("freeze", "web1")
        check(run, 0)
        assert run.stdout.startswith(
            b"web1: 2 file systems frozen for 60 s (lease l1)"), run.stdout
        assert o.last("Storage.Freeze") == {"lease_ms": 60000}
        assert lines(w.on_host("freeze", "web1", "/srv", "/a b", "--no-hooks",
                               "--lease", "5", "--json")) == [
            {"vm": "web1", **LEASE}]
        assert o.last("Storage.Freeze") == {
            "lease_ms": 5000, "hooks": False, "mounts": ["/srv", "/a b"]}
        check(w.on_host("freeze", "web1", "--show"), 0,
              b"web1: 2 file systems frozen until 2025-11-24 16:00 "
              b"(lease l1)\n")
        check(w.on_host("thaw", "web1"), 0, b"web1: 2 file systems thawed\n")
        o.answers["Storage.Thaw"] = {"thawed": 0}
        check(w.on_host("thaw", "web1"), 0, b"web1: nothing was frozen\n")
        o.answers["Storage.FreezeStatus"] = {"frozen": False, "mounts": []}
        check(w.on_host("freeze", "web1", "--show"), 0, b"web1: not frozen\n")
        for error, more, words in (
                ("AlreadyFrozen", {"lease": "l0"}, "'vmchannel thaw web1'"),
                ("NoSuchMount", {"mount": ESCAPE}, "'vmchannel df web1'"),
                ("FreezeFailed", {"mount": "/", "error": "EDEADLK"},
                 "EDEADLK; nothing is frozen"),
                ("HookFailed", {"hook": "db", "status": 124}, "hook db")):
            o.answers["Storage.Freeze"] = Refuse("Storage." + error, **more)
            check(w.on_host("freeze", "web1", "--", "false"), 1, b"", words)
        for bad in (("--lease", "0"), ("--lease", "601"), ("--",)):
            check(w.on_host("freeze", "web1", *bad), 125, b"")


def test_freeze_while_a_command_runs(w):
    go = os.path.join(w.dir, "go")
    waits = ("sh", "-c", f"echo began; until test -e {go}; do sleep .1; done; "
             "exit 7")
    with Operations(w, {"Storage.Freeze": LEASE, "Storage.Thaw": {"thawed": 2},
                        "Storage.RenewFreeze": {"until_us": SINCE}}) as o:
        def thawed():
            return [p for n, p in o.calls if n == "Storage.Thaw"]
        check(w.on_host("freeze", "web1", "--", "sh", "-c", "echo x; exit 3"),
              3, b"x\n")
        assert thawed() == [{"lease": "l1"}]
        check(w.on_host("freeze", "web1", "--", "sh", "-c", "kill -9 $$"), 137)
        check(w.on_host("freeze", "web1", "--", "/no/such"), 127, b"",
              "cannot run /no/such")
        assert thawed() == [{"lease": "l1"}] * 3 and not o.count(
            "Storage.RenewFreeze")

        def start(*options):
            p = w.start(w.command(w.host, "freeze", "web1", *options, "--",
                                  *waits), stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
            assert p.stdout.readline() == b"began\n"
            return p

        # As long as it takes.
        p = start("--lease", "1")
        wait_until("renewals", lambda: o.count("Storage.RenewFreeze") > 4)
        assert o.last("Storage.RenewFreeze") == {"lease": "l1",
                                                 "lease_ms": 1000}
        open(go, "wb").close()
        assert p.wait(PATIENCE) == 7 and p.stderr.read() == b""
        assert len(thawed()) == 4
        w.stop(p)
        os.unlink(go)

        # A signal ends both, and the freeze.
        for sig in (signal.SIGTERM, signal.SIGINT):
            p = start()
            p.send_signal(sig)
            assert p.wait(PATIENCE) == 128 + sig, p.stderr.read()
            w.stop(p)
        assert len(thawed()) == 6

        # The guest does not wait: by a lease that is over, or by silence.
        for renewed in (Refuse("Storage.NoSuchLease"), Drop):
            o.answers["Storage.RenewFreeze"] = renewed
            p = start("--lease", "1")
            assert b"the freeze has ended" in p.stderr.readline()
            open(go, "wb").close()
            assert b"(whose status is 7)" in p.stderr.read()
            assert p.wait(PATIENCE) == 125
            w.stop(p)
            os.unlink(go)
        assert len(thawed()) == 6
        # Or it was thawed behind our back.
        o.answers["Storage.Thaw"] = Refuse("Storage.NoSuchLease")
        check(w.on_host("freeze", "web1", "--", "true"), 125, b"",
              "the freeze ended before")
        o.answers["Storage.Thaw"] = Drop
        run = w.on_host("freeze", "web1", "--", "true")
        check(run, 125, b"")
        assert b"ends by itself within 60 s" in run.stderr


# ---- info --------------------------------------------------------------------------

FACTS = {
    "Agent.GetInfo": {**info("b"), "capabilities": [
        {"method": "a", "class": c, "available": True, "allowed": a}
        for c, a in (("read", True), ("read", True), ("full", False))]},
    "System.Describe": {"hostname": "deb", "os_name": "Debian " + ESCAPE,
                        "kernel": "Linux 6.1", "kernel_version": "#1",
                        "architecture": "x86_64", "boot_id": "b", "cpus": 2},
    "System.GetUptime": {"uptime_us": 7500 * 10 ** 6, "boot_time_us": SINCE},
    "System.GetLoad": {"load_1": 150, "load_5": 5, "load_15": 0, "running": 1,
                       "processes": 92},
    "System.GetMemory": {"total": 512 * 2 ** 20, "free": 0, "available":
                         100 * 2 ** 20, "buffers": 0, "cached": 0,
                         "swap_total": 0, "swap_free": 0},
    "System.GetTimezone": {"timezone": "Europe/Berlin", "offset_s": 3600},
    "Session.ListUsers": {"users": USERS["users"] + [
        {"uid": 7, "user": "lingers", "state": "lingering", "linger": True,
         "sessions": []}]},
    "Network.ListInterfaces": {"interfaces": INTERFACES},
}


def test_info(w):
    with Operations(w, dict(FACTS)) as o:
        run = w.on_host("info", "web1")
        check(run, 0, b"""\
    hostname  deb
      system  Debian ?[2Jevil??2J?
      kernel  Linux 6.1 x86_64, 2 CPUs
    up since  2025-11-24 16:00 (2h05m)
   time zone  Europe/Berlin (UTC+01:00)
        load  1.50 0.05 0.00, 92 processes
      memory  100M of 512M available
       users  alice
   addresses  10.0.2.15 (eth0)
       agent  1.2, back end kernel
     allowed  read 2 of 2, control 0 of 0, full 0 of 1
""")
        o.answers["System.GetMemory"] = Drop
        o.answers["System.GetLoad"] = Refuse("Failed", operation="x",
                                             name="EIO", detail="d" * 900)
        o.answers["System.GetTimezone"] = {"timezone": 7}
        o.answers["Session.ListUsers"] = Hang
        run = w.on_host("info", "web1", "--timeout", "1")
        check(run, 0)
        out = run.stdout.decode().splitlines()
        assert [line.split(":")[0] for line in out if "not known" in line] == [
            "   not known  " + n for n in ("load", "memory", "timezone",
                                           "users")], out
        assert len(out) == 11, out
        line, = lines(w.on_host("info", "web1", "--timeout", "1", "--json"))
        assert line["vm"] == "web1"
        assert line["system"] == FACTS["System.Describe"]
        assert line["interfaces"] == INTERFACES
        assert sorted(line["missing"]) == ["load", "memory", "timezone",
                                           "users"]
        assert line["missing"]["load"].startswith("org.vmchannel.Failed")
    check(w.on_host("info", "web1"), 127, b"", "--for agent")


ALONE = [test_wait_names_the_hop_that_is_missing, test_shutdown_waits,
         test_reboot_waits_for_another_boot]


if __name__ == "__main__":
    sys.exit(run_all(sys.argv, ALONE, [
        f for n, f in list(globals().items())
        if n.startswith("test_") and f not in ALONE]))
