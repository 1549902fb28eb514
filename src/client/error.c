/* SPDX-License-Identifier: MIT */
/* error.c - vmc_strerror() and vmc_version() */
#include "client/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <vmchannel/vmchannel.h>

/* A path, two names and two clauses. */
#define TEXT_MAX 768

static _Thread_local char text[TEXT_MAX];

/* U+0080 to U+009F in UTF-8: some terminals obey them like escapes. */
static bool is_c1(const char *s)
{
	return (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 &&
	       (unsigned char)s[1] < 0xa0;
}

/* What is quoted may come from the other side; it stays one clean line. */
static void make_one_line(void)
{
	for (char *c = text; *c != '\0'; c++) {
		if (is_c1(c))
			c[0] = c[1] = '?';
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
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
