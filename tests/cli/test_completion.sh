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
	if [[ " $got" != *" $want "* && $got != "$want" ]]; then
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
expect boot-complete vmchannel wait web1 --for b
expect --wait vmchannel shutdown web1 --w

# A folder with a VM: the names of VMs stand for what else is asked.
dir=$(mktemp -d)
mkdir "$dir/web7"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \
	"$dir/web7/control"
expect web7 vmchannel --dir "$dir" connect ""
expect web7 vmchannel --dir = "$dir" connect ""
expect web7 vmchannel connect --timeout 5 --dir "$dir" ""
expect web7 vmchannel connect --dir "$dir" --timeout = 5 ""
expect web7 vmchannel attach --messages --qmp x --dir "$dir" w
expect "$dir" vmchannel --dir "${dir%?}"
expect "$dir/web7" vmchannel attach web7 --qmp "$dir/"
expect "$dir/web7" vmchannel attach web7 --qmp = "$dir/"
expect web7 vmchannel --dir "$dir" upgrade ""
expect web7 vmchannel --dir "$dir" moved ""
expect web7 vmchannel --dir "$dir" stdio ""
expect web7 vmchannel --dir "$dir" shutdown ""
expect web7 vmchannel --dir "$dir" policy test ""
expect web7 vmchannel --dir "$dir" connect a b --to w
expect "$dir/web7" vmchannel connect a b --to "$dir/"
expect web7 vmchannel --dir "$dir" exec ""
expect web7 vmchannel --dir "$dir" exec -t --env = A=B w
expect web7 vmchannel --dir "$dir" exec alice @ w
expect web7 vmchannel --dir "$dir" shell alice @
expect pci vmchannel run --transport p
rm -r "$dir"
got=$(complete_words vmchannel connect --timeout "")
[[ -z ${got// /} ]] || { echo "a number: $got"; failed=1; }
for verb in $(vmchannel help --names); do
	expect --help vmchannel "$verb" --h
	expect "$verb" vmchannel "$verb"
done
got=$(complete_words vmchannel exec web1 -- ls --)
[[ -z ${got// /} ]] || { echo "after --: $got"; failed=1; }
got=$(complete_words vmchannel listen web1 a.b -- --)
[[ -z ${got// /} ]] || { echo "after --: $got"; failed=1; }
exit $failed
