#!/bin/bash
# SPDX-License-Identifier: MIT
# Completion offers verbs, options and, with a broker, VMs and channels.
# usage: test_completion.sh BUILD_DIR SOURCE_DIR
PATH=$1/src/cli:$PATH
# shellcheck source=/dev/null
. "$2/packaging/completion/vmchannel"
failed=0

# complete WORDS...: what the last word can become, sorted, on one line
complete_words()
{
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_vmchannel
	printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}

expect()
{
	local want=$1 got
	shift
	got=$(complete_words "$@")
	if [[ " $got" != *" $want "* ]]; then
		echo "$*: '$want' is not in: $got"
		failed=1
	fi
}

expect connect vmchannel con
expect --timeout vmchannel connect --t
expect --json vmchannel --j
expect test vmchannel policy ""
expect listen vmchannel policy test web1 l
expect doctor vmchannel help doc
got=$(complete_words vmchannel listen web1 a.b -- --)
[[ -z ${got// /} ]] || { echo "after --: $got"; failed=1; }
exit $failed
