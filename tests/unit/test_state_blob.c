/* SPDX-License-Identifier: MIT */
/*
 * test_state_blob.c - saved states made by hand: full, wrapped, malformed, and
 * blocks of another process that were damaged
 */
#include "blob.h"
#include "pair.h"

#include "session/internal.h"

#define HOST  VMC_ROLE_HOST
#define GUEST VMC_ROLE_GUEST
#define NOW   UINT64_C(7000000)

/* Types on the wire (docs/protocol.md). */
enum {
	F_OPEN = 0x10,
	F_DATA = 0x20,
	F_CREDIT = 0x21,
	F_ADVERTISE = 0x30,
};

/* ---- a state with one of each ------------------------------------------- */

#define TX_FIRST   UINT64_C(100)
#define CALL_BYTES "abcdefgh"

static const struct blob_session plain = {
	.role = HOST,
	.version = 1,
	.epoch = 3,
	.attach_no = 9,
	.max_frame = 32768,
	.id = {1, 2, 3, 4},
	.instance = 77,
	.peer_instance = 78,
	.peer_window = 4096,
	.peer_streams = 256,
	.peer_names = 64,
	.ack_bytes_max = 48000,
	.next_id = 10,
	.peer_last_id = 7,
	.rx_next = 500,
	.rx_digest = 0x1234,
	.tx_first = TX_FIRST,
	.tx_next = TX_FIRST + 4,
	.tx_digest_first = 0x5678,
	.initial_window = 512,
};

/* In the order of their ids. */
enum {
	AT_ASKED, /* the peer's, not answered, 5 bytes wait */
	AT_CALL,  /* ours, its FIN is not acked */
	AT_RESET, /* over, owes RESET */
	AT_OPEN,  /* ours, OPEN is not built */
	AT_TALK,  /* the peer's, accepted, wants CREDIT, 3 bytes wait */
	AT_NUM,
};

static const struct blob_stream streams[AT_NUM] = {
	[AT_ASKED] = {.id = 1,
		      .bits = B_USED | B_PEER | B_MESSAGES,
		      .cookie = 11,
		      .window = 512,
		      .q_len = 5,
		      .tx_limit = 4096,
		      .rx_off = 5,
		      .rx_limit = 512},
	[AT_CALL] = {.id = 2,
		     .bits = B_USED | B_ACCEPTED | B_TX_END | B_TX_FIN,
		     .weight = 4,
		     .owner = 1000,
		     .cookie = 12,
		     .stop_reason = 5,
		     .window = 512,
		     .tx_off = 8,
		     .tx_limit = 4096,
		     .rx_limit = 512,
		     .fin_seq = TX_FIRST + 2},
	[AT_RESET] = {.id = 3,
		      .bits = B_USED | B_PEER | B_ENDED,
		      .want = W_RESET,
		      .tx_reason = 6},
	[AT_OPEN] = {.id = 4,
		     .bits = B_USED,
		     .want = W_OPEN,
		     .weight = 1,
		     .owner = 1000,
		     .cookie = 13,
		     .name_len = 3,
		     .name = "a.b",
		     .window = 512,
		     .tx_limit = 4096,
		     .rx_limit = 512,
		     .kind = 0,
		     .uid = 1000,
		     .gid = 100},
	[AT_TALK] = {.id = 7,
		     .bits = B_USED | B_PEER | B_ACCEPTED,
		     .want = W_CREDIT,
		     .weight = 16,
		     .owner = 5,
		     .cookie = 14,
		     .window = 2048,
		     .q_len = 3,
		     .tx_off = 100,
		     .tx_limit = 5000,
		     .rx_off = 1003,
		     .rx_limit = 3000,
		     .rx_read = 1000,
		     .grow_from = 512},
};

static void put_retained(struct blob *b, uint64_t *digest)
{
	static const uint8_t credit[8] = {0xb8, 0x0b};

	blob_begin(b, S_RETAINED);
	*digest = blob_put_frame(b, *digest, F_CREDIT, 0, 7, credit, 8);
	*digest = blob_put_frame(b, *digest, F_DATA, 0, 2, CALL_BYTES, 6);
	*digest = blob_put_frame(b, *digest, F_DATA, 1, 2, &CALL_BYTES[6], 2);
	*digest = blob_put_frame(b, *digest, 0xf3, 0, 0, "grease", 6);
	blob_end(b);
}

static void make(struct blob *b, const struct blob_session *as)
{
	struct blob_session s = *as;
	uint64_t digest = s.tx_digest_first;

	blob_init(b);
	/* Twice: the digest is known afterwards. */
	put_retained(b, &digest);
	b->len = 0;
	s.tx_digest = digest;
	blob_put_session(b, &s);
	blob_begin(b, S_STREAMS);
	for (int i = 0; i < AT_NUM; i++)
		blob_put_stream(b, &streams[i]);
	blob_end(b);
	blob_begin(b, S_RECEIVED);
	blob_bytes(b, "helloabc", 8);
	blob_end(b);
	digest = s.tx_digest_first;
	put_retained(b, &digest);
	blob_begin(b, S_NAMES);
	blob_put_name(b, 0, 0, "org.ours");
	blob_put_name(b, 0, 1, "org.gone");
	blob_put_name(b, 1, 1, "org.theirs");
	blob_end(b);
	blob_begin(b, S_REJECTS);
	blob_put_reject(b, 5, 2);
	blob_end(b);
}

/* ---- loading ------------------------------------------------------------- */

struct loaded {
	struct vmc_session_config cfg;
	struct vmc_session *s;
	void *mem;
	size_t size;
};

static void room(struct loaded *l, const struct vmc_session_config *cfg)
{
	if (cfg)
		l->cfg = *cfg;
	else
		vmc_session_config_default(&l->cfg, HOST);
	l->size = vmc_session_size(&l->cfg);
	l->mem = aligned_alloc(64, (l->size + 63) & ~(size_t)63);
	assert_non_null(l->mem);
}

static int load(struct loaded *l, const struct blob *b)
{
	/* Exactly as long, so that a sanitizer sees a byte too far. */
	uint8_t *copy = malloc(b->len ? b->len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, b->p, b->len);
	memset(l->mem, 0xa5, l->size);
	err = vmc_session_load(&l->s, l->mem, l->size, &l->cfg, copy, b->len,
			       NOW);
	free(copy);
	assert_null(vmc_session_check(l->s));
	return err;
}

/* What is refused leaves an empty session that works. */
static void is_empty(const struct loaded *l)
{
	struct vmc_session_stats st;
	const char *name;
	uint32_t pos = 0, flags;

	vmc_session_get_stats(l->s, &st);
	assert_int_equal(st.state, VMC_SESSION_CLOSED);
	assert_int_equal(st.streams, 0);
	assert_int_equal(st.epoch, 0);
	assert_int_equal(l->s->cfg.instance, l->cfg.instance);
	assert_false(vmc_name_next(l->s, &pos, &name, &flags));
	assert_true(vmc_session_deadline(l->s) == UINT64_MAX);
}

static long save(const struct loaded *l, uint8_t *ret, size_t size)
{
	struct vmc_event ev;

	vmc_session_freeze(l->s, NOW);
	while (vmc_session_next_event(l->s, &ev, NOW))
		;
	return vmc_session_save(l->s, ret, size);
}

