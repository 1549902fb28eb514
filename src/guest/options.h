/* SPDX-License-Identifier: MIT */
/*
 * options.h - the agent's command line
 */
#ifndef GUEST_OPTIONS_H
#define GUEST_OPTIONS_H

#include <stdbool.h>

struct options {
	const char *port;
	const char *device;
	char *dir;
	char *config;
	bool debug;
	bool operations;    /* be the operations process */
	bool no_operations; /* start none */
};

#define EXIT_USAGE 2

/**
 * options_parse() - read the command line
 *
 * Return: -1 to go on, or the exit status after --help, --version or a
 * mistake, which was told.
 */
int options_parse(struct options *ret, int argc, char **argv);

#endif /* GUEST_OPTIONS_H */
