/* SPDX-License-Identifier: MIT */
/*
 * test_broker_move.c - a broker that stands still, and one whose VM left
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/un.h>

#include "broker_bench.h"

static const uint8_t save_id[STATE_ID_LEN] = {7};

struct bench {
	struct node *a, *b; /* source, destination */
	struct guest *g;
	uint8_t blob[STATE_MAX];
	long len;
};

static int set_up(void **state)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->a = node_new("00000000-0000-0000-0000-000000000001", false);
	t->b = node_new("00000000-0000-0000-0000-000000000001", true);
	t->g = guest_new();
	node_link(t->a);
	guest_run_at(t->g, t->a);
	play(t->g, t->a, NULL, 100);
	assert_true(t->a->b->up);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *t = *state;

	node_free(t->a);
	node_free(t->b);
	guest_free(t->g);
	free(t);
	return 0;
}

/* ---- what the steps of a move are here ----------------------------------- */

struct call {
	int fd;
	vmc_stream h; /* the guest's */
	char id[STREAM_ID_MAX], token[TOKEN_TEXT];
};

static struct call call_guest(struct bench *t, const char *params)
{
	struct call c = {.fd = -1};
	json_t *o;

	c.fd = node_call(t->a, "Connect", params, "\"upgrade\":true");
	play(t->g, t->a, NULL, 30);
	o = reply(c.fd);
	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	snprintf(c.id, sizeof(c.id), "%s",
		 json_string_value(reply_param(o, "id")));
	if (reply_param(o, "token"))
		snprintf(c.token, sizeof(c.token), "%s",
			 json_string_value(reply_param(o, "token")));
	json_decref(o);
	c.h = t->g->last[VMC_EV_OPEN].stream;
	return c;
}

static struct call call_follow(struct bench *t)
{
	return call_guest(t, "{\"channel\":\"" BENCH_CHANNEL
			     "\",\"follow\":true}");
}

static struct call call_plain(struct bench *t)
{
	struct call c = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL "\"}");

	assert_string_equal(c.token, "");
	return c;
}

static void save(struct bench *t)
{
	broker_freeze(t->a->b);
	t->len = broker_save(t->a->b, STATE_MOVE, save_id, t->blob,
			     sizeof(t->blob), NULL, NULL);
	assert_true(t->len > 0);
}

/* The VM runs at the destination; the source's link has ended. */
static void move_vm(struct bench *t)
{
	save(t);
	node_link(t->b);
	play(t->g, t->a, t->b, 3);
	assert_int_equal(broker_load(t->b->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_OK);
	guest_run_at(t->g, t->b);
	broker_moved(t->a->b, NULL);
	play(t->g, t->a, t->b, 50);
	assert_true(t->b->b->up);
}

static int resume_at(struct node *n, const char *token, unsigned int received,
		     unsigned int sent, const char *more)
{
	char params[256];

	snprintf(params, sizeof(params),
		 "{\"token\":\"%s\",\"received\":%u,\"sent\":%u,%s}", token,
		 received, sent,
		 more ? more
		      : "\"received_end\":false,\"sent_end\":false,"
			"\"kept\":0");
	return node_call(n, "Resume", params, "\"upgrade\":true");
}

static int resume_as(struct bench *t, const char *token, unsigned int received,
		     unsigned int sent, const char *more)
{
	return resume_at(t->b, token, received, sent, more);
}

static void expect_text(int fd, const char *text)
{
	char buf[256] = "";
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	assert_int_equal(n, strlen(text));
	assert_string_equal(buf, text);
}

static void expect_error(int fd, const char *error)
{
	json_t *o = reply(fd);

	assert_non_null(o);
	assert_string_equal(reply_error(o), error);
	json_decref(o);
	close(fd);
}

static void expect_refused(int fd, const char *reason)
{
	json_t *o = reply(fd);

	assert_non_null(o);
	assert_string_equal(reply_error(o), "Refused");
	assert_string_equal(json_string_value(reply_param(o, "reason")),
			    reason);
	json_decref(o);
	close(fd);
}

static void expect_reason(const struct node *n, const char *id,
			  unsigned int reason)
{
	const struct stream_record *rec =
		status_find(n->b->status, stream_number(n->b, id));

	assert_non_null(rec);
	assert_int_equal(rec->reason, reason);
}

/* ---- standing still
 * ------------------------------------------------------------- */

static void frozen_nothing_moves_and_then_all_does(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);
	char buf[64];

	broker_freeze(t->a->b);
	assert_int_equal(send(c.fd, "out", 3, 0), 3);
	guest_sends(t->g, c.h, "in", 2);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(recv(c.fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 0);
	assert_int_equal(broker_thaw(t->a->b), 0);
	play(t->g, t->a, NULL, 10);
	expect_text(c.fd, "in");
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 3);
	close(c.fd);
}

