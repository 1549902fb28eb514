/* SPDX-License-Identifier: MIT */
/*
 * vm_watch.c - what QEMU says of its VM, as one word
 */
#include "host/vm_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/vmstate.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_any_of(const char *text, const char *const *list)
{
	while (*list && strcmp(text, *list) != 0)
		list++;
	return *list != NULL;
}

/* ---- what the VM does ---- */

static void ask_status(struct vm_watch *w);

static void set_vm(struct vm_watch *w, enum ipc_vm vm)
{
	w->tell_vm |= vm != w->vm;
	w->vm = vm;
}

/* It stands, and may be on its way elsewhere. */
static void look_later(struct vm_watch *w)
{
	set_vm(w, IPC_VM_STOPPED);
	w->look_ms = w->now_ms + w->poll_ms;
	w->poll_ms *= 2;
	if (w->poll_ms > VM_POLL_MAX_MS)
		w->poll_ms = VM_POLL_MAX_MS;
}

/* Return: is what this answer says still true? If not, it is asked again. */
static bool is_answer(struct vm_watch *w, const struct qmp_message *m)
{
	w->asking = false;
	if (w->changed) {
		ask_status(w);
		return false;
	}
	return m->kind == QMP_RETURN;
}

static void on_migrate(void *data, const struct qmp_message *m)
{
	static const char *const over[] = {"", "none", "failed", "cancelled",
					   NULL};
	struct vm_watch *w = data;
	const char *status = text_of(m->body, "status");

	if (!is_answer(w, m))
		return;
	if (strcmp(status, "completed") == 0)
		set_vm(w, IPC_VM_MOVED);
	else if (is_any_of(status, over))
		set_vm(w, IPC_VM_STOPPED);
	else
		look_later(w);
}

static void on_status(void *data, const struct qmp_message *m)
{
	struct vm_watch *w = data;
	const char *status = text_of(m->body, "status");

	if (!is_answer(w, m))
		return;
	if (strcmp(status, "running") == 0)
		set_vm(w, IPC_VM_RUNNING);
	else if (strcmp(status, "finish-migrate") == 0)
		look_later(w);
	else if (strcmp(status, "postmigrate") == 0)
		w->asking = qmp_watch_ask(&w->qmp, "query-migrate", NULL,
					  on_migrate) == 0;
	else if (status[0])
		set_vm(w, IPC_VM_STOPPED);
}

static void ask_status(struct vm_watch *w)
{
	w->look_ms = VM_NEVER;
	w->changed = w->asking;
	if (!w->asking)
		w->asking = qmp_watch_ask(&w->qmp, "query-status", NULL,
					  on_status) == 0;
}

static void look_now(struct vm_watch *w)
{
	w->poll_ms = VM_POLL_MIN_MS;
	ask_status(w);
}

static void on_change(void *data, const json_t *body)
{
	(void)body;
	look_now(data);
}

/* Told even if it is known: it may be the end of a pause too short to see. */
static void on_resume(void *data, const json_t *body)
{
	struct vm_watch *w = data;

	w->tell_vm = true;
	w->vm = IPC_VM_RUNNING;
	on_change(data, body);
}

static void on_stop(void *data, const json_t *body)
{
	set_vm(data, IPC_VM_STOPPED);
	on_change(data, body);
}

static void on_ready(void *data)
{
	struct vm_watch *w = data;

	w->ready = w->tell_ready = true;
	w->greet_ms = VM_NEVER;
	look_now(w);
}

static const struct qmp_event events[] = {
	{"STOP", on_stop},
	{"RESUME", on_resume},
	{"SUSPEND", on_change},
	{"WAKEUP", on_change},
	/* Only if somebody has switched it on. */
	{"MIGRATION", on_change},
	{NULL, NULL},
};

void vm_watch_look(struct vm_watch *w, uint64_t now_ms)
{
	w->now_ms = now_ms;
	if (!w->ready)
		return; /* it is told as soon as it is known */
	w->vm = IPC_VM_WAITING;
	look_now(w);
}

/* ---- the dbus-vmstate object ---- */

/* QEMU's words go to the log, in quotes. */
static void note_why(struct vm_watch *w, const char *text)
{
	snprintf(w->why, sizeof(w->why), "%s", text);
	for (char *c = w->why; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '"')
			*c = '?';
	}
}

static void end_mend(struct vm_watch *w, bool mended)
{
	w->mend = VM_MEND_DONE;
	w->mended = mended;
}

