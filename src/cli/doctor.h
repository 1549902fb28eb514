/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - one check per hop between a program and the other side
 *
 * A hop is one function and one row in the table of its side. The first one
 * that is bad ends the examination: what lies behind cannot be good.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <jansson.h>

enum doctor_verdict {
	DOCTOR_GOOD,
	DOCTOR_BAD,
	DOCTOR_SKIPPED, /* cannot be told, and does not matter by itself */
};

struct doctor {
	const char *vm;
	json_t *info;      /* GetInfo's answer; NULL if there was none */
	char why_not[512]; /* then: the reason */
	/* Filled by a check. */
	char detail[512];
	char remedy[512]; /* when bad */
};

struct doctor_hop {
	const char *name;
	enum doctor_verdict (*check)(struct doctor *d);
};

/* Each ends with a row of NULLs. */
extern const struct doctor_hop doctor_guest_hops[]; /* doctor_guest.c */
extern const struct doctor_hop doctor_host_hops[];  /* doctor_host.c */
extern const struct doctor_hop doctor_link_hops[];  /* doctor_link.c: both */

/* Fill in the texts and return DOCTOR_BAD / DOCTOR_GOOD. */
void doctor_detail(struct doctor *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void doctor_remedy(struct doctor *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* CLI_DOCTOR_H */