/* A socket of the link that has bytes must not keep the loop busy. */
static void frozen_the_loop_sleeps(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);

	broker_freeze(t->a->b);
	guest_sends(t->g, c.h, "in", 2);
	play(t->g, t->a, NULL, 5);
	assert_false(t->a->b->again);
	close(c.fd);
}

static void a_program_that_ends_while_frozen_is_not_forgotten(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);
	char buf[8];

	broker_freeze(t->a->b);
	assert_int_equal(send(c.fd, "last", 4, 0), 4);
	close(c.fd);
	play(t->g, t->a, NULL, 5);
	assert_int_equal(t->a->b->n_streams, 1);
	broker_thaw(t->a->b);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 4);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(t->a->b->n_streams, 0);
	expect_reason(t->a, c.id, VMC_REASON_OK);
}

static void calls_wait_while_frozen(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct bench *t = *state;
	int fd, line, call, more;

	broker_freeze(t->a->b);
	fd = node_call(t->a, "Connect", "{\"channel\":\"" BENCH_CHANNEL "\"}",
		       "\"upgrade\":true");
	/* The other side's interface is no different. */
	call = node_call_of(t->a, BENCH_CHANNEL, "Do", "{}", NULL);
	more = node_call_of(t->a, BENCH_CHANNEL, "Do", "{}", "\"more\":true");
	line = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/connect", t->a->dir);
	assert_int_equal(connect(line, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	assert_true(send(line, "CONNECT org.test.y\n", 19, 0) == 19);
	play(t->g, t->a, NULL, 20);
	assert_null(reply(fd));
	assert_null(reply(call));
	assert_null(reply(more));
	assert_int_equal(t->a->b->connect.n, 1);
	assert_true(connect_server_sweep(t->a->b, UINT64_MAX / 2));
	assert_int_equal(t->a->b->connect.n, 1);
	assert_int_equal(t->a->b->n_streams, 0);
	broker_thaw(t->a->b);
	play(t->g, t->a, NULL, 30);
	assert_int_equal(t->a->b->n_streams, 4);
	json_decref(reply(fd));
	close(fd);
	close(line);
	close(call);
	close(more);
}

/* Only an answer to what was asked after the Save proves where it runs. */
static void a_savevm_costs_a_round_trip(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);
	unsigned int ups = t->a->ups;
	char buf[8];

	save(t);
	guest_sends(t->g, c.h, "in", 2);
	play(t->g, t->a, NULL, 10);
	assert_true(broker_is_frozen(t->a->b));
	broker_resync_now(t->a->b);
	assert_int_equal(broker_thaw(t->a->b), -1);
	assert_true(broker_is_frozen(t->a->b));
	play(t->g, t->a, NULL, 50);
	assert_false(broker_is_frozen(t->a->b));
	assert_int_equal(t->a->ups, ups + 1);
	expect_text(c.fd, "in");
	assert_int_equal(send(c.fd, "out", 3, 0), 3);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 3);
	close(c.fd);
}

/* A stream that was let go while the session could not be told of it. */
static void what_ended_while_frozen_ends_after_it(void **state)
{
	static const struct vmc_principal who = {.kind = VMC_PRINCIPAL_GUEST};
	struct bench *t = *state;
	struct channel *ch;
	vmc_stream h;
	int fd = node_call(t->a, "Listen", "{\"channel\":\"org.test.mine\"}",
			   "\"more\":true");

	play(t->g, t->a, NULL, 10);
	ch = channel_find(t->a->b, "org.test.mine");
	assert_non_null(ch);
	assert_int_equal(vmc_stream_open(t->g->s, &h, "org.test.mine", 0, &who,
					 1, 1, broker_now_us()),
			 0);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(ch->waiting, 1);
	broker_freeze(t->a->b);
	close(fd);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(t->a->b->n_streams, 0);
	assert_int_equal(t->g->seen[VMC_EV_END], 0);
	broker_thaw(t->a->b);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(t->g->seen[VMC_EV_END], 1);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_WITHDRAWN);
}

/* ---- leaving
 * -------------------------------------------------------------------- */

