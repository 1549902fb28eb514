# SPDX-License-Identifier: MIT
"""run, qemu-args and attach with a real QEMU; most need no guest."""
import json
import os
import shlex
import signal
import socket
import subprocess

from vmtest import (Failure, Qmp, check, check_equal, guest_dir, machine_args,
                    program, test, varlink, wait_for)

BARE = ["-S", "-display", "none", "-nodefaults"]


class Place:
    """A folder for VMs, and the command in it."""

    def __init__(self, t):
        self.t = t
        self.top = os.path.join(t.dir, "run")
        self.dir = os.path.join(self.top, "vm")
        self.env = {"VMCHANNEL_DIR": self.top,
                    "VMCHANNELD": program("src/host/vmchanneld")}

    def cli(self, *args, env=None, **options):
        return self.t.host(program("src/cli/vmchannel"), *args,
                           env=dict(self.env, **(env or {})), **options)

    def qemu(self, *args):
        return ["qemu-system-x86_64", *BARE, *args]

    def run(self, *args, options=(), **more):
        """vmchannel run --name vm, with a QEMU that does nothing."""
        return self.cli("run", "--name", "vm", *options, "--",
                        *self.qemu(*args), **more)

    def info(self):
        p = self.cli("list", "--json")
        rows = [json.loads(line) for line in p.ok().splitlines()]
        return next((r for r in rows if r["vm"] == "vm"), None)

    def wait_link(self, state="connected"):
        """connected: QEMU; up: the guest, which has to boot first."""
        wait_for("vmchanneld's link", lambda: (self.info() or {}).get("link")
                 == state, 15 if state == "connected" else 60, 0.1)

    def stop(self, p):
        """SIGTERM, once QEMU has its handlers: it answers QMP then."""
        with QmpOf(self):
            pass
        p.kill(signal.SIGTERM)
        check_equal(p.wait(), 0, "exit status after SIGTERM")

    def wait_qmp(self, word):
        """What vmchanneld's own QMP connection says."""
        wait_for(f"QMP to say {word}", lambda: varlink(
            self, "org.vmchannel.Broker.GetInfo").get("qmp") == word, 30, 0.1)

    def wait_clean(self):
        wait_for("an empty folder",
                 lambda: not os.path.exists(self.dir), 10)

    def bare_qemu(self, *args):
        """A QEMU that nobody prepared; returns it and its QMP path."""
        path = os.path.join(self.t.dir, "q")
        if os.path.exists(path):
            os.unlink(path)
        qemu = self.t.host(*self.qemu(*args, "-qmp",
                                      f"unix:{path},server=on,wait=off"),
                           stdin=subprocess.DEVNULL)
        wait_for("QEMU's QMP socket", lambda: os.path.exists(path))
        return qemu, path

    def attach(self, qmp, *options, **more):
        return self.cli("attach", "vm", "--qmp", qmp, *options, **more)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def program_of(pid):
    return os.path.basename(os.readlink(f"/proc/{pid}/exe"))


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@test()
def test_run_becomes_qemu(t):
    place = Place(t)
    p = place.run()
    place.wait_link()
    check(program_of(p.pid).startswith("qemu-system"), "it is not QEMU itself")
    check_equal(children(p.pid), [], "QEMU's children")
    with QmpOf(place) as qmp:
        uuid = qmp.command("query-uuid")["UUID"]
        check(uuid[14] == "4", f"no random UUID: {uuid}")
        ports = qmp.command("qom-get", path="/machine/peripheral/vmchannel",
                            property="max_ports")
        check_equal(ports, 4, "max_ports")
        vectors = qmp.command("qom-get", path="/machine/peripheral/vmchannel",
                              property="vectors")
        check_equal(vectors, 11, "vectors")
        # Beside it, vmchanneld's own.
        place.wait_qmp("stopped")  # it was started with -S
        qmp.command("cont")
        place.wait_qmp("running")
        qmp.command("stop")
        place.wait_qmp("stopped")
    place.stop(p)
    place.wait_clean()


class QmpOf:
    """QMP on the socket that run made."""

    def __init__(self, place):
        self.path = os.path.join(place.dir, "qmp")

    def __enter__(self):
        self.qmp = Qmp(self.path, lambda: None)
        return self.qmp

    def __exit__(self, *_):
        self.qmp.close()


