/* SPDX-License-Identifier: MIT */
/* error.c - vmc_strerror() and vmc_version() */
#include "client/error.h"

#include <stdarg.h>
#include <stdio.h>

#include <vmchannel/vmchannel.h>

/* A path, two names and two clauses. */
#define TEXT_MAX 768

static _Thread_local char text[TEXT_MAX];

/* What is quoted may come from the other side; it stays one clean line. */
static void make_one_line(void)
{
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

int client_fail(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_one_line();
	return -error;
}

const char *vmc_strerror(void)
{
	return text[0] ? text : "no error";
}

const char *vmc_version(void)
{
	return VMC_VERSION;
}