/* Return: the reason of the last event of that type, or UINT_MAX. */
static unsigned int last_event(const struct node *n, enum event_type type,
			       const struct event **ret)
{
	const struct event_ring *r = &n->b->events;

	*ret = NULL;
	for (uint64_t seq = r->last_seq; seq > 0; seq--) {
		*ret = &r->events[(seq - 1) % EVENTS_MAX];
		if ((*ret)->type == type)
			return (*ret)->reason;
	}
	return UINT32_MAX;
}

static void a_plain_program_reads_all_and_then_its_end(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);
	const struct event *ev = NULL;

	guest_sends(t->g, c.h, "in", 2);
	play(t->g, t->a, NULL, 10);
	save(t);
	assert_int_equal(send(c.fd, "never taken", 11, 0), 11);
	broker_moved(t->a->b, "host-b");
	expect_text(c.fd, "in");
	/* An end, not an error, though bytes of it were not read. */
	expect_text(c.fd, "");
	assert_int_equal(send(c.fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close(c.fd);
	expect_reason(t->a, c.id, VMC_REASON_MIGRATED);
	assert_int_equal(last_event(t->a, EVENT_STREAM_CLOSED, &ev),
			 VMC_REASON_MIGRATED);
	assert_int_equal(ev->stream.bytes_in, 2);
	assert_int_equal(last_event(t->a, EVENT_PEER_DOWN, &ev),
			 VMC_REASON_MIGRATED);
	assert_int_equal(t->a->b->n_streams, 0);
	assert_false(t->a->b->up);
	assert_false(broker_is_frozen(t->a->b));
}

static void status_and_events_say_where_it_went(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);
	const struct event *ev = NULL;
	json_t *o;
	int fd;

	fd = node_call(t->a, "Moved", "{\"destination\":\"host-b\"}", NULL);
	play(t->g, t->a, NULL, 5);
	o = reply(fd);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	close(fd);
	assert_string_equal(t->a->destination, "host-b");
	save(t);
	broker_moved(t->a->b, NULL);
	last_event(t->a, EVENT_STREAM_CLOSED, &ev);
	o = json_event(t->a->b, ev);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(o, "event"),
						  "destination")),
		"host-b");
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(o, "event"), "stream"),
			"destination")),
		"host-b");
	json_decref(o);
	assert_in_range(broker_linger_ms(t->a->b), 1, LINGER_MS);
	t->a->b->moved_at_ms -= LINGER_MS;
	assert_int_equal(broker_linger_ms(t->a->b), 0);
	assert_int_equal(broker_linger_ms(t->b->b), 0);
	close(c.fd);
}

static void a_destination_is_printable(void **state)
{
	struct bench *t = *state;
	char params[DESTINATION_MAX + 64];
	int fd = node_call(t->a, "Moved", "{\"destination\":\"a\\u001bb\"}",
			   NULL);

	play(t->g, t->a, NULL, 5);
	expect_error(fd, "InvalidParameter");
	snprintf(params, sizeof(params), "{\"destination\":\"%0*d\"}",
		 DESTINATION_MAX + 1, 0);
	fd = node_call(t->a, "Moved", params, NULL);
	play(t->g, t->a, NULL, 5);
	expect_error(fd, "InvalidParameter");
	assert_string_equal(t->a->b->destination, "");
}

/* "cont" on a source that was thought to be left behind. */
static void whoever_comes_back_gets_a_new_session(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);

	save(t);
	broker_moved(t->a->b, NULL);
	play(t->g, t->a, NULL, 50);
	assert_true(t->a->b->up);
	assert_int_equal(t->g->seen[VMC_EV_END], 1);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_MIGRATED);
	close(c.fd);
	c = call_plain(t);
	close(c.fd);
}

static void a_stop_while_frozen_is_a_move(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);

	save(t);
	broker_stop(t->a->b);
	expect_reason(t->a, c.id, VMC_REASON_MIGRATED);
	close(c.fd);
}

/* ---- arriving
 * ------------------------------------------------------------------- */

