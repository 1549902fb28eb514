/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - runs with a fixed script and a measured result
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdint.h>
#include <stdio.h>

/* scenario_all() - run each; results to @out; number of failed ones */
int scenario_all(uint64_t seed, FILE *out);

#endif /* SIM_SCENARIO_H */
