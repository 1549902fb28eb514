/* SPDX-License-Identifier: MIT */
/*
 * worker_vm.c - what QMP says of the VM, and how long a fence is waited at
 *
 * Hints: each may be late or a lie. What they change is how long something is
 * waited for; who owns the session is decided by life.h and the handshake.
 */
#include "host/worker.h"

/* The fence's last resort. */
static void on_fence_time(uv_timer_t *h)
{
	worker_happened(h->data, LIFE_EV_GONE);
}

/* What each word means. */
static const struct {
	const char *word; /* of GetInfo */
	enum broker_vm vm;
	uint64_t fence_ms; /* what is waited for at a fence; 0: for ever */
} rows[IPC_VM_NUM] = {
	[IPC_VM_OFF] = {NULL, BROKER_VM_UNKNOWN, FENCED_MS},
	[IPC_VM_WAITING] = {"waiting", BROKER_VM_UNKNOWN, FENCED_MS},
	[IPC_VM_RUNNING] = {"running", BROKER_VM_RUNS, FENCED_MS},
	/* Grace does not run: it would end streams that are only paused. */
	[IPC_VM_STOPPED] = {"stopped", BROKER_VM_STANDS, 0},
	[IPC_VM_MOVED] = {"moved", BROKER_VM_STANDS, AWAY_MS},
};

static void set_patience(struct worker *w)
{
	uint64_t ms = rows[w->vm].fence_ms;

	uv_update_time(&w->loop); /* it may have slept long */
	if (ms > 0)
		uv_timer_start(&w->fence, on_fence_time, ms, 0);
	else
		uv_timer_stop(&w->fence);
}

void worker_fence(struct worker *w)
{
	w->vm = IPC_VM_WAITING;
	set_patience(w);
}

void worker_on_vm(struct worker *w, const struct ipc_msg *m, int fd)
{
	enum ipc_vm vm = (enum ipc_vm)m->value;
	bool news = vm != w->vm;

	(void)fd;
	if (m->value < 0 || m->value >= IPC_VM_NUM)
		return;
	w->vm = vm;
	broker_set_vm(w->broker, rows[vm].word, rows[vm].vm);
	if (w->life == LIFE_FENCED && news)
		set_patience(w);
}
