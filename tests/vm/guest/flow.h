/* SPDX-License-Identifier: MIT */
/*
 * flow.h - a stream that runs both ways until it is told to stop
 *
 * Writes a pattern and checks the one that comes, both paced or as fast as
 * they can, and notes when nothing came. SIGUSR1: write no more, half-close,
 * read to the end. The result is one line on stderr:
 *
 *	flow N: out O in I lost L doubled D garbage G end WHY gaps A-B,...
 *
 * A and B are times of CLOCK_REALTIME in ms between which nothing came.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct flow_options {
	uint64_t seed;
	uint64_t out_rate; /* bytes a second; 0: as fast as it goes */
	uint64_t in_rate;
	uint64_t tick_ms; /* how often a paced one does something */
	uint64_t number;  /* which stream it is; the accepting end is told */
	bool accepts;     /* this end took the stream */
	/* A raw port has no end: after SIGUSR1 silence is one. */
	bool raw;
	/* With SIGUSR2 go on with this socket, once the old one is silent. */
	const char *next_path;
};

/* flow_signals() - have the signals blocked, before there is a stream */
void flow_signals(void);

/* flow_play() - until it ends. Return: 0 if every byte was the right one */
int flow_play(int fd, const struct flow_options *o);

/* flow_connect() - a unix stream socket; -1: nobody there */
int flow_connect(const char *path);
