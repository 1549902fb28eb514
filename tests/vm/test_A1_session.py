# SPDX-License-Identifier: MIT
"""Sessions of a guest, against what the guest itself says of them."""
import struct

import operations as ops
from operations import call, error_of
from test_88_debian import TIMEOUT, session
from vmtest import check, check_equal, test, wait_for

SESSION = "org.vmchannel.Session."
TEXT = "the host says hello"


def utmp(line, user, pid, kind=7, host=""):
    """One record, as login writes it."""
    return struct.pack("<h2xi32s4s32s256shhiii16s20x", kind, pid,
                       line.encode(), line[-4:].encode(), user.encode(),
                       host.encode(), 0, 0, 0, 1700000000, 5, b"")


def log_in(vm, records):
    vm.guest.run("cat >/run/utmp.new && cat /run/utmp.new >/run/utmp",
                 stdin=b"".join(records))


def tty_process(t, vm, tty):
    """A process with that terminal; its pid."""
    job = t.job(vm, f"exec setsid sh -c 'exec </dev/{tty} >/dev/{tty}; "
                f"echo $$ >/tmp/leader.{tty}; exec sleep 1000'")
    wait_for("the leader", lambda: vm.guest.run(
        f"cat /tmp/leader.{tty} 2>/dev/null", check=False).text().strip(), 60)
    del job
    return int(vm.guest.run(f"cat /tmp/leader.{tty}").text())


def list_of(t, daemon, what):
    return call(t, daemon, SESSION + "List" + what)[what.lower()]


@test(timeout=180)
def test_session_utmp(t):
    """Records, those that are true, and those that are left over."""
    vm = t.vm()
    daemon = t.daemon(vm)
    ops.ready(t, daemon)
    check_equal(list_of(t, daemon, "Sessions"), [], "sessions of an idle guest")
    events = ops.Events(t, daemon, types=[SESSION + "*"])
    pid = tty_process(t, vm, "tty1")
    records = [utmp("tty1", "alice", pid),
               utmp("tty2", "bob", 3999999),      # gone
               utmp("tty3", "bob", pid),          # its terminal is another
               utmp("tty1", "LOGIN", pid, kind=6)]
    log_in(vm, records)
    check_equal(events.next(SESSION + "UserNew")["parameters"],
                {"uid": 1000, "user": "alice"}, "UserNew")
    new = events.next(SESSION + "SessionNew")["parameters"]["session"]
    want = {"id": "utmp-tty1", "uid": 1000, "user": "alice", "type": "tty",
            "class": "user", "tty": "tty1", "remote": False, "leader": pid,
            "seat": "seat0", "since_us": 1700000000000005}
    for key, value in want.items():
        check_equal(new.get(key), value, key)
    check_equal(list_of(t, daemon, "Sessions"), [new], "sessions")
    check_equal(call(t, daemon, SESSION + "GetSession", id=new["id"]),
                {"session": new}, "GetSession")
    user, = list_of(t, daemon, "Users")
    check_equal((user["uid"], user["user"], user["sessions"]),
                (1000, "alice", ["utmp-tty1"]), "the user")

    name, params = error_of(t, daemon, SESSION + "GetSession", id="utmp-tty2")
    check_equal((name, params), (SESSION + "NoSuchSession",
                                 {"id": "utmp-tty2"}), "one that is gone")
    name, params = error_of(t, daemon, SESSION + "LockSession",
                            id="utmp-tty1")
    check_equal(name, "org.vmchannel.NotSupported", "lock")
    name, params = error_of(t, daemon, SESSION + "TerminateUser", uid=1001)
    check_equal((name, params), (SESSION + "NoSuchUser", {"uid": 1001}),
                "a user who is not there")

    # On the screen, as far as there is one.
    check_equal(call(t, daemon, SESSION + "SendMessage",
                     text=TEXT + "\x1b[2J"), {"shown": 1}, "shown")
    screen = vm.guest.run("cat /dev/vcs1").text()
    check(TEXT + "^[[2J" in screen, f"the screen has {screen!r}")

    check_equal(call(t, daemon, SESSION + "TerminateSession",
                     id="utmp-tty1"), {}, "TerminateSession")
    wait_for("the leader's end", lambda: vm.guest.run(
        f"kill -0 {pid}", check=False).status != 0, 60)
    check_equal(list_of(t, daemon, "Sessions"), [], "sessions after")
    log_in(vm, records[1:])
    check_equal(events.next(SESSION + "SessionRemoved")["parameters"],
                {"id": "utmp-tty1", "uid": 1000, "user": "alice"},
                "SessionRemoved")
    events.next(SESSION + "UserRemoved")
    events.close()