static void a_follower_goes_on_exactly(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	char buf[64] = "";
	int fd, again;
	json_t *o;

	assert_int_equal(strlen(c.token), TOKEN_TEXT - 1);
	assert_int_equal(send(c.fd, "abc", 3, 0), 3);
	guest_sends(t->g, c.h, "12", 2);
	play(t->g, t->a, NULL, 10);
	save(t);
	/* Sent, but not taken; received here, but not by the program. */
	assert_int_equal(send(c.fd, "def", 3, 0), 3);
	guest_sends(t->g, c.h, "345", 3);
	play(t->g, t->a, NULL, 5);
	move_vm(t);
	expect_text(c.fd, "12");
	expect_text(c.fd, "");
	close(c.fd);
	assert_int_equal(t->b->b->n_streams, 1);

	fd = resume_as(t, c.token, 2, 6, NULL);
	play(t->g, t->a, t->b, 20);
	o = reply(fd);
	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	assert_int_equal(json_integer_value(reply_param(o, "consumed")), 3);
	assert_true(json_is_false(reply_param(o, "received_end")));
	assert_true(json_is_false(reply_param(o, "consumed_end")));
	assert_string_equal(json_string_value(reply_param(o, "id")), c.id);
	json_decref(o);
	expect_text(fd, "345");
	assert_int_equal(send(fd, "def", 3, 0), 3);
	play(t->g, t->a, t->b, 20);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "abcdef");
	assert_int_equal(t->b->b->count.resumed, 1);
	/* The token has worked. */
	again = resume_as(t, c.token, 5, 6, NULL);
	play(t->g, t->a, t->b, 10);
	expect_error(again, "NoSuchToken");
	close(fd);
}

/* ---- Follow --------------------------------------------------------------
 */

static int follow_at(struct node *n, const char *token)
{
	char params[80];

	snprintf(params, sizeof(params), "{\"token\":\"%s\"}", token);
	return node_call(n, "Follow", params, "\"more\":true");
}

static void expect_life(int fd, const char *life, json_int_t delivered,
			const char *reason)
{
	json_t *o = reply(fd);
	const char *text;

	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	assert_string_equal(json_string_value(reply_param(o, "life")), life);
	assert_int_equal(json_integer_value(reply_param(o, "delivered")),
			 delivered);
	text = json_string_value(reply_param(o, "reason"));
	assert_string_equal(text ? text : "", reason);
	json_decref(o);
}

static void followers_hear_where_their_stream_stands(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	int fd = follow_at(t->a, c.token);

	guest_sends(t->g, c.h, "12", 2);
	play(t->g, t->a, NULL, 10);
	expect_life(fd, "serving", 0, "");
	/* To stand still is not to have left. */
	broker_freeze(t->a->b);
	play(t->g, t->a, NULL, 5);
	assert_int_equal(broker_thaw(t->a->b), 0);
	play(t->g, t->a, NULL, 5);
	assert_null(reply(fd));
	save(t);
	play(t->g, t->a, NULL, 5);
	expect_life(fd, "fenced", 2, "");
	assert_int_equal(broker_thaw(t->a->b), 0);
	play(t->g, t->a, NULL, 5);
	expect_life(fd, "serving", 0, "");
	save(t);
	play(t->g, t->a, NULL, 5);
	expect_life(fd, "fenced", 2, "");
	broker_moved(t->a->b, "host2");
	play(t->g, t->a, NULL, 5);
	expect_life(fd, "ended", 0, "migrated");
	close(fd);
	close(c.fd);
}

static void only_a_token_is_followed(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	int fd = follow_at(t->a, "00112233445566778899aabbccddeeff");
	int bad = follow_at(t->a, "0011");

	play(t->g, t->a, NULL, 10);
	expect_error(fd, "NoSuchToken");
	expect_error(bad, "InvalidParameter");
	close(c.fd);
}

/* The call is bound to one Save: another copy of the stream is not meant. */
static void another_save_is_no_such_token(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	char more[160], id[2 * STATE_ID_LEN + 1];
	int fd;

	move_vm(t);
	fd = resume_as(t, c.token, 0, 0,
		       "\"received_end\":false,\"sent_end\":false,\"kept\":0,"
		       "\"save\":\"00112233445566778899aabbccddeeff\"");
	play(t->g, t->a, t->b, 10);
	expect_error(fd, "NoSuchToken");
	assert_int_equal(t->b->b->count.wrong_tokens, 0);
	assert_int_equal(t->b->b->n_streams, 1);
	token_text(save_id, id);
	snprintf(more, sizeof(more),
		 "\"received_end\":false,\"sent_end\":false,\"kept\":0,"
		 "\"save\":\"%s\"",
		 id);
	fd = resume_as(t, c.token, 0, 0, more);
	play(t->g, t->a, t->b, 10);
	assert_int_equal(t->b->b->count.resumed, 1);
	close(fd);
	close(c.fd);
}

