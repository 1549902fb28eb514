/* SPDX-License-Identifier: MIT */
/*
 * test_broker_left.c - a move goes on over the death or the upgrade of a
 * broker: what its followers ask for is known to the next one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "broker/state_rec.h"
#include "broker_bench.h"

#define SAVE_TEXT "07000000000000000000000000000000"

static const uint8_t save_id[STATE_ID_LEN] = {7};
static const uint8_t upgrade_id[STATE_ID_LEN] = {8};

struct bench {
	void *mem[2]; /* of a broker, and what it left */
	struct node *a, *b, *next;
	struct guest *g;
	int program;
	char token[TOKEN_TEXT];
	uint8_t blob[STATE_MAX];
	size_t len;
	struct state_fd fds[STATE_FDS_MAX];
};

static void *memory(void)
{
	void *p = mmap(NULL, NODE_MEMORY, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void call_guest(struct bench *t)
{
	json_t *o;

	t->program =
		node_call(t->a, "Connect",
			  "{\"channel\":\"" BENCH_CHANNEL "\",\"follow\":true}",
			  "\"upgrade\":true");
	play(t->g, t->a, NULL, 30);
	o = reply(t->program);
	assert_non_null(o);
	snprintf(t->token, sizeof(t->token), "%s",
		 json_string_value(reply_param(o, "token")));
	json_decref(o);
}

/* A stream that follows, at @a; either may be the one that dies. */
static struct bench *bench_new(bool source_dies)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->mem[0] = memory();
	t->mem[1] = memory();
	t->a = node_in(source_dies ? t->mem[0] : NULL, false, NULL, false);
	t->b = node_in(source_dies ? NULL : t->mem[0], false, NULL, true);
	t->g = guest_new();
	node_link(t->a);
	guest_run_at(t->g, t->a);
	play(t->g, t->a, NULL, 100);
	assert_true(t->a->b->up);
	call_guest(t);
	return t;
}

static void bench_free(struct bench *t)
{
	close(t->program);
	node_free(t->a);
	node_free(t->b);
	if (t->next)
		node_free(t->next);
	guest_free(t->g);
	munmap(t->mem[0], NODE_MEMORY);
	munmap(t->mem[1], NODE_MEMORY);
	free(t);
}

static void save(struct bench *t)
{
	long n;

	broker_freeze(t->a->b);
	n = broker_save(t->a->b, STATE_MOVE, save_id, t->blob, sizeof(t->blob),
			NULL, NULL);
	assert_true(n > 0);
	t->len = (size_t)n;
}

static void load(struct bench *t)
{
	save(t);
	assert_int_equal(broker_load(t->b->b, t->blob, t->len, NULL, 0),
			 STATE_OK);
}

static void run_at(struct bench *t, struct node *n)
{
	node_link(n);
	guest_run_at(t->g, n);
	play(t->g, n, NULL, 50);
	assert_true(n->b->up);
}

/* @n was killed between two turns: what it left is another's. */
static void take_after(struct bench *t, struct node *n, bool incoming)
{
	arena_note(n->b);
	memcpy(t->mem[1], t->mem[0], NODE_MEMORY);
	t->next = node_in(t->mem[1], true, NULL, incoming);
	assert_true(t->next->b->adopted);
}

static json_t *resume(struct bench *t, struct node *n, const char *save)
{
	char params[256];
	json_t *o;
	int fd;

	snprintf(params, sizeof(params),
		 "{\"token\":\"%s\",\"received\":0,\"sent\":0,"
		 "\"received_end\":false,\"sent_end\":false,\"kept\":0%s%s%s}",
		 t->token, save ? ",\"save\":\"" : "", save ? save : "",
		 save ? "\"" : "");
	fd = node_call(n, "Resume", params, "\"upgrade\":true");
	play(t->g, n, NULL, 20);
	o = reply(fd);
	assert_non_null(o);
	close(fd);
	return o;
}

static void expect_resume(struct bench *t, struct node *n, const char *save,
			  const char *error)
{
	json_t *o = resume(t, n, save);

	assert_string_equal(reply_error(o), error);
	json_decref(o);
	assert_int_equal(n->b->count.resumed, error[0] == '\0');
}

/* ---- by death ------------------------------------------------------------ */

static void killed_between_load_and_resume(void **state)
{
	struct bench *t = bench_new(false);

	(void)state;
	load(t);
	take_after(t, t->b, true);
	broker_adopt_done(t->next->b);
	assert_true(broker_has_loaded(t->next->b));
	run_at(t, t->next);
	expect_resume(t, t->next, "00112233445566778899aabbccddeeff",
		      "NoSuchToken");
	expect_resume(t, t->next, SAVE_TEXT, "");
	bench_free(t);
}

static void killed_while_fenced(void **state)
{
	struct bench *t = bench_new(true);
	struct broker *b;
	char params[80];
	json_t *o;
	int fd;

	(void)state;
	save(t);
	take_after(t, t->a, false);
	b = t->next->b;
	assert_false(broker_has_loaded(b));
	assert_true(broker_adopt_fd(
		b, t->a->b->streams[0].number,
		fcntl(t->a->b->streams[0].fd, F_DUPFD_CLOEXEC, 0)));
	broker_adopt_done(b);
	assert_true(broker_is_frozen(b));
	snprintf(params, sizeof(params), "{\"token\":\"%s\"}", t->token);
	fd = node_call(t->next, "Follow", params, "\"more\":true");
	play(t->g, t->next, NULL, 10);
	o = reply(fd);
	assert_non_null(o);
	assert_string_equal(json_string_value(reply_param(o, "life")),
			    "fenced");
	assert_string_equal(json_string_value(reply_param(o, "save")),
			    SAVE_TEXT);
	json_decref(o);
	/* Another fence is another one to who listens. */
	assert_true(broker_save(b, STATE_MOVE, upgrade_id, t->blob,
				sizeof(t->blob), NULL, NULL) > 0);
	play(t->g, t->next, NULL, 10);
	o = reply(fd);
	assert_non_null(o);
	assert_string_equal(json_string_value(reply_param(o, "life")),
			    "fenced");
	json_decref(o);
	close(fd);
	bench_free(t);
}

/* ---- by upgrade ---------------------------------------------------------- */

static void save_upgrade(struct bench *t, size_t size)
{
	size_t n_fds = 0;
	long n;

	broker_freeze(t->b->b);
	n = broker_save(t->b->b, STATE_UPGRADE, upgrade_id, t->blob, size,
			t->fds, &n_fds);
	assert_true(n > 0);
	assert_int_equal(n_fds, 0);
	t->len = (size_t)n;
}

/* The state is changed as another program would have written it. */
static void seal(struct bench *t)
{
	le32_put(t->blob + 12, (uint32_t)t->len);
	le64_put(t->blob + 16, hash64(t->blob + 24, t->len - 24));
}

/* Return: where its header begins. */
static size_t loaded_at(const struct bench *t)
{
	struct state s;

	assert_int_equal(state_parse(&s, t->blob, t->len), STATE_OK);
	assert_non_null(state_section(&s, STATE_LOADED));
	/* Who does not know it skips it. */
	assert_int_equal(state_section(&s, STATE_LOADED)->flags, 0);
	return (size_t)(state_section(&s, STATE_LOADED)->data - t->blob) -
	       STATE_SECTION_LEN;
}

static struct bench *loaded_and_up(void)
{
	struct bench *t = bench_new(false);

	load(t);
	run_at(t, t->b);
	return t;
}

static enum state_result load_upgrade(struct bench *t)
{
	if (t->next)
		node_free(t->next);
	t->next = node_new(NULL, false);
	return broker_load(t->next->b, t->blob, t->len, NULL, 0);
}

static void upgraded_between_load_and_resume(void **state)
{
	struct bench *t = loaded_and_up();

	(void)state;
	save_upgrade(t, sizeof(t->blob));
	assert_int_equal(load_upgrade(t), STATE_OK);
	run_at(t, t->next);
	/* Its own id is nobody's Save. */
	expect_resume(t, t->next, "08000000000000000000000000000000",
		      "NoSuchToken");
	expect_resume(t, t->next, SAVE_TEXT, "");
	bench_free(t);
}

/* Not known: nothing is mistaken for it. Who asks without it comes in. */
static void upgraded_from_a_program_that_does_not_say(void **state)
{
	struct bench *t = loaded_and_up();

	(void)state;
	save_upgrade(t, sizeof(t->blob));
	assert_int_equal(loaded_at(t) + STATE_LOADED_LEN, t->len);
	t->len -= STATE_LOADED_LEN;
	le32_put(t->blob + 28, le32_get(t->blob + 28) - 1);
	seal(t);
	assert_int_equal(load_upgrade(t), STATE_OK);
	run_at(t, t->next);
	expect_resume(t, t->next, "08000000000000000000000000000000",
		      "NoSuchToken");
	expect_resume(t, t->next, SAVE_TEXT, "NoSuchToken");
	expect_resume(t, t->next, NULL, "");
	bench_free(t);
}

static void upgraded_to_a_program_that_does_not_know_it(void **state)
{
	struct bench *t = loaded_and_up();

	(void)state;
	save_upgrade(t, sizeof(t->blob));
	/* As it is in the eyes of one that counts sections up to RECORDS. */
	le16_put(t->blob + loaded_at(t), STATE_SECTION_LAST + 1);
	seal(t);
	assert_int_equal(load_upgrade(t), STATE_OK);
	assert_int_equal(t->next->b->n_streams, 1);
	run_at(t, t->next);
	expect_resume(t, t->next, NULL, "");
	bench_free(t);
}

static void it_is_checked(void **state)
{
	struct bench *t = loaded_and_up();
	size_t at;

	(void)state;
	save_upgrade(t, sizeof(t->blob));
	at = loaded_at(t);
	t->blob[24] = STATE_MOVE; /* that has it in its header */
	seal(t);
	assert_int_equal(load_upgrade(t), STATE_BAD);
	t->blob[24] = STATE_UPGRADE;
	le32_put(t->blob + at + 4, STATE_ID_LEN - 8);
	t->len -= 8;
	seal(t);
	assert_int_equal(load_upgrade(t), STATE_BAD);
	bench_free(t);
}

/* The records, of which there may be fewer, leave room for it. */
static void it_comes_before_the_last_records(void **state)
{
	struct bench *t = loaded_and_up();
	struct stream_record rec = {
		.state = RECORD_ENDED,
		.channel = BENCH_CHANNEL,
	};
	const struct state_section *records;
	struct state s;
	size_t without;

	(void)state;
	save_upgrade(t, sizeof(t->blob));
	without = t->len;
	for (rec.number = 1; rec.number <= STATUS_MAX; rec.number++)
		status_add(t->b->b->status, &rec);
	save_upgrade(t, without + STATE_SECTION_LEN +
				5 * (STATE_ENDED_LEN + 16) + 60);
	loaded_at(t);
	assert_int_equal(state_parse(&s, t->blob, t->len), STATE_OK);
	records = state_section(&s, STATE_RECORDS);
	assert_non_null(records);
	assert_int_equal(records->len, 5 * (STATE_ENDED_LEN + 16));
	bench_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_between_load_and_resume),
		cmocka_unit_test(killed_while_fenced),
		cmocka_unit_test(upgraded_between_load_and_resume),
		cmocka_unit_test(upgraded_from_a_program_that_does_not_say),
		cmocka_unit_test(upgraded_to_a_program_that_does_not_know_it),
		cmocka_unit_test(it_is_checked),
		cmocka_unit_test(it_comes_before_the_last_records),
	};

	return cmocka_run_group_tests_name("broker left", tests, NULL, NULL);
}
