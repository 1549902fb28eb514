#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every vmchannel command that a document or a help text shows is understood.

Nothing is there for them, so they fail; but not for how they are written.

usage: check_examples.py COMMAND FILE...
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile

MISUSE = re.compile(r"too few|too many|unknown option|value is missing|"
                    r"does not take|no verb|wants|--help|neither|give|write")


def shown(text):
    """Commands out of examples: indented, or in a fenced block. The first
    word may stand behind a prompt, a pipe or $( ."""
    text = text.replace("++\n", "\n").replace("\\\n", " ")
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or re.match(r"\t|    |example: |eval ", line):
            for m in re.finditer(r"(?:^|[\s$|(])vmchannel ([a-z-].*)", line):
                # Up to whatever the shell, not the command, makes of it.
                yield re.split(r"\s[|&#<>]|\)|\s{3,}|; |; *$", m.group(1))[0]


def main():
    command = os.path.abspath(sys.argv[1])
    texts = {name: open(name, encoding="utf-8").read()
             for name in sys.argv[2:]}
    verbs = subprocess.run([command, "help", "--names"], check=True,
                           capture_output=True, text=True).stdout.split()
    for verb in verbs:
        texts[verb + " --help"] = subprocess.run(
            [command, verb, "--help"], check=True, capture_output=True,
            text=True).stdout.split("\noptions:\n")[0].split("\n\n", 2)[-1]
    bad = n = 0
    with tempfile.TemporaryDirectory() as empty:
        env = {"VMCHANNEL_DIR": empty, "PATH": empty, "VMCHANNELD": "/no"}
        for name, text in texts.items():
            for example in shown(text):
                words = shlex.split(example)
                if words[0] == "demo" or words[0] not in verbs:
                    continue
                if words[0] == "monitor":
                    words.append("--snapshot")  # else it waits for a VM
                if words[0] == "wait":
                    words += ["--timeout", "1"]
                n += 1
                run = subprocess.run([command, *words], env=env,
                                     stdin=subprocess.DEVNULL,
                                     capture_output=True, text=True,
                                     timeout=30, check=False)
                if run.returncode == 125 and MISUSE.search(run.stderr):
                    print(f"{name}: vmchannel {example}: {run.stderr}")
                    bad += 1
    print(f"{n} examples")
    return bad != 0 or n < 30


if __name__ == "__main__":
    sys.exit(main())
