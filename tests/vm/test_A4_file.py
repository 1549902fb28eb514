# SPDX-License-Identifier: MIT
"""org.vmchannel.File against what the guest itself says."""
import hashlib
import json
import os

import operations
from operations import Stream, call, ready
from opframes import (DATA, END, ERROR, FILE, FRAME_MAX, OUT, SUM, Framed,
                      allow, error_of, forbid)
from vmtest import check, check_equal, test, wait_for

MIB = 1 << 20
TRANSFERS_MAX = 16
FOLDER = "/tmp/files"


class Open:
    """A guest whose files are the host's while this is open."""

    def __init__(self, t, debian=False):
        self.t = t
        self.vm, self.daemon = t.shared_debian() if debian else t.shared()

    def __enter__(self):
        ready(self.t, self.daemon)
        allow(self.vm, self.t, self.daemon)
        self.said(f"rm -rf {FOLDER}; mkdir -p -m 1777 {FOLDER} && "
                  f"chmod 1777 {FOLDER}")
        return self

    def __exit__(self, *_):
        self.said(f"rm -rf {FOLDER}")
        forbid(self.vm, self.t, self.daemon)

    def said(self, command, user="root"):
        return self.vm.guest.run(command, user=user).text()

    def sum_of(self, path):
        return self.said(f"sha256sum <'{path}'").split()[0]

    def names(self):
        return sorted(self.said(f"ls -A {FOLDER}").split())

    def push(self, path, size, **params):
        return Framed(self.t, self.daemon, FILE + "Push", path=path,
                      size=size, **params)

    def put(self, path, data, offset=0, told=None, **params):
        """All of a Push. Return: its last frame, decoded if an error."""
        f = self.push(path, len(data), offset=offset, **params)
        check_equal(f.reply, {"offset": offset}, "reply")
        for at in range(offset, len(data), FRAME_MAX):
            f.send(DATA, data[at:at + FRAME_MAX])
        f.send(SUM, told or hashlib.sha256(data).digest())
        return self.last(f)

    @staticmethod
    def last(f):
        kind, body = f.next()
        check_equal(f.next(), None, "what follows the last frame")
        f.close()
        if kind != ERROR:
            return kind, body
        e = json.loads(body)
        return e["error"].rsplit(".", 1)[1], *e["parameters"].values()

    def get(self, path, **params):
        """All of a Pull. Return: info, bytes, last frame."""
        f = Framed(self.t, self.daemon, FILE + "Pull", path=path, **params)
        data = b""
        while (got := f.next())[0] == OUT:
            data += got[1]
        check_equal(f.next(), None, "what follows the last frame")
        f.close()
        return f.reply["info"], data, got

    def stat(self, path, **params):
        return call(self.t, self.daemon, FILE + "Stat", path=path, **params)

    def error(self, method, path, **params):
        if method == "Push":
            params.setdefault("size", 1)
        ask = operations.error_of if method == "Stat" else error_of
        name, got = ask(self.t, self.daemon, FILE + method, path=path,
                        **params)
        return name.rsplit(".", 1)[1], *got.values()


