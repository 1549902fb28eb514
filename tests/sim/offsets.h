/* SPDX-License-Identifier: MIT */
/*
 * offsets.h - one fault at every byte offset of a script
 */
#ifndef SIM_OFFSETS_H
#define SIM_OFFSETS_H

#include <stdint.h>
#include <stdio.h>

#include "world.h"

struct offsets {
	uint64_t seed;   /* of limits and of what a fault leaves to chance */
	uint64_t stride; /* 1: every offset, n: one in n */
	/* only this one, if kind is set: how a failure is repeated */
	const char *kind;
	unsigned int from;
	uint64_t at;
	bool trace;
	/* told of each failure */
	void (*failed)(const void *data, const char *kind, unsigned int from,
		       uint64_t at);
	const void *data;
};

/*
 * offsets_run() - play the script, then break it at each offset in each way
 * @fault: raised by what was injected, by kind
 *
 * Return: number of failures; each is printed to @out.
 */
uint64_t offsets_run(const struct offsets *o, uint64_t fault[FAULT_NUM],
		     FILE *out);

#endif /* SIM_OFFSETS_H */
