#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual page has every verb, and every option of those it explains.

usage: check_man.py COMMAND PAGE.scd
"""
import re
import subprocess
import sys


def names(command, *verb):
    return subprocess.run([command, "help", *verb, "--names"], check=True,
                          capture_output=True, text=True
                          ).stdout.replace("=", "").split()


def main():
    command, page = sys.argv[1:]
    with open(page, encoding="utf-8") as f:
        text = f.read()
    bad = 0
    for verb in names(command):
        head = re.search(r"^\*" + verb + r"\b[^*\n]*\*.*$", text, re.M)
        if f"*{verb}" not in text:
            print(f"verb {verb} is not in the page")
            bad += 1
        if not head or re.match(r"^\*[^*]*\*(, | \[_VERB_\],)", head.group(0)):
            continue  # explained together with others, or by --help
        common = {"--json", "--dir", "--help"}
        for option in set(names(command, verb)) - common:
            if option not in head.group(0):
                print(f"{verb}: {option} is not in: {head.group(0)}")
                bad += 1
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
