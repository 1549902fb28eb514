/* SPDX-License-Identifier: MIT */
/*
 * fuzz_session.c - a hostile peer against one engine
 *
 * The input is a script: frames to forge, API calls, time. The harness knows
 * the victim's secrets (it reads them from the victim's memory), so that its
 * frames get past the checks and its HELLOs are believed: nothing that a peer
 * can say is out of the fuzzer's reach. After every step the engine's own
 * invariants and its limits must hold, and its work must end.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "prng.h"
#include "session/internal.h"

#define OPS_MAX    600u
#define EVENTS_MAX 4096u
#define HANDLES    16u
/* What one call may leave to do; more is a loop without end. */
#define ROUNDS_MAX 4096u

struct hostile {
	struct prng rng;
	uint64_t now;
	struct vmc_session *s;
	struct vmc_session_config cfg;
	void *mem;
	vmc_stream handles[HANDLES];
	uint8_t buf[VMC_MAX_FRAME + 64];
	bool attached;
};

static uint32_t pick32(struct hostile *h, uint32_t lo, uint32_t hi)
{
	return (uint32_t)prng_range(&h->rng, lo, hi);
}

static void limits(struct hostile *h)
{
	struct vmc_session_config *c = &h->cfg;

	vmc_session_config_default(c, (enum vmc_role)pick32(h, 0, 1));
	c->instance = 1;
	/* Small tables: a run shall take less than a millisecond. */
	c->max_streams = 32;
	c->max_names = 8;
	c->rx_pool = 128 * 1024;
	if (prng_chance(&h->rng, 1, 4))
		return;
	c->max_streams = pick32(h, 1, 8);
	c->max_names = pick32(h, 1, 4);
	c->max_frame = VMC_MIN_FRAME;
	c->initial_window = pick32(h, 1, 300);
	c->rx_pool = c->max_streams * c->initial_window + pick32(h, 0, 5000);
	c->max_window = c->initial_window + pick32(h, 0, 5000);
	c->inflight_bytes = pick32(h, 1, 20000);
	c->inflight_charge = pick32(h, 14000, 60000);
	c->inflight_writes = pick32(h, 16, 64);
	c->opens_per_s = pick32(h, 1, 50);
	c->control_per_s = pick32(h, 1, 1000);
}

static void start(struct hostile *h)
{
	uint8_t entropy[VMC_ENTROPY_LEN];
	size_t size;

	limits(h);
	size = vmc_session_size(&h->cfg);
	FUZZ_CHECK(size);
	if (posix_memalign(&h->mem, 64, size))
		abort();
	FUZZ_CHECK(!vmc_session_init(&h->s, h->mem, size, &h->cfg));
	prng_fill(&h->rng, entropy, sizeof(entropy));
	vmc_session_attach(h->s, entropy, h->now);
	h->attached = true;
}

/* ---- what the broker does --------------------------------------------- */

static void keep_handle(struct hostile *h, vmc_stream stream)
{
	h->handles[prng_below(&h->rng, HANDLES)] = stream;
}

static void touch_bytes(struct hostile *h, vmc_stream stream)
{
	struct iovec iov[3];
	long n = vmc_stream_peek(h->s, stream, iov, 3);
	volatile uint8_t sink = 0;
	size_t left;

	if (n <= 0)
		return;
	left = (size_t)n;
	for (int i = 0; i < 3 && left; i++) {
		const uint8_t *p = iov[i].iov_base;

		FUZZ_CHECK(iov[i].iov_len && iov[i].iov_len <= left);
		for (size_t k = 0; k < iov[i].iov_len; k++)
			sink ^= p[k];
		left -= iov[i].iov_len;
	}
	(void)sink;
	FUZZ_CHECK(!left);
	FUZZ_CHECK(!vmc_stream_consume(h->s, stream,
				       prng_below(&h->rng, (uint64_t)n + 1)));
}