static void same_again(const struct loaded *l, const struct blob *b)
{
	uint8_t *again = malloc(b->len);

	assert_non_null(again);
	assert_int_equal(save(l, again, b->len), b->len);
	assert_memory_equal(again, b->p, b->len);
	free(again);
}

static void one_of_each(void **state)
{
	struct vmc_stream_info info;
	struct vmc_session_stats st;
	struct loaded l;
	struct iovec iov;
	uint32_t pos = 0, n = 0, flags;
	const char *name;
	uint64_t cookie;
	vmc_stream h;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	vmc_session_get_stats(l.s, &st);
	assert_int_equal(st.state, VMC_SESSION_DETACHED);
	assert_int_equal(st.streams, 4);
	assert_int_equal(st.epoch, 3);
	assert_int_equal(st.attach_no, 9);
	assert_int_equal(st.frozen, 0);
	assert_int_equal(st.peer_instance, 78);
	assert_int_equal(l.s->cfg.instance, 77);
	assert_true(vmc_session_deadline(l.s) == NOW + l.cfg.grace_us);
	while (vmc_stream_next(l.s, &pos, &h, &cookie)) {
		assert_int_equal(cookie, 11 + n++);
		assert_int_equal(vmc_stream_get_info(l.s, h, &info), 0);
		if (cookie != 14)
			continue;
		assert_int_equal(info.id, 7);
		assert_true(info.opened_by_peer && info.accepted);
		assert_int_equal(info.bytes_out, 100);
		assert_int_equal(info.tx_credit, 4900);
		assert_int_equal(info.rx_queued, 3);
		assert_int_equal(info.rx_window, 2000);
		assert_int_equal(vmc_stream_peek(l.s, h, &iov, 1), 3);
		assert_memory_equal(iov.iov_base, "abc", 3);
	}
	assert_int_equal(n, 4);
	pos = 0;
	assert_true(vmc_name_next(l.s, &pos, &name, &flags));
	assert_string_equal(name, "org.theirs");
	assert_int_equal(flags, 1);
	assert_false(vmc_name_next(l.s, &pos, &name, &flags));
	same_again(&l, &b);
	free(l.mem);
	free(b.p);
}

/* READABLE is due where there are bytes that an application may have. */
static void readable_is_due(void **state)
{
	struct vmc_event ev;
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	assert_true(vmc_session_next_event(l.s, &ev, NOW));
	assert_int_equal(ev.type, VMC_EV_READABLE);
	assert_int_equal(ev.cookie, 14);
	assert_false(vmc_session_next_event(l.s, &ev, NOW));
	free(l.mem);
	free(b.p);
}

/* A name that the peer has not heard of is nothing to go on from. */
static void new_names_are_not_saved(void **state)
{
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	assert_int_equal(vmc_name_advertise(l.s, "org.new", 0), 0);
	same_again(&l, &b);
	free(l.mem);
	free(b.p);
}

static void nothing_is_no_session(void **state)
{
	struct blob b;
	struct loaded l;
	uint8_t buf[8];

	(void)state;
	blob_init(&b);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	is_empty(&l);
	assert_int_equal(save(&l, buf, 0), 0);
	/* The broker's sections alone say nothing to the engine. */
	blob_begin(&b, 16);
	blob_bytes(&b, "broker", 6);
	blob_end(&b);
	assert_int_equal(load(&l, &b), 0);
	is_empty(&l);
	free(l.mem);
	free(b.p);
}

static void save_has_conditions(void **state)
{
	static uint8_t buf[4096];
	struct vmc_event ev;
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	assert_int_equal(vmc_session_save(l.s, buf, sizeof(buf)),
			 VMC_ERR_STATE);
	/* READABLE is not taken yet. */
	vmc_session_freeze(l.s, NOW);
	assert_int_equal(vmc_session_save(l.s, buf, sizeof(buf)),
			 VMC_ERR_STATE);
	while (vmc_session_next_event(l.s, &ev, NOW))
		;
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(vmc_session_save(l.s, buf, n), VMC_ERR_SPACE);
	assert_int_equal(vmc_session_save(l.s, buf, b.len), b.len);
	free(l.mem);
	free(b.p);
}

static void load_wants_memory(void **state)
{
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(vmc_session_load(&l.s, l.mem, l.size - 1, &l.cfg, b.p,
					  b.len, NOW),
			 VMC_ERR_INVAL);
	free(l.mem);
	free(b.p);
}

/* ---- full ---------------------------------------------------------------- */

/* What a broker may add (docs/continuity.md, 3.1). */
#define BROKER_MOST (144u * 1024u)

static void put_full_streams(struct blob *b, uint32_t n, uint32_t q_len)
{
	static const char name[] = "a.very.long.name.of.a.channel.that.is."
				   "exactly.sixty.four.bytes.l";

	assert_int_equal(strlen(name), 64);
	blob_begin(b, S_STREAMS);
	for (uint32_t i = 0; i < n; i++) {
		struct blob_stream s = streams[AT_OPEN];

		s.id = 2 + 2 * i;
		s.name = name;
		s.name_len = 64;
		s.q_len = q_len;
		s.rx_off = s.rx_limit = q_len;
		blob_put_stream(b, &s);
	}
	blob_end(b);
	blob_begin(b, S_RECEIVED);
	for (uint32_t i = 0; i < n * q_len; i++)
		blob_int(b, i, 1);
	blob_end(b);
}

static void put_full_names(struct blob *b, uint32_t n)
{
	char name[16];

	blob_begin(b, S_NAMES);
	for (uint32_t i = 0; i < 2 * n; i++) {
		snprintf(name, sizeof(name), "n%u", i % n);
		blob_put_name(b, i >= n, 0, name);
	}
	blob_end(b);
	blob_begin(b, S_REJECTS);
	for (uint32_t i = 0; i < n; i++)
		blob_put_reject(b, 2 * i + 1, 3);
	blob_end(b);
}

/* Every table of the shipped limits is full: it is loaded, and saved again. */
static void save_full(void **state)
{
	static const uint8_t payload[WIRE_PAYLOAD_MAX];
	struct blob_session s = plain;
	struct vmc_session_config c;
	struct blob frames, b;
	struct loaded l;
	uint32_t left;

	(void)state;
	room(&l, NULL);
	c = l.cfg;
	assert_int_equal(vmc_session_init(&l.s, l.mem, l.size, &c), 0);
	s.next_id = 2 + 2 * c.max_streams;
	s.peer_last_id = 2 * c.max_streams + 1;
	s.tx_next = s.tx_first + l.s->at.n_frames;
	s.tx_digest = s.tx_digest_first;
	blob_init(&frames);
	blob_begin(&frames, S_RETAINED);
	left = l.s->at.ring_size - l.s->at.n_frames * WIRE_HEADER;
	for (uint32_t n = l.s->at.n_frames; n; n--) {
		uint16_t len = (uint16_t)(left / n);

		left -= len;
		s.tx_digest = blob_put_frame(&frames, s.tx_digest, F_DATA, 0,
					     6000, payload, len);
	}
	blob_end(&frames);
	/* They are of streams that are over. */
	s.next_id = 6002;
	blob_init(&b);
	blob_put_session(&b, &s);
	put_full_streams(&b, c.max_streams, c.rx_pool / c.max_streams);
	blob_bytes(&b, frames.p, frames.len);
	put_full_names(&b, c.max_names);
	assert_int_equal(load(&l, &b), 0);
	same_again(&l, &b);
	assert_true(b.len <= vmc_session_save_max(&c));
	/* The maximum is not just a large number. */
	assert_true(b.len + 40000 > vmc_session_save_max(&c));
	assert_true(vmc_session_save_max(&c) + BROKER_MOST <= VMC_STATE_MAX);
	free(frames.p);
	free(b.p);
	free(l.mem);
}

