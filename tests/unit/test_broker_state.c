/* SPDX-License-Identifier: MIT */
/*
 * test_broker_state.c - sections 16-19 of a saved state: each field of them
 * wrong, tables that are full, and all that a successor gets
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "broker/state_rec.h"
#include "broker_bench.h"

static const uint8_t save_id[STATE_ID_LEN] = {7};

struct bench {
	struct node *a;
	struct guest *g;
	uint8_t blob[STATE_MAX];
	size_t len;
	struct state_fd fds[STATE_FDS_MAX];
	size_t n_fds;
};

static int set_up(void **state)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->a = node_new(NULL, false);
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
	guest_free(t->g);
	free(t);
	return 0;
}

static int call_guest(struct bench *t, const char *params)
{
	int fd = node_call(t->a, "Connect", params, "\"upgrade\":true");
	json_t *o;

	play(t->g, t->a, NULL, 30);
	o = reply(fd);
	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	return fd;
}

static void save(struct bench *t, enum state_kind kind)
{
	bool upgrade = kind == STATE_UPGRADE;
	long n;

	broker_freeze(t->a->b);
	n = broker_save(t->a->b, kind, save_id, t->blob, sizeof(t->blob),
			upgrade ? t->fds : NULL, upgrade ? &t->n_fds : NULL);
	assert_true(n > 0);
	t->len = (size_t)n;
}

static void seal(uint8_t *blob, size_t len)
{
	le64_put(blob + 16, hash64(blob + 24, len - 24));
}

/* ---- each field
 * ----------------------------------------------------------------- */

/* Of BROKER with one stream whose name has 10 bytes: what is put where. */
struct change {
	const char *what;
	size_t off;
	uint8_t value;
};

#define REC STATE_HEAD_LEN

static const struct change changes[] = {
	{"id text", 3, 'g'},
	{"id text ends", 15, 0},
	{"instance text", 16, 'A'},
	{"last number too large", 39, 0x80},
	{"last number below the stream's", 32, 0},
	{"last event too large", 47, 0x80},
	{"a record more", 48, 2},
	{"records without end", 51, 0xff},
	{"reserved", 52, 1},
	{"slot beyond the table", REC + 1, 0x40},
	{"slot far beyond", REC + 3, 0xff},
	{"generation 0", REC + 4, 0},
	{"number 0", REC + 8, 0},
	{"number beyond the last", REC + 8, 99},
	{"unknown flag", REC + 16, 0x87},
	{"not outgoing, but ours called", REC + 16, 4},
	{"does not follow", REC + 16, 1},
	{"stopped, but not done", REC + 16, 5 | STATE_REC_TX_STOPPED},
	{"name of 0 bytes", REC + 17, 0},
	{"name too long", REC + 17, 65},
	{"name cut short", REC + 17, 9},
	{"name goes on", REC + 17, 11},
	{"caller of the other side", REC + 24, 2},
	{"caller of no side", REC + 24, 9},
	{"state free", REC + 36, STREAM_FREE},
	{"state opening", REC + 36, STREAM_OPENING},
	{"state waiting", REC + 36, STREAM_WAITING},
	{"state unknown", REC + 36, STREAM_STATE_NUM},
	{"answer unknown", REC + 37, 3},
	{"weight", REC + 38, 17},
	{"weight's high byte", REC + 39, 1},
	{"delivered more than came", REC + 40, 99},
	{"delivered less than was taken", REC + 40, 1},
	{"a message, though it has none", REC + 64, 1},
	{"part of a length, though it has none", REC + 71, 1},
	{"early bytes that are not there", REC + 72, 1},
	{"early bytes without end", REC + 75, 0xff},
	{"reserved of the record", REC + 76, 1},
	{"a name that is none", REC + 80, '/'},
	{"padding of the name", REC + 95, 1},
};

static struct node *load_changed(struct bench *t, enum state_result expected)
{
	struct node *n = node_new(NULL, true);

	seal(t->blob, t->len);
	node_link(n);
	assert_int_equal(broker_load(n->b, t->blob, t->len, NULL, 0), expected);
	return n;
}

static size_t section_at(const struct bench *t, unsigned int type)
{
	struct state s;

	assert_int_equal(state_parse(&s, t->blob, t->len), STATE_OK);
	assert_non_null(state_section(&s, type));
	return (size_t)(state_section(&s, type)->data - t->blob);
}