def compare(ours, logind, what):
    """Ours against "loginctl show-session"."""
    for key, prop in (("id", "Id"), ("user", "Name"), ("uid", "User"),
                      ("type", "Type"), ("class", "Class"),
                      ("state", "State"), ("seat", "Seat"), ("tty", "TTY"),
                      ("leader", "Leader"), ("service", "Service"),
                      ("desktop", "Desktop"), ("display", "Display")):
        check_equal(str(ours.get(key, "")), logind.get(prop, ""),
                    f"{what}: {key}")
    for key, prop in (("active", "Active"), ("remote", "Remote"),
                      ("idle", "IdleHint")):
        check_equal("yes" if ours[key] else "no", logind[prop],
                    f"{what}: {key}")


@test(timeout=TIMEOUT, slow=True)
def test_session_logind_tells(t):
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    sessions = {s["user"]: s for s in list_of(t, daemon, "Sessions")}
    for user in ("alice", "bob"):
        compare(sessions[user], session(vm, user), user)
        check_equal(call(t, daemon, SESSION + "GetSession",
                         id=sessions[user]["id"])["session"]["user"], user,
                    "GetSession")
    check_equal(sessions["alice"]["locked"], False, "locked")
    check("locked" not in sessions["bob"], "a console has no lock")
    ids = vm.guest.run("loginctl list-sessions --no-legend | "
                       "awk '{print $1}'").text().split()
    check_equal(sorted(s["id"] for s in sessions.values()), sorted(ids),
                "sessions")
    users = {u["user"]: u for u in list_of(t, daemon, "Users")}
    check_equal(users["alice"]["sessions"], [sessions["alice"]["id"]],
                "alice's sessions")
    check_equal(error_of(t, daemon, SESSION + "GetSession", id="none")[0],
                SESSION + "NoSuchSession", "a session that is not")


@test(timeout=TIMEOUT, slow=True)
def test_session_logind_locks(t):
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    alice = session(vm, "alice")["Id"]
    events = ops.Events(t, daemon, types=[SESSION + "*"])
    call(t, daemon, SESSION + "LockSession", id=alice)
    check_equal(events.next(SESSION + "SessionLocked")["parameters"],
                {"id": alice, "uid": 1000}, "SessionLocked")
    check_equal(session(vm, "alice")["LockedHint"], "yes", "LockedHint")
    check_equal(call(t, daemon, SESSION + "GetSession", id=alice)[
        "session"]["locked"], True, "locked")
    # The class full: only root of the guest could allow it to the host.
    check_equal(error_of(t, daemon, SESSION + "UnlockSession", id=alice)[0],
                "org.vmchannel.PolicyDenied", "unlock")
    vm.guest.run("loginctl unlock-sessions")
    events.next(SESSION + "SessionUnlocked")
    check_equal(call(t, daemon, SESSION + "LockSessions"), {"locked": 1},
                "those that can be")
    events.next(SESSION + "SessionLocked")
    vm.guest.run("loginctl unlock-sessions")
    events.next(SESSION + "SessionUnlocked")
    events.close()


@test(timeout=TIMEOUT, slow=True)
def test_session_logind_comes_and_goes(t):
    vm, daemon = t.shared_debian()
    ops.ready(t, daemon)
    events = ops.Events(t, daemon, types=[SESSION + "*"])
    bob = session(vm, "bob")["Id"]
    alice = session(vm, "alice")["Id"]
    call(t, daemon, SESSION + "ActivateSession", id=bob)
    check_equal(events.next(SESSION + "ActiveSessionChanged")["parameters"],
                {"seat": "seat0", "id": bob}, "bob in front")
    call(t, daemon, SESSION + "ActivateSession", id=alice)
    check_equal(events.next(SESSION + "ActiveSessionChanged")["parameters"],
                {"seat": "seat0", "id": alice}, "alice in front")

    check_equal(call(t, daemon, SESSION + "SendMessage", text=TEXT, id=bob),
                {"shown": 1}, "shown")
    wait_for("the message on bob's screen", lambda: TEXT in vm.guest.run(
        "cat /dev/vcs2").text(), 60)

    request = "log-off-" + bob
    check_equal(call(t, daemon, SESSION + "TerminateSession", id=bob,
                     request=request), {}, "TerminateSession")
    gone = events.next(SESSION + "SessionRemoved")["parameters"]
    check_equal(gone, {"id": bob, "uid": 1001, "user": "bob"}, "bob is off")
    # agetty logs him in again.
    new = events.next(SESSION + "SessionNew")["parameters"]["session"]
    check_equal((new["user"], new["tty"]), ("bob", "tty2"), "bob is back")
    # Done once: the answer, and nothing else.
    check_equal(call(t, daemon, SESSION + "TerminateSession", id=bob,
                     request=request), {}, "the same request")
    t.wait_sessions(vm)
    check_equal(session(vm, "bob")["Id"], new["id"], "bob's session")
    events.close()