static void too_much_of_each(void **state)
{
	struct vmc_session_config c;
	struct loaded l;
	struct blob b;

	(void)state;
	vmc_session_config_default(&c, HOST);
	c.max_streams = 5;
	c.max_names = 2;
	c.rx_pool = 5 * 512 + 1488;
	make(&b, &plain);
	room(&l, &c);
	assert_int_equal(load(&l, &b), 0);
	free(l.mem);
	/* One loan of 1488 bytes is there. */
	c.rx_pool--;
	room(&l, &c);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	is_empty(&l);
	free(l.mem);
	c.rx_pool++;
	c.max_streams = 4;
	room(&l, &c);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	free(l.mem);
	c.max_streams = 5;
	c.max_names = 1;
	room(&l, &c);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	free(l.mem);
	c.max_names = 2;
	c.max_frame = 32767;
	room(&l, &c);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	free(l.mem);
	free(b.p);
}

/* Streams that wait for an answer and rejects: together no more than there
 * are streams. */
static void too_many_rejects(void **state)
{
	struct vmc_session_config c;
	struct blob_session s = plain;
	struct loaded l;
	struct blob b;

	(void)state;
	vmc_session_config_default(&c, HOST);
	c.max_streams = 3;
	s.tx_next = s.tx_first;
	s.tx_digest = s.tx_digest_first;
	for (uint32_t rejects = 2; rejects <= 3; rejects++) {
		blob_init(&b);
		blob_put_session(&b, &s);
		blob_begin(&b, S_STREAMS);
		blob_put_stream(&b, &streams[AT_ASKED]);
		blob_end(&b);
		blob_begin(&b, S_RECEIVED);
		blob_bytes(&b, "hello", 5);
		blob_end(&b);
		blob_begin(&b, S_REJECTS);
		for (uint32_t i = 0; i < rejects; i++)
			blob_put_reject(&b, 3 + 2 * (i % 3), 1);
		blob_end(&b);
		room(&l, &c);
		assert_int_equal(load(&l, &b),
				 rejects == 2 ? 0 : VMC_ERR_LIMIT);
		free(l.mem);
		free(b.p);
	}
}

/* A ring of another shape: units of theirs that are too many for ours. */
static void too_many_frames(void **state)
{
	static const uint8_t payload[4000];
	struct blob_session s = plain;
	struct vmc_session_config c;
	struct loaded l;
	struct blob b, frames;

	(void)state;
	vmc_session_config_default(&c, HOST);
	c.max_frame = VMC_MIN_FRAME;
	c.inflight_bytes = VMC_MAX_INFLIGHT;
	c.inflight_writes = 16;
	s.max_frame = VMC_MIN_FRAME;
	for (uint32_t n = 16; n <= 17; n++) {
		blob_init(&frames);
		blob_begin(&frames, S_RETAINED);
		s.tx_digest = s.tx_digest_first;
		for (uint32_t i = 0; i < n; i++)
			s.tx_digest =
				blob_put_frame(&frames, s.tx_digest, F_DATA, 0,
					       2, payload, sizeof(payload));
		blob_end(&frames);
		s.tx_next = s.tx_first + n;
		blob_init(&b);
		blob_put_session(&b, &s);
		blob_bytes(&b, frames.p, frames.len);
		room(&l, &c);
		assert_int_equal(load(&l, &b), n == 16 ? 0 : VMC_ERR_LIMIT);
		free(l.mem);
		free(b.p);
		free(frames.p);
	}
	/* And frames beyond the bytes of the ring, or the table. */
	c.inflight_bytes = 1;
	room(&l, &c);
	blob_init(&frames);
	blob_begin(&frames, S_RETAINED);
	s.tx_digest = s.tx_digest_first;
	for (uint32_t i = 0; i < 5; i++)
		s.tx_digest = blob_put_frame(&frames, s.tx_digest, F_DATA, 0, 2,
					     payload, sizeof(payload));
	blob_end(&frames);
	s.tx_next = s.tx_first + 5;
	blob_init(&b);
	blob_put_session(&b, &s);
	blob_bytes(&b, frames.p, frames.len);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	free(b.p);
	free(frames.p);
	s.tx_next = s.tx_first + 65;
	blob_init(&b);
	blob_put_session(&b, &s);
	assert_int_equal(load(&l, &b), VMC_ERR_LIMIT);
	free(b.p);
	free(l.mem);
}

/* ---- malformed ------------------------------------------------------------
 */

/* One field that is wrong, and that alone. */
struct wrong {
	const char *what;
	unsigned int section;
	int at; /* stream: AT_*, else 0 */
	size_t off;
	unsigned int size;
	uint64_t value;
	int err;
};

/* Offsets in a stream of STREAMS. */
enum {
	O_ID = 0,
	O_BITS = 4,
	O_WANT = 6,
	O_WEIGHT = 7,
	O_STOP_REASON = 10,
	O_END_REASON = 12,
	O_NAME_LEN = 14,
	O_RESERVED8 = 15,
	O_WINDOW = 16,
	O_Q_LEN = 20,
	O_OWNER = 24,
	O_COOKIE = 32,
	O_TX_OFF = 40,
	O_TX_LIMIT = 48,
	O_RX_OFF = 56,
	O_RX_LIMIT = 64,
	O_RX_READ = 72,
	O_GROW = 80,
	O_FIN_SEQ = 88,
	O_BYTES_OUT = 96,
	O_KIND = 104,
	O_UID = 108,
	O_GID = 112,
	O_RESERVED = 116,
	O_NAME = 120,
};

#define BLOB VMC_ERR_BLOB
#define BIG  ((UINT64_C(1) << 62) + 1)

