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
	const char *dir;
	const char *config;
	bool debug;
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