@test()
def test_run_keeps_what_was_said(t):
    """-name and -uuid of the command line count."""
    place = Place(t)
    uuid = "11111111-2222-3333-4444-555555555555"
    p = place.cli("run", "--", *place.qemu("-name", "vm,debug-threads=on",
                                           "-uuid", uuid))
    place.wait_link()
    with QmpOf(place) as qmp:
        check_equal(qmp.command("query-uuid")["UUID"], uuid, "UUID")
        check_equal(qmp.command("query-name")["name"], "vm", "name")
        qmp.command("quit")
    check_equal(p.wait(), 0, "exit status after quit")
    place.wait_clean()


def hop_of(place, name):
    doctor = place.cli("doctor", "vm", "--json")
    doctor.wait(30)
    rows = [json.loads(line) for line in doctor.text().splitlines()]
    return next((r for r in rows if r["hop"] == name), {"detail": ""})


def arguments(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
        return f.read().split("\0")[:-1]


@test()
def test_run_takes_the_state_along(t):
    place = Place(t)
    p = place.run()
    place.wait_link()
    words = arguments(p.pid)
    check_equal(words[words.index("-object") + 1],
                f"dbus-vmstate,id=vmch0,addr=unix:path={place.dir}/"
                "vmstate.sock,id-list=vmchannel", "the object")
    wait_for("QEMU is connected to the bus", lambda: hop_of(
        place, "migration")["detail"].startswith("QEMU takes"))
    place.stop(p)
    place.wait_clean()
    p = place.run(options=["--no-state"])
    place.wait_link()
    check("-object" not in arguments(p.pid), "an object is there")
    check("streams would end" in hop_of(place, "migration")["detail"],
          "doctor says nothing")
    place.stop(p)
    place.wait_clean()


@test(timeout=120)
def test_run_incoming(t):
    """Two QEMUs without a guest, a migration, and what doctor says of it."""
    place = Place(t)
    there = Place(t)
    there.top = os.path.join(t.dir, "there")
    there.dir = os.path.join(there.top, "vm")
    there.env["VMCHANNEL_DIR"] = there.top
    uri = "unix:" + os.path.join(t.dir, "migration")
    source = place.run()
    target = there.run("-incoming", uri)
    for at in (place, there):
        at.wait_link()
    incoming = [w for at in (place, there) for w in worker_parent(at)
                if w == "--incoming"]
    check_equal(len(incoming), 1, "vmchannelds with --incoming")
    with QmpOf(place) as qmp:
        qmp.command("migrate", uri=uri)
        wait_for("the migration", lambda: qmp.command(
            "query-migrate")["status"] in ("completed", "failed"))
        check_equal(qmp.command("query-migrate")["status"], "completed",
                    "migration")
    for at, p in ((place, source), (there, target)):
        at.stop(p)
        at.wait_clean()


def worker_parent(place):
    """Arguments of the supervisor, whose child answers."""
    with open(f"/proc/{place.info()['pid']}/stat", encoding="ascii") as f:
        return arguments(f.read().rsplit(")", 1)[1].split()[1])


@test()
def test_run_exit_status(t):
    place = Place(t)
    p = place.run("-machine", "no-such-machine")
    check_equal(p.wait(), 1, "QEMU's own error")
    check("machine" in p.errors(), f"QEMU's words are lost: {p.errors()}")
    place.wait_clean()
    p = place.run()
    place.wait_link()
    p.kill(signal.SIGKILL)
    check_equal(p.wait(), 137, "exit status after SIGKILL")
    place.wait_clean()


@test()
def test_run_refuses(t):
    """What cannot work is said in one line, before QEMU is started."""
    place = Place(t)
    port = "virtserialport,name=org.vmchannel.0,chardev=c"
    for want, word, p in (
            (127, "no such program",
             place.cli("run", "--", "./no-such-qemu")),
            (125, "already", place.run("-device", port)),
            (125, "rename", place.run("-device", "e1000,id=vmchannel")),
            (125, "has no bus", place.run("-M", "none")),
            (125, "-uuid", place.run("-uuid", "x")),
            (125, "name", place.cli("run", "--", *place.qemu("-name", "a b"))),
            (125, "--ports", place.run(options=["--ports", "510"])),
            (125, "--transport", place.run(options=["--transport", "usb"])),
            (125, "wants a command", place.cli("run", "--")),
            (125, "VMCHANNELD", place.run(env={"VMCHANNELD": "/no/such"})),
            (125, "did not say", place.run(env={"VMCHANNELD": "/bin/false"}))):
        check_equal(p.wait(), want, p.name)
        text = p.errors()
        if word != "did not say":
            check(word in text, f"no word of {word}: {text}")
        check_equal(text.count("\n"), 1, f"lines of {text!r}")
    check(not os.path.exists(place.dir), "something was left behind")


@test()
def test_run_name_in_use(t):
    place = Place(t)
    first = place.run()
    place.wait_link()
    second = place.run()
    check_equal(second.wait(), 125, "second VM of the same name")
    check(first.status is None, "the first one ended")
    place.wait_link()
    place.stop(first)
    # Started again at once, while the first is cleaned up.
    third = place.run()
    place.wait_link()
    place.stop(third)
    place.wait_clean()


@test()
def test_run_processes_die_together(t):
    place = Place(t)
    p = place.run()
    place.wait_link()
    daemon = place.info()["pid"]
    keeper = parent_of(daemon)
    check(keeper != p.pid, "vmchanneld is QEMU's child")
    os.kill(keeper, signal.SIGKILL)
    wait_for("vmchanneld to end", lambda: gone(daemon))
    check(p.status is None, "QEMU ended with the keeper")
    p.kill(signal.SIGTERM)
    p.wait()


@test()
def test_run_daemonize(t):
    """QEMU's first process ends, the VM lives on, and so does vmchanneld."""
    place = Place(t)
    pidfile = os.path.join(t.dir, "pid")
    check_equal(place.run("-daemonize", "-pidfile", pidfile).wait(), 0,
                "exit status")
    place.wait_link()
    with open(pidfile, encoding="ascii") as f:
        os.kill(int(f.read()), signal.SIGTERM)
    place.wait_clean()


@test()
def test_run_keeps_the_monitor(t):
    """-nographic still has its monitor behind Ctrl-A c."""
    place = Place(t)
    p = place.cli("run", "--name", "vm", "--", "qemu-system-x86_64", "-M",
                  "pc", "-S", "-nographic")
    place.wait_link()
    p.write(b"\x01c")
    p.expect(r"\(qemu\)")
    p.write(b"quit\n")
    check_equal(p.wait(), 0, "exit status")
    place.wait_clean()


@test()
def test_run_room_for_a_port(t):
    place = Place(t)
    p = place.run(options=["--ports", "1"])
    place.wait_link()
    with QmpOf(place) as qmp:
        for i in (1, 2):
            qmp.command("chardev-add", id=f"c{i}",
                        backend={"type": "null", "data": {}})
        plug = {"driver": "virtserialport", "bus": "vmchannel.0"}
        qmp.command("device_add", **plug, chardev="c1", id="p1", name="a.b")
        try:
            qmp.command("device_add", **plug, chardev="c2", id="p2",
                        name="a.c")
        except Failure:
            pass
        else:
            raise Failure("more ports than --ports")
    p.kill(signal.SIGTERM)
    p.wait()


@test()
def test_run_other_machines(t):
    place = Place(t)
    for args in (["-M", "pc"], ["-M", "microvm"], ["-M", "microvm,pcie=on"],
                 ["-M", "q35", "-sandbox", "on,obsolete=deny,spawn=deny"]):
        p = place.run(*args)
        place.wait_link()
        with QmpOf(place) as qmp:
            qmp.command("quit")
        check_equal(p.wait(), 0, " ".join(args))
        place.wait_clean()


@test()
def test_qemu_args(t):
    place = Place(t)
    words = shlex.split(place.cli("qemu-args", "vm").ok())
    lines = place.cli("qemu-args", "--lines", "vm").ok().splitlines()
    listed = json.loads(place.cli("qemu-args", "--json", "vm").ok())
    check_equal(words, lines, "the line and the lines")
    check_equal(words, listed, "the line and the list")
    check_equal(words[-2], "-object", "the last option")
    check(words[-1].startswith("dbus-vmstate,id=vmch0,"), words[-1])
    check_equal(shlex.split(place.cli("qemu-args", "--no-state", "vm").ok()),
                words[:-2], "without state")
    p = place.cli("qemu-args", "--qmp-events", "vm")
    more = shlex.split(p.ok())
    check_equal(more[-4:-2], ["-mon", "chardev=vmchannel-events,mode=control"],
                "a QMP socket more")
    check(f"vmchanneld --qmp-events {place.dir}/qmp-events --dir" in
          p.errors(), p.errors())
    p = place.cli("qemu-args", "--incoming", "vm")
    check_equal(shlex.split(p.ok()), words, "options of the destination")
    check("vmchanneld --incoming --dir" in p.errors(), p.errors())
    daemon = place.t.host(program("src/host/vmchanneld"), "vm", env=place.env)
    wait_for("the folder", lambda: os.path.exists(place.dir))
    t.host(*place.qemu(*words))
    place.wait_link()
    daemon.kill(signal.SIGTERM)
    daemon.wait()


@test()
def test_libvirt_xml(t):
    from xml.etree import ElementTree
    place = Place(t)
    text = place.cli("libvirt-xml", "vm", "--controller", "3").ok()
    devices = ElementTree.fromstring(f"<devices>{text}</devices>")
    controller, channel = devices.find("controller"), devices.find("channel")
    check_equal(controller.attrib, {"type": "virtio-serial", "index": "3",
                                    "ports": "4", "vectors": "11"},
                "controller")
    check_equal(channel.find("source").attrib,
                {"mode": "bind", "path": os.path.join(place.dir, "link")},
                "source")
    check_equal(channel.find("target").get("name"), "org.vmchannel.0", "name")
    check_equal(channel.find("address").get("controller"), "3", "address")
    more = place.cli("libvirt-xml", "vm", "--controller", "3", "--state").ok()
    check(more.startswith(text), "another text with --state")
    line = ElementTree.fromstring("<domain xmlns:qemu='urn:q'>"
                                  f"{more[len(text):]}</domain>")
    args = [a.get("value") for a in line.iter("{urn:q}arg")]
    check_equal(args, ["-object",
                       f"dbus-vmstate,id=vmch0,addr=unix:path={place.dir}/"
                       "vmstate.sock,id-list=vmchannel"], "-object")


PC = ["-M", "pc"]
ROOT_PORT = ["-M", "q35", "-device", "pcie-root-port,id=rp0,chassis=1"]
CONTROLLER = ["-M", "q35", "-device", "virtio-serial-pci"]


@test(timeout=120)
def test_attach(t):
    for machine in (PC, ROOT_PORT, CONTROLLER):
        place = Place(t)
        uuid = "11111111-2222-3333-4444-555555555555"
        qemu, qmp = place.bare_qemu(*machine, "-uuid", uuid)
        said = place.attach(qmp)
        said.ok()
        place.wait_link()
        check("plugged" in said.errors(), "no progress was shown")
        again = json.loads(place.attach(qmp, "--json").ok())
        check(again["port_was_there"] and again["daemon_was_there"],
              f"attached twice: {again}")
        check_equal(again["uuid"], uuid, "UUID")
        place.attach(qmp, "--detach").ok(40)
        place.wait_clean()
        place.attach(qmp, "--detach").ok()
        place.attach(qmp, "--qmp-events", qmp).ok()
        place.wait_link()
        place.wait_qmp("stopped")
        qemu.kill()
        qemu.wait()
        place.wait_clean()


@test()
def test_attach_names_what_is_missing(t):
    for machine, word in ((["-M", "q35"], "pcie-root-port"),
                          (["-M", "microvm"], "no PCI bus"),
                          (["-M", "none"], "no PCI bus"),
                          (ROOT_PORT + ["-device",
                                        "virtio-serial-pci,bus=rp0,"
                                        "max_ports=1"], "pcie-root-port")):
        place = Place(t)
        qemu, qmp = place.bare_qemu(*machine)
        p = place.attach(qmp)
        check_equal(p.wait(), 125, "exit status")
        check(word in p.errors(), f"no word of {word}: {p.errors()}")
        place.wait_clean()
        qemu.kill()
        qemu.wait()


@test()
def test_attach_undoes(t):
    """The port cannot be plugged: chardev and controller go again."""
    place = Place(t)
    _, path = place.bare_qemu(*PC, "-chardev", "null,id=vmchannel-link")
    p = place.attach(path)
    check_equal(p.wait(), 125, "exit status")
    check("vmchannel-link" in p.errors(), p.errors())
    place.wait_clean()
    qmp = Qmp(path, lambda: None)
    labels = [c["label"] for c in qmp.command("query-chardev")]
    check_equal(labels.count("vmchannel-link"), 1, "chardevs")
    check_equal([d["name"] for d in qmp.command("qom-list",
                                                path="/machine/peripheral")
                 if d["name"] == "org.vmchannel.0"], [], "ports")
    qmp.close()


@test()
def test_attach_to_another_vms_name(t):
    """The name is taken by a VM that runs: it must not come to harm."""
    place = Place(t)
    run = place.run(*PC, stdin=subprocess.DEVNULL)
    place.wait_link()
    pid = place.info()["pid"]
    other = "99999999-2222-3333-4444-555555555555"
    for uuid in ([], ["-uuid", other]):
        qemu, qmp = place.bare_qemu(*PC, *uuid)
        for options in ([], ["--detach"]):
            p = place.attach(qmp, *options)
            check_equal(p.wait(), 125, f"attach {options}")
            check("another VM" in p.errors(), p.errors())
        qemu.kill()
        qemu.wait()
    check_equal(place.info()["pid"], pid, "vmchanneld")
    check_equal(place.info()["link"], "connected", "its link")
    place.stop(run)
    place.wait_clean()


@test()
def test_attach_finds_a_link_in_use(t):
    """Whoever listens there may have a full backlog: nothing hangs."""
    place = Place(t)
    os.makedirs(place.dir)
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(os.path.join(place.dir, "link"))
        ear.listen(0)
        waiting = []
        for _ in range(4):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            waiting.append(s)
            s.connect_ex(os.path.join(place.dir, "link"))
        _, qmp = place.bare_qemu(*PC)
        p = place.attach(qmp, "--no-daemon")
        check_equal(p.wait(), 125, "a link that is in use")
        check("in use by another" in p.errors(), p.errors())
        for s in waiting:
            s.close()


@test()
def test_attach_bad_sockets(t):
    place = Place(t)
    p = place.attach("/no/such/socket")
    check_equal(p.wait(), 127, "no such socket")
    check("-qmp" in p.errors(), f"no remedy: {p.errors()}")
    check_equal(place.cli("attach", "vm").wait(), 125, "no --qmp")
    _, path = place.bare_qemu(*PC)
    holder = Qmp(path, lambda: None)
    p = place.attach(path)
    check_equal(p.wait(), 125, "a socket that somebody holds")
    check("another client" in p.errors(), p.errors())
    holder.close()


@test()
def test_attach_to_a_port_that_is_there(t):
    """QEMU was started with a port; only vmchanneld is missing."""
    place = Place(t)
    link = os.path.join(t.dir, "elsewhere")
    _, path = place.bare_qemu(
        "-M", "q35", "-device", "virtio-serial-pci,id=s", "-chardev",
        f"socket,id=c,path={link},server=on,wait=off", "-device",
        "virtserialport,bus=s.0,chardev=c,name=org.vmchannel.0")
    answer = json.loads(place.attach(path, "--json").ok())
    check_equal(answer["link"], link, "link")
    place.wait_link()


@test()
def test_attach_without_daemon(t):
    place = Place(t)
    _, path = place.bare_qemu(*PC)
    p = place.attach(path, "--no-daemon")
    p.ok()
    said = [line for line in p.errors().splitlines() if "now start" in line]
    check(len(said) == 1, p.errors())
    words = shlex.split(said[0].split("vmchanneld ", 1)[1])
    daemon = t.host(program("src/host/vmchanneld"), *words)
    place.wait_link()
    daemon.kill(signal.SIGTERM)
    daemon.wait()


@test(timeout=120)
def test_run_boots_a_guest(t):
    place = Place(t)
    words = ["console=ttyS0 quiet panic=1 no_timer_check vmch.agent"]
    p = place.cli("run", "--name", "vm", "--",
                  *machine_args(guest_dir("guest"), words),
                  "-serial", f"file:{t.dir}/serial",
                  stdin=subprocess.DEVNULL)
    place.wait_link("up")
    place.stop(p)
    place.wait_clean()


@test(timeout=120)
def test_attach_to_a_guest(t):
    """Controller and port are plugged into a guest that runs."""
    place = Place(t)
    path = os.path.join(t.dir, "q")
    vm = t.vm(link=False, args=[
        "-device", "pcie-root-port,id=rp0,chassis=1",
        "-qmp", f"unix:{path},server=on,wait=off"])
    place.attach(path, "--wait").ok(70)
    place.wait_link("up")
    serve = t.job(vm, "exec vmctest -l host org.example.a echo")
    serve.expect("listening")
    names = place.cli("channels", "vm", "--names")
    check("org.example.a" in names.ok(), "the guest's channel is not there")
    place.attach(path, "--detach").ok(40)
    place.wait_clean()
