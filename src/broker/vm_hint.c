/* SPDX-License-Identifier: MIT */
/*
 * vm_hint.c - somebody says that the VM runs, or that it stands still
 *
 * While it stands nothing can be concluded from its silence: the watchdog is
 * off and grace waits. When it runs, its silence is looked at at once.
 */
#include "broker/internal.h"

/* What lies in the pipe is for the guest to read; one HELLO more would only be
 * one more to be answered. */
static void look(struct broker *b)
{
	if (b->link.fd < 0)
		return;
	if (!watchdog_unread(b))
		vmc_session_greet_again(b->session);
	watchdog_hurry(b);
}

void broker_set_vm(struct broker *b, const char *word, enum broker_vm vm)
{
	bool stands = vm == BROKER_VM_STANDS;

	b->qmp = word;
	if (stands && !b->vm_stands)
		watchdog_calm(b);
	if (!stands && b->vm_stands) {
		b->vm_stands = false; /* or it would not begin */
		watchdog_resume(b);
	}
	b->vm_stands = stands;
	vmc_session_peer_stands(b->session, stands, broker_now_us());
	if (vm == BROKER_VM_RUNS)
		look(b);
	pump_kick(b);
}
