#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shared library exports what the public headers declare, and no more.

usage: check_exports.py LIBRARY HEADER...
"""
import re
import subprocess
import sys


def declared(header):
    text = open(header, encoding="utf-8").read()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    return set(re.findall(r"\bVMC_PUBLIC\b[^;{]*?\b(vmc_\w+)\s*\(", text))


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                         capture_output=True, text=True).stdout
    # The version node itself is listed, too, as an absolute symbol.
    return {line.split()[2].split("@")[0] for line in out.splitlines()
            if len(line.split()) == 3 and line.split()[1] != "A"}


def soname(library):
    out = subprocess.run(["readelf", "-d", library], check=True,
                         capture_output=True, text=True).stdout
    return re.search(r"SONAME.*\[(.*)\]", out).group(1)


def main():
    library, headers = sys.argv[1], sys.argv[2:]
    want = set().union(*(declared(h) for h in headers))
    have = exported(library)
    for name in sorted(want - have):
        print(f"{name}: declared in a public header, but not exported")
    for name in sorted(have - want):
        print(f"{name}: exported, but declared in no public header")
    if soname(library) != "libvmchannel.so.0":
        print(f"soname is {soname(library)}")
        return 1
    print(f"{len(want & have)} symbols are declared and exported")
    return want != have


if __name__ == "__main__":
    sys.exit(main())
