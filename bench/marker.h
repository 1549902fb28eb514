/* SPDX-License-Identifier: MIT */
/* marker.h - something happens in the guest, and a raw port says when */
#ifndef MARKER_H
#define MARKER_H

#include <stdbool.h>

/* What marker_port_say() writes. */
#define MARKER_ASKED 'a' /* it was asked for: others will tell of it */
#define MARKER_SIGNAL                                          \
	's' /* it happens: the kernel, or the bus, tells of it \
	     */

/* marker_say() - one byte to the port, at once */
void marker_say(char c);

/* marker_init() - @args: of the command line. Return: is all there? */
bool marker_init(int n, char **args);

/* marker_happen() - the @n-th one; says MARKER_SIGNAL. Return: did it? */
bool marker_happen(unsigned int n);

#endif /* MARKER_H */
