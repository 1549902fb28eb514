/* SPDX-License-Identifier: MIT */
/*
 * services.h - services.d: commands and sockets behind channel names
 *
 * Format: docs/architecture.md, "Services". Loading reads files (supervisor
 * and agent); the rest is plain data.
 */
#ifndef BROKER_SERVICES_H
#define BROKER_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <vmchannel/types.h>

#define SERVICES_MAX            64
#define SERVICE_ARGS_MAX        32
#define SERVICE_STREAMS_MAX     256
#define SERVICE_STREAMS_DEFAULT 16

struct service {
	char name[VMC_NAME_MAX + 1];
	char *argv[SERVICE_ARGS_MAX + 1]; /* command, or argv[0] == NULL; all
					     in the block of argv[0] */
	char *socket;                     /* or path of a unix socket */
	char *user;                       /* NULL: the broker's own */
	unsigned int max_streams;
	bool messages;
	char *origin; /* file, for messages */
};

struct services {
	struct service *list;
	size_t n;
};

/**
 * services_load() - read every *.conf of the given folders
 * @dirs:    NULL-terminated; earlier ones win for the same name; missing
 *           folders are not an error
 * @ret_err: one line "FILE:LINE: what and what to do" on failure
 *
 * Return: 0 or a negative errno; @ret is untouched on failure.
 */
int services_load(struct services *ret, const char *const *dirs, char *ret_err,
		  size_t err_size);
void services_done(struct services *s);
const struct service *services_find(const struct services *s, const char *name);

/**
 * service_spawn() - one process of a command service, or one connection
 * @caller:    "host:UID" or "guest:UID"
 * @stream_id: for the environment
 * @ret_pid:   the process, or 0 for a socket service
 *
 * Return: a non-blocking, close-on-exec descriptor (the caller's end), or a
 * negative errno. The child gets the other end as stdin and stdout, and the
 * broker's stderr.
 */
int service_spawn(const struct service *svc, const char *caller,
		  const char *stream_id, int *ret_pid);

#endif /* BROKER_SERVICES_H */
