/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - an agent that means ill, for the VM tests
 *
 *	hostile MODE SECONDS
 *
 * Owns the port instead of vmchannel-agent. Most modes shake hands with the
 * real engine, take its secrets, and then forge frames whose checks are
 * right; when the host gives up on the session they begin again. What the
 * host must do is told by the tests; this only prints what it did.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "session/internal.h"
#include "session/wire.h"
#include "testport.h"

#define PORT_NAME    "org.vmchannel.0"
#define INPUT_SIZE   (size_t)65536
#define HANDSHAKE_US 5000000u
#define POLL_MS      100
/* Frames between two looks at what the host says. */
#define BATCH 64
/* Digests that are remembered; more frames are never un-acked. */
#define SENT_MAX 65536u

struct forger {
	int fd;
	uint64_t tx_seed, rx_seed;
	uint64_t rx_digest;           /* of what the host sent */
	uint64_t tx_digest[SENT_MAX]; /* before our frame n, modulo the size */
	uint32_t seq, ack;            /* of the next frame we send; we expect */
	uint32_t stream;              /* the last one that we opened */
	uint8_t in[INPUT_SIZE];
	size_t in_len;
	bool lost; /* the host left this session */
	uint64_t random;
	uint64_t frames, handshakes;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t rnd(struct forger *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

/* ---- the port -------------------------------------------------------- */

static void wait_port(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	poll(&p, 1, POLL_MS);
	if (p.revents & POLLHUP) /* level-triggered: would spin */
		usleep(POLL_MS * 1000);
}

/* Gives up on a host that is closed: the test ends us. */
static void port_write(struct forger *f, const uint8_t *p, size_t len)
{
	uint64_t end = now_us() + HANDSHAKE_US;

	while (len > 0 && now_us() < end) {
		ssize_t n = write(f->fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			wait_port(f->fd, POLLOUT);
		}
	}
}

/* What the check of the host's next frame was made with. */
static uint64_t seed_of(const struct forger *f, const uint8_t *p)
{
	struct wire_header h;
	uint64_t seed;

	wire_peek_header(p, &h);
	seed = f->rx_seed ^ f->tx_digest[h.ack % SENT_MAX];
	return wire_is_sequenced(h.type) ? seed ^ f->rx_digest : seed;
}

/* Follows what the host sends, as far as acks need it. */
static void port_read(struct forger *f)
{
	struct wire_header h;
	size_t at = 0;
	ssize_t n = read(f->fd, f->in + f->in_len, INPUT_SIZE - f->in_len);

	if (n > 0)
		f->in_len += (size_t)n;
	while (f->in_len - at >= WIRE_HEADER) {
		if (!wire_get_header(f->in + at, seed_of(f, f->in + at), &h) ||
		    h.type == WIRE_BYE) {
			f->lost = true;
			f->in_len = 0;
			return;
		}
		if (f->in_len - at < (size_t)WIRE_HEADER + h.len)
			break;
		at += (size_t)WIRE_HEADER + h.len;
		if (!wire_is_sequenced(h.type))
			continue;
		f->ack++;
		f->rx_digest = wire_digest(f->rx_digest, &h);
	}
	memmove(f->in, f->in + at, f->in_len - at);
	f->in_len -= at;
}

/* ---- the handshake, by the real engine -------------------------------- */

static void engine_step(struct forger *f, struct vmc_session *s, bool *up)
{
	struct vmc_event ev;
	const uint8_t *out;
	uint8_t entropy[VMC_ENTROPY_LEN], *in;
	size_t len;
	ssize_t n;

	while ((len = vmc_session_output(s, &out, now_us())) > 0) {
		port_write(f, out, len);
		vmc_session_output_done(s, len, now_us());
	}
	wait_port(f->fd, POLLIN);
	len = vmc_session_input(s, &in);
	n = len ? read(f->fd, in, len) : 0;
	if (n > 0)
		vmc_session_input_done(s, (size_t)n, now_us());
	vmc_session_tick(s, now_us());
	while (!*up && vmc_session_next_event(s, &ev, now_us())) {
		*up = ev.type == VMC_EV_UP;
		if (ev.type != VMC_EV_NEED_ENTROPY)
			continue;
		if (getrandom(entropy, sizeof(entropy), 0) > 0)
			vmc_session_resync(s, entropy, now_us());
	}
}

/* Takes over what the engine agreed on. */
static void take_secrets(struct forger *f, const struct vmc_session *s)
{
	f->tx_seed = s->tx_seed;
	f->rx_seed = s->rx_seed;
	f->rx_digest = s->rx_digest;
	f->seq = (uint32_t)s->tx_next;
	f->tx_digest[f->seq % SENT_MAX] = s->tx_digest;
	f->ack = (uint32_t)s->rx_next;
	f->stream = 1;
	f->in_len = s->in_tail - s->in_head;
	memcpy(f->in, (const uint8_t *)s + s->at.input + s->in_head, f->in_len);
	f->lost = false;
	f->handshakes++;
}

static bool handshake(struct forger *f, uint64_t end)
{
	struct vmc_session_config cfg;
	struct vmc_session *s;
	uint8_t entropy[VMC_ENTROPY_LEN];
	size_t size;
	void *mem;
	bool up = false;

	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	cfg.grease = 0;
	cfg.instance = rnd(f);
	size = vmc_session_size(&cfg);
	mem = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (!mem || vmc_session_init(&s, mem, size, &cfg) ||
	    getrandom(entropy, sizeof(entropy), 0) < 0)
		abort();
	vmc_session_attach(s, entropy, now_us());
	while (!up && now_us() < end)
		engine_step(f, s, &up);
	if (up)
		take_secrets(f, s);
	free(mem);
	return up;
}

/* ---- forging --------------------------------------------------------- */

static void forge(struct forger *f, const struct wire_header *like,
		  const void *payload)
{
	static uint8_t buf[WIRE_HEADER + UINT16_MAX];
	struct wire_header h = *like;
	uint64_t seed = f->tx_seed ^ f->rx_digest;

	if (payload && h.len)
		memcpy(buf + WIRE_HEADER, payload, h.len);
	h.hash = hash64(buf + WIRE_HEADER, h.len);
	if (wire_is_sequenced(h.type)) {
		uint64_t before = f->tx_digest[f->seq % SENT_MAX];

		seed ^= before;
		h.seq = f->seq++;
		f->tx_digest[f->seq % SENT_MAX] = wire_digest(before, &h);
	}
	wire_put_header(buf, &h);
	wire_stamp(buf, f->ack + h.ack, seed);
	port_write(f, buf, (size_t)WIRE_HEADER + h.len);
	f->frames++;
}

static void forge_simple(struct forger *f, uint8_t type, uint32_t stream,
			 const void *payload, size_t len)
{
	forge(f,
	      &(struct wire_header){
		      .type = type, .stream = stream, .len = (uint16_t)len},
	      payload);
}

static void forge_open(struct forger *f, const char *name, uint32_t kind)
{
	uint8_t p[WIRE_CONTROL_MAX];
	struct wire_open o = {.who = {.kind = kind, .uid = 0, .gid = 0},
			      .name_len = (uint8_t)strlen(name)};

	strcpy(o.name, name);
	f->stream += 2;
	forge_simple(f, WIRE_OPEN, f->stream, p, wire_put_open(p, &o));
}

static void forge_reason(struct forger *f, uint8_t type)
{
	uint8_t p[WIRE_CONTROL_MAX];

	forge_simple(f, type, f->stream, p,
		     wire_put_reason(p, VMC_REASON_APP_ABORT));
}

/* ---- modes: one turn each -------------------------------------------- */

static void mode_garbage(struct forger *f)
{
	uint8_t buf[4096];

	for (size_t i = 0; i < sizeof(buf); i += 8) {
		uint64_t r = rnd(f);

		memcpy(buf + i, &r, 8);
	}
	if (rnd(f) % 2) /* a beginning that looks right */
		memcpy(buf, hello_magic, HELLO_MAGIC_LEN);
	port_write(f, buf, (size_t)(rnd(f) % sizeof(buf)));
}

static void mode_hello(struct forger *f)
{
	uint8_t p[HELLO_OURS];
	struct hello h = {.kind = HELLO_KIND_HELLO,
			  .role = VMC_ROLE_GUEST,
			  .version_min = 1,
			  .version_max = (uint8_t)(1 + rnd(f) % 200),
			  .nonce = rnd(f),
			  .tx_next = UINT64_MAX,
			  .rx_next = rnd(f),
			  .instance = rnd(f),
			  .max_frame = VMC_MAX_FRAME,
			  .initial_window = VMC_MAX_WINDOW,
			  .max_streams = UINT32_MAX,
			  .max_names = UINT32_MAX,
			  .inflight_bytes = UINT32_MAX};

	if (rnd(f) % 2) {
		h.kind = HELLO_KIND_ACK;
		h.echo = rnd(f);
		h.verdict = HELLO_VERDICT_RESUME;
	}
	port_write(f, p, wire_put_hello(p, &h));
}

static void mode_credit(struct forger *f)
{
	static const uint8_t data[WIRE_PAYLOAD_MAX];

	forge_open(f, "org.example.flood", VMC_PRINCIPAL_GUEST);
	for (int i = 0; i < BATCH; i++)
		forge_simple(f, WIRE_DATA, f->stream, data, sizeof(data));
}

static void mode_opens(struct forger *f)
{
	for (int i = 0; i < BATCH; i++)
		forge_open(f, "org.example.flood", VMC_PRINCIPAL_GUEST);
}

static void mode_storm(struct forger *f)
{
	for (int i = 0; i < BATCH; i++) {
		forge_open(f, "org.example.flood", VMC_PRINCIPAL_GUEST);
		forge_reason(f, WIRE_RESET);
	}
}

static void mode_pings(struct forger *f)
{
	uint8_t p[WIRE_CONTROL_MAX];

	for (int i = 0; i < BATCH; i++)
		forge_simple(f, WIRE_PING, 0, p, wire_put_u64(p, rnd(f)));
}

static void mode_badnames(struct forger *f)
{
	static const struct {
		const char *name;
		uint8_t len;
	} bad[] = {
		{"a/b", 3},      {"..", 2},   {"a\0b", 3}, {"../../etc", 9},
		{".hidden", 7},  {"a..b", 4}, {"", 0},     {"x\n", 2},
		{"\xff\xfe", 2}, {"%s%n", 4},
	};
	uint8_t p[WIRE_CONTROL_MAX];
	size_t i = (size_t)(rnd(f) % (sizeof(bad) / sizeof(*bad)));
	struct wire_name n = {.name_len = bad[i].len};

	memcpy(n.name, bad[i].name, bad[i].len);
	forge_simple(f, WIRE_ADVERTISE, 0, p, wire_put_advertise(p, &n));
}

static void mode_manynames(struct forger *f)
{
	uint8_t p[WIRE_CONTROL_MAX];
	struct wire_name n = {0};

	n.name_len = (uint8_t)snprintf(n.name, sizeof(n.name),
				       "org.example.n%016" PRIx64, rnd(f));
	forge_simple(f, WIRE_ADVERTISE, 0, p, wire_put_advertise(p, &n));
}

static void mode_types(struct forger *f)
{
	uint8_t p[256];
	struct wire_header h = {.type = (uint8_t)(1 + rnd(f) % 255),
				.flags = (uint8_t)rnd(f),
				.stream = (uint32_t)(rnd(f) % 8),
				.len = (uint16_t)(rnd(f) % sizeof(p))};

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)rnd(f);
	forge(f, &h, p);
}

static void mode_acks(struct forger *f)
{
	forge(f, &(struct wire_header){.type = WIRE_ACK, .ack = 100000}, NULL);
}

static void mode_long(struct forger *f)
{
	static const uint8_t data[UINT16_MAX];

	forge_simple(f, WIRE_DATA, f->stream, data, sizeof(data));
}

/* Says that a program of the host asks. */
static void mode_spoof(struct forger *f)
{
	forge_open(f, "org.vmchannel.closed", VMC_PRINCIPAL_HOST);
}

/* Takes nothing, says nothing. */
static void mode_silent(struct forger *f)
{
	(void)f;
	sleep(1);
}

static const struct mode {
	const char *name;
	void (*turn)(struct forger *f);
	bool handshake;
	bool reads;
} modes[] = {
	{"garbage", mode_garbage, false, false},
	{"hello", mode_hello, false, false},
	{"credit", mode_credit, true, true},
	{"opens", mode_opens, true, true},
	{"storm", mode_storm, true, true},
	{"pings", mode_pings, true, true},
	{"badnames", mode_badnames, true, true},
	{"manynames", mode_manynames, true, true},
	{"types", mode_types, true, true},
	{"acks", mode_acks, true, true},
	{"long", mode_long, true, true},
	{"spoof", mode_spoof, true, true},
	{"silent", mode_silent, true, false},
};

static const struct mode *mode_find(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static struct forger f = {.random = 88172645463325252u, .lost = true};
	const struct mode *m = argc == 3 ? mode_find(argv[1]) : NULL;
	uint64_t end;

	if (!m) {
		fputs("usage: hostile MODE SECONDS\n", stderr);
		return 2;
	}
	end = now_us() + strtoull(argv[2], NULL, 10) * 1000000u;
	while ((f.fd = testport_open(PORT_NAME)) < 0 && now_us() < end)
		usleep(10000);
	while (now_us() < end) {
		if (m->handshake && f.lost && !handshake(&f, end))
			break;
		m->turn(&f);
		if (m->reads)
			port_read(&f);
		else if (!m->handshake)
			while (read(f.fd, f.in, INPUT_SIZE) > 0)
				;
	}
	printf("%s: %" PRIu64 " frames, %" PRIu64 " handshakes\n", m->name,
	       f.frames, f.handshakes);
	return 0;
}