static void on_event(struct hostile *h, const struct vmc_event *ev)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	FUZZ_CHECK(ev->type > VMC_EV_NONE && ev->type < VMC_EV_NUM);
	FUZZ_CHECK(memchr(ev->name, 0, sizeof(ev->name)));
	if (ev->type == VMC_EV_OPEN || ev->type == VMC_EV_NAME_ADDED)
		FUZZ_CHECK(vmc_name_valid(ev->name, strlen(ev->name)));
	if (ev->type == VMC_EV_OPEN)
		keep_handle(h, ev->stream);
	if (ev->type == VMC_EV_READABLE && prng_chance(&h->rng, 1, 2))
		touch_bytes(h, ev->stream);
	if (ev->type != VMC_EV_NEED_ENTROPY)
		return;
	prng_fill(&h->rng, entropy, sizeof(entropy));
	vmc_session_resync(h->s, entropy, h->now);
}

static void take_events(struct hostile *h)
{
	struct vmc_event ev;
	unsigned int n = 0;

	while (vmc_session_next_event(h->s, &ev, h->now)) {
		on_event(h, &ev);
		FUZZ_CHECK(n++ < EVENTS_MAX);
	}
}

static void give(struct hostile *h, const uint8_t *data, size_t n)
{
	unsigned int rounds = 0;

	while (n && h->attached) {
		uint8_t *room;
		size_t some = vmc_session_input(h->s, &room);

		FUZZ_CHECK(rounds++ < ROUNDS_MAX);
		some = some < n ? some : n;
		if (some)
			memcpy(room, data, some);
		if (some)
			vmc_session_input_done(h->s, some, h->now);
		data += some;
		n -= some;
		take_events(h);
	}
}

static void drain_output(struct hostile *h)
{
	const uint8_t *buf;
	size_t n;

	for (unsigned int i = 0; i < ROUNDS_MAX; i++) {
		n = vmc_session_output(h->s, &buf, h->now);
		if (!n)
			return;
		FUZZ_CHECK(n <= VMC_MAX_FRAME);
		vmc_session_output_done(h->s, n, h->now);
	}
	FUZZ_CHECK(false); /* output without end */
}

/* ---- what the peer says ----------------------------------------------- */

static uint32_t some_stream_id(struct hostile *h)
{
	const struct slot *sl;

	if (prng_chance(&h->rng, 1, 8))
		return (uint32_t)prng_u64(&h->rng);
	if (prng_chance(&h->rng, 1, 2))
		return pick32(h, 0, 40);
	sl = slot_at(h->s, pick32(h, 0, h->cfg.max_streams - 1));
	return sl->id;
}

static size_t put_name(struct hostile *h, uint8_t *p)
{
	static const char *const names[] = {"a",   "b",    "org.x.y", "../e",
					    "a..", "a\tb", "",        "c"};
	const char *name = names[prng_below(&h->rng, 8)];
	size_t len = strlen(name);

	p[0] = (uint8_t)len;
	memcpy(p + 1, name, len);
	return len + 1;
}

static size_t put_payload(struct hostile *h, uint8_t type, uint8_t *p)
{
	size_t n;

	switch (type) {
	case WIRE_OPEN:
		memset(p, 0, 16);
		p[0] = (uint8_t)pick32(h, 0, 2);
		le32_put(p + 8, pick32(h, 0, 3));
		return 16 + put_name(h, p + 16);
	case WIRE_ADVERTISE:
		le32_put(p, pick32(h, 0, 2));
		return 4 + put_name(h, p + 4);
	case WIRE_WITHDRAW:
		return put_name(h, p);
	case WIRE_CREDIT:
		le64_put(p, prng_size(&h->rng, UINT64_MAX - 1));
		return 8;
	case WIRE_PING:
	case WIRE_PONG:
		le64_put(p, prng_chance(&h->rng, 1, 2) ? h->s->ping_token
						       : prng_u64(&h->rng));
		return 8;
	case WIRE_REJECT:
	case WIRE_STOP:
	case WIRE_RESET:
	case WIRE_BYE:
		le32_put(p, pick32(h, 0, 0xffff));
		return 4;
	case WIRE_DATA:
		n = prng_size(&h->rng, h->cfg.max_frame);
		memset(p, 'd', n);
		return n;
	default:
		return 0;
	}
}

static uint8_t some_type(struct hostile *h)
{
	static const uint8_t types[] = {
#define FRAME(name, type, flags, stream, min, max, handler) type,
#include "session/frames.def"
#undef FRAME
		WIRE_DATA, WIRE_DATA, WIRE_OPEN, WIRE_CREDIT};

	if (prng_chance(&h->rng, 1, 16))
		return (uint8_t)pick32(h, 0, 255);
	return types[prng_below(&h->rng, sizeof(types))];
}