static void plain_streams_end_with_their_reason(void **state)
{
	struct bench *t = *state;
	struct call c = call_plain(t);

	move_vm(t);
	assert_int_equal(t->b->b->n_streams, 0);
	assert_int_equal(t->g->seen[VMC_EV_END], 1);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_MIGRATED);
	close(c.fd);
}

static void what_its_caller_sent_early_comes_along(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	struct stream *st = &t->a->b->streams[0];
	char buf[16] = "";
	json_t *o;
	int fd;

	play(t->g, t->a, NULL, 10);
	broker_freeze(t->a->b);
	assert_true(stream_keep_early(st, "early", 5));
	move_vm(t);
	fd = resume_as(t, c.token, 0, 7, NULL);
	play(t->g, t->a, t->b, 20);
	o = reply(fd);
	assert_int_equal(json_integer_value(reply_param(o, "consumed")), 5);
	json_decref(o);
	assert_int_equal(send(fd, "67", 2, 0), 2);
	play(t->g, t->a, t->b, 20);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "early67");
	close(fd);
	close(c.fd);
}

static void more_early_bytes_than_fit_end_their_stream(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t), d = call_follow(t);
	static const char many[10000];
	int fd;

	broker_freeze(t->a->b);
	for (int i = 0; i < 2; i++)
		assert_true(stream_keep_early(&t->a->b->streams[i], many,
					      sizeof(many)));
	move_vm(t);
	assert_int_equal(t->b->b->n_streams, 1);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_DAEMON_LOST);
	fd = resume_as(t, c.token, 0, 10000, NULL);
	play(t->g, t->a, t->b, 30);
	json_decref(reply(fd));
	assert_int_equal(t->b->b->count.resumed, 1);
	close(fd);
	close(c.fd);
	close(d.fd);
}

/* What does not fit together ends with a reason that both can ask for. */
static void a_caller_that_lost_bytes_is_refused(void **state)
{
	static const struct {
		unsigned int received, sent;
		const char *more;
	} wrong[] = {
		{1, 3, NULL},
		{3, 3, NULL},
		{2, 2, NULL},
		{2, 9, "\"received_end\":false,\"sent_end\":false,\"kept\":4"},
		{2, 3, "\"received_end\":true,\"sent_end\":false,\"kept\":0"},
	};
	struct bench *t = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct call c = call_follow(t);
		int fd;

		assert_int_equal(send(c.fd, "abc", 3, 0), 3);
		guest_sends(t->g, c.h, "12", 2);
		play(t->g, t->a, NULL, 10);
		move_vm(t);
		t->g->seen[VMC_EV_END] = 0;
		fd = resume_as(t, c.token, wrong[i].received, wrong[i].sent,
			       wrong[i].more);
		play(t->g, t->a, t->b, 20);
		expect_error(fd, "Refused");
		assert_int_equal(t->g->seen[VMC_EV_END], 1);
		assert_int_equal(t->g->last[VMC_EV_END].reason,
				 VMC_REASON_SESSION_LOST);
		expect_reason(t->b, c.id, VMC_REASON_SESSION_LOST);
		close(c.fd);
		tear_down(state);
		set_up(state);
		t = *state;
	}
}

static void policy_of_the_destination_decides(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	int fd;

	node_set_rules(t->b, "connect " BENCH_CHANNEL " * deny\n");
	move_vm(t);
	fd = resume_as(t, c.token, 0, 0, NULL);
	play(t->g, t->a, t->b, 20);
	expect_error(fd, "Denied");
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_DENIED);
	close(c.fd);
}

