# SPDX-License-Identifier: MIT
"""org.vmchannel.Exec against what the guest itself says."""
from operations import ready
from opframes import EXEC, allow, error_of, forbid, run
from vmtest import check_equal, test


@test()
def test_exec_runs(t):
    vm, daemon = t.shared()
    ready(t, daemon)
    allow(vm, t, daemon)
    try:
        check_equal(run(t, daemon, "cat; echo err >&2; exit 7", b"hello"),
                    (7, b"hello", b"err\n"), "a command")
        check_equal(error_of(t, daemon, EXEC + "Run", argv=["/no/such"]),
                    (EXEC + "CannotRun",
                     {"command": "/no/such", "error": "ENOENT"}), "no command")
    finally:
        forbid(vm, t, daemon)