static uint32_t some_ack(struct hostile *h)
{
	uint32_t first = (uint32_t)h->s->tx_first;
	uint32_t sent = (uint32_t)h->s->tx_sent;

	if (prng_chance(&h->rng, 1, 16))
		return sent + pick32(h, 0, 3);
	return prng_chance(&h->rng, 1, 2) ? sent
					  : first + pick32(h, 0, sent - first);
}

/* One frame, legal or nearly so, checks put right most of the time. */
static size_t forge(struct hostile *h, uint8_t *p)
{
	struct wire_header f = {.type = some_type(h)};
	uint64_t digest;
	uint32_t ack;
	size_t n = put_payload(h, f.type, p + WIRE_HEADER);

	if (prng_chance(&h->rng, 1, 24))
		n = prng_size(&h->rng, h->cfg.max_frame);
	if (prng_chance(&h->rng, 1, 24))
		p[WIRE_HEADER + prng_below(&h->rng, n + 1)] ^= 0xff;
	f.len = (uint16_t)n;
	f.flags = (uint8_t)(prng_chance(&h->rng, 1, 6) ? pick32(h, 0, 3) : 0);
	f.stream = prng_chance(&h->rng, 7, 8) ? some_stream_id(h) : 0;
	if (f.type < 0x10 || f.type == WIRE_ADVERTISE ||
	    f.type == WIRE_WITHDRAW)
		f.stream = prng_chance(&h->rng, 15, 16) ? 0 : f.stream;
	if (wire_is_sequenced(f.type))
		f.seq = (uint32_t)h->s->rx_next;
	if (prng_chance(&h->rng, 1, 32))
		f.seq += pick32(h, 0, 2);
	f.hash = hash64(p + WIRE_HEADER, n);
	if (prng_chance(&h->rng, 1, 64))
		f.hash ^= 1;
	wire_put_header(p, &f);
	if (prng_chance(&h->rng, 1, 64))
		le16_put(p + 2, (uint16_t)pick32(h, 0, 0xffff));
	ack = some_ack(h);
	/* Else the check fails, and an ack like this is never looked at. */
	if (!tx_digest_at(h->s, ack, &digest))
		digest = 0;
	if (wire_is_sequenced(f.type))
		digest ^= h->s->rx_digest;
	wire_stamp(p, ack, h->s->rx_seed ^ digest);
	return WIRE_HEADER + n;
}

static void say_frame(struct hostile *h)
{
	give(h, h->buf, forge(h, h->buf));
}

/* A frame stops in the middle, or is not one at all. */
static void say_part(struct hostile *h)
{
	size_t n = forge(h, h->buf);

	give(h, h->buf, prng_below(&h->rng, n));
}

static void say_noise(struct hostile *h)
{
	size_t n = prng_size(&h->rng, VMC_MAX_FRAME);

	memset(h->buf, (int)pick32(h, 0, 1) * 0xa5, n);
	if (n >= HELLO_MAGIC_LEN && prng_chance(&h->rng, 1, 2))
		memcpy(h->buf + n - HELLO_MAGIC_LEN, hello_magic,
		       HELLO_MAGIC_LEN);
	give(h, h->buf, n);
}

static void hello_like_ours(struct hostile *h, struct hello *he)
{
	const struct vmc_session *s = h->s;

	*he = (struct hello){
		.kind = (uint8_t)pick32(h, 1, 2),
		.role = (uint8_t)(1 - h->cfg.role),
		.version_min = 1,
		.version_max = (uint8_t)pick32(h, 1, 3),
		.nonce = prng_size(&h->rng, UINT64_MAX - 1) + 1,
		.epoch = s->epoch,
		.attach_no = s->attach_no,
		.rx_next = s->tx_next,
		.tx_first = s->rx_next,
		.tx_next = s->rx_next,
		.rx_digest = s->tx_digest,
		.instance = 7,
		.max_frame = VMC_MIN_FRAME,
		.initial_window = 1024,
		.max_streams = 64,
		.max_names = 64,
		.inflight_bytes = 131072,
	};
	memcpy(he->session_id, s->session_id, sizeof(he->session_id));
	if (he->kind != HELLO_KIND_ACK)
		return;
	he->echo = s->nonce;
	he->verdict = (uint8_t)pick32(h, 1, HELLO_VERDICT_NUM - 1);
}