def check_transfers(g):
    data = os.urandom(MIB + 4321)
    digest = hashlib.sha256(data).digest()
    path = FOLDER + "/file"
    check_equal(g.put(path, data), (SUM, digest), "the guest's sum")
    check_equal((g.sum_of(path), g.said(f"stat -c '%a %u' {path}"),
                 g.names()), (digest.hex(), "644 0\n", ["file"]), "the file")
    info, got, last = g.get(path)
    check_equal((got == data, last), (True, (SUM, digest)), "what came back")
    said = g.said(f"stat -c '%s %u %g %Y' {path}").split()
    check_equal([str(info[k]) for k in ("size", "uid", "gid")] +
                [str(info["modified_us"] // 1000000), info["type"]],
                said + ["file"], "info")
    check_equal(g.stat(path), {"info": info}, "Stat")
    # From the middle: the sum is that of the whole.
    info, got, last = g.get(path, offset=MIB)
    check_equal((got == data[MIB:], last), (True, (SUM, digest)), "the rest")
    # An existing file's mode stays, a link is replaced, its target is not.
    g.said(f"chmod 4600 {path}; ln -s file {FOLDER}/link; "
           f"echo x >{FOLDER}/long")
    check_equal(g.put(path, b"new")[0], SUM, "another")
    check_equal(g.said(f"stat -c %a {path}; cat {path}"), "600\nnew",
                "the file")
    check_equal(g.put(FOLDER + "/link", b"mine", mode=0o750,
                      sha256=hashlib.sha256(b"mine").hexdigest())[0], SUM,
                "a link")
    check_equal(g.said(f"stat -c '%F %a' {FOLDER}/link; cat {path}"),
                "regular file 750\nnew", "link and target")
    long = FOLDER + "/" + "n" * 255
    check_equal(g.put(long, b"")[0], SUM, "an empty one with a long name")
    check_equal(g.said(f"stat -c %s {long}"), "0\n", "size")


@test()
def test_file_transfers(t):
    with Open(t) as g:
        check_transfers(g)


@test(timeout=300)
def test_file_transfers_on_debian(t):
    with Open(t, debian=True) as g:
        check_transfers(g)


@test()
def test_file_is_gone_on_with(t):
    with Open(t) as g:
        data = os.urandom(MIB)
        path = FOLDER + "/file"
        g.said(f"echo old >{path}")
        f = g.push(path, len(data))
        for at in range(0, MIB // 2, FRAME_MAX):
            f.send(DATA, data[at:at + FRAME_MAX])
        wait_for("half of it", lambda: g.stat(path).get("partial") ==
                 MIB // 2, 60, 0.1)
        check_equal(g.error("Push", path), ("CannotOpen", path, "EBUSY"),
                    "a second one meanwhile")
        f.close()
        check_equal((g.said(f"cat {path}"), g.stat(path)["partial"]),
                    ("old\n", MIB // 2), "after it was cut off")

        def again():
            try:
                return g.put(path, data, offset=MIB // 2)
            except Exception as e:
                check("EBUSY" in str(e), str(e))
                return None
        check_equal(wait_for("the cut off one to end", again, 60, 0.1),
                    (SUM, hashlib.sha256(data).digest()), "the sum")
        check_equal((g.sum_of(path), g.names()),
                    (hashlib.sha256(data).hexdigest(), ["file"]), "the file")
        check_equal(g.error("Push", path, offset=1, size=2),
                    ("Changed", path), "with nothing to go on from")
        check_equal(g.error("Pull", path, offset=MIB + 1),
                    ("Changed", path), "from behind the end")


@test()
def test_file_what_is_wrong_is_not_there(t):
    with Open(t) as g:
        path = FOLDER + "/file"
        g.said(f"echo old >{path}; mkfifo {FOLDER}/pipe; "
               f"mkdir {FOLDER}/folder; echo x >{FOLDER}/dark; "
               f"chmod 600 {FOLDER}/dark")
        # Nobody else's file in the unfinished one's place.
        g.said(f"ln -s {path} {FOLDER}/.vmchannel-trap", user="alice")
        wrong = b"\1" * 32
        check_equal(g.put(path, b"new", told=wrong), ("Changed", path), "sum")
        check_equal(g.put(path, b"new", sha256="0" * 64), ("Changed", path),
                    "another sum than the call's")
        f = g.push(path, 2)
        f.send(DATA, b"long")
        check_equal(g.last(f), ("Changed", path), "more than its size")
        f = g.push(path, 5)
        f.send(DATA, b"four")
        f.send(SUM, hashlib.sha256(b"four").digest())
        check_equal(g.last(f), ("Changed", path), "less than its size")
        for kind in (END, OUT):
            f = g.push(path, 5)
            f.send(kind, b"x" if kind == OUT else b"")
            check_equal(f.next(), None, "what is no frame of Push")
        check_equal((g.said(f"cat {path}"), g.stat(path).get("partial")),
                    ("old\n", 0), "the file")
        check_equal(g.put(FOLDER + "/trap", b"safe")[0], SUM, "a trap")
        check_equal(g.said(f"cat {path} {FOLDER}/trap"), "old\nsafe", "both")
        for method, name, params, error in (
                ("Pull", "folder", {}, "EISDIR"),
                ("Pull", "pipe", {}, "EINVAL"),
                ("Pull", "none", {}, "ENOENT"),
                ("Pull", "dark", {"user": "alice"}, "EACCES"),
                ("Push", "folder", {}, "EISDIR"),
                ("Push", "folder/", {}, "EISDIR"),
                ("Push", "pipe", {}, "EINVAL"),
                ("Push", "none/x", {}, "ENOENT"),
                ("Push", "folder/x", {"user": "alice"}, "EACCES"),
                ("Push", "x", {"size": 1 << 50}, "ENOSPC"),
                ("Push", "n" * 256, {}, "ENAMETOOLONG"),
                ("Stat", "file/x", {}, "ENOTDIR")):
            full = f"{FOLDER}/{name}"
            check_equal(g.error(method, full, **params),
                        ("CannotOpen", full, error), f"{method} {name}")
        check_equal(g.error("Stat", path, user="carol"),
                    ("NoSuchUser", "carol"), "nobody")
        check_equal(g.stat(FOLDER + "/none"), {}, "nothing")
        check_equal({n: g.stat(p)["info"]["type"] for n, p in (
            ("pipe", FOLDER + "/pipe"), ("device", "/dev/null"),
            ("directory", FOLDER), ("link", "/proc/self"))},
            {n: n for n in ("pipe", "device", "directory", "link")}, "types")


@test()
def test_file_is_the_users(t):
    with Open(t) as g:
        path = FOLDER + "/hers"
        check_equal(g.put(path, b"hers", user="alice", mode=0o600)[0], SUM,
                    "alice's")
        check_equal(g.said(f"stat -c '%U %G %a' {path}"),
                    "alice alice 600\n", "whose it is")
        check_equal(g.get(path, user="alice")[1], b"hers", "alice reads")
        check_equal(g.error("Pull", path, user="bob"),
                    ("CannotOpen", path, "EACCES"), "bob does not")
        # A folder where all may write keeps what is another's.
        f = g.push(path, 1, user="bob")
        f.send(DATA, b"x")
        f.send(SUM, hashlib.sha256(b"x").digest())
        check_equal(g.last(f), ("CannotOpen", path, "EPERM"), "bob's Push")
        check_equal((g.said(f"cat {path}"), g.names()), ("hers", ["hers"]),
                    "what is left")


@test()
def test_file_changes_are_seen(t):
    with Open(t) as g:
        path = FOLDER + "/file"
        g.said(f"head -c {8 * MIB} /dev/zero >{path}")
        f = Framed(t, g.daemon, FILE + "Pull", path=path)
        f.next()
        # Not all of it fits what is between here and there.
        g.said(f"echo more >>{path}")
        while (got := f.next())[0] == OUT:
            pass
        check_equal((got[0], json.loads(got[1])["error"]),
                    (ERROR, FILE + "Changed"), "the last frame")
        check_equal(g.get("/proc/version")[2][0], ERROR,
                    "a file that says nothing of its size")


@test(timeout=90)
def test_file_a_full_disk(t):
    with Open(t) as g:
        small = FOLDER + "/small"
        g.said(f"mkdir {small}; mount -t tmpfs -o size=1m tmp {small}")
        try:
            path = small + "/file"
            f = g.push(path, MIB - 8192)
            g.said(f"head -c 524288 /dev/zero >{small}/other")
            # The error comes while data does.
            try:
                for _ in range(15):
                    f.send(DATA, bytes(FRAME_MAX))
            except OSError:
                pass
            check_equal(g.last(f), ("CannotOpen", path, "ENOSPC"), "")
            check_equal(g.said(f"ls -A {small}"), "other\n", "what is left")
            g.said(f"mount -o remount,ro {small}")
            check_equal(g.error("Push", path), ("CannotOpen", path, "EROFS"),
                        "read-only")
        finally:
            g.said(f"umount {small}")


@test()
def test_file_transfers_are_limited(t):
    with Open(t) as g:
        some = [g.push(f"{FOLDER}/{i}", 1) for i in range(TRANSFERS_MAX)]
        s = Stream(t, g.daemon, "org.vmchannel.File")
        s.send(FILE + "Push", {"path": "/tmp/x", "size": 1}, upgrade=True)
        check_equal(s.message(), {
            "error": "org.vmchannel.LimitReached",
            "parameters": {"limit": "transfers", "value": TRANSFERS_MAX}},
            "one too many")
        for f in some:
            f.close()
