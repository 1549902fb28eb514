/* SPDX-License-Identifier: MIT */
/* test_vm_watch.c - what is made of what QEMU says, scripted */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/vm_watch.h"

#define NOW 1000000u

struct bench {
	struct vm_watch w;
	uint64_t now;
	int id; /* of the last command that was answered */
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->now = NOW;
	vm_watch_init(&b->w, b->now);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	vm_watch_done(&b->w);
	free(b);
	return 0;
}

static int hear(struct bench *b, const char *text)
{
	char *room = qmp_watch_room(&b->w.qmp);
	size_t n = strlen(text);

	assert_non_null(room);
	assert_true(n <= QMP_READ_STEP);
	memcpy(room, text, n);
	return vm_watch_input(&b->w, n, b->now);
}

static void event(struct bench *b, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"event\": \"%s\", \"data\": {}}\n",
		 name);
	assert_int_equal(hear(b, text), 0);
}

/* The next thing that is sent is this command. Another may be behind it. */
static void asked(struct bench *b, const char *command)
{
	char expected[128];
	size_t len;
	const char *out = qmp_watch_output(&b->w.qmp, &len);
	int n = snprintf(expected, sizeof(expected),
			 "{\"execute\":\"%s\",\"id\":%d", command, b->id + 1);

	if (len < (size_t)n || memcmp(out, expected, (size_t)n) != 0)
		fail_msg("%s: %.*s", command, (int)len, out ? out : "");
	out = memchr(out, '\n', len);
	assert_non_null(out);
	qmp_watch_output(&b->w.qmp, &len);
	qmp_watch_output_done(
		&b->w.qmp,
		(size_t)(out + 1 - qmp_watch_output(&b->w.qmp, &len)));
}

static void quiet(struct bench *b)
{
	size_t len;

	qmp_watch_output(&b->w.qmp, &len);
	assert_int_equal(len, 0);
}

static void answer(struct bench *b, const char *value)
{
	char text[256];

	snprintf(text, sizeof(text), "{\"return\": %s, \"id\": %d}\n", value,
		 ++b->id);
	assert_int_equal(hear(b, text), 0);
}

static void refuse(struct bench *b, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}, "
		 "\"id\": %d}\n",
		 why, ++b->id);
	assert_int_equal(hear(b, text), 0);
}

static void status(struct bench *b, const char *word)
{
	char text[128];

	asked(b, "query-status");
	snprintf(text, sizeof(text), "{\"running\": true, \"status\": \"%s\"}",
		 word);
	answer(b, text);
}

static void migrate(struct bench *b, const char *word)
{
	char text[128];

	asked(b, "query-migrate");
	snprintf(text, sizeof(text), "{\"status\": \"%s\"}", word);
	answer(b, text);
}

static void told(struct bench *b, enum ipc_type type, int value)
{
	struct ipc_msg m;

	assert_true(vm_watch_tell(&b->w, &m));
	assert_int_equal(m.type, type);
	assert_int_equal(m.value, value);
}

static void nothing_told(struct bench *b)
{
	struct ipc_msg m;

	assert_false(vm_watch_tell(&b->w, &m));
}

/* To the next thing that time brings. */
static void pass(struct bench *b)
{
	assert_true(vm_watch_due(&b->w) != VM_NEVER);
	assert_true(vm_watch_due(&b->w) > b->now);
	b->now = vm_watch_due(&b->w);
	assert_true(vm_watch_tick(&b->w, b->now));
}

static void get_ready(struct bench *b)
{
	assert_int_equal(hear(b, "{\"QMP\": {}}\n"), 0);
	asked(b, "qmp_capabilities");
	answer(b, "{}");
	told(b, IPC_READY, 0);
	status(b, "running");
	told(b, IPC_VM, IPC_VM_RUNNING);
	nothing_told(b);
	quiet(b);
}

static void idle_has_no_timer(void **state)
{
	struct bench *b = *state;

	assert_int_equal(vm_watch_due(&b->w), NOW + VM_GREET_MS);
	get_ready(b);
	assert_true(vm_watch_due(&b->w) == VM_NEVER);
}

