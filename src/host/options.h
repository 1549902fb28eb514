/* SPDX-License-Identifier: MIT */
/*
 * options.h - vmchanneld's command line
 */
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

/* Exit statuses; docs/man/vmchanneld.8.scd. */
#define EXIT_RUN    1 /* something failed while running */
#define EXIT_USAGE  2 /* the command line or a configuration file is wrong */
#define EXIT_IN_USE 3 /* another vmchanneld serves this VM */

struct options {
	const char *vm;
	const char *dir;    /* --dir or NULL */
	const char *config; /* --config or NULL */
	const char *uuid;   /* --uuid or NULL */
	const char *link;   /* --link or NULL: "link" in the VM's directory */
	const char *qmp_events; /* --qmp-events or NULL */
	const char *qemu_group; /* --qemu-group or NULL */
	int link_fd;            /* --link-fd or -1 */
	int ready_fd;           /* --ready-fd or -1 */
	const char *user;       /* --user or NULL */
	mode_t socket_mode;
	bool exit_with_link;
	bool sandbox;
	bool incoming; /* the VM comes from elsewhere */
	bool worker;   /* started by the supervisor */
	bool bus;      /* the same */
	bool qmp;      /* the same */
	bool adopt;    /* worker: a predecessor hands over */
	int resume_fd; /* supervisor: go on from this state, or -1 */
	int check_fd;  /* only say whether that could be done, or -1 */
	int argc;      /* the whole command line, for the next program */
	char **argv;
};

/**
 * options_parse() - read the command line
 *
 * Return: -1 to go on, or the status to exit with; everything that there is
 * to say has been printed then.
 */
int options_parse(struct options *ret, int argc, char **argv);

#endif /* HOST_OPTIONS_H */