static void mend_ask(struct vm_watch *w, enum vm_mend next, const char *name,
		     json_t *arguments, qmp_answered *answered)
{
	w->mend = next;
	w->mend_ms = VM_NEVER;
	if (qmp_watch_ask(&w->qmp, name, arguments, answered) == 0)
		return;
	note_why(w, "too much to ask");
	end_mend(w, false);
}

static void on_added(void *data, const struct qmp_message *m)
{
	struct vm_watch *w = data;

	if (m->kind == QMP_ERROR)
		note_why(w, m->text);
	end_mend(w, m->kind == QMP_RETURN);
}

/* If there was none to delete, an earlier attempt had come so far. */
static void on_deleted(void *data, const struct qmp_message *m)
{
	struct vm_watch *w = data;
	char *address = vmstate_address(w->path);
	json_t *o = NULL;

	(void)m;
	if (address)
		o = json_pack("{s:s,s:s,s:s,s:s}", "qom-type", "dbus-vmstate",
			      "id", VMSTATE_OBJECT_ID, "addr", address,
			      "id-list", VMSTATE_ID_LIST);
	free(address);
	mend_ask(w, VM_MEND_ADDING, "object-add", o, on_added);
}

static void on_may_mend(void *data, const struct qmp_message *m)
{
	static const char *const quiet[] = {"",       "none",      "completed",
					    "failed", "cancelled", NULL};
	struct vm_watch *w = data;

	if (m->kind == QMP_RETURN &&
	    is_any_of(text_of(m->body, "status"), quiet)) {
		mend_ask(w, VM_MEND_DELETING, "object-del",
			 json_pack("{s:s}", "id", VMSTATE_OBJECT_ID),
			 on_deleted);
		return;
	}
	w->mend = VM_MEND_WANTED;
	w->mend_ms = w->now_ms + VM_MEND_MS;
}

void vm_watch_mend(struct vm_watch *w, const char *path, uint64_t now_ms)
{
	w->now_ms = now_ms;
	if (w->mend != VM_MEND_NONE)
		return; /* it is being done */
	snprintf(w->path, sizeof(w->path), "%s", path);
	mend_ask(w, VM_MEND_ASKED, "query-migrate", NULL, on_may_mend);
}

/* ---- time, messages ---- */

void vm_watch_init(struct vm_watch *w, uint64_t now_ms)
{
	*w = (struct vm_watch){
		.now_ms = now_ms,
		.greet_ms = now_ms + VM_GREET_MS,
		.vm = IPC_VM_WAITING,
		.look_ms = VM_NEVER,
		.poll_ms = VM_POLL_MIN_MS,
		.mend_ms = VM_NEVER,
	};
	qmp_watch_init(&w->qmp, events, on_ready, w);
}

void vm_watch_done(struct vm_watch *w)
{
	qmp_watch_done(&w->qmp);
}

int vm_watch_input(struct vm_watch *w, size_t n, uint64_t now_ms)
{
	w->now_ms = now_ms;
	return qmp_watch_input(&w->qmp, n);
}

uint64_t vm_watch_due(const struct vm_watch *w)
{
	uint64_t at = w->greet_ms;

	if (w->look_ms < at)
		at = w->look_ms;
	return w->mend_ms < at ? w->mend_ms : at;
}

bool vm_watch_tick(struct vm_watch *w, uint64_t now_ms)
{
	w->now_ms = now_ms;
	if (now_ms >= w->look_ms)
		ask_status(w);
	if (now_ms >= w->mend_ms)
		mend_ask(w, VM_MEND_ASKED, "query-migrate", NULL, on_may_mend);
	return now_ms < w->greet_ms;
}

bool vm_watch_tell(struct vm_watch *w, struct ipc_msg *ret)
{
	*ret = (struct ipc_msg){.type = IPC_NONE};
	if (w->tell_ready) {
		w->tell_ready = false;
		ret->type = IPC_READY;
	} else if (w->tell_vm && w->vm != IPC_VM_WAITING) {
		w->tell_vm = false;
		ret->type = IPC_VM;
		ret->value = (int32_t)w->vm;
	} else if (w->mend == VM_MEND_DONE) {
		w->mend = VM_MEND_NONE;
		ret->type = IPC_MENDED;
		ret->value = w->mended ? 0 : -EIO;
	}
	return ret->type != IPC_NONE;
}
