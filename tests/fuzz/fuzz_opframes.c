/* SPDX-License-Identifier: MIT */
/*
 * fuzz_opframes.c - what a guest sends after the replies of Exec and File
 *
 * Four bytes choose: the method; how the bytes are cut when they come; how
 * much is written at a time; where in the ring it begins. Whatever they are,
 * what comes out must be what a reader that has everything at once, and no
 * ring, makes of the same bytes.
 */
#include <string.h>

#include "base/opframe.h"
#include "cli/frames_down.h"
#include "cli/operror.h"
#include "fuzz.h"

#define CHOICES 4u

struct reading {
	uint8_t *out, *err; /* all that came, of each */
	size_t n_out, n_err;
	uint64_t took;
	enum frames_last last;
};

static void reading_init(struct reading *r, size_t size)
{
	*r = (struct reading){.out = malloc(size + 1), .err = malloc(size + 1)};
	FUZZ_CHECK(r->out && r->err);
}

static void reading_done(struct reading *r)
{
	free(r->out);
	free(r->err);
}

static void collect(struct reading *r, bool err, const void *p, size_t n)
{
	uint8_t *to = err ? r->err : r->out;
	size_t *len = err ? &r->n_err : &r->n_out;

	memcpy(to + *len, p, n);
	*len += n;
}

/* ---- the reader that has everything at once -------------------------- */

static bool may_come(enum frames_kind kind, enum opframe_type type, bool ended)
{
	bool exec = kind == FRAMES_PIPES || kind == FRAMES_TTY;

	if (type == OPFRAME_OUT)
		return (exec && !ended) || kind == FRAMES_PULL;
	if (type == OPFRAME_ERR)
		return kind == FRAMES_PIPES && !ended;
	if (type == OPFRAME_END)
		return exec && !ended;
	if (type == OPFRAME_EXIT || type == OPFRAME_TOOK)
		return exec;
	if (type == OPFRAME_SUM_OF)
		return !exec;
	return type == OPFRAME_ERROR;
}

/* A frame that is not output, and whole. */
static enum frames_last read_whole(struct reading *r, const struct opframe *f,
				   const uint8_t *body)
{
	struct opframe_exit how;

	if (f->type == OPFRAME_TOOK) {
		r->took += opframe_get_took(body);
		return opframe_get_took(body) ? FRAMES_GOING : FRAMES_WRONG;
	}
	if (f->type == OPFRAME_EXIT)
		return opframe_get_exit(body, &how) ? FRAMES_EXIT
						    : FRAMES_WRONG;
	if (f->type == OPFRAME_SUM_OF)
		return FRAMES_SUM;
	return f->type == OPFRAME_ERROR ? FRAMES_ERROR : FRAMES_GOING;
}

static void read_all(struct reading *r, enum frames_kind kind, const uint8_t *p,
		     size_t left)
{
	bool ended = false;
	struct opframe f;

	while (r->last == FRAMES_GOING && left >= OPFRAME_HEAD) {
		if (!opframe_get(p, &f) || !may_come(kind, f.type, ended)) {
			r->last = FRAMES_WRONG;
			break;
		}
		p += OPFRAME_HEAD;
		left -= OPFRAME_HEAD;
		if (f.type == OPFRAME_OUT || f.type == OPFRAME_ERR) {
			if (f.len > left)
				f.len = (uint32_t)left;
			collect(r, f.type == OPFRAME_ERR, p, f.len);
		} else if (left < f.len) {
			break;
		} else {
			ended = ended || f.type == OPFRAME_END;
			r->last = read_whole(r, &f, p);
		}
		p += f.len;
		left -= f.len;
	}
}

/* ---- the one that is tried ------------------------------------------- */

/* Writes up to @most bytes of the next output. */
static bool write_some(struct frames_down *d, struct reading *r, size_t most)
{
	struct iovec v[FRAMES_PARTS];
	enum opframe_type type = OPFRAME_TYPES;
	int parts = frames_down_front(d, v, &type);
	size_t written = 0;

	FUZZ_CHECK(parts <= FRAMES_PARTS);
	for (int i = 0; i < parts && written < most; i++) {
		size_t n = v[i].iov_len;

		if (n > most - written)
			n = most - written;
		collect(r, type == OPFRAME_ERR, v[i].iov_base, n);
		written += n;
	}
	frames_down_wrote(d, written);
	r->took += frames_down_took(d);
	return written > 0;
}

static size_t give_some(struct frames_down *d, struct reading *r,
			const uint8_t *p, size_t n)
{
	struct iovec v[RING_PARTS];
	int parts = frames_down_room(d, v);
	size_t given = 0;

	for (int i = 0; i < parts && given < n; i++) {
		size_t k = n - given < v[i].iov_len ? n - given : v[i].iov_len;

		memcpy(v[i].iov_base, p + given, k);
		given += k;
	}
	frames_down_add(d, given);
	r->took += frames_down_took(d);
	return given;
}

static void check_error(const struct frames_down *d)
{
	char *error, *parameters;

	FUZZ_CHECK(d->error && d->error[d->error_len] == '\0');
	if (operror_parse(d->error, d->error_len, &error, &parameters))
		return;
	FUZZ_CHECK(error[0] != '\0' && parameters[0] == '{');
	free(error);
	free(parameters);
}

static void try_all(struct reading *r, enum frames_kind kind,
		    const uint8_t choices[CHOICES], const uint8_t *p,
		    size_t left)
{
	struct frames_down d;
	size_t come = choices[1] * 37u + 1, most = choices[2] * 91u + 1, n;

	FUZZ_CHECK(frames_down_init(&d, kind));
	d.ring.start = d.ring.end = d.parsed = d.ring.cap - choices[3];
	do {
		n = give_some(&d, r, p, left < come ? left : come);
		p += n;
		left -= n;
		/* Sometimes nobody reads for a while. */
		if (choices[2] & 1 || n == 0)
			n += write_some(&d, r, most) ? 1 : 0;
	} while (n > 0);
	FUZZ_CHECK(d.n == 0);
	FUZZ_CHECK(d.last != FRAMES_GOING || left == 0);
	FUZZ_CHECK((d.last != FRAMES_GOING) == frames_down_is_over(&d));
	if (d.last == FRAMES_ERROR)
		check_error(&d);
	r->last = d.last;
	frames_down_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading want, got;
	enum frames_kind kind;
	uint8_t *copy;

	if (size < CHOICES)
		return 0;
	kind = (enum frames_kind)(data[0] % (FRAMES_PUSH + 1));
	copy = fuzz_copy(data + CHOICES, size - CHOICES);
	reading_init(&want, size);
	reading_init(&got, size);
	read_all(&want, kind, copy, size - CHOICES);
	try_all(&got, kind, data, copy, size - CHOICES);
	FUZZ_CHECK(got.last == want.last && got.took == want.took);
	FUZZ_CHECK(got.n_out == want.n_out && got.n_err == want.n_err);
	FUZZ_CHECK(memcmp(got.out, want.out, got.n_out) == 0);
	FUZZ_CHECK(memcmp(got.err, want.err, got.n_err) == 0);
	reading_done(&want);
	reading_done(&got);
	free(copy);
	return 0;
}
