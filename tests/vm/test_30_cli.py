# SPDX-License-Identifier: MIT
"""Every verb of the command, on both sides where it has a meaning there."""
import json
import os
import re
import signal
import time

from vmtest import (LINK_PORT, check, check_equal, guest_dir, machine_args,
                    program, test, wait_for)


def cli_ok(t, daemon, *args, **options):
    p = t.cli(daemon, *args, **options)
    p.close_stdin()
    return p.ok()


@test()
def test_cli_list(t):
    vm, daemon = t.shared()
    text = cli_ok(t, daemon, "list")
    check(re.search(rf"^{vm.name}\b.*\bup\b", text, re.M), text)
    check(vm.name in cli_ok(t, daemon, "list", "--json"), "list --json")
    check("host" in vm.guest.run("vmchannel list", user="alice").text(),
          "list in the guest")


@test()
def test_cli_channels(t):
    vm, daemon = t.shared()
    t.guest_serve(vm, "org.example.listed", "echo", user="bob")
    for _ in range(2):
        text = cli_ok(t, daemon, "channels", vm.name)
    check(re.search(r"org\.example\.listed.*peer|peer.*org\.example\.listed",
                    text), text)
    json.loads(cli_ok(t, daemon, "channels", vm.name, "--json")
               .splitlines()[0])
    text = vm.guest.run("vmchannel channels host", user="alice").text()
    check(re.search(r"org\.example\.listed.*local|"
                    r"local.*org\.example\.listed", text), text)


@test()
def test_cli_connect_and_listen_in_guest(t):
    vm, daemon = t.shared()
    t.job(vm, "vmchannel listen host org.example.tr -- tr a-z A-Z", "alice")
    wait_for("the channel", lambda: "org.example.tr" in
             cli_ok(t, daemon, "channels", vm.name))
    p = t.cli(daemon, "connect", vm.name, "org.example.tr")
    p.write(b"shout\n" * 10000)
    p.close_stdin()
    check_equal(p.ok(), "SHOUT\n" * 10000, "what tr made of it")


@test()
def test_cli_listen_on_host(t):
    vm, daemon = t.shared()
    t.cli(daemon, "listen", vm.name, "org.example.rev", "--", "rev")
    wait_for("the channel", lambda: "org.example.rev" in
             vm.guest.run("vmchannel channels host").text())
    job = vm.guest.run("vmchannel connect host org.example.rev",
                       user="alice", stdin=b"abc\n")
    check_equal(job.text(), "cba\n", "what rev made of it")


@test()
def test_cli_listen_once_passes_status_on(t):
    vm, daemon = t.shared()
    server = t.cli(daemon, "listen", vm.name, "org.example.once7", "--once",
                   "--", "sh", "-c", "exit 7")
    wait_for("the channel", lambda: "org.example.once7" in
             vm.guest.run("vmchannel channels host").text())
    vm.guest.run("vmchannel connect host org.example.once7", check=False)
    check_equal(server.wait(), 7, "status of listen --once")


@test()
def test_cli_connect_reports_problems(t):
    vm, daemon = t.shared()
    p = t.cli(daemon, "connect", vm.name, "org.example.nobody")
    check_equal(p.wait(), 127, "status for an unknown channel")
    check_equal(p.errors().count("\n"), 1, "lines of the error")
    check("org.example.nobody" in p.errors(), p.tail())
    p = t.cli(daemon, "connect", "no-such-vm", "org.example.nobody")
    check_equal(p.wait(), 127, "status for an unknown VM")
    check("no-such-vm" in p.errors(), p.tail())
    p = t.cli(daemon, "connect", vm.name)
    check_equal(p.wait(), 125, "status for wrong usage")
    t.host_serve(daemon, "org.vmchannel.closed", "echo")
    job = vm.guest.run("vmchannel connect host org.vmchannel.closed",
                       user="bob", check=False)
    check_equal(job.status, 126, "status when denied")


@test()
def test_cli_monitor_text(t):
    vm, daemon = t.shared()
    p = t.cli(daemon, "monitor", vm.name)
    time.sleep(0.5)
    t.guest_serve(vm, "org.example.told", "echo").kill()
    p.expect(r"channel-added.*org\.example\.told")
    p.expect(r"channel-removed.*org\.example\.told")
    p.kill(signal.SIGINT)
    p.wait(5)