/* After whatever was wrong with a state there is a session that works. */
static void expect_clean(struct node *n)
{
	struct guest *g = guest_new();

	assert_int_equal(n->b->n_streams, 0);
	assert_int_equal(n->b->count.states_refused, 1);
	assert_null(vmc_session_check(n->b->session));
	guest_run_at(g, n);
	play(g, n, NULL, 60);
	assert_true(n->b->up);
	guest_free(g);
}

static void each_field_is_checked(void **state)
{
	struct bench *t = *state;
	uint8_t *good = malloc(STATE_MAX);
	int fd = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL
			       "\",\"follow\":true}");
	struct node *n;
	size_t at;

	assert_non_null(good);
	guest_sends(t->g, t->g->last[VMC_EV_OPEN].stream, "12", 2);
	play(t->g, t->a, NULL, 10);
	save(t, STATE_MOVE);
	at = section_at(t, STATE_BROKER);
	memcpy(good, t->blob, t->len);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		print_message("# %s\n", changes[i].what);
		memcpy(t->blob, good, t->len);
		assert_int_not_equal(t->blob[at + changes[i].off],
				     changes[i].value);
		t->blob[at + changes[i].off] = changes[i].value;
		n = load_changed(t, STATE_BAD);
		expect_clean(n);
		node_free(n);
	}
	memcpy(t->blob, good, t->len);
	n = load_changed(t, STATE_OK);
	assert_int_equal(n->b->n_streams, 1);
	node_free(n);
	free(good);
	close(fd);
}

/* Of RECORDS with one record whose name has 10 bytes. */
static const struct change ended_changes[] = {
	{"number 0", 0, 0},
	{"a number that was not given yet", 1, 1},
	{"unknown flag", 42, 4},
	{"a longer name", 43, 11},
	{"no name", 43, 0},
	{"reserved", 44, 1},
	{"a name that is none", STATE_ENDED_LEN, '/'},
	{"padding of the name", STATE_ENDED_LEN + 15, 1},
};

static enum state_result load_upgrade(struct bench *t, struct node **ret)
{
	*ret = node_new(NULL, true);
	seal(t->blob, t->len);
	node_link(*ret);
	return broker_load((*ret)->b, t->blob, t->len, NULL, 0);
}

/* One stream that has ended, no descriptors. */
static void save_ended(struct bench *t)
{
	struct stream_record rec = {
		.number = 1,
		.reason = VMC_REASON_TIMEOUT,
		.state = RECORD_ENDED,
		.bytes_in = 11,
		.bytes_out = 12,
		.outgoing = true,
		.channel = "org.test.x",
	};

	t->a->b->last_number = 1;
	status_add(t->a->b->status, &rec);
	save(t, STATE_UPGRADE);
	assert_int_equal(t->n_fds, 0);
}

static void how_streams_ended_goes_along(void **state)
{
	struct bench *t = *state;
	const struct stream_record *rec;
	uint8_t *good = malloc(STATE_MAX);
	struct node *n;
	size_t at;

	assert_non_null(good);
	save_ended(t);
	at = section_at(t, STATE_RECORDS);
	memcpy(good, t->blob, t->len);
	for (size_t i = 0; i < sizeof(ended_changes) / sizeof(ended_changes[0]);
	     i++) {
		print_message("# %s\n", ended_changes[i].what);
		memcpy(t->blob, good, t->len);
		t->blob[at + ended_changes[i].off] = ended_changes[i].value;
		assert_int_equal(load_upgrade(t, &n), STATE_BAD);
		assert_null(status_find(n->b->status, 1));
		node_free(n);
	}
	memcpy(t->blob, good, t->len);
	/* A move does not take it: ids are another's there. */
	t->blob[24] = STATE_MOVE;
	assert_int_equal(load_upgrade(t, &n), STATE_BAD);
	node_free(n);
	memcpy(t->blob, good, t->len);
	assert_int_equal(load_upgrade(t, &n), STATE_OK);
	rec = status_find(n->b->status, 1);
	assert_non_null(rec);
	assert_int_equal(rec->reason, VMC_REASON_TIMEOUT);
	assert_true(rec->bytes_in == 11 && rec->bytes_out == 12);
	assert_true(rec->outgoing && !rec->follow);
	assert_string_equal(rec->channel, "org.test.x");
	node_free(n);
	free(good);
}

/* The newest, as many as there is room for; the rest of the state goes first.
 */