static void nobody_greets(void **state)
{
	struct bench *b = *state;

	assert_true(vm_watch_tick(&b->w, NOW + VM_GREET_MS - 1));
	assert_false(vm_watch_tick(&b->w, NOW + VM_GREET_MS));
}

static void every_status_has_a_word(void **state)
{
	static const char *const stopped[] = {
		"debug",    "inmigrate",   "internal-error", "io-error",
		"paused",   "prelaunch",   "restore-vm",     "save-vm",
		"shutdown", "suspended",   "watchdog",       "guest-panicked",
		"colo",     "anything new"};
	struct bench *b = *state;

	get_ready(b);
	for (size_t i = 0; i < sizeof(stopped) / sizeof(stopped[0]); i++) {
		event(b, "WAKEUP");
		status(b, stopped[i]);
		told(b, IPC_VM, IPC_VM_STOPPED);
		assert_true(vm_watch_due(&b->w) == VM_NEVER);
		event(b, "SUSPEND");
		status(b, "running");
		told(b, IPC_VM, IPC_VM_RUNNING);
	}
	/* What is no answer says nothing. */
	event(b, "WAKEUP");
	asked(b, "query-status");
	answer(b, "[]");
	event(b, "WAKEUP");
	asked(b, "query-status");
	refuse(b, "busy");
	nothing_told(b);
}

static void stop_and_resume_are_told_at_once(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	event(b, "STOP");
	told(b, IPC_VM, IPC_VM_STOPPED);
	event(b, "RESUME");
	told(b, IPC_VM, IPC_VM_RUNNING);
	/* Of the question that STOP was the reason for: it is asked again. */
	status(b, "paused");
	nothing_told(b);
	status(b, "running");
	nothing_told(b);
	quiet(b);
	/* Even if no STOP was seen. */
	event(b, "RESUME");
	told(b, IPC_VM, IPC_VM_RUNNING);
}

static void stopped_for_a_migration(struct bench *b)
{
	event(b, "STOP");
	told(b, IPC_VM, IPC_VM_STOPPED);
	status(b, "finish-migrate");
	pass(b);
	status(b, "postmigrate");
}

static void moved(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	stopped_for_a_migration(b);
	nothing_told(b);
	migrate(b, "completed");
	told(b, IPC_VM, IPC_VM_MOVED);
	assert_true(vm_watch_due(&b->w) == VM_NEVER);
	/* Somebody says cont. */
	event(b, "RESUME");
	told(b, IPC_VM, IPC_VM_RUNNING);
	status(b, "running");
}

/* A VM that was paused when its migration failed is in postmigrate, too. */
static void postmigrate_is_not_enough(void **state)
{
	static const char *const words[] = {"failed", "cancelled", "none"};
	struct bench *b = *state;

	get_ready(b);
	for (size_t i = 0; i < 3; i++) {
		stopped_for_a_migration(b);
		migrate(b, words[i]);
		nothing_told(b);
		assert_true(vm_watch_due(&b->w) == VM_NEVER);
		event(b, "RESUME");
		told(b, IPC_VM, IPC_VM_RUNNING);
		status(b, "running");
	}
	stopped_for_a_migration(b);
	asked(b, "query-migrate");
	refuse(b, "no");
	nothing_told(b);
}

static void a_slow_end_is_asked_for_slowly(void **state)
{
	struct bench *b = *state;
	uint64_t before;
	int n = 0;

	get_ready(b);
	event(b, "STOP");
	told(b, IPC_VM, IPC_VM_STOPPED);
	status(b, "finish-migrate");
	for (before = b->now; b->now < before + 60000u; n++) {
		pass(b);
		status(b, "finish-migrate");
	}
	assert_in_range(n, 60, 70);
	pass(b);
	status(b, "postmigrate");
	migrate(b, "active");
	pass(b);
	status(b, "postmigrate");
	migrate(b, "completed");
	told(b, IPC_VM, IPC_VM_MOVED);
}

/* The answer was on its way when the VM went on. */
static void a_resume_before_the_last_answer(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	stopped_for_a_migration(b);
	asked(b, "query-migrate");
	event(b, "RESUME");
	told(b, IPC_VM, IPC_VM_RUNNING);
	answer(b, "{\"status\": \"completed\"}");
	nothing_told(b);
	status(b, "running");
	nothing_told(b);
}

