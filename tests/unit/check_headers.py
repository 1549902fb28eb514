#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each public header compiles alone, as strict C11 and as C++.

usage: check_headers.py INCLUDE_DIR HEADER...
"""
import shutil
import subprocess
import sys

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
WAYS = [
    (["cc", "-std=c11", "-xc"], "C11"),
    (["cc", "-std=c99", "-xc"], "C99"),
    (["c++", "-std=c++11", "-xc++"], "C++11"),
    (["c++", "-std=c++20", "-xc++"], "C++20"),
]


def main():
    include, headers = sys.argv[1], sys.argv[2:]
    bad = 0
    tried = 0
    for command, name in WAYS:
        if not shutil.which(command[0]):
            print(f"{name}: no {command[0]} here, not tried")
            continue
        for header in headers:
            # Twice: the guard works.
            source = f"#include <vmchannel/{header}>\n" * 2
            run = subprocess.run(command + STRICT + ["-I", include, "-"],
                                 input=source, capture_output=True, text=True)
            tried += 1
            if run.returncode:
                bad += 1
                print(f"{header} as {name}:\n{run.stderr}")
    print(f"{tried - bad} of {tried} compile")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
