/* SPDX-License-Identifier: MIT */
/*
 * qemu_cmdline.h - what somebody's QEMU command line says already
 *
 * Only looked at, never changed: "vmchannel run" appends to it, so it has to
 * know what is there. Pure: no I/O, no globals.
 */
#ifndef CLI_QEMU_CMDLINE_H
#define CLI_QEMU_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* Longer values are cut; what is compared with is shorter than that. */
#define QEMU_VALUE_MAX 256

struct qemu_cmdline {
	char arch[32];                /* "x86_64"; "" if it cannot be told */
	char machine[QEMU_VALUE_MAX]; /* type; "" if not given */
	char name[QEMU_VALUE_MAX];    /* guest name; "" if not given */
	char uuid[QEMU_VALUE_MAX];    /* "" if not given */
	bool machine_pcie;            /* -machine ...,pcie=on (microvm) */
	bool daemonize;
	bool has_port;  /* a port named org.vmchannel.0 is there already */
	bool has_id;    /* an id that we would use is taken */
	bool has_state; /* there is a dbus-vmstate, and QEMU takes one only */
	bool incoming;  /* it waits for a migration */
};

/**
 * qemu_cmdline_read() - read a command line
 * @argv: NULL-terminated, argv[0] is QEMU; borrowed
 */
void qemu_cmdline_read(struct qemu_cmdline *ret, char *const *argv);

/**
 * qemu_opt_get() - value of a key in "implied,key=value,..."
 * @list:    as QEMU reads it: ",," is a comma within a value, the last one
 *           of the same key counts
 * @implied: key of a first element without "=", or NULL
 * @ret:     written only if the key is there; cut if it is too long
 *
 * A key without a value means "on", "noKEY" would be another key.
 *
 * Return: is the key there?
 */
bool qemu_opt_get(const char *list, const char *implied, const char *key,
		  char *ret, size_t size);

#endif /* CLI_QEMU_CMDLINE_H */