@test()
def test_cli_call(t):
    vm, daemon = t.shared()
    info = json.loads(cli_ok(t, daemon, "call", vm.name,
                             "org.varlink.service.GetInfo"))
    check("interfaces" in info, f"{info}")
    text = cli_ok(t, daemon, "call", vm.name,
                  "org.varlink.service.GetInterfaceDescription",
                  '{"interface": "org.varlink.service"}')
    check("method GetInfo" in text, text)
    job = vm.guest.run("vmchannel call host org.varlink.service.GetInfo")
    check("interfaces" in job.text(), job.text())
    p = t.cli(daemon, "call", vm.name, "org.varlink.service.NoSuch")
    check_equal(p.wait(), 1, "status of a call with an error reply")
    check("MethodNotFound" in p.errors() + p.text(), p.tail())


@test()
def test_cli_stats(t):
    vm, daemon = t.shared()
    stats = json.loads(cli_ok(t, daemon, "stats", vm.name, "--json"))
    check("session" in stats or stats, f"{stats}")
    vm.guest.run("vmchannel stats host", user="alice")


@test()
def test_cli_policy_test(t):
    vm, daemon = t.shared()
    p = t.cli(daemon, "policy", "test", vm.name, "connect",
              "org.vmchannel.x", "--as", "guest:1000")
    check_equal(p.wait(), 126, "status when denied")
    check("built-in:" in p.text(), p.tail())
    cli_ok(t, daemon, "policy", "test", vm.name, "connect", "org.example.x",
           "--as", "guest:1000")
    job = vm.guest.run("vmchannel policy test host listen org.vmchannel.x",
                       user="alice", check=False)
    check_equal(job.status, 126, "status when denied in the guest")


@test()
def test_cli_doctor(t):
    vm, daemon = t.shared()
    p, found = doctor(t, daemon, vm)
    check_equal(p.status, 0, "status with an agent")
    check_equal([h for h in found if found[h]["ok"] is False], [], "bad hops")
    check_equal(list(found), ["directory", "daemon", "state", "migration",
                              "link", "peer", "call", "policy"], "hops")
    check_equal(found["state"]["detail"].split(":")[0], "serving", "state")
    text = cli_ok(t, daemon, "doctor", vm.name)
    check(text.endswith(f"all hops to the other side of {vm.name} are good\n"),
          text)
    vm.guest.run("vmchannel doctor host")


def doctor(t, daemon, vm):
    p = t.cli(daemon, "doctor", vm.name, "--json")
    p.wait(30)
    return p, {h["hop"]: h for h in map(json.loads, p.text().splitlines())}


@test()
def test_cli_doctor_names_the_failing_hop(t):
    vm = t.vm(agent=False)
    daemon = t.daemon(vm)
    wait_for("the link", lambda: json.loads(cli_ok(
        t, daemon, "list", "--json").splitlines()[0])["link"] == "connected")
    p, found = doctor(t, daemon, vm)
    check_equal(p.status, 1, "status without an agent")
    check_equal([h for h in found if found[h]["ok"] is False], ["peer"],
                "bad hops")
    check("vmchannel-agent" in found["peer"]["remedy"], found["peer"])
    daemon.close()
    p, found = doctor(t, daemon, vm)
    check_equal(p.status, 1, "status without a daemon")
    check_equal([h for h in found if found[h]["ok"] is False], ["directory"],
                "bad hops")
    check("vmchanneld" in found["directory"]["remedy"], found["directory"])


@test()
def test_cli_help_and_completion(t):
    vm, daemon = t.shared()
    overview = cli_ok(t, daemon, "--help")
    for verb in ("run", "qemu-args", "libvirt-xml", "attach", "list",
                 "channels", "connect", "listen", "monitor", "call", "stats",
                 "doctor", "policy"):
        check(re.search(rf"^\s+{verb}\b", overview, re.M),
              f"{verb} is not in the help")
        text = cli_ok(t, daemon, verb, "--help")
        check(f"usage: vmchannel {verb}" in text and len(text) > 200, text)
    p = t.cli(daemon, "conect")
    check_equal(p.wait(), 125, "status for an unknown verb")
    check("vmchannel" in p.errors() and p.errors().count("\n") <= 2, p.tail())


@test()
def test_cli_libvirt_xml(t):
    _, daemon = t.shared()
    text = cli_ok(t, daemon, "libvirt-xml", "web1")
    check("<channel type='unix'>" in text.replace('"', "'"), text)
    check(LINK_PORT in text, text)