static void twist_hello(struct hostile *h, struct hello *he)
{
	switch (prng_below(&h->rng, 12)) {
	case 0:
		he->rx_next = h->s->tx_first + pick32(h, 0, 3);
		break;
	case 1:
		he->rx_digest ^= 1;
		break;
	case 2:
		he->tx_next += prng_size(&h->rng, UINT32_MAX);
		break;
	case 3:
		memset(he->session_id, (int)pick32(h, 0, 255), 16);
		break;
	case 4:
		he->epoch += pick32(h, 0, 2);
		break;
	case 5:
		he->max_frame = pick32(h, VMC_MIN_FRAME, VMC_MAX_FRAME);
		he->initial_window = pick32(h, 0, VMC_MAX_WINDOW);
		break;
	case 6:
		he->max_streams = pick32(h, 1, UINT32_MAX);
		he->max_names = pick32(h, 0, UINT32_MAX);
		he->inflight_bytes = pick32(h, 1, UINT32_MAX);
		break;
	case 7:
		he->features_offered = prng_u64(&h->rng);
		he->features_required =
			he->features_offered & prng_u64(&h->rng);
		break;
	case 8:
		he->role = (uint8_t)h->cfg.role;
		break;
	case 9:
		he->grease_type = (uint16_t)pick32(h, 1, 0xffff);
		break;
	default:
		break;
	}
}

static void say_hello(struct hostile *h)
{
	struct hello he;
	uint8_t wire[HELLO_MAX];

	hello_like_ours(h, &he);
	if (prng_chance(&h->rng, 1, 2))
		twist_hello(h, &he);
	give(h, wire, wire_put_hello(wire, &he));
}

/* The quickest way to state UP; without it most scripts would be boring. */
static void shake_hands(struct hostile *h)
{
	struct hello he;
	uint8_t wire[HELLO_MAX];

	if (h->s->state == VMC_SESSION_UP || !h->attached)
		return;
	drain_output(h);
	hello_like_ours(h, &he);
	he.kind = HELLO_KIND_HELLO;
	he.echo = 0;
	he.verdict = HELLO_VERDICT_NONE;
	give(h, wire, wire_put_hello(wire, &he));
	drain_output(h);
	he.kind = HELLO_KIND_ACK;
	he.echo = h->s->nonce;
	he.verdict = prng_chance(&h->rng, 3, 4) ? HELLO_VERDICT_RESUME
						: HELLO_VERDICT_UNKNOWN;
	if (he.echo)
		give(h, wire, wire_put_hello(wire, &he));
	drain_output(h);
}

/* ---- what local programs ask for -------------------------------------- */

static vmc_stream some_handle(struct hostile *h)
{
	if (prng_chance(&h->rng, 1, 16))
		return prng_u64(&h->rng);
	return h->handles[prng_below(&h->rng, HANDLES)];
}

static void ask_open(struct hostile *h)
{
	struct vmc_principal who = {0};
	vmc_stream stream;

	if (!vmc_stream_open(h->s, &stream, "org.x.y", 0, &who,
			     prng_below(&h->rng, 3), pick32(h, 1, 16), h->now))
		keep_handle(h, stream);
}

static void ask_stream(struct hostile *h)
{
	vmc_stream stream = some_handle(h);
	unsigned int reason = pick32(h, 0, 0xffff);
	struct vmc_stream_info info;

	switch (prng_below(&h->rng, 10)) {
	case 0:
	case 1:
		vmc_stream_accept(h->s, stream, prng_below(&h->rng, 3), 1);
		break;
	case 2:
		vmc_stream_reject(h->s, stream, reason);
		break;
	case 3:
	case 4:
		vmc_stream_ready(h->s, stream);
		break;
	case 5:
		vmc_stream_finish(h->s, stream);
		break;
	case 6:
		vmc_stream_stop(h->s, stream, reason);
		break;
	case 7:
		vmc_stream_reset(h->s, stream, reason);
		break;
	case 8:
		vmc_stream_get_info(h->s, stream, &info);
		vmc_stream_set_cookie(h->s, stream, reason);
		vmc_stream_at_end(h->s, stream);
		break;
	default:
		touch_bytes(h, stream);
		break;
	}
}