static const struct wrong wrongs[] = {
	{"role", S_SESSION, 0, 0, 1, 1, BLOB},
	{"role", S_SESSION, 0, 0, 1, 2, BLOB},
	{"version 0", S_SESSION, 0, 1, 1, 0, BLOB},
	{"version 2", S_SESSION, 0, 1, 1, 2, VMC_ERR_FUTURE},
	{"explain", S_SESSION, 0, 2, 2, VMC_REASON_LIMIT, BLOB},
	{"epoch", S_SESSION, 0, 4, 4, 0, BLOB},
	{"max_frame", S_SESSION, 0, 12, 4, VMC_MIN_FRAME - 1, BLOB},
	{"max_frame", S_SESSION, 0, 12, 4, VMC_MAX_FRAME + 1, BLOB},
	{"session id", S_SESSION, 0, 16, 4, 0, BLOB},
	{"features", S_SESSION, 0, 32, 8, 1, VMC_ERR_FUTURE},
	{"peer_window", S_SESSION, 0, 56, 4, VMC_MAX_WINDOW + 1, BLOB},
	{"peer_streams", S_SESSION, 0, 60, 4, 0, BLOB},
	{"ack_bytes_max", S_SESSION, 0, 68, 4, 0, BLOB},
	{"ack_bytes_max", S_SESSION, 0, 68, 4, VMC_MAX_INFLIGHT + 1, BLOB},
	{"next_id: theirs", S_SESSION, 0, 72, 4, 11, BLOB},
	{"next_id: 0", S_SESSION, 0, 72, 4, 0, BLOB},
	{"next_id: beyond", S_SESSION, 0, 72, 4, 0x80000002, BLOB},
	{"next_id: used", S_SESSION, 0, 72, 4, 4, BLOB},
	{"peer_last_id: ours", S_SESSION, 0, 76, 4, 8, BLOB},
	{"peer_last_id: beyond", S_SESSION, 0, 76, 4, 0x80000001, BLOB},
	{"peer_last_id: used", S_SESSION, 0, 76, 4, 5, BLOB},
	{"rx_next", S_SESSION, 0, 80, 8, BIG, BLOB},
	{"tx_first", S_SESSION, 0, 96, 8, TX_FIRST + 1, BLOB},
	{"tx_first", S_SESSION, 0, 96, 8, TX_FIRST + 5, BLOB},
	{"tx_first", S_SESSION, 0, 96, 8, 0, BLOB},
	{"tx_next", S_SESSION, 0, 104, 8, TX_FIRST + 3, BLOB},
	{"tx_next", S_SESSION, 0, 104, 8, TX_FIRST + 5, BLOB},
	{"tx_next", S_SESSION, 0, 104, 8, BIG, BLOB},
	{"tx_digest_first", S_SESSION, 0, 112, 8, 1, BLOB},
	{"tx_digest", S_SESSION, 0, 120, 8, 1, BLOB},
	{"initial_window: 0", S_SESSION, 0, 128, 4, 0, BLOB},
	{"initial_window: beyond", S_SESSION, 0, 128, 4, VMC_MAX_WINDOW + 1,
	 BLOB},
	{"initial_window: our max_window", S_SESSION, 0, 128, 4, VMC_MAX_WINDOW,
	 VMC_ERR_LIMIT},
	{"reserved", S_SESSION, 0, 132, 4, 1, BLOB},

	{"id: 0", S_STREAMS, AT_ASKED, O_ID, 4, 0, BLOB},
	{"id: twice", S_STREAMS, AT_RESET, O_ID, 4, 1, BLOB},
	{"id: ours, not used", S_STREAMS, AT_OPEN, O_ID, 4, 10, BLOB},
	{"id: theirs, not used", S_STREAMS, AT_TALK, O_ID, 4, 9, BLOB},
	{"id: not ascending", S_STREAMS, AT_TALK, O_ID, 4, 3, BLOB},
	{"id: other side", S_STREAMS, AT_TALK, O_ID, 4, 6, BLOB},
	{"id: other side", S_STREAMS, AT_OPEN, O_ID, 4, 5, BLOB},
	{"bits: not used", S_STREAMS, AT_OPEN, O_BITS, 2, 0, BLOB},
	{"bits: ready", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER | B_ACCEPTED | B_READY, BLOB},
	{"bits: unknown", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER | B_ACCEPTED | 0x0800, BLOB},
	{"bits: FIN, no end", S_STREAMS, AT_CALL, O_BITS, 2,
	 B_USED | B_ACCEPTED | B_TX_FIN, BLOB},
	{"bits: acked, no FIN", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER | B_ACCEPTED | B_TX_END | B_TX_ACKED, BLOB},
	{"bits: FIN is gone", S_STREAMS, AT_CALL, O_BITS, 2,
	 B_USED | B_ACCEPTED | B_TX_END, BLOB},
	{"bits: FIN is acked", S_STREAMS, AT_CALL, O_BITS, 2,
	 B_USED | B_ACCEPTED | B_TX_END | B_TX_FIN | B_TX_ACKED, BLOB},
	{"bits: stopped, with bytes", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER | B_ACCEPTED | B_RX_STOP, BLOB},
	{"bits: asked, with an owner", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER, BLOB},
	{"bits: ended, accepted", S_STREAMS, AT_RESET, O_BITS, 2,
	 B_USED | B_PEER | B_ENDED | B_ACCEPTED, BLOB},
	{"bits: ended, with bytes", S_STREAMS, AT_TALK, O_BITS, 2,
	 B_USED | B_PEER | B_ENDED, BLOB},
	{"want: unknown", S_STREAMS, AT_TALK, O_WANT, 1, 0x40, BLOB},
	{"want: RESET", S_STREAMS, AT_TALK, O_WANT, 1, W_RESET, BLOB},
	{"want: OPEN of theirs", S_STREAMS, AT_TALK, O_WANT, 1, W_OPEN, BLOB},
	{"want: OPEN, no name", S_STREAMS, AT_CALL, O_WANT, 1, W_OPEN, BLOB},
	{"want: no OPEN, a name", S_STREAMS, AT_OPEN, O_WANT, 1, 0, BLOB},
	{"want: ACCEPT of ours", S_STREAMS, AT_CALL, O_WANT, 1, W_ACCEPT, BLOB},
	{"want: ACCEPT, asked", S_STREAMS, AT_ASKED, O_WANT, 1, W_ACCEPT, BLOB},
	{"want: FIN, no end", S_STREAMS, AT_TALK, O_WANT, 1, W_FIN, BLOB},
	{"want: FIN, is there", S_STREAMS, AT_CALL, O_WANT, 1, W_FIN, BLOB},
	{"want: STOP, not stopped", S_STREAMS, AT_TALK, O_WANT, 1, W_STOP,
	 BLOB},
	{"want: ended, nothing", S_STREAMS, AT_RESET, O_WANT, 1, 0, BLOB},
	{"want: ended, CREDIT too", S_STREAMS, AT_RESET, O_WANT, 1,
	 W_RESET | W_CREDIT, BLOB},
	{"weight: 0", S_STREAMS, AT_TALK, O_WEIGHT, 1, 0, BLOB},
	{"weight: 17", S_STREAMS, AT_TALK, O_WEIGHT, 1, 17, BLOB},
	{"weight: asked", S_STREAMS, AT_ASKED, O_WEIGHT, 1, 1, BLOB},
	{"weight: ended", S_STREAMS, AT_RESET, O_WEIGHT, 1, 1, BLOB},
	{"stop_reason: ended", S_STREAMS, AT_RESET, O_STOP_REASON, 2, 1, BLOB},
	{"end_reason", S_STREAMS, AT_TALK, O_END_REASON, 2, 1, BLOB},
	{"end_reason: ended", S_STREAMS, AT_RESET, O_END_REASON, 2, 1, BLOB},
	{"name_len: 0", S_STREAMS, AT_OPEN, O_NAME_LEN, 1, 0, BLOB},
	{"name_len: beyond", S_STREAMS, AT_TALK, O_NAME_LEN, 1, 255, BLOB},
	{"reserved", S_STREAMS, AT_TALK, O_RESERVED8, 1, 1, BLOB},
	{"window: 0", S_STREAMS, AT_TALK, O_WINDOW, 4, 0, BLOB},
	{"window", S_STREAMS, AT_TALK, O_WINDOW, 4, VMC_MAX_WINDOW + 1, BLOB},
	{"window: ended", S_STREAMS, AT_RESET, O_WINDOW, 4, 1, BLOB},
	{"q_len: less", S_STREAMS, AT_TALK, O_Q_LEN, 4, 2, BLOB},
	{"q_len: more", S_STREAMS, AT_TALK, O_Q_LEN, 4, 4, BLOB},
	{"q_len: ended", S_STREAMS, AT_RESET, O_Q_LEN, 4, 1, BLOB},
	{"owner: asked", S_STREAMS, AT_ASKED, O_OWNER, 8, 1, BLOB},
	{"owner: ended", S_STREAMS, AT_RESET, O_OWNER, 8, 1, BLOB},
	{"cookie: ended", S_STREAMS, AT_RESET, O_COOKIE, 8, 1, BLOB},
	{"tx_off: beyond the limit", S_STREAMS, AT_TALK, O_TX_OFF, 8, 5001,
	 BLOB},
	{"tx_off: less than retained", S_STREAMS, AT_CALL, O_TX_OFF, 8, 7,
	 BLOB},
	{"tx_off: ended", S_STREAMS, AT_RESET, O_TX_OFF, 8, 1, BLOB},
	{"tx_limit: absurd", S_STREAMS, AT_TALK, O_TX_LIMIT, 8,
	 101 + VMC_MAX_POOL, BLOB},
	{"tx_limit: wraps", S_STREAMS, AT_TALK, O_TX_LIMIT, 8, BIG, BLOB},
	{"tx_limit: ended", S_STREAMS, AT_RESET, O_TX_LIMIT, 8, 1, BLOB},
	{"rx_off: beyond the limit", S_STREAMS, AT_TALK, O_RX_OFF, 8, 3001,
	 BLOB},
	{"rx_off: before rx_read", S_STREAMS, AT_TALK, O_RX_OFF, 8, 999, BLOB},
	{"rx_off: ended", S_STREAMS, AT_RESET, O_RX_OFF, 8, 1, BLOB},
	{"rx_limit: before rx_off", S_STREAMS, AT_TALK, O_RX_LIMIT, 8, 1002,
	 BLOB},
	{"rx_limit: absurd", S_STREAMS, AT_TALK, O_RX_LIMIT, 8,
	 1001 + VMC_MAX_POOL, BLOB},
	{"rx_limit: wraps", S_STREAMS, AT_TALK, O_RX_LIMIT, 8, BIG, BLOB},
	{"rx_limit: more than the pool", S_STREAMS, AT_TALK, O_RX_LIMIT, 8,
	 1000 + 448 * 1024, VMC_ERR_LIMIT},
	{"rx_limit: lent to nobody", S_STREAMS, AT_ASKED, O_RX_LIMIT, 8, 513,
	 VMC_ERR_LIMIT},
	{"rx_limit: ended", S_STREAMS, AT_RESET, O_RX_LIMIT, 8, 1, BLOB},
	{"rx_read: after rx_off", S_STREAMS, AT_TALK, O_RX_READ, 8, 1004, BLOB},
	{"rx_read: ended", S_STREAMS, AT_RESET, O_RX_READ, 8, 1, BLOB},
	{"grow_from", S_STREAMS, AT_TALK, O_GROW, 8, 1001, BLOB},
	{"grow_from: ended", S_STREAMS, AT_RESET, O_GROW, 8, 1, BLOB},
	{"fin_seq: no FIN", S_STREAMS, AT_TALK, O_FIN_SEQ, 8, TX_FIRST, BLOB},
	{"fin_seq: acked", S_STREAMS, AT_CALL, O_FIN_SEQ, 8, TX_FIRST - 1,
	 BLOB},
	{"fin_seq: not built", S_STREAMS, AT_CALL, O_FIN_SEQ, 8, TX_FIRST + 4,
	 BLOB},
	{"fin_seq: another frame", S_STREAMS, AT_CALL, O_FIN_SEQ, 8,
	 TX_FIRST + 3, BLOB},
	{"fin_seq: not the FIN", S_STREAMS, AT_CALL, O_FIN_SEQ, 8, TX_FIRST + 1,
	 BLOB},
	{"fin_seq: ended", S_STREAMS, AT_RESET, O_FIN_SEQ, 8, 1, BLOB},
	{"bytes_out", S_STREAMS, AT_TALK, O_BYTES_OUT, 8, 1, BLOB},
	{"bytes_out: ended", S_STREAMS, AT_RESET, O_BYTES_OUT, 8, 1, BLOB},
	{"kind", S_STREAMS, AT_OPEN, O_KIND, 4, 2, BLOB},
	{"kind: no OPEN", S_STREAMS, AT_TALK, O_KIND, 4, 1, BLOB},
	{"uid: no OPEN", S_STREAMS, AT_TALK, O_UID, 4, 1, BLOB},
	{"gid: no OPEN", S_STREAMS, AT_TALK, O_GID, 4, 1, BLOB},
	{"uid: ended", S_STREAMS, AT_RESET, O_UID, 4, 1, BLOB},
	{"gid: ended", S_STREAMS, AT_RESET, O_GID, 4, 1, BLOB},
	{"kind: ended", S_STREAMS, AT_RESET, O_KIND, 4, 1, BLOB},
	{"reserved", S_STREAMS, AT_TALK, O_RESERVED, 4, 1, BLOB},
	{"name", S_STREAMS, AT_OPEN, O_NAME, 1, '/', BLOB},

	{"frame: type", S_RETAINED, 0, 0, 1, 0x22, BLOB},
	{"frame: unknown type", S_RETAINED, 0, 0, 1, 0x40, BLOB},
	{"frame: not sequenced", S_RETAINED, 0, 0, 1, 0x01, BLOB},
	{"frame: flags", S_RETAINED, 0, 1, 1, 1, BLOB},
	{"frame: length", S_RETAINED, 0, 2, 2, 7, BLOB},
	{"frame: too long", S_RETAINED, 0, 2, 2, 0xffff, BLOB},
	{"frame: of no stream", S_RETAINED, 0, 4, 4, 0, BLOB},
	{"frame: of a stream to come", S_RETAINED, 0, 4, 4, 9, BLOB},
	{"frame: hash", S_RETAINED, 0, 8, 8, 1, BLOB},
	{"frame: payload", S_RETAINED, 0, 16, 1, 0, BLOB},

	{"name: side", S_NAMES, 0, 0, 1, 2, BLOB},
	{"name: no bytes", S_NAMES, 0, 1, 1, 0, BLOB},
	{"name: too long", S_NAMES, 0, 1, 1, 65, BLOB},
	{"name: cut", S_NAMES, 0, 1, 1, 5, BLOB},
	{"name: longer", S_NAMES, 0, 1, 1, 9, BLOB},
	{"name: reserved", S_NAMES, 0, 2, 2, 1, BLOB},
	{"name: flags", S_NAMES, 0, 4, 4, 2, BLOB},
	{"name: illegal", S_NAMES, 0, 8, 1, '.', BLOB},
	{"name: after its end", S_NAMES, 0, 71, 1, 'x', BLOB},

	{"reject: id 0", S_REJECTS, 0, 0, 4, 0, BLOB},
	{"reject: ours", S_REJECTS, 0, 0, 4, 2, BLOB},
	{"reject: to come", S_REJECTS, 0, 0, 4, 9, BLOB},
	{"reject: reserved", S_REJECTS, 0, 6, 2, 1, BLOB},
};

