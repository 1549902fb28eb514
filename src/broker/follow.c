/* SPDX-License-Identifier: MIT */
/*
 * follow.c - programs that come along when their VM moves
 *
 * A stream that came with its VM is AWAITED: nothing is delivered and its
 * credit stays as it was, until somebody shows its token and knows how many
 * bytes were delivered. Nobody is let in before a handshake has proved that
 * the VM runs here.
 */
#include <string.h>
#include <sys/random.h>

#include "broker/control.h"
#include "broker/internal.h"
#include "broker/state.h"

void stream_make_token(struct stream *st)
{
	while (getrandom(st->token, TOKEN_LEN, 0) != TOKEN_LEN)
		;
}

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

bool token_parse(const char *text, uint8_t ret[TOKEN_LEN])
{
	if (strlen(text) != TOKEN_TEXT - 1)
		return false;
	for (int i = 0; i < TOKEN_LEN; i++) {
		int hi = digit(text[2 * i]), lo = digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

bool token_equal(const uint8_t a[TOKEN_LEN], const uint8_t b[TOKEN_LEN])
{
	unsigned int differ = 0;

	for (int i = 0; i < TOKEN_LEN; i++)
		differ |= (unsigned int)(a[i] ^ b[i]);
	return differ == 0;
}

static void begin_waiting(struct broker *b, uint64_t now_ms)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if (st->state != STREAM_AWAITED || st->since_ms != 0)
			continue;
		st->since_ms = now_ms;
		broker_sweep_need(b);
	}
}

void follow_up(struct broker *b, uint64_t now_us)
{
	b->expecting = false;
	begin_waiting(b, now_us / 1000u);
	b->control_again = true;
}

void follow_fence(struct broker *b, const uint8_t save_id[TOKEN_LEN])
{
	memcpy(b->saved_id, save_id, sizeof(b->saved_id));
	if (++b->last_fence == 0)
		b->last_fence++;
	b->fence = b->last_fence;
	b->control_again = true;
	pump_kick(b);
}

bool broker_has_loaded(const struct broker *b)
{
	static const uint8_t none[TOKEN_LEN];

	return memcmp(b->loaded_id, none, sizeof(none)) != 0;
}

static void end_late(struct broker *b, struct stream *st)
{
	b->count.limit_follow_time++;
	stream_reset(b, st, VMC_REASON_TIMEOUT);
}

bool follow_sweep(struct broker *b, uint64_t now_ms)
{
	bool left = control_sweep_resumes(b, now_ms);

	for (uint32_t i = 0; i < b->n_slots && !b->frozen; i++) {
		struct stream *st = &b->streams[i];

		/* Not counted before the first handshake. */
		if (st->state != STREAM_AWAITED || st->since_ms == 0)
			continue;
		if (now_ms - st->since_ms < FOLLOW_MS)
			left = true;
		else
			end_late(b, st);
	}
	return left;
}