static void a_look_is_always_answered(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	event(b, "STOP");
	told(b, IPC_VM, IPC_VM_STOPPED);
	status(b, "paused");
	vm_watch_look(&b->w, b->now);
	nothing_told(b);
	status(b, "finish-migrate");
	told(b, IPC_VM, IPC_VM_STOPPED);
	pass(b);
	status(b, "paused");
	nothing_told(b);
	/* Between an event and its being told. */
	event(b, "STOP");
	event(b, "RESUME");
	vm_watch_look(&b->w, b->now);
	nothing_told(b);
	status(b, "running");
	status(b, "running");
	told(b, IPC_VM, IPC_VM_RUNNING);
}

static void a_storm_is_one_question(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	for (int i = 0; i < 1000; i++) {
		event(b, "STOP");
		event(b, "RESUME");
	}
	told(b, IPC_VM, IPC_VM_RUNNING);
	nothing_told(b);
	status(b, "running");
	status(b, "running");
	quiet(b);
}

/* ---- the object ---- */

static void an_object_is_made_anew(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	vm_watch_mend(&b->w, "/run/a,b/vmstate.sock", b->now);
	migrate(b, "none");
	asked(b, "object-del");
	answer(b, "{}");
	asked(b, "object-add");
	answer(b, "{}");
	told(b, IPC_MENDED, 0);
	nothing_told(b);
	quiet(b);
}

static void an_object_is_what_it_should_be(void **state)
{
	static const char expected[] =
		"{\"execute\":\"object-add\",\"id\":5,\"arguments\":{"
		"\"qom-type\":\"dbus-vmstate\",\"id\":\"vmch0\",\"addr\":"
		"\"unix:path=/run/a%2cb/vmstate.sock\",\"id-list\":"
		"\"vmchannel\"}}\n";
	struct bench *b = *state;
	const char *out;
	size_t len;

	get_ready(b);
	vm_watch_mend(&b->w, "/run/a,b/vmstate.sock", b->now);
	migrate(b, "completed");
	asked(b, "object-del");
	refuse(b, "object 'vmch0' not found"); /* an attempt before this one */
	out = qmp_watch_output(&b->w.qmp, &len);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(out, expected, len);
}

/* Its thread walks the list that the object is in, without a lock. */
static void never_while_a_migration_runs(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	vm_watch_mend(&b->w, "/x", b->now);
	migrate(b, "active");
	vm_watch_mend(&b->w, "/x", b->now); /* once is enough */
	quiet(b);
	for (int i = 0; i < 3; i++) {
		pass(b);
		migrate(b, i == 1 ? "a word of tomorrow" : "postcopy-active");
	}
	pass(b);
	asked(b, "query-migrate");
	refuse(b, "no");
	pass(b);
	migrate(b, "failed");
	asked(b, "object-del");
}

static void what_qemu_refuses_is_told(void **state)
{
	struct bench *b = *state;

	get_ready(b);
	vm_watch_mend(&b->w, "/x", b->now);
	asked(b, "query-migrate");
	answer(b, "{}");
	asked(b, "object-del");
	answer(b, "{}");
	asked(b, "object-add");
	refuse(b, "a \\\"second\\\"\\n one");
	assert_string_equal(b->w.why, "a ?second?? one");
	told(b, IPC_MENDED, -EIO);
	/* Another attempt may be better. */
	vm_watch_mend(&b->w, "/x", b->now);
	migrate(b, "none");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(idle_has_no_timer),
		T(nobody_greets),
		T(every_status_has_a_word),
		T(stop_and_resume_are_told_at_once),
		T(moved),
		T(postmigrate_is_not_enough),
		T(a_slow_end_is_asked_for_slowly),
		T(a_resume_before_the_last_answer),
		T(a_look_is_always_answered),
		T(a_storm_is_one_question),
		T(an_object_is_made_anew),
		T(an_object_is_what_it_should_be),
		T(never_while_a_migration_runs),
		T(what_qemu_refuses_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