static size_t stream_offset(int at)
{
	size_t off = 0;

	for (int i = 0; i < at; i++)
		off += 120 + streams[i].name_len;
	return off;
}

static void every_field_once(void **state)
{
	struct loaded l;
	struct blob b;

	(void)state;
	room(&l, NULL);
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *w = &wrongs[i];
		uint8_t *p;
		size_t len, off = w->off;
		int err;

		make(&b, &plain);
		p = blob_section(&b, w->section, &len);
		assert_non_null(p);
		if (w->section == S_STREAMS)
			off += stream_offset(w->at);
		assert_true(off + w->size <= len);
		for (unsigned int k = 0; k < w->size; k++)
			p[off + k] = (uint8_t)(w->value >> (8 * k));
		err = load(&l, &b);
		if (err != w->err)
			fail_msg("%s: %d", w->what, err);
		is_empty(&l);
		free(b.p);
	}
	free(l.mem);
}

/* What makes frames wrong although hash and digest are right. */
static void frames_contradict(void **state)
{
	static const struct {
		uint8_t type, flags;
		uint32_t stream;
		uint16_t len;
		int err;
	} cases[] = {
		{F_DATA, 0, 7, 1, 0},
		{F_DATA, 0, 7, 0, BLOB},   /* neither bytes nor end */
		{F_DATA, 1, 7, 1, BLOB},   /* the stream knows of no end */
		{F_DATA, 0, 7, 101, BLOB}, /* more than was taken */
		{F_DATA, 0, 2, 1, BLOB},   /* after its FIN */
		{F_DATA, 1, 2, 0, BLOB},   /* a second FIN */
		{F_DATA, 1, 3, 0, 0},      /* of one that is over */
		{F_CREDIT, 0, 7, 9, BLOB},
		{F_CREDIT, 1, 7, 8, BLOB},
		{F_CREDIT, 0, 0, 8, BLOB},
		{F_ADVERTISE, 0, 7, 6, BLOB},
		{F_ADVERTISE, 0, 0, 6, 0},
		{0xff, 0, 0, 6, 0},
		{0xff, 0, 2, 6, BLOB},
		{0x7f, 0, 0, 6, BLOB},
		{0x8f, 0, 0, 6, BLOB}, /* not sequenced */
	};
	static const uint8_t payload[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct blob_session s = plain;
		struct loaded l;
		struct blob b, frames;
		int err;

		blob_init(&frames);
		s.tx_digest = s.tx_digest_first;
		put_retained(&frames, &s.tx_digest);
		/* Its padding goes, another frame comes. */
		frames.len = 8 + 4 * 16 + 8 + 8 + 6;
		s.tx_digest = blob_put_frame(
			&frames, s.tx_digest, cases[i].type, cases[i].flags,
			cases[i].stream, payload, cases[i].len);
		blob_end(&frames);
		s.tx_next++;
		blob_init(&b);
		blob_put_session(&b, &s);
		blob_begin(&b, S_STREAMS);
		for (int k = 0; k < AT_NUM; k++)
			blob_put_stream(&b, &streams[k]);
		blob_end(&b);
		blob_begin(&b, S_RECEIVED);
		blob_bytes(&b, "helloabc", 8);
		blob_end(&b);
		blob_bytes(&b, frames.p, frames.len);
		room(&l, NULL);
		err = load(&l, &b);
		if (err != cases[i].err)
			fail_msg("case %zu: %d", i, err);
		free(l.mem);
		free(b.p);
		free(frames.p);
	}
}

