#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh SYMBOL FILE - print a C file that holds FILE's bytes as SYMBOL
set -eu
printf '/* Made by embed.sh. */\n#include "broker/idl.h"\n\n'
printf 'const char %s[] = {\n' "$1"
od -An -v -tx1 "$2" | sed 's/\([0-9a-f][0-9a-f]\)/0x\1,/g'
printf '};\nconst size_t %s_len = sizeof(%s);\n' "$1" "$1"
