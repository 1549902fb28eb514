/* SPDX-License-Identifier: MIT */
/* opframe.c - the frames of org.vmchannel.Exec and .File */
#include "base/opframe.h"

#include "base/bytes.h"

/* How long the body of each type is. */
static const struct {
	uint32_t min, max;
} lengths[OPFRAME_TYPES] = {
	[OPFRAME_DATA] = {1, OPFRAME_MAX},
	[OPFRAME_OUT] = {1, OPFRAME_MAX},
	[OPFRAME_ERR] = {1, OPFRAME_MAX},
	[OPFRAME_END] = {0, 0},
	[OPFRAME_SIZE] = {OPFRAME_SIZE_LEN, OPFRAME_SIZE_LEN},
	[OPFRAME_SIGNAL] = {OPFRAME_SIGNAL_LEN, OPFRAME_SIGNAL_LEN},
	[OPFRAME_EXIT] = {OPFRAME_EXIT_LEN, OPFRAME_EXIT_LEN},
	[OPFRAME_SUM_OF] = {OPFRAME_SUM, OPFRAME_SUM},
	[OPFRAME_ERROR] = {2, OPFRAME_MAX},
	[OPFRAME_TOOK] = {OPFRAME_TOOK_LEN, OPFRAME_TOOK_LEN},
};

bool opframe_get(const uint8_t *p, struct opframe *ret)
{
	struct rd r = rd_init(p, OPFRAME_HEAD);
	uint32_t len = rd_u32(&r);
	uint8_t type = rd_u8(&r);
	bool zero = rd_u8(&r) == 0;

	zero = rd_u16(&r) == 0 && zero;
	if (!zero || type >= OPFRAME_TYPES)
		return false;
	if (len < lengths[type].min || len > lengths[type].max)
		return false;
	*ret = (struct opframe){.type = (enum opframe_type)type, .len = len};
	return true;
}

void opframe_put(uint8_t *p, enum opframe_type type, size_t len)
{
	le32_put(p, (uint32_t)len);
	p[4] = (uint8_t)type;
	p[5] = p[6] = p[7] = 0;
}

bool opframe_get_size(const uint8_t *p, struct opframe_size *ret)
{
	struct rd r = rd_init(p, OPFRAME_SIZE_LEN);

	ret->rows = rd_u16(&r);
	ret->columns = rd_u16(&r);
	return ret->rows > 0 && ret->columns > 0;
}

void opframe_put_size(uint8_t *p, const struct opframe_size *size)
{
	struct wr w = wr_init(p, OPFRAME_SIZE_LEN);

	wr_u16(&w, size->rows);
	wr_u16(&w, size->columns);
}

bool opframe_get_exit(const uint8_t *p, struct opframe_exit *ret)
{
	struct rd r = rd_init(p, OPFRAME_EXIT_LEN);
	uint8_t how = rd_u8(&r);

	ret->killed = how == 1;
	ret->value = rd_u8(&r);
	if (how > 1)
		return false;
	return !ret->killed ||
	       (ret->value > 0 && ret->value <= OPFRAME_SIGNAL_MAX);
}

void opframe_put_exit(uint8_t *p, const struct opframe_exit *how)
{
	struct wr w = wr_init(p, OPFRAME_EXIT_LEN);

	wr_u8(&w, how->killed ? 1 : 0);
	wr_u8(&w, how->value);
}

unsigned int opframe_get_signal(const uint8_t *p)
{
	struct rd r = rd_init(p, OPFRAME_SIGNAL_LEN);
	unsigned int number = rd_u8(&r);

	return number <= OPFRAME_SIGNAL_MAX ? number : 0;
}

uint32_t opframe_get_took(const uint8_t *p)
{
	struct rd r = rd_init(p, OPFRAME_TOOK_LEN);
	uint32_t bytes = rd_u32(&r);

	return bytes <= OPFRAME_WINDOW ? bytes : 0;
}

void opframe_put_took(uint8_t *p, uint32_t bytes)
{
	struct wr w = wr_init(p, OPFRAME_TOOK_LEN);

	wr_u32(&w, bytes);
}
