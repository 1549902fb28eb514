# SPDX-License-Identifier: MIT
"""What the README promises first."""
from vmtest import check, check_equal, guest_dir, program, test


@test(timeout=300)
def test_demo(t):
    p = t.host(program("src/cli/vmchannel"), "demo", "--guest",
               guest_dir("guest"), name="vmchannel demo")
    check_equal(p.wait(280), 0, "exit status of the demo: " + p.tail())
    check("All 7 steps as promised" in p.text(), p.tail())
    check("\033" not in p.text(), "colours where there is no terminal")