static void a_follower_may_come_before_its_vm(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	json_t *o;
	int fd = resume_as(t, c.token, 0, 0, NULL);

	play(t->g, t->a, t->b, 10);
	assert_null(reply(fd));
	/* Loaded is not enough: it may yet run on at the source. */
	save(t);
	node_link(t->b);
	assert_int_equal(broker_load(t->b->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_OK);
	play(t->g, t->a, t->b, 10);
	assert_null(reply(fd));
	guest_run_at(t->g, t->b);
	play(t->g, t->a, t->b, 50);
	o = reply(fd);
	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	close(fd);
	close(c.fd);
}

static void waiting_followers_have_limits(void **state)
{
	struct bench *t = *state;
	static const char token[] = "00112233445566778899aabbccddeeff";
	uint64_t now_ms = broker_now_us() / 1000u;
	int fds[RESUMES_MAX + 1];

	for (unsigned int i = 0; i <= RESUMES_MAX; i++) {
		fds[i] = resume_as(t, token, 0, 0, NULL);
		play(t->g, t->a, t->b, 2);
	}
	play(t->g, t->a, t->b, 10);
	expect_error(fds[RESUMES_MAX], "LimitReached");
	assert_int_equal(t->b->b->count.limit_resumes, 1);
	/* One that goes makes room. */
	close(fds[0]);
	play(t->g, t->a, t->b, 5);
	fds[0] = resume_as(t, token, 0, 0, NULL);
	play(t->g, t->a, t->b, 5);
	assert_null(reply(fds[0]));
	assert_true(follow_sweep(t->b->b, now_ms + FOLLOW_MS - 1));
	assert_null(reply(fds[0]));
	follow_sweep(t->b->b, broker_now_us() / 1000u + FOLLOW_MS);
	pump_kick(t->b->b);
	play(t->g, t->a, t->b, 10);
	for (unsigned int i = 0; i < RESUMES_MAX; i++)
		expect_error(fds[i], "NoSuchToken");
	assert_false(follow_sweep(t->b->b, now_ms));
}

static void wrong_tokens_cost_a_connection(void **state)
{
	static const char call[] =
		"{\"method\":\"" BROKER_INTERFACE ".Resume\",\"upgrade\":true,"
		"\"parameters\":{\"token\":\"00112233445566778899aabbccddeeff\""
		",\"received\":0,\"received_end\":false,\"sent\":0,"
		"\"sent_end\":false,\"kept\":0}}";
	struct bench *t = *state;
	char byte;
	json_t *o;
	int fd;

	move_vm(t);
	fd = resume_as(t, "00112233445566778899aabbccddeeff", 0, 0, NULL);
	for (int i = 1; i <= WRONG_TOKENS_MAX; i++)
		assert_true(send(fd, call, sizeof(call), MSG_NOSIGNAL) > 0);
	play(t->g, t->a, t->b, 20);
	for (int i = 0; i < WRONG_TOKENS_MAX; i++) {
		o = reply(fd);
		assert_non_null(o);
		assert_string_equal(reply_error(o), "NoSuchToken");
		json_decref(o);
	}
	assert_null(reply(fd));
	errno = 0;
	assert_true(recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN);
	assert_int_equal(t->b->b->count.wrong_tokens, WRONG_TOKENS_MAX);
	close(fd);
}

static void nobody_waits_for_ever(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	uint64_t now_ms;
	int fd;

	save(t);
	node_link(t->b);
	assert_int_equal(broker_load(t->b->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_OK);
	/* Before its VM runs, the time does not run. */
	assert_false(follow_sweep(t->b->b, UINT64_MAX / 2));
	guest_run_at(t->g, t->b);
	play(t->g, t->a, t->b, 50);
	assert_true(t->b->b->sweeping);
	now_ms = broker_now_us() / 1000u;
	assert_true(follow_sweep(t->b->b,
				 t->b->b->streams[0].since_ms + FOLLOW_MS - 1));
	assert_int_equal(t->g->seen[VMC_EV_END], 0);
	follow_sweep(t->b->b, now_ms + FOLLOW_MS);
	pump_kick(t->b->b);
	play(t->g, t->a, t->b, 20);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_TIMEOUT);
	assert_int_equal(t->b->b->count.limit_follow_time, 1);
	/* Who comes too late learns why. */
	fd = resume_as(t, c.token, 0, 0, NULL);
	play(t->g, t->a, t->b, 20);
	expect_error(fd, "Refused");
	close(c.fd);
}

#define DONE "\"received_end\":true,\"sent_end\":true,\"kept\":0"

static void who_has_done_all_need_not_come(void **state)
{
	int early, late;
	static struct state_fd fds[STATE_FDS_MAX];
	size_t n_fds = 1;
	struct node *n;
	struct bench *t = *state;
	struct call c = call_follow(t);
	char buf[8];

	vmc_stream_finish(t->g->s, c.h);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(send(c.fd, "last", 4, 0), 4);
	close(c.fd);
	/* Taken, but the guest stands still. */
	for (int i = 0; i < 5; i++)
		node_turn(t->a);
	assert_int_equal(t->a->b->n_streams, 1);
	t->g->link = -1;
	save(t);
	node_link(t->b);
	assert_int_equal(broker_load(t->b->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_OK);
	assert_int_equal(t->b->b->n_streams, 1);
	/* A successor there can do without its program, too. */
	broker_freeze(t->b->b);
	t->len = broker_save(t->b->b, STATE_UPGRADE, save_id, t->blob,
			     sizeof(t->blob), fds, &n_fds);
	assert_true(t->len > 0);
	assert_int_equal(n_fds, 0);
	n = node_new(NULL, false);
	assert_int_equal(broker_load(n->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_OK);
	assert_int_equal(n->b->n_streams, 1);
	node_free(n);
	assert_int_equal(broker_thaw(t->b->b), 0);
	guest_run_at(t->g, t->b);
	broker_moved(t->a->b, NULL);
	/* It may come all the same, and hears how that went. */
	early = resume_as(t, c.token, 0, 4, DONE);
	for (int i = 0; i < 50 && !t->b->b->up; i++)
		play(t->g, t->a, t->b, 1);
	assert_int_equal(t->b->b->n_streams, 1);
	assert_null(reply(early));
	play(t->g, t->a, t->b, 20);
	assert_int_equal(guest_gets(t->g, c.h, buf, sizeof(buf)), 4);
	play(t->g, t->a, t->b, 20);
	assert_int_equal(t->b->b->n_streams, 0);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_OK);
	expect_reason(t->b, c.id, VMC_REASON_OK);
	expect_refused(early, "ok");
	late = resume_as(t, c.token, 0, 4, DONE);
	play(t->g, t->a, t->b, 20);
	expect_refused(late, "ok");
	assert_int_equal(t->b->b->count.wrong_tokens, 0);
}

/* The VM may be asked for where it never left. That is no guess. */
static void a_stream_that_stayed_is_asked_for_in_vain(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	int fds[WRONG_TOKENS_MAX + 1];

	play(t->g, t->a, NULL, 10);
	save(t);
	for (unsigned int i = 0; i <= WRONG_TOKENS_MAX; i++)
		fds[i] = resume_at(t->a, c.token, 0, 0, NULL);
	play(t->g, t->a, NULL, 10);
	assert_null(reply(fds[0]));
	assert_int_equal(broker_thaw(t->a->b), 0);
	play(t->g, t->a, NULL, 10);
	for (unsigned int i = 0; i <= WRONG_TOKENS_MAX; i++)
		expect_error(fds[i], "NoSuchToken");
	assert_int_equal(t->a->b->count.wrong_tokens, 0);
	/* Not taken by that, either. */
	assert_int_equal(t->a->b->n_streams, 1);
	close(c.fd);
}

/* Whatever the end: who has the token is told. */
static void a_followed_stream_that_ended_is_known(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	int fd;

	vmc_stream_reset(t->g->s, c.h, VMC_REASON_APP_ABORT);
	play(t->g, t->a, NULL, 10);
	assert_int_equal(t->a->b->n_streams, 0);
	fd = follow_at(t->a, c.token);
	play(t->g, t->a, NULL, 10);
	expect_refused(fd, "app-abort");
	assert_int_equal(t->a->b->count.wrong_tokens, 0);
	close(c.fd);
}

static void ends_are_told_again(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	json_t *o;
	int fd;

	guest_sends(t->g, c.h, "12", 2);
	vmc_stream_finish(t->g->s, c.h);
	play(t->g, t->a, NULL, 10);
	move_vm(t);
	fd = resume_as(t, c.token, 2, 0,
		       "\"received_end\":true,\"sent_end\":false,\"kept\":0");
	play(t->g, t->a, t->b, 20);
	o = reply(fd);
	assert_string_equal(reply_error(o), "");
	assert_true(json_is_true(reply_param(o, "received_end")));
	json_decref(o);
	expect_text(fd, "");
	shutdown(fd, SHUT_WR);
	play(t->g, t->a, t->b, 20);
	assert_true(vmc_stream_at_end(t->g->s, c.h) ||
		    t->g->seen[VMC_EV_END] == 1);
	close(fd);
	close(c.fd);
}

static void a_stream_moves_twice(void **state)
{
	struct bench *t = *state;
	struct node *third = node_new(NULL, true);
	struct call c = call_follow(t);
	json_t *o;
	int fd;

	move_vm(t);
	/* On from b, where its program has not come, to a third. */
	broker_freeze(t->b->b);
	t->len = broker_save(t->b->b, STATE_MOVE, save_id, t->blob,
			     sizeof(t->blob), NULL, NULL);
	node_link(third);
	assert_int_equal(
		broker_load(third->b, t->blob, (size_t)t->len, NULL, 0),
		STATE_OK);
	guest_run_at(t->g, third);
	broker_moved(t->b->b, NULL);
	play(t->g, third, t->b, 50);
	fd = resume_at(third, c.token, 0, 0, NULL);
	play(t->g, third, NULL, 20);
	o = reply(fd);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	close(fd);
	close(c.fd);
	node_free(third);
}

/* ---- what is not taken
 * ----------------------------------------------------------- */

static void no_state_means_a_named_reset(void **state)
{
	uint8_t nothing[STATE_HEADER_LEN];
	struct bench *t = *state;
	struct call c = call_follow(t);

	save(t);
	node_link(t->b);
	play(t->g, t->a, t->b, 3);
	state_nothing(nothing);
	assert_int_equal(
		broker_load(t->b->b, nothing, sizeof(nothing), NULL, 0),
		STATE_NONE);
	guest_run_at(t->g, t->b);
	play(t->g, t->a, t->b, 50);
	assert_true(t->b->b->up);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_MIGRATED);
	assert_int_equal(t->b->b->count.states_refused, 1);
	close(c.fd);
}

static void another_vm_is_a_clone(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);
	struct node *other =
		node_new("00000000-0000-0000-0000-000000000002", true);

	save(t);
	node_link(other);
	assert_int_equal(
		broker_load(other->b, t->blob, (size_t)t->len, NULL, 0),
		STATE_CLONED);
	guest_run_at(t->g, other);
	play(t->g, other, NULL, 50);
	assert_true(other->b->up);
	assert_int_equal(t->g->last[VMC_EV_END].reason, VMC_REASON_CLONED);
	close(c.fd);
	node_free(other);
}

