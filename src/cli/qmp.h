/* SPDX-License-Identifier: MIT */
/*
 * qmp.h - a QMP client: one command at a time, every wait has an end
 *
 * QEMU is not trusted with our memory or our time: a guest may have broken
 * into it. A line is limited, and a command's time-out counts from its start,
 * whatever number of events comes in between.
 */
#ifndef CLI_QMP_H
#define CLI_QMP_H

#include <jansson.h>

/* Answers that we ask for are a few KiB. */
#define QMP_LINE_MAX (1024 * 1024)

struct qmp;

/**
 * qmp_open() - connect to a QMP socket and negotiate
 * @ret: to be closed with qmp_close(); also set on failure, for qmp_error(),
 *       unless -ENOMEM is returned
 *
 * Return: 0, or -ENOENT, -ECONNREFUSED, -EACCES, -ETIMEDOUT (another client
 * holds the socket), -EPROTO, -ECONNRESET, -ENAMETOOLONG, -ENOMEM.
 */
int qmp_open(struct qmp **ret, const char *path, int timeout_ms);
void qmp_close(struct qmp *q);

/**
 * qmp_command() - run one command
 * @arguments: consumed; NULL for none
 * @ret:       what it returned, to be json_decref()ed; NULL: not wanted
 *
 * Return: 0; -EREMOTEIO if QEMU answered with an error, and qmp_error() has
 * its text and qmp_error_class() its class; -ETIMEDOUT, -EPROTO, -ECONNRESET,
 * after which only qmp_close() is possible.
 */
int qmp_command(struct qmp *q, const char *name, json_t *arguments,
		json_t **ret);

/* qmp_command_fd() - the same with a descriptor (borrowed) beside it */
int qmp_command_fd(struct qmp *q, const char *name, json_t *arguments, int fd,
		   json_t **ret);

/* qmp_error() - what went wrong last, one line; valid until the next call */
const char *qmp_error(const struct qmp *q);
const char *qmp_error_class(const struct qmp *q);

/**
 * qmp_watch_deleted() - look out for DEVICE_DELETED of a device from now on
 * @device: id; borrowed until the next call of this function
 */
void qmp_watch_deleted(struct qmp *q, const char *device);

/**
 * qmp_wait_deleted() - wait until the watched device is gone
 *
 * Return: 0, -ETIMEDOUT, or as qmp_command().
 */
int qmp_wait_deleted(struct qmp *q, int timeout_ms);

#endif /* CLI_QMP_H */
