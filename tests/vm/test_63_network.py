# SPDX-License-Identifier: MIT
"""org.vmchannel.Network against what the guest itself says."""
import re

from operations import Events, call, ready
from vmtest import check, check_equal, test

NETWORK = "org.vmchannel.Network."


def addresses(interface):
    return sorted(f"{a['address']}/{a['prefix']}"
                  for a in interface["addresses"])


def ip_addresses(vm, name):
    text = vm.guest.run(f"ip addr show dev {name}").text()
    return sorted(re.findall(r"inet6? (\S+)", text))


@test(timeout=180)
def test_network_is_what_ip_says(t):
    vm = t.vm(net=True)
    daemon = t.daemon(vm)
    t.wait_peer(daemon)
    ready(t, daemon)
    # Its card is there, and IPv6 has found its addresses.
    vm.guest.run("while ! ip -6 addr show dev eth0 | grep -q 'fe80' || "
                 "ip -6 addr show dev eth0 | grep -q tentative; do sleep 0.2;"
                 " done", timeout=60)
    there = {i["name"]: i for i in call(
        t, daemon, NETWORK + "ListInterfaces")["interfaces"]}
    check_equal(sorted(there), sorted(vm.guest.run(
        "ls /sys/class/net").text().split()), "names")
    for name, interface in there.items():
        def sys_says(file, name=name):
            return vm.guest.run(f"cat /sys/class/net/{name}/{file}").text() \
                .strip()
        check_equal(addresses(interface), ip_addresses(vm, name),
                    f"addresses of {name}")
        check_equal(interface["index"], int(sys_says("ifindex")), "index")
        check_equal(interface["mtu"], int(sys_says("mtu")), "mtu")
        check_equal(interface["mac"], sys_says("address"), "mac")
        check_equal(interface["state"], sys_says("operstate"), "state")
        check_equal(interface["loopback"], name == "lo", "loopback")
    check(there["eth0"]["tx_packets"] > 0, f"counters: {there['eth0']}")
    routes = call(t, daemon, NETWORK + "ListRoutes")["routes"]
    default = [r for r in routes if r["destination"] == "0.0.0.0/0"]
    check_equal([(r["gateway"], r["interface"]) for r in default],
                [("10.0.2.2", "eth0")], "default route")
    v4 = sorted(r["destination"] for r in routes if r["family"] == "inet")
    check_equal(v4, ["0.0.0.0/0", "10.0.2.0/24"], "routes")
    every = call(t, daemon, NETWORK + "ListRoutes", all=True)["routes"]
    check("127.0.0.1/32" in [r["destination"] for r in every],
          f"all routes: {every}")


@test()
def test_network_changes_are_told(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    events = t.keep(Events(t, daemon, types=[NETWORK + "AddressesChanged"]))
    vm.guest.run("ip addr add 192.0.2.1/32 dev lo && "
                 "ip addr add 192.0.2.2/32 dev lo")
    told = events.next()["parameters"]
    # The first one at once, whatever follows soon together.
    while "192.0.2.2/32" not in addresses(told):
        told = events.next()["parameters"]
    check_equal((told["interface"], told["present"], told["up"]),
                ("lo", True, True), "event")
    check_equal(addresses(told), ip_addresses(vm, "lo"), "addresses")
    vm.guest.run("ip addr del 192.0.2.1/32 dev lo && "
                 "ip addr del 192.0.2.2/32 dev lo")
    while addresses(told) != ["127.0.0.1/8", "::1/128"]:
        told = events.next()["parameters"]
    check_equal(ip_addresses(vm, "lo"), ["127.0.0.1/8", "::1/128"], "ip")
