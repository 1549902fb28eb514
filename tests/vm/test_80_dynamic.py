# SPDX-License-Identifier: MIT
"""The packaged, dynamically linked agent and command."""
from vmtest import check, guest_dir, test


@test(timeout=90)
def test_dynamic_agent_and_command(t):
    vm = t.vm(initramfs=guest_dir("guest-dynamic"))
    libs = vm.guest.run("ls /lib/x86_64-linux-gnu").text()
    check("libuv" in libs, "the agent in this guest is not dynamic: " + libs)
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    t.guest_serve(vm, "org.example.dyn", "echo", user="alice")
    t.host_connect(daemon, "org.example.dyn", "duplex", 1 << 20, 1).ok()
    text = vm.guest.run("vmchannel channels host", user="bob").text()
    check("org.example.dyn" in text, text)