static void the_newest_endings_fit(void **state)
{
	struct bench *t = *state;
	struct status_ring *ring = t->a->b->status;
	struct stream_record rec = {
		.state = RECORD_ENDED,
		.channel = "org.test.x",
	};
	size_t without, room = 10 * (STATE_ENDED_LEN + 16) + 8;
	struct node *n;
	long len;

	t->a->b->last_number = 2000;
	save(t, STATE_UPGRADE);
	without = t->len;
	for (rec.number = 1; rec.number <= 2000; rec.number++)
		status_add(ring, &rec);
	len = broker_save(t->a->b, STATE_UPGRADE, save_id, t->blob,
			  without + room, t->fds, &t->n_fds);
	assert_int_equal(len, without + room);
	t->len = (size_t)len;
	assert_int_equal(load_upgrade(t, &n), STATE_OK);
	assert_int_equal(status_count(n->b->status), 10);
	assert_non_null(status_find(n->b->status, 1991));
	assert_non_null(status_find(n->b->status, 2000));
	node_free(n);
	/* No room for one. */
	len = broker_save(t->a->b, STATE_UPGRADE, save_id, t->blob,
			  without + 40, t->fds, &t->n_fds);
	assert_int_equal(len, without);
	/* All that are remembered. */
	save(t, STATE_UPGRADE);
	assert_int_equal(load_upgrade(t, &n), STATE_OK);
	assert_int_equal(status_count(n->b->status), STATUS_MAX);
	assert_null(status_find(n->b->status, 2000 - STATUS_MAX));
	assert_non_null(status_find(n->b->status, 2000 - STATUS_MAX + 1));
	node_free(n);
}

/* Nothing that is left out is invented. */
static void each_section_is_needed_whole(void **state)
{
	struct bench *t = *state;
	int fd = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL
			       "\",\"follow\":true}");
	size_t at, len, body;
	uint32_t n_sections;
	struct node *n;

	save(t, STATE_MOVE);
	at = section_at(t, STATE_BROKER);
	len = t->len;
	body = len - at;
	for (size_t cut = 8; cut < body; cut += 8) {
		le32_put(t->blob + at - 4, (uint32_t)(body - cut));
		t->len = len - cut;
		le32_put(t->blob + 12, (uint32_t)t->len);
		n = load_changed(t, STATE_BAD);
		expect_clean(n);
		node_free(n);
	}
	/* Without BROKER at all. */
	n_sections = le32_get(t->blob + 28);
	le32_put(t->blob + 28, n_sections - 1);
	t->len = at - STATE_SECTION_LEN;
	le32_put(t->blob + 12, (uint32_t)t->len);
	n = load_changed(t, STATE_BAD);
	expect_clean(n);
	node_free(n);
	close(fd);
}

/* The engine's part and ours must speak of the same streams. */
static void both_parts_must_agree(void **state)
{
	struct bench *t = *state;
	int fd = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL
			       "\",\"follow\":true}");
	struct node *n;
	size_t at;

	save(t, STATE_MOVE);
	at = section_at(t, STATE_BROKER);
	/* A slot that exists, of which the engine knows nothing. */
	t->blob[at + REC] = 5;
	n = load_changed(t, STATE_BAD);
	expect_clean(n);
	node_free(n);
	/* The engine's part is damaged: its first section claims another
	 * role. */
	t->blob[at + REC] = 0;
	t->blob[STATE_HEADER_LEN + STATE_SECTION_LEN] ^= 1;
	n = load_changed(t, STATE_BAD);
	expect_clean(n);
	node_free(n);
	close(fd);
}

/* ---- full tables
 * ------------------------------------------------------------------ */

/* Streams that one side may open of the default table. */
#define PEER_SHARE 224

