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

from operations import Drop, Hang, Operations, Parts, Raw, Refuse
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


if __name__ == "__main__":
    sys.exit(run_all(sys.argv, [], [
        f for n, f in list(globals().items()) if n.startswith("test_")]))
