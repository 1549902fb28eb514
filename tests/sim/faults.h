/* SPDX-License-Identifier: MIT */
/*
 * faults.h - what a link and the processes at its ends do wrong
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "world.h"

/* faults_weather() - delay, rate, stalls: what every link does */
void faults_weather(struct world *w);

/* faults_strike() - one random fault that the profile allows */
void faults_strike(struct world *w);

#endif /* SIM_FAULTS_H */