/* A FIN that was sent and is not acked is among the frames. */
static void fin_must_be_there(void **state)
{
	struct loaded l;
	struct blob b;
	uint8_t *p;
	size_t len;

	(void)state;
	make(&b, &plain);
	p = blob_section(&b, S_STREAMS, &len);
	assert_non_null(p);
	p += stream_offset(AT_TALK);
	p[O_BITS] |= B_TX_END | B_TX_FIN;
	le64_put(p + O_FIN_SEQ, TX_FIRST + 3);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(l.mem);
	free(b.p);
}

static void section_table(void **state)
{
	struct loaded l;
	struct blob b;
	size_t len, at;

	(void)state;
	room(&l, NULL);
	make(&b, &plain);
	/* Cut anywhere; only the last two may be missing as a whole. */
	for (size_t n = b.len - 1; n; n--) {
		struct blob cut = {.p = b.p, .len = n};
		const uint8_t *end = b.p + n + 8;
		bool whole = end == blob_section(&b, S_REJECTS, &len) ||
			     end == blob_section(&b, S_NAMES, &len);

		assert_int_equal(load(&l, &cut), whole ? 0 : VMC_ERR_BLOB);
	}
	at = (size_t)(blob_section(&b, S_REJECTS, &len) - b.p) - 8;
	/* Unknown: ignored, or refused if it says so. */
	b.p[at] = 7;
	assert_int_equal(load(&l, &b), VMC_ERR_FUTURE);
	b.p[at + 2] = 0;
	assert_int_equal(load(&l, &b), 0);
	b.p[at + 2] = 2;
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	/* The broker's are skipped, whatever they say. */
	b.p[at] = 16;
	b.p[at + 2] = 1;
	assert_int_equal(load(&l, &b), 0);
	/* Twice, or out of order. */
	b.p[at] = S_NAMES;
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	b.p[at] = S_SESSION;
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	b.p[at] = S_REJECTS;
	assert_int_equal(load(&l, &b), 0);
	/* Padding. */
	at = (size_t)(blob_section(&b, S_RETAINED, &len) - b.p) + len;
	assert_true(len % 8 != 0);
	b.p[at] = 1;
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(b.p);
	free(l.mem);
}

static void sections_need_each_other(void **state)
{
	struct blob_session s = plain;
	struct loaded l;
	struct blob b;
	size_t len;

	(void)state;
	room(&l, NULL);
	make(&b, &plain);
	/* No session. */
	memmove(b.p, b.p + 136, b.len - 136);
	b.len -= 136;
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(b.p);
	/* An empty section is not one. */
	s.tx_next = s.tx_first;
	s.tx_digest = s.tx_digest_first;
	blob_init(&b);
	blob_put_session(&b, &s);
	assert_int_equal(load(&l, &b), 0);
	blob_begin(&b, S_NAMES);
	blob_end(&b);
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(b.p);
	/* More bytes than the streams have. */
	blob_init(&b);
	blob_put_session(&b, &s);
	blob_begin(&b, S_RECEIVED);
	blob_bytes(&b, "x", 1);
	blob_end(&b);
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(b.p);
	/* A name twice. */
	make(&b, &plain);
	memcpy(blob_section(&b, S_NAMES, &len) + 72,
	       blob_section(&b, S_NAMES, &len), 72);
	assert_int_equal(load(&l, &b), VMC_ERR_BLOB);
	free(b.p);
	free(l.mem);
}

