/* SPDX-License-Identifier: MIT */
/*
 * msgcheck.c - are the message lengths in a stream within the limit?
 */
#include "broker/msgcheck.h"

#include <vmchannel/types.h>

bool msgcheck_at_boundary(const struct msgcheck *c)
{
	return c->body == 0 && c->n_partial == 0;
}

bool msgcheck_feed(struct msgcheck *c, const uint8_t *p, size_t len)
{
	while (len > 0) {
		if (c->body > 0) {
			size_t n = len < c->body ? len : c->body;

			c->body -= (uint32_t)n;
			p += n;
			len -= n;
			continue;
		}
		c->partial |= (uint32_t)*p << (8u * c->n_partial);
		c->n_partial++;
		p++;
		len--;
		if (c->n_partial < sizeof(uint32_t))
			continue;
		if (c->partial > VMC_MSG_MAX)
			return false;
		c->body = c->partial;
		c->partial = 0;
		c->n_partial = 0;
	}
	return true;
}
