#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The verbs that are operations of the guest, against answers that a test
makes up. Prints TAP.

usage: test_verbs.py BUILD_DIR [WORD]
"""
import json
import os
import sys

from operations import Operations, Parts, Raw, Refuse
from test_cli import check, run_all

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


if __name__ == "__main__":
    sys.exit(run_all(sys.argv, [], [
        f for n, f in list(globals().items()) if n.startswith("test_")]))