@test()
def test_cli_qemu_args(t):
    """What it prints boots a VM with a working channel."""
    vm, daemon = None, None
    top = os.path.join(t.dir, "run")
    os.makedirs(top)
    env = {"VMCHANNEL_DIR": top}
    args = t.host(program("src/cli/vmchannel"), "qemu-args", "qa", env=env)
    args.close_stdin()
    words = args.ok().split()
    check("virtserialport" in " ".join(words), f"{words}")
    os.makedirs(os.path.join(top, "qa"), exist_ok=True)
    t.host(program("src/host/vmchanneld"), "--dir", top, "--config", t.dir,
           "qa", name="vmchanneld")
    wait_for("the state's socket", lambda: os.path.exists(
        os.path.join(top, "qa", "vmstate.sock")))
    t.host(*machine_args(guest_dir("guest"), ["console=ttyS0 quiet",
                                              "vmch.agent"]),
           *words, "-serial", "null", cwd=t.dir, name="qemu")

    def up():
        p = t.host(program("src/cli/vmchannel"), "call", "qa",
                   "org.varlink.service.GetInfo", env=env)
        p.close_stdin()
        return p.wait(20) == 0
    wait_for("a call to the agent", up, 40, 0.5)


def run_verb(t, *qemu_args, name="runvm", words=()):
    top = os.path.join(t.dir, "run")
    os.makedirs(top, exist_ok=True)
    env = {"VMCHANNEL_DIR": top,
           "PATH": os.path.dirname(program("src/host/vmchanneld")) + ":"
           + os.environ["PATH"]}
    p = t.host(program("src/cli/vmchannel"), "run", "--name", name, "--",
               *machine_args(guest_dir("guest"),
                             ["console=ttyS0 quiet panic=1", "vmch.agent",
                              *words]),
               *qemu_args, env=env, name="vmchannel run")
    return p, top, env


def wait_call(t, p, env, name="runvm"):
    def up():
        check(p.status in (None, 0), f"{p.name} ended: " + p.tail())
        c = t.host(program("src/cli/vmchannel"), "call", name,
                   "org.varlink.service.GetInfo", env=env)
        c.close_stdin()
        return c.wait(20) == 0
    wait_for("a call to the agent", up, 40, 0.5)


@test(timeout=90)
def test_cli_run(t):
    """A VM with a channel; the console, signals and the end pass through."""
    p, top, env = run_verb(t, "-serial", "stdio")
    wait_call(t, p, env)
    p.expect("init: ready")
    p.kill(signal.SIGTERM)
    p.wait(20)
    wait_for("the VM's directory to go",
             lambda: not os.path.exists(os.path.join(top, "runvm", "lock")))


@test(timeout=90)
def test_cli_run_passes_exit_status_on(t):
    p, _, _ = run_verb(t, "-serial", "stdio", "-device", "no-such-device")
    check(p.wait(20) not in (0, None), "status of a QEMU that failed")
    check("no-such-device" in p.text() + p.errors(), p.tail())
    p, _, _ = run_verb(t, "-serial", "null", words=["vmch.exec=/bin/true"])
    check_equal(p.wait(60), 0, "status after the guest powered off")


@test(timeout=120)
def test_cli_attach(t):
    """Hot-plug: a free port of a controller, a root port, or neither."""
    top = os.path.join(t.dir, "run")
    os.makedirs(top)
    env = {"VMCHANNEL_DIR": top}
    vm = t.vm(link=False, args=["-device", "pcie-root-port,id=spare"])

    def attach(name):
        return t.host(program("src/cli/vmchannel"), "attach", name, "--qmp",
                      vm.qmp_path, env=env, name="vmchannel attach")
    # One client at a time can use a QMP socket.
    vm.qmp.close()
    p = attach(vm.name)
    wait_call(t, p, env, vm.name)


@test(timeout=90)
def test_cli_attach_names_what_is_missing(t):
    env = {"VMCHANNEL_DIR": t.dir}
    qmp = os.path.join(t.dir, "q")
    t.host(*machine_args(guest_dir("guest"), ["quiet"]), "-qmp",
           f"unix:{qmp},server=on,wait=off", name="qemu")
    wait_for("QMP", lambda: os.path.exists(qmp))
    p = t.host(program("src/cli/vmchannel"), "attach", "bare", "--qmp", qmp,
               env=env, name="vmchannel attach")
    check(p.wait(30) != 0, "attached to a bus that cannot hot-plug")
    check("pcie-root-port" in p.errors(), p.tail())
