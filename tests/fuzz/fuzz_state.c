/* SPDX-License-Identifier: MIT */
/*
 * fuzz_state.c - a saved state from somebody hostile
 *
 * First byte: bit 0 makes hashes and the digest right before the state is
 * loaded, so that the fuzzer gets past them; bit 1 small tables; bit 2 the
 * guest's role. The rest are sections. What is taken must stand every check,
 * be saved and loaded again as the same bytes, and work: its streams are used
 * and a peer without a session is met.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "session/internal.h"
#include "session/saved.h"

#define NOW   UINT64_C(1000000)
#define STEPS 64u

static void *block(const struct vmc_session_config *c, size_t *ret_size)
{
	void *mem;

	*ret_size = vmc_session_size(c);
	FUZZ_CHECK(*ret_size);
	if (posix_memalign(&mem, 64, *ret_size))
		abort();
	return mem;
}

static void limits(struct vmc_session_config *c, unsigned int options)
{
	vmc_session_config_default(c, options & 4 ? VMC_ROLE_GUEST
						  : VMC_ROLE_HOST);
	if (!(options & 2))
		return;
	c->max_streams = 6;
	c->max_names = 3;
	c->rx_pool = 8192;
	c->initial_window = 512;
	c->max_frame = VMC_MIN_FRAME;
	c->inflight_bytes = 4096;
	c->inflight_charge = 30000;
	c->inflight_writes = 16;
}

/* ---- what a fuzzer cannot guess ------------------------------------------ */

/* Hashes of the frames; their number, and the digest after them. */
static uint64_t fix_frames(uint8_t *p, size_t len, uint64_t *digest)
{
	uint64_t n = 0;

	while (len >= SAVED_FRAME_LEN) {
		struct wire_header h = {
			.type = p[0],
			.flags = p[1],
			.len = le16_get(p + 2),
			.stream = le32_get(p + 4),
		};

		if (h.len > len - SAVED_FRAME_LEN)
			break;
		h.hash = hash64(p + SAVED_FRAME_LEN, h.len);
		le64_put(p + 8, h.hash);
		*digest = wire_digest(*digest, &h);
		p += SAVED_FRAME_LEN + h.len;
		len -= SAVED_FRAME_LEN + h.len;
		n++;
	}
	return n;
}

static void fix(uint8_t *p, size_t len)
{
	uint8_t *session = NULL, *frames = NULL;
	size_t n_frames = 0;
	uint64_t digest, n;

	while (len >= SAVED_HEADER_LEN) {
		uint32_t type = le16_get(p), some = le32_get(p + 4);
		size_t whole;

		whole = SAVED_HEADER_LEN + (((size_t)some + 7) & ~(size_t)7);
		if (whole > len)
			break;
		if (type == SAVED_SESSION && some == SAVED_SESSION_LEN)
			session = p + SAVED_HEADER_LEN;
		if (type == SAVED_RETAINED) {
			frames = p + SAVED_HEADER_LEN;
			n_frames = some;
		}
		p += whole;
		len -= whole;
	}
	if (!session)
		return;
	digest = le64_get(session + 112);
	n = fix_frames(frames, n_frames, &digest);
	le64_put(session + 104, le64_get(session + 96) + n);
	le64_put(session + 120, digest);
}

/* ---- what was taken is used ---------------------------------------------- */

static void check(const struct vmc_session *s)
{
	FUZZ_CHECK(!vmc_session_check(s));
}

static void take_events(struct vmc_session *s)
{
	struct vmc_event ev;

	while (vmc_session_next_event(s, &ev, NOW))
		;
	check(s);
}

static long save(struct vmc_session *s, const struct vmc_session_config *c,
		 uint8_t **ret)
{
	size_t size = vmc_session_save_max(c);
	long n;

	*ret = malloc(size);
	FUZZ_CHECK(*ret);
	vmc_session_freeze(s, NOW);
	take_events(s);
	n = vmc_session_save(s, *ret, size);
	FUZZ_CHECK(n >= 0 && n % 8 == 0);
	return n;
}

