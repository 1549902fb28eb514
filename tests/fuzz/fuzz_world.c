/* SPDX-License-Identifier: MIT */
/*
 * fuzz_world.c - the simulation, its decisions taken from the input
 *
 * Two honest engines, applications and a faulty link (tests/sim). The oracle
 * of the simulator is the judge.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "world.h"

#define STEPS 150u

static void choose_profile(struct world *w)
{
	struct profile *p = &w->profile;
	uint64_t kind = prng_below(&w->rng, 256);

	p->tiny = kind & 3;
	p->convs_at_once = 12;
	p->bytes_max = 4096;
	p->bytes_all = 16384;
	p->cuts = kind & 4;
	p->corruption = kind & 8;
	p->losses = kind & 16;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	prng_bytes(&w.rng, data, size);
	choose_profile(&w);
	world_init(&w);
	world_chaos(&w, STEPS);
	/* The seed decides the rest: calm is long and needs many decisions. */
	w.rng.left = 0;
	world_calm(&w);
	if (world_failed(&w)) {
		fprintf(stderr, "%s\n", w.failure);
		abort();
	}
	world_done(&w);
	return 0;
}