static void full_tables_fit(void **state)
{
	struct bench *t = *state;
	char name[VMC_NAME_MAX + 1];
	struct broker *b = t->a->b;
	unsigned int opened = 0;
	struct creds me = {
		.who = {.kind = VMC_PRINCIPAL_HOST, .uid = b->owner},
	};
	struct vmc_session_config cfg;
	struct node *n;
	int ends[PEER_SHARE];

	/* Names of full length, early bytes, and as many as there can be. */
	while (opened < PEER_SHARE) {
		struct outgoing o = {
			.channel = name,
			.follow = true,
			.answer = STREAM_ANSWER_VARLINK,
			.early = "early",
			.early_len = 5,
		};
		struct refusal why;
		int fds[2];

		snprintf(name, sizeof(name), "org.test.n%054u", opened);
		assert_int_equal(strlen(name), VMC_NAME_MAX);
		assert_int_equal(socketpair(AF_UNIX,
					    SOCK_STREAM | SOCK_NONBLOCK, 0,
					    fds),
				 0);
		o.fd = fds[0];
		assert_true(outgoing_open(b, &o, &me, &why));
		ends[opened++] = fds[1];
		pump_kick(b);
		play(t->g, t->a, NULL, 2);
	}
	play(t->g, t->a, NULL, 200);
	save(t, STATE_MOVE);
	vmc_session_config_default(&cfg, VMC_ROLE_HOST);
	assert_true(vmc_session_save_max(&cfg) + STATE_SHARE <= STATE_MAX);
	n = node_new(NULL, true);
	assert_int_equal(broker_load(n->b, t->blob, t->len, NULL, 0), STATE_OK);
	assert_int_equal(n->b->n_streams, b->n_streams);
	assert_int_equal(n->b->n_streams, opened);
	node_free(n);
	while (opened > 0)
		close(ends[--opened]);
}

/* Whatever room there is too little of, it is said and not written over. */
static void too_little_room_is_said(void **state)
{
	struct bench *t = *state;
	int fd = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL
			       "\",\"follow\":true}");
	uint8_t *room;

	save(t, STATE_MOVE);
	for (size_t n = 0; n < t->len; n++) {
		room = malloc(n + 1);
		assert_non_null(room);
		room[n] = 0xa5;
		assert_int_equal(broker_save(t->a->b, STATE_MOVE, save_id, room,
					     n, NULL, NULL),
				 -ENOSPC);
		assert_int_equal(room[n], 0xa5);
		free(room);
	}
	close(fd);
}

/* ---- to a successor
 * ---------------------------------------------------------------- */

/* The successor's copies, as they come over a socket. */
static void copy_fds(struct bench *t)
{
	for (size_t i = 0; i < t->n_fds; i++)
		t->fds[i].fd = fcntl(t->fds[i].fd, F_DUPFD_CLOEXEC, 0);
}

static unsigned int count_kind(const struct bench *t, uint32_t kind)
{
	unsigned int n = 0;

	for (size_t i = 0; i < t->n_fds; i++)
		n += t->fds[i].kind == kind;
	return n;
}

/* What is still to be told to whoever called, and how, is the successor's. */
static void a_successor_answers_as_was_asked(void **state)
{
	struct bench *t = *state;
	struct broker *b = t->a->b;
	struct creds me = {
		.who = {.kind = VMC_PRINCIPAL_HOST, .uid = b->owner},
	};
	struct outgoing o = {
		.channel = BENCH_CHANNEL,
		.answer = STREAM_ANSWER_CALL,
	};
	struct node *n = node_new(NULL, false);
	struct stream *st = NULL;
	struct refusal why;
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	o.fd = fds[0];
	assert_true(outgoing_open(b, &o, &me, &why));
	save(t, STATE_UPGRADE);
	copy_fds(t);
	assert_int_equal(broker_load(n->b, t->blob, t->len, t->fds, t->n_fds),
			 STATE_OK);
	for (uint32_t i = 0; i < n->b->n_slots; i++)
		if (n->b->streams[i].state == STREAM_OPENING)
			st = &n->b->streams[i];
	assert_non_null(st);
	assert_int_equal(st->answer, STREAM_ANSWER_CALL);
	node_free(n);
	close(fds[1]);
}

