/* SPDX-License-Identifier: MIT */
/*
 * config_blob.c - services and policy as bytes, for the way into the sandbox
 *
 *	u32 number of services, then of each:
 *		u16 length, name; u32 streams; u8 messages; u16 length, origin
 *	the rest is the policy's text
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/session.h>

#include "base/bytes.h"
#include "host/config.h"

/* Of one service: lengths, numbers, the name, the file's path. */
#define SERVICE_BYTES (2 + VMC_NAME_MAX + 4 + 1 + 2 + PATH_MAX)

static void put_string(struct wr *w, const char *s)
{
	size_t len = strlen(s);

	if (len > UINT16_MAX)
		len = UINT16_MAX;
	wr_u16(w, (uint16_t)len);
	wr_bytes(w, s, len);
}

static void put_services(struct wr *w, const struct services *s)
{
	wr_u32(w, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++) {
		put_string(w, s->list[i].name);
		wr_u32(w, s->list[i].max_streams);
		wr_u8(w, s->list[i].messages);
		put_string(w, s->list[i].origin);
	}
}

uint8_t *config_blob(const struct services *s, const struct policy *p,
		     size_t *ret_len)
{
	size_t text_len;
	char *text = policy_text(p, &text_len);
	size_t size = 4 + s->n * SERVICE_BYTES + (text ? text_len : 0);
	uint8_t *buf = text ? malloc(size) : NULL;
	struct wr w;

	if (!buf) {
		free(text);
		return NULL;
	}
	w = wr_init(buf, size);
	put_services(&w, s);
	wr_bytes(&w, text, text_len);
	free(text);
	if (w.bad) {
		free(buf);
		return NULL;
	}
	*ret_len = size - w.left;
	return buf;
}

/* Return: malloc()ed, or NULL (r->bad, or no memory). */
static char *get_string(struct rd *r, size_t max)
{
	size_t len = rd_u16(r);
	const uint8_t *p = rd_bytes(r, len);
	char *s;

	if (!p || len > max || memchr(p, '\0', len)) {
		r->bad = true;
		return NULL;
	}
	s = malloc(len + 1);
	if (!s)
		return NULL;
	memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

static int get_service(struct rd *r, struct service *s)
{
	char *name = get_string(r, VMC_NAME_MAX);

	if (!name)
		return r->bad ? -EINVAL : -ENOMEM;
	/* get_string() kept it within the maximum */
	memcpy(s->name, name, strlen(name) + 1);
	free(name);
	s->max_streams = rd_u32(r);
	s->messages = rd_u8(r) != 0;
	s->origin = get_string(r, PATH_MAX);
	if (r->bad || !vmc_name_valid(s->name, strlen(s->name)) ||
	    s->max_streams < 1 || s->max_streams > SERVICE_STREAMS_MAX)
		return -EINVAL;
	return s->origin ? 0 : -ENOMEM;
}

static int get_services(struct rd *r, struct services *s)
{
	size_t n = rd_u32(r);
	int e = 0;

	if (r->bad || n > SERVICES_MAX)
		return -EINVAL;
	if (n == 0)
		return 0;
	s->list = calloc(n, sizeof(*s->list));
	if (!s->list)
		return -ENOMEM;
	/* Counted before it is filled, so that services_done() frees it. */
	while (s->n < n && e == 0)
		e = get_service(r, &s->list[s->n++]);
	return e;
}

static int get_policy(struct rd *r, struct policy **ret)
{
	size_t len = r->left;
	const uint8_t *text = rd_bytes(r, len);
	char err[256];
	int e = policy_new(ret, VMC_PRINCIPAL_HOST);

	if (e == 0)
		e = policy_add_text(*ret, "supervisor", (const char *)text, len,
				    NULL, err, sizeof(err));
	if (e == 0)
		e = policy_seal(*ret);
	return e;
}

int config_parse(const uint8_t *buf, size_t len, struct services *ret_services,
		 struct policy **ret_policy)
{
	struct rd r = rd_init(buf, len);
	struct services s = {0};
	struct policy *p = NULL;
	int e = get_services(&r, &s);

	if (e == 0)
		e = get_policy(&r, &p);
	if (e < 0) {
		policy_free(p);
		services_done(&s);
		return e;
	}
	*ret_services = s;
	*ret_policy = p;
	return 0;
}