/* Whatever bit is turned: refused, or a session that stands every check. */
static void every_bit(void **state)
{
	static uint8_t again[4096];
	struct vmc_session_config c;
	struct loaded l;
	struct blob b;

	(void)state;
	vmc_session_config_default(&c, HOST);
	c.max_streams = 8;
	c.max_names = 4;
	c.rx_pool = 8192;
	c.inflight_bytes = 4096;
	make(&b, &plain);
	room(&l, &c);
	for (size_t i = 0; i < 8 * b.len; i++) {
		int err;

		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		err = load(&l, &b);
		if (err)
			is_empty(&l);
		else
			assert_true(save(&l, again, sizeof(again)) > 0);
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(l.mem);
	free(b.p);
}

/* ---- going on ------------------------------------------------------------ */

/* Both ends from hand-made states whose frame numbers are about to wrap on the
 * wire: each end's sent history is the other's received one. */
static void pair_at(struct pair *p, uint64_t host_next, uint64_t guest_next)
{
	for (int i = 0; i < 2; i++) {
		struct blob_session s = plain;
		struct blob_stream st = streams[AT_TALK];
		struct vmc_session_config c;
		struct blob b;
		size_t size;

		vmc_session_config_default(&c, (enum vmc_role)i);
		s.role = (uint8_t)i;
		s.instance = 100 + (uint64_t)i;
		s.peer_instance = 101 - (uint64_t)i;
		s.tx_first = s.tx_next = i ? guest_next : host_next;
		s.rx_next = i ? host_next : guest_next;
		s.tx_digest = s.tx_digest_first = 7 + (uint64_t)i;
		s.rx_digest = 8 - (uint64_t)i;
		s.next_id = 10 + (uint32_t)i;
		s.peer_last_id = 9 - (uint32_t)i;
		st.bits = B_USED | B_ACCEPTED | (i ? 0 : B_PEER);
		st.want = 0;
		st.q_len = 0;
		/* Offsets beyond 32 bits, too. */
		st.tx_off = UINT64_C(0xfffffff0);
		st.tx_limit = st.tx_off + 4096;
		st.rx_off = st.rx_read = UINT64_C(0xfffffff0);
		st.rx_limit = st.rx_off + 4096;
		blob_init(&b);
		blob_put_session(&b, &s);
		blob_begin(&b, S_STREAMS);
		blob_put_stream(&b, &st);
		blob_end(&b);
		size = vmc_session_size(&c);
		assert_int_equal(vmc_session_load(&p->end[i].s, p->end[i].mem,
						  size, &c, b.p, b.len, p->now),
				 0);
		free(b.p);
	}
}

static vmc_stream only_stream(const struct vmc_session *s)
{
	uint64_t cookie;
	uint32_t pos = 0;
	vmc_stream h;

	assert_true(vmc_stream_next(s, &pos, &h, &cookie));
	assert_int_equal(cookie, 14);
	return h;
}

static void settle(struct pair *p)
{
	struct vmc_event ev;
	size_t moved;

	do {
		moved = 0;
		for (int i = 0; i < 2; i++) {
			moved += pair_write(p, i) + pair_read(p, !i, SIZE_MAX);
			while (pair_event(p, !i, &ev))
				assert_int_not_equal(ev.type, VMC_EV_DOWN);
		}
	} while (moved);
}

static void numbers_wrap(void **state)
{
	struct vmc_session_stats st;
	struct iovec iov;
	struct pair p;
	vmc_stream h[2];

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_at(&p, UINT64_C(0xfffffffe), UINT64_C(0x1fffffffd));
	pair_up(&p);
	for (int i = 0; i < 2; i++) {
		vmc_session_get_stats(p.end[i].s, &st);
		assert_int_equal(st.resumes, 1);
		h[i] = only_stream(p.end[i].s);
	}
	for (uint8_t n = 0; n < 40; n++) {
		int i = n % 2;
		struct vmc_pull pull;

		assert_int_equal(vmc_stream_ready(p.end[i].s, h[i]), 0);
		assert_true(vmc_session_pull(p.end[i].s, &pull, p.now));
		pull.buf[0] = n;
		vmc_session_pull_done(p.end[i].s, 1, 0, p.now);
		settle(&p);
		assert_int_equal(vmc_stream_peek(p.end[!i].s, h[!i], &iov, 1),
				 1);
		assert_int_equal(*(uint8_t *)iov.iov_base, n);
		assert_int_equal(vmc_stream_consume(p.end[!i].s, h[!i], 1), 0);
		p.now += 20000;
	}
	assert_true(p.end[0].s->tx_next > UINT64_C(0x100000000));
	assert_true(p.end[1].s->tx_next > UINT64_C(0x200000000));
	pair_free(&p);
}

/* The history is another one, though all numbers fit. */
static void another_history_is_no_resume(void **state)
{
	struct vmc_event ev;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_at(&p, 500, 600);
	p.end[GUEST].s->rx_digest ^= 1;
	pair_attach(&p, HOST);
	pair_attach(&p, GUEST);
	for (int n = 0; n < 4; n++) {
		pair_write(&p, GUEST);
		pair_write(&p, HOST);
		pair_read(&p, HOST, SIZE_MAX);
		if (pair_event(&p, HOST, &ev))
			break;
		pair_read(&p, GUEST, SIZE_MAX);
		pair_event(&p, GUEST, &ev);
	}
	assert_int_equal(ev.type, VMC_EV_END);
	assert_int_equal(ev.reason, VMC_REASON_ROLLBACK);
	assert_int_equal(ev.cookie, 14);
	pair_free(&p);
}

/* ---- explain ---------------------------------------------------------------
 */

/* The host forgot everything; @reason is what it says about it. */
static unsigned int guest_hears(unsigned int reason, bool same_instance)
{
	struct vmc_session_config c;
	struct vmc_event ev = {0};
	struct pair p;

	pair_init(&p, NULL, NULL);
	pair_at(&p, 500, 600);
	vmc_session_config_default(&c, HOST);
	c.instance = same_instance ? 100 : 55;
	assert_int_equal(vmc_session_init(&p.end[HOST].s, p.end[HOST].mem,
					  vmc_session_size(&c), &c),
			 0);
	vmc_session_explain(p.end[HOST].s, reason);
	pair_attach(&p, HOST);
	pair_attach(&p, GUEST);
	for (int n = 0; n < 8 && ev.type != VMC_EV_END; n++) {
		pair_write(&p, HOST);
		pair_read(&p, GUEST, SIZE_MAX);
		pair_event(&p, GUEST, &ev);
		pair_write(&p, GUEST);
		pair_read(&p, HOST, SIZE_MAX);
		while (ev.type != VMC_EV_END && pair_event(&p, HOST, &ev))
			;
	}
	assert_int_equal(ev.type, VMC_EV_END);
	pair_free(&p);
	return ev.reason;
}

static void reasons_are_explained(void **state)
{
	(void)state;
	assert_int_equal(guest_hears(0, false), VMC_REASON_DAEMON_LOST);
	assert_int_equal(guest_hears(0, true), VMC_REASON_SESSION_LOST);
	for (int same = 0; same < 2; same++) {
		assert_int_equal(guest_hears(VMC_REASON_MIGRATED, same),
				 VMC_REASON_MIGRATED);
		assert_int_equal(guest_hears(VMC_REASON_CLONED, same),
				 VMC_REASON_CLONED);
		assert_int_equal(guest_hears(VMC_REASON_ROLLBACK, same),
				 VMC_REASON_ROLLBACK);
		assert_int_equal(guest_hears(VMC_REASON_DAEMON_LOST, same),
				 VMC_REASON_DAEMON_LOST);
	}
	/* A peer may not say just anything. */
	assert_int_equal(guest_hears(VMC_REASON_OK, false),
			 VMC_REASON_DAEMON_LOST);
	assert_int_equal(guest_hears(VMC_REASON_DENIED, false),
			 VMC_REASON_DAEMON_LOST);
	assert_int_equal(guest_hears(VMC_REASON_DENIED, true),
			 VMC_REASON_SESSION_LOST);
}

/* Said until the peer is up, then no more: the next end has its own reason. */
static void an_explanation_is_for_one_session(void **state)
{
	struct hello h;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, NULL);
	vmc_session_explain(p.end[HOST].s, VMC_REASON_MIGRATED);
	pair_attach(&p, HOST);
	hello_make(p.end[HOST].s, &h, HELLO_KIND_HELLO);
	assert_int_equal(h.explain, VMC_REASON_MIGRATED);
	/* Another link, nothing was heard of the peer. */
	pair_attach(&p, HOST);
	hello_make(p.end[HOST].s, &h, HELLO_KIND_HELLO);
	assert_int_equal(h.explain, VMC_REASON_MIGRATED);
	pair_up(&p);
	settle(&p);
	pair_attach(&p, HOST);
	hello_make(p.end[HOST].s, &h, HELLO_KIND_HELLO);
	assert_int_equal(h.explain, 0);
	/* What is set in UP is for the next one. */
	p.end[HOST].pipe_len = p.end[GUEST].pipe_len = 0;
	pair_up(&p);
	vmc_session_explain(p.end[HOST].s, VMC_REASON_CLONED);
	settle(&p);
	pair_attach(&p, HOST);
	hello_make(p.end[HOST].s, &h, HELLO_KIND_HELLO);
	assert_int_equal(h.explain, VMC_REASON_CLONED);
	pair_free(&p);
}

