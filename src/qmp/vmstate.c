/* SPDX-License-Identifier: MIT */
/* vmstate.c - the dbus-vmstate object that carries streams along */
#include "qmp/vmstate.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "unix:path="

/* In a D-Bus address, every character that is not one of these is %XX. So
 * QEMU finds no comma in it. */
static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || strchr("-_/.\\*", c) != NULL;
}

char *vmstate_address(const char *path)
{
	char *address = malloc(sizeof(SCHEME) + 3 * strlen(path));
	char *to = address;

	if (!address)
		return NULL;
	to += sprintf(to, "%s", SCHEME);
	for (; *path != '\0'; path++) {
		if (is_plain(*path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02x", (unsigned char)*path);
	}
	*to = '\0';
	return address;
}