static void a_successor_goes_on_with_everything(void **state)
{
	static const struct vmc_principal who = {.kind = VMC_PRINCIPAL_GUEST};
	struct bench *t = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int plain = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL "\"}");
	vmc_stream h = t->g->last[VMC_EV_OPEN].stream, hw;
	int listen =
		node_call(t->a, "Listen", "{\"channel\":\"org.test.mine\"}",
			  "\"more\":true");
	int idle = node_call(t->a, "GetInfo", "{}", NULL);
	int upgrade = node_call(t->a, "Upgrade", "{}", NULL);
	int line = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char token[TOKEN_TEXT], params[128], buf[16] = "", old_id[40];
	struct node *n = node_new(NULL, false);
	uint64_t saved_seq, lost;
	const struct event *ev;
	json_t *o;
	int fd;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/connect", t->a->dir);
	assert_int_equal(connect(line, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	assert_int_equal(vmc_stream_open(t->g->s, &hw, "org.test.none", 0, &who,
					 1, 1, broker_now_us()),
			 0);
	play(t->g, t->a, NULL, 20);
	assert_int_equal(t->a->upgrades, 1);
	assert_int_equal(vmc_stream_open(t->g->s, &hw, "org.test.mine", 0, &who,
					 1, 1, broker_now_us()),
			 0);
	guest_sends(t->g, h, "12", 2);
	play(t->g, t->a, NULL, 20);
	json_decref(reply(idle));
	json_decref(reply(listen));
	o = reply(listen); /* a stream waits */
	assert_non_null(o);
	snprintf(token, sizeof(token), "%s",
		 json_string_value(reply_param(o, "token")));
	json_decref(o);
	save(t, STATE_UPGRADE);
	stream_id_text(t->a->b, t->a->b->last_number, old_id);
	saved_seq = t->a->b->events.last_seq;
	assert_int_equal(count_kind(t, STATE_FD_STREAM), 1);
	assert_int_equal(count_kind(t, STATE_FD_LISTEN), 1);
	assert_int_equal(count_kind(t, STATE_FD_CONTROL), 1);
	assert_int_equal(count_kind(t, STATE_FD_CONNECT), 1);
	assert_int_equal(count_kind(t, STATE_FD_UPGRADE), 1);
	copy_fds(t);
	assert_int_equal(broker_load(n->b, t->blob, t->len, t->fds, t->n_fds),
			 STATE_OK);
	assert_int_equal(n->b->n_streams, 2);
	assert_true(n->b->events.last_seq >= t->a->b->events.last_seq);
	assert_string_equal(n->b->instance_text, t->a->b->instance_text);
	/* A monitor that comes back is not told what we never saw. */
	ev = events_next(&n->b->events, saved_seq - 1, &lost);
	assert_non_null(ev);
	assert_int_equal(ev->seq, saved_seq + 1);
	assert_int_equal(lost, 1);
	assert_int_equal(stream_number(n->b, old_id), t->a->b->last_number);

	/* The same link: the old process does not touch it any more. */
	t->a->b->link.fd = -1;
	broker_link_attach(n->b, t->a->link[0], BROKER_LINK_SOCKET);
	broker_upgraded(n->b, NULL);
	play(t->g, n, NULL, 60);
	assert_true(n->b->up);
	assert_int_equal(t->g->last[VMC_EV_UP].resumed, true);
	o = reply(upgrade);
	assert_non_null(o);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	assert_int_equal(recv(plain, buf, 16, 0), 2);
	assert_int_equal(send(plain, "out", 3, 0), 3);
	assert_int_equal(send(line, "CONNECT org.test.y\n", 19, 0), 19);
	play(t->g, n, NULL, 30);
	assert_int_equal(guest_gets(t->g, h, buf, sizeof(buf)), 3);
	assert_true(recv(line, buf, 3, 0) == 3);
	assert_memory_equal(buf, "OK ", 3);
	snprintf(params, sizeof(params), "{\"token\":\"%s\"}", token);
	fd = node_call(n, "Accept", params, "\"upgrade\":true");
	play(t->g, n, NULL, 30);
	o = reply(fd);
	assert_string_equal(reply_error(o), "");
	json_decref(o);
	assert_non_null(channel_find(n->b, "org.test.mine"));
	close(listen);
	play(t->g, n, NULL, 10);
	assert_null(channel_find(n->b, "org.test.mine"));
	close(fd);
	close(plain);
	close(idle);
	close(upgrade);
	close(line);
	node_free(n);
}

static void a_refused_upgrade_goes_on_at_the_old_one(void **state)
{
	struct bench *t = *state;
	int plain = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL "\"}");
	vmc_stream h = t->g->last[VMC_EV_OPEN].stream;
	struct node *n = node_new(NULL, false);
	int upgrade = node_call(t->a, "Upgrade", "{}", NULL);
	char buf[8];
	json_t *o;

	play(t->g, t->a, NULL, 10);
	save(t, STATE_UPGRADE);
	copy_fds(t);
	t->fds[0].cookie++;
	assert_int_equal(broker_load(n->b, t->blob, t->len, t->fds, t->n_fds),
			 STATE_BAD);
	assert_int_equal(broker_thaw(t->a->b), 0);
	broker_upgraded(t->a->b, "it does not start");
	assert_int_equal(send(plain, "out", 3, 0), 3);
	play(t->g, t->a, NULL, 20);
	assert_int_equal(guest_gets(t->g, h, buf, sizeof(buf)), 3);
	o = reply(upgrade);
	assert_string_equal(reply_error(o), "UpgradeFailed");
	assert_string_equal(json_string_value(reply_param(o, "detail")),
			    "it does not start");
	json_decref(o);
	close(plain);
	close(upgrade);
	node_free(n);
}

