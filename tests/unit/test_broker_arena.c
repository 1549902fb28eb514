/* SPDX-License-Identifier: MIT */
/* What a broker that died leaves: taken as it is, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/internal.h"
#include "broker/state.h"

#define MEM_SIZE (8u * 1024u * 1024u)

static void *memory; /* outlives each broker */
static char top[32], dir[64];
static int fds[3];

static void link_ended(void *data, int fd, enum broker_link_end why, int error)
{
	(void)data;
	(void)fd;
	(void)why;
	(void)error;
}

static const struct broker_ops ops = {.link_ended = link_ended};

static struct broker *begin(uv_loop_t *loop, bool left, bool torn)
{
	struct broker_config cfg = {
		.role = VMC_ROLE_HOST,
		.vm = "test",
		.owner = geteuid(),
		.control_fd = fds[1],
		.connect_fd = fds[2],
		.session_mem = memory,
		.session_size = MEM_SIZE,
		.session_left = left,
		.session_torn = torn,
		.ops = &ops,
	};
	struct broker *b;

	assert_int_equal(uv_loop_init(loop), 0);
	assert_int_equal(broker_new(&b, loop, &cfg), 0);
	return b;
}

static void end(struct broker *b, uv_loop_t *loop)
{
	broker_free(b);
	while (uv_run(loop, UV_RUN_DEFAULT) != 0)
		;
	assert_int_equal(uv_loop_close(loop), 0);
}

/* One life with a stream and a record, after which all lies as at the end of
 * a turn; the copy is what a death would have left. */
static void *one_life(char instance[17])
{
	struct stream_record rec = {
		.number = 41,
		.state = RECORD_ENDED,
		.channel = "org.test.ended",
	};
	void *copy = malloc(MEM_SIZE);
	struct stream *st;
	struct broker *b;
	uv_loop_t loop;

	assert_non_null(copy);
	memset(memory, 0, MEM_SIZE);
	b = begin(&loop, false, false);
	b->last_number = 41;
	status_add(b->status, &rec);
	st = stream_new(b, STREAM_OPEN);
	strcpy(st->name, "org.test.open");
	strcpy(instance, b->instance_text);
	arena_note(b);
	memcpy(copy, memory, MEM_SIZE);
	st->h = 0;
	end(b, &loop);
	return copy;
}

typedef void damage_fn(struct broker *b);

static void damage_nothing(struct broker *b)
{
	(void)b;
}

static void damage_channel(struct broker *b)
{
	memset(b->channels[0].name, 'x', sizeof(b->channels[0].name));
}

static void damage_kind(struct broker *b)
{
	b->channels[0].kind = (enum channel_kind)77;
}

static struct stream *the_stream(struct broker *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		if (b->streams[i].number == 42)
			return &b->streams[i];
	}
	fail();
	return NULL;
}

static void damage_state(struct broker *b)
{
	the_stream(b)->state = STREAM_STATE_NUM;
}

static void damage_name(struct broker *b)
{
	struct stream *st = the_stream(b);

	memset(st->name, 'x', sizeof(st->name));
}

static void damage_check(struct broker *b)
{
	the_stream(b)->check.n_partial = 4;
}

static void damage_record(struct broker *b)
{
	b->status->records[0].channel[0] = '\0';
}

static void damage_session(struct broker *b)
{
	memset(b->session_mem, 0xff, 256);
}

static const struct {
	damage_fn *damage;
	bool adopted;
} rows[] = {
	{damage_nothing, true}, {damage_channel, false}, {damage_kind, false},
	{damage_state, false},  {damage_name, false},    {damage_check, false},
	{damage_record, false}, {damage_session, false},
};

static void test_adopt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char instance[17];
		void *copy = one_life(instance);
		struct broker *b;
		uv_loop_t loop;
		struct broker where = {0};

		/* Where the tables lie: as in any broker of this memory. */
		memset(memory, 0, MEM_SIZE);
		b = begin(&loop, false, false);
		where.streams = b->streams;
		where.n_slots = b->n_slots;
		where.channels = b->channels;
		where.status = b->status;
		where.session_mem = b->session_mem;
		end(b, &loop);

		memcpy(memory, copy, MEM_SIZE);
		rows[i].damage(&where);
		b = begin(&loop, true, false);
		assert_int_equal(strcmp(b->instance_text, instance) == 0,
				 rows[i].adopted);
		assert_int_equal(b->adopted, rows[i].adopted);
		end(b, &loop);
		free(copy);
	}
}

/* Nothing goes on, but ids can still be asked for. */
static void check_torn(const char instance[17])
{
	char id[STREAM_ID_MAX];
	const struct stream_record *rec;
	struct broker *b;
	uv_loop_t loop;

	b = begin(&loop, false, true);
	assert_string_not_equal(b->instance_text, instance);
	assert_int_equal(b->n_streams, 0);
	snprintf(id, sizeof(id), "%.8s-42", instance);
	assert_int_equal(stream_number(b, id), 42);
	rec = status_find(b->status, 42);
	assert_non_null(rec);
	assert_int_equal(rec->reason, VMC_REASON_DAEMON_LOST);
	assert_string_equal(rec->channel, "org.test.open");
	rec = status_find(b->status, 41);
	assert_non_null(rec);
	assert_int_equal(rec->reason, VMC_REASON_OK);
	assert_true(b->last_number >= 42); /* no id comes twice */
	end(b, &loop);
}

static void test_torn(void **state)
{
	char instance[17];
	void *copy = one_life(instance);
	struct broker *b;
	uv_loop_t loop;

	(void)state;
	memcpy(memory, copy, MEM_SIZE);
	check_torn(instance);
	/* The next one dies, too, before its first turn has ended. */
	memcpy(memory, copy, MEM_SIZE);
	b = begin(&loop, false, true);
	memcpy(copy, memory, MEM_SIZE);
	end(b, &loop);
	memcpy(memory, copy, MEM_SIZE);
	check_torn(instance);
	free(copy);
}

static int set_up(void **state)
{
	char err[VMDIR_ERROR_MAX];

	(void)state;
	strcpy(top, "/tmp/vmc-test-XXXXXX");
	memory = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || !mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/vm", top);
	return vmdir_claim(dir, 0600, fds, err, sizeof(err));
}

static int tear_down(void **state)
{
	(void)state;
	vmdir_release(dir, fds);
	rmdir(top);
	return munmap(memory, MEM_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_torn),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