static void ask_names(struct hostile *h)
{
	static const char *const names[] = {"a", "b", "c.d", "e", ""};
	const char *name = names[prng_below(&h->rng, 5)];

	if (prng_chance(&h->rng, 1, 2))
		vmc_name_advertise(h->s, name, pick32(h, 0, 1));
	else
		vmc_name_withdraw(h->s, name);
}

static void pull_some(struct hostile *h)
{
	struct vmc_pull pull;

	for (unsigned int i = 0; i < 8; i++) {
		unsigned int flags = pick32(h, 0, 3);
		size_t n;

		if (!vmc_session_pull(h->s, &pull, h->now))
			return;
		FUZZ_CHECK(pull.len && pull.len <= VMC_MAX_FRAME);
		n = prng_below(&h->rng, pull.len + 1);
		memset(pull.buf, 'p', pull.len);
		if (flags == (VMC_PULL_MORE | VMC_PULL_FINISH))
			flags = VMC_PULL_MORE;
		vmc_session_pull_done(h->s, n, flags, h->now);
	}
}

static void pass_time(struct hostile *h)
{
	uint64_t due = vmc_session_deadline(h->s);

	if (prng_chance(&h->rng, 1, 2) && due != UINT64_MAX && due > h->now)
		h->now = due;
	else
		h->now += prng_size(&h->rng, 20000000);
	if (vmc_session_deadline(h->s) <= h->now)
		vmc_session_tick(h->s, h->now);
}

static void change_link(struct hostile *h)
{
	uint8_t entropy[VMC_ENTROPY_LEN];

	prng_fill(&h->rng, entropy, sizeof(entropy));
	switch (prng_below(&h->rng, 5)) {
	case 0:
		vmc_session_detach(h->s, h->now);
		h->attached = false;
		break;
	case 1:
		if (h->attached)
			vmc_session_resync(h->s, entropy, h->now);
		break;
	case 2:
		vmc_session_bye(h->s, VMC_REASON_SHUTDOWN, h->now);
		break;
	default:
		vmc_session_attach(h->s, entropy, h->now);
		h->attached = true;
		break;
	}
}

static void output_some(struct hostile *h)
{
	const uint8_t *buf;
	size_t n = vmc_session_output(h->s, &buf, h->now);

	if (n)
		vmc_session_output_done(h->s, prng_below(&h->rng, n + 1),
					h->now);
}

/* ---- the script ------------------------------------------------------- */

static void one_op(struct hostile *h)
{
	static void (*const ops[])(struct hostile *) = {
		say_frame,   say_frame, say_frame,    say_frame,   say_frame,
		say_frame,   say_part,  say_noise,    say_hello,   shake_hands,
		shake_hands, ask_open,  ask_stream,   ask_stream,  ask_stream,
		ask_names,   pull_some, drain_output, output_some, pass_time,
		change_link,
	};

	ops[prng_below(&h->rng, sizeof(ops) / sizeof(ops[0]))](h);
}

static void check(const struct hostile *h)
{
	struct vmc_session_stats st;
	const char *broken = vmc_session_check(h->s);

	if (broken) {
		fprintf(stderr, "broken: %s\n", broken);
		abort();
	}
	vmc_session_get_stats(h->s, &st);
	FUZZ_CHECK(st.streams <= h->cfg.max_streams);
	FUZZ_CHECK(st.pool_granted <= h->cfg.rx_pool);
	FUZZ_CHECK(st.names_peer <= h->cfg.max_names);
	FUZZ_CHECK(st.inflight_charge <= h->cfg.inflight_charge + STAGE_CHARGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hostile h;

	memset(&h, 0, sizeof(h));
	prng_bytes(&h.rng, data, size);
	start(&h);
	shake_hands(&h);
	for (unsigned int i = 0; i < OPS_MAX && h.rng.left; i++) {
		one_op(&h);
		take_events(&h);
		check(&h);
	}
	free(h.mem);
	return 0;
}
