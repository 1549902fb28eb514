/* SPDX-License-Identifier: MIT */
/* place.h - a VM's directory, before there is one */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include "client/vmpath.h"

struct place {
	char root[VMPATH_MAX]; /* what vmchanneld gets as --dir */
	char dir[VMPATH_MAX];
	char link[VMPATH_MAX];
	char qmp[VMPATH_MAX];    /* for people */
	char events[VMPATH_MAX]; /* for vmchanneld alone */
	char config[VMPATH_MAX]; /* for QEMU's -readconfig */
	char log[VMPATH_MAX];
	char state[VMPATH_MAX]; /* vmchanneld's socket for dbus-vmstate */
};

/**
 * place_find() - where the directory of @vm is, or would be made
 *
 * Return: CLI_OK, or CLI_FAILED with the reason on stderr: the name cannot be
 * a VM's, there is no root, or a socket's path would be too long.
 */
int place_find(struct place *ret, const char *vm);

/**
 * place_program() - find a program as the shell would
 * @ret: PATH_MAX bytes
 *
 * Return: 0; ENOENT; or EACCES (it may not be run).
 */
int place_program(char *ret, const char *name);

/**
 * place_daemon() - find vmchanneld: $VMCHANNELD, beside this program, in its
 * libexec folder, in a build tree, in PATH
 * @ret: PATH_MAX bytes
 *
 * Return: CLI_OK, or CLI_FAILED with the reason on stderr.
 */
int place_daemon(char *ret);

/* place_is_listened_on() - false only if it is sure that nobody does */
bool place_is_listened_on(const char *path);

/* place_listen() - a unix socket that listens at @path; what was left there
 * by somebody who is gone is replaced. Return: descriptor or -errno. */
int place_listen(const char *path);

#endif /* CLI_PLACE_H */
