#!/bin/sh
# SPDX-License-Identifier: MIT
# The agent of the system proper takes over: one program can have the port.
if [ -e /run/vmchannel-initramfs.pid ]; then
	kill "$(cat /run/vmchannel-initramfs.pid)" 2>/dev/null || :
	rm -f /run/vmchannel-initramfs.pid
fi