/* A sender that says what its state says, wrong as it is. */
static void load_as_sent(struct bench *t, const struct state_fd *fds, size_t at)
{
	struct node *n = node_new(NULL, false);

	for (size_t k = 0; k < 2; k++) {
		t->fds[k].kind = le32_get(t->blob + at + 16 * k);
		t->fds[k].cookie = le64_get(t->blob + at + 16 * k + 8);
		t->fds[k].fd = fcntl(fds[k].fd, F_DUPFD_CLOEXEC, 0);
	}
	seal(t->blob, t->len);
	assert_int_equal(broker_load(n->b, t->blob, t->len, t->fds, 2),
			 STATE_BAD);
	node_link(n);
	expect_clean(n);
	node_free(n);
}

/* What came along is what was written, each. */
static void descriptors_are_checked(void **state)
{
	static const struct change wrong[] = {
		{"kind", 0, STATE_FD_KIND_END},
		{"kind of another", 0, STATE_FD_CONTROL},
		{"reserved", 4, 1},
		{"cookie", 8, 77},
		{"listener out of order", 24, 1},
	};
	struct bench *t = *state;
	int plain = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL "\"}");
	int listen =
		node_call(t->a, "Listen", "{\"channel\":\"org.test.mine\"}",
			  "\"more\":true");
	struct state_fd fds[2];
	size_t at, ch;

	play(t->g, t->a, NULL, 10);
	save(t, STATE_UPGRADE);
	assert_int_equal(t->n_fds, 2);
	memcpy(fds, t->fds, sizeof(fds));
	at = section_at(t, STATE_DESCRIPTORS);
	ch = section_at(t, STATE_CHANNELS);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint8_t old = t->blob[at + wrong[i].off];

		print_message("# %s\n", wrong[i].what);
		t->blob[at + wrong[i].off] = wrong[i].value;
		load_as_sent(t, fds, at);
		t->blob[at + wrong[i].off] = old;
	}
	for (size_t off = 0; off < 4; off++) {
		uint8_t old = t->blob[ch + off];

		t->blob[ch + off] = 0x77;
		load_as_sent(t, fds, at);
		t->blob[ch + off] = old;
	}
	close(plain);
	close(listen);
}

/* A stream without its program, or one descriptor too few. */
static void descriptors_must_be_complete(void **state)
{
	struct bench *t = *state;
	int plain = call_guest(t, "{\"channel\":\"" BENCH_CHANNEL "\"}");
	struct node *n = node_new(NULL, false);
	size_t at;

	save(t, STATE_UPGRADE);
	at = section_at(t, STATE_DESCRIPTORS);
	assert_int_equal(t->n_fds, 1);
	assert_int_equal(broker_load(n->b, t->blob, t->len, NULL, 0),
			 STATE_BAD);
	node_free(n);
	/* The section says so, too. */
	n = node_new(NULL, false);
	t->blob[at] = STATE_FD_CONTROL;
	memset(t->blob + at + 8, 0, 8);
	seal(t->blob, t->len);
	copy_fds(t);
	t->fds[0].kind = STATE_FD_CONTROL;
	t->fds[0].cookie = 0;
	assert_int_equal(broker_load(n->b, t->blob, t->len, t->fds, 1),
			 STATE_BAD);
	node_free(n);
	close(plain);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(each_field_is_checked),
		T(how_streams_ended_goes_along),
		T(the_newest_endings_fit),
		T(each_section_is_needed_whole),
		T(both_parts_must_agree),
		T(full_tables_fit),
		T(too_little_room_is_said),
		T(a_successor_answers_as_was_asked),
		T(a_successor_goes_on_with_everything),
		T(a_refused_upgrade_goes_on_at_the_old_one),
		T(descriptors_are_checked),
		T(descriptors_must_be_complete),
	};
#undef T

	return cmocka_run_group_tests_name("broker state", tests, NULL, NULL);
}