/* Saved, loaded and saved it is the same. */
static void again(struct vmc_session *s, const struct vmc_session_config *c)
{
	struct vmc_session *copy;
	uint8_t *one, *two;
	size_t size;
	void *mem = block(c, &size);
	long n = save(s, c, &one);

	FUZZ_CHECK(!vmc_session_load(&copy, mem, size, c, one, (size_t)n, NOW));
	check(copy);
	FUZZ_CHECK(save(copy, c, &two) == n);
	FUZZ_CHECK(!memcmp(one, two, (size_t)n));
	free(one);
	free(two);
	free(mem);
	FUZZ_CHECK(!vmc_session_thaw(s, NOW));
}

static void use_stream(struct vmc_session *s, vmc_stream h, uint64_t cookie)
{
	struct iovec iov[3];
	long n;

	vmc_stream_accept(s, h, cookie, 1);
	n = vmc_stream_peek(s, h, iov, 3);
	if (n > 0)
		FUZZ_CHECK(!vmc_stream_consume(s, h, (size_t)n));
	if (cookie & 1)
		vmc_stream_finish(s, h);
	if (cookie & 2)
		vmc_stream_stop(s, h, 1);
	if (cookie & 4)
		vmc_stream_reset(s, h, 1);
	vmc_stream_ready(s, h);
	check(s);
}

static void write_all(struct vmc_session *s)
{
	const uint8_t *buf;
	size_t n;

	for (unsigned int i = 0;
	     i < STEPS && (n = vmc_session_output(s, &buf, NOW)); i++)
		vmc_session_output_done(s, n, NOW);
}

/* A peer that agrees to everything: all that is retained is sent again. */
static void meet(struct vmc_session *s)
{
	uint8_t entropy[VMC_ENTROPY_LEN] = {1}, bytes[HELLO_OURS], *buf;
	struct vmc_pull pull;
	struct hello h;
	size_t len;

	vmc_session_attach(s, entropy, NOW);
	write_all(s);
	h = s->mine;
	h.kind = HELLO_KIND_ACK;
	h.role = (uint8_t)!s->cfg.role;
	h.verdict = HELLO_VERDICT_RESUME;
	h.echo = s->mine.nonce;
	h.nonce = 7;
	h.tx_first = h.tx_next = s->mine.rx_next;
	h.rx_next = s->mine.tx_first;
	h.rx_digest = s->tx_digest_first;
	h.max_frame = s->max_frame;
	h.grease_type = 0;
	len = wire_put_hello(bytes, &h);
	FUZZ_CHECK(vmc_session_input(s, &buf) >= len);
	memcpy(buf, bytes, len);
	vmc_session_input_done(s, len, NOW);
	take_events(s);
	FUZZ_CHECK(s->state == VMC_SESSION_UP && s->up_resumed);
	for (unsigned int i = 0; i < STEPS && vmc_session_pull(s, &pull, NOW);
	     i++) {
		memset(pull.buf, 'p', pull.len);
		vmc_session_pull_done(s, pull.len, 0, NOW);
	}
	check(s);
	write_all(s);
	check(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmc_session_config c;
	struct vmc_session *s;
	uint64_t cookie;
	uint32_t pos = 0;
	size_t mem_size;
	vmc_stream h;
	uint8_t *blob;
	void *mem;
	int err;

	if (!size || size > VMC_STATE_MAX)
		return 0;
	limits(&c, data[0]);
	blob = fuzz_copy(data + 1, size - 1);
	if (data[0] & 1)
		fix(blob, size - 1);
	mem = block(&c, &mem_size);
	err = vmc_session_load(&s, mem, mem_size, &c, blob, size - 1, NOW);
	free(blob);
	check(s);
	FUZZ_CHECK(!err || s->state == VMC_SESSION_CLOSED);
	if (!err && s->has_session) {
		take_events(s);
		again(s, &c);
		take_events(s);
		while (vmc_stream_next(s, &pos, &h, &cookie))
			use_stream(s, h, cookie);
		take_events(s);
		meet(s);
	}
	vmc_session_bye(s, VMC_REASON_MIGRATED, NOW);
	take_events(s);
	free(mem);
	return 0;
}