/* ---- blocks of another process ---------------------------------------------
 */

static int adopt(struct loaded *l)
{
	return vmc_session_adopt(&l->s, l->mem, l->size, &l->cfg, NOW);
}

static void adopt_has_conditions(void **state)
{
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	assert_int_equal(
		vmc_session_adopt(&l.s, l.mem, l.size - 1, &l.cfg, NOW),
		VMC_ERR_BLOB);
	/* Times and rates may be others, sizes not. */
	l.cfg.grace_us++;
	l.cfg.instance++;
	assert_int_equal(adopt(&l), 0);
	assert_int_equal(l.s->cfg.grace_us, l.cfg.grace_us);
	assert_int_equal(l.s->cfg.instance, 77);
	l.cfg.max_window--;
	assert_int_equal(adopt(&l), VMC_ERR_BLOB);
	l.cfg.max_window++;
	/* What the peer was told stays, if that can be. */
	l.cfg.initial_window++;
	assert_int_equal(adopt(&l), 0);
	assert_int_equal(l.s->cfg.initial_window, 512);
	l.cfg.initial_window--;
	l.s->cfg.initial_window = l.cfg.max_window + 1;
	assert_int_equal(adopt(&l), VMC_ERR_BLOB);
	l.s->cfg.initial_window = 0;
	assert_int_equal(adopt(&l), VMC_ERR_BLOB);
	l.s->cfg.initial_window = 512;
	l.cfg.max_names--;
	assert_int_equal(adopt(&l), VMC_ERR_BLOB);
	l.cfg.max_names++;
	assert_int_equal(adopt(&l), 0);
	l.s->build++;
	assert_int_equal(adopt(&l), VMC_ERR_BLOB);
	free(l.mem);
	free(b.p);
}

/* What was due is due; what the other process had begun is not. */
static void adopt_begins_anew(void **state)
{
	struct vmc_session_stats st;
	struct vmc_event ev;
	struct loaded l;
	struct blob b;

	(void)state;
	make(&b, &plain);
	room(&l, NULL);
	assert_int_equal(load(&l, &b), 0);
	assert_true(vmc_session_next_event(l.s, &ev, NOW));
	assert_int_equal(vmc_stream_ready(l.s, ev.stream), 0);
	vmc_session_freeze(l.s, NOW);
	assert_int_equal(adopt(&l), 0);
	vmc_session_get_stats(l.s, &st);
	assert_int_equal(st.frozen, 1);
	assert_int_equal(vmc_session_thaw(l.s, NOW), VMC_ERR_STATE);
	assert_int_equal(slot_by_handle(l.s, ev.stream)->bits & SL_READY, 0);
	assert_true(vmc_session_next_event(l.s, &ev, NOW));
	assert_int_equal(ev.type, VMC_EV_READABLE);
	assert_int_equal(ev.cookie, 14);
	free(l.mem);
	free(b.p);
}

/* Is it the next one of an element of a list? */
static bool is_next(const struct vmc_session *s, size_t at)
{
	size_t len = s->cfg.max_streams * sizeof(struct link);

	return at % sizeof(struct link) == 0 &&
	       ((at >= s->at.ctl && at - s->at.ctl < len) ||
		(at >= s->at.evl && at - s->at.evl < len));
}

/* Any two bytes of the tables may be anything: refused or sound, no crash. */
static void damaged_blocks(void **state)
{
	static const uint16_t values[] = {0, 1, 7, 8, 0x7fff, 0xfffe, 0xffff};
	struct vmc_session_config c;
	struct loaded l;
	struct blob b;
	uint8_t *good;
	size_t from, to;

	(void)state;
	vmc_session_config_default(&c, HOST);
	c.max_streams = 8;
	c.max_names = 4;
	c.rx_pool = 8192;
	c.inflight_bytes = 1;
	c.max_frame = VMC_MIN_FRAME;
	c.inflight_charge = 20000;
	c.inflight_writes = 16;
	make(&b, &plain);
	b.p[8 + 13] = 0x10; /* max_frame */
	room(&l, &c);
	assert_int_equal(load(&l, &b), 0);
	good = malloc(l.size);
	assert_non_null(good);
	memcpy(good, l.mem, l.size);
	from = l.s->at.slots;
	to = l.s->at.ring + 4 * 48;
	for (size_t at = from; at < to; at += 2) {
		for (size_t v = 0; v < sizeof(values) / 2; v++) {
			memcpy(l.mem, good, l.size);
			memcpy((uint8_t *)l.mem + at, &values[v], 2);
			if (!adopt(&l))
				assert_null(vmc_session_check(l.mem));
			else
				continue;
			if (is_next(l.mem, at))
				assert_memory_equal(good + at, &values[v], 2);
		}
	}
	free(good);
	free(l.mem);
	free(b.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_each),
		cmocka_unit_test(readable_is_due),
		cmocka_unit_test(new_names_are_not_saved),
		cmocka_unit_test(nothing_is_no_session),
		cmocka_unit_test(save_has_conditions),
		cmocka_unit_test(load_wants_memory),
		cmocka_unit_test(save_full),
		cmocka_unit_test(too_much_of_each),
		cmocka_unit_test(too_many_rejects),
		cmocka_unit_test(too_many_frames),
		cmocka_unit_test(every_field_once),
		cmocka_unit_test(frames_contradict),
		cmocka_unit_test(fin_must_be_there),
		cmocka_unit_test(section_table),
		cmocka_unit_test(sections_need_each_other),
		cmocka_unit_test(every_bit),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(another_history_is_no_resume),
		cmocka_unit_test(reasons_are_explained),
		cmocka_unit_test(an_explanation_is_for_one_session),
		cmocka_unit_test(adopt_has_conditions),
		cmocka_unit_test(adopt_begins_anew),
		cmocka_unit_test(damaged_blocks),
	};

	return cmocka_run_group_tests_name("state blob", tests, NULL, NULL);
}