static void a_living_broker_takes_no_state(void **state)
{
	struct bench *t = *state;
	struct call c = call_follow(t);

	save(t);
	assert_int_equal(broker_load(t->a->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_BUSY);
	broker_thaw(t->a->b);
	assert_int_equal(broker_load(t->a->b, t->blob, (size_t)t->len, NULL, 0),
			 STATE_BUSY);
	assert_int_equal(t->a->b->n_streams, 1);
	close(c.fd);
}

static void without_a_session_nothing_is_saved(void **state)
{
	struct bench *t = *state;
	struct state s;

	broker_freeze(t->b->b);
	t->len = broker_save(t->b->b, STATE_MOVE, save_id, t->blob,
			     sizeof(t->blob), NULL, NULL);
	assert_int_equal(t->len, STATE_HEADER_LEN);
	assert_int_equal(state_parse(&s, t->blob, (size_t)t->len), STATE_NONE);
	broker_thaw(t->b->b);
	assert_int_equal(broker_save(t->b->b, STATE_MOVE, save_id, t->blob,
				     sizeof(t->blob), NULL, NULL),
			 -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(frozen_nothing_moves_and_then_all_does),
		T(frozen_the_loop_sleeps),
		T(a_program_that_ends_while_frozen_is_not_forgotten),
		T(calls_wait_while_frozen),
		T(a_savevm_costs_a_round_trip),
		T(what_ended_while_frozen_ends_after_it),
		T(a_plain_program_reads_all_and_then_its_end),
		T(status_and_events_say_where_it_went),
		T(a_destination_is_printable),
		T(whoever_comes_back_gets_a_new_session),
		T(a_stop_while_frozen_is_a_move),
		T(a_follower_goes_on_exactly),
		T(another_save_is_no_such_token),
		T(only_a_token_is_followed),
		T(followers_hear_where_their_stream_stands),
		T(plain_streams_end_with_their_reason),
		T(what_its_caller_sent_early_comes_along),
		T(more_early_bytes_than_fit_end_their_stream),
		T(a_caller_that_lost_bytes_is_refused),
		T(policy_of_the_destination_decides),
		T(a_follower_may_come_before_its_vm),
		T(waiting_followers_have_limits),
		T(wrong_tokens_cost_a_connection),
		T(nobody_waits_for_ever),
		T(who_has_done_all_need_not_come),
		T(a_stream_that_stayed_is_asked_for_in_vain),
		T(a_followed_stream_that_ended_is_known),
		T(ends_are_told_again),
		T(a_stream_moves_twice),
		T(no_state_means_a_named_reset),
		T(another_vm_is_a_clone),
		T(a_living_broker_takes_no_state),
		T(without_a_session_nothing_is_saved),
	};
#undef T

	return cmocka_run_group_tests_name("broker move", tests, NULL, NULL);
}
