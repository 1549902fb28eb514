/* SPDX-License-Identifier: MIT */
/*
 * fuzz_connect.c - the first line on a broker's "connect" socket
 *
 * A line that is accepted must be the verb, the name and the line's end, and
 * nothing else; of one that is not, no name may get out.
 */
#include <stdio.h>
#include <string.h>
#include <vmchannel/session.h>

#include "broker/connect_line.h"
#include "fuzz.h"

#define UNTOUCHED '#' /* in no name */

static void check_good(const char *line, size_t size, const char *channel)
{
	char want[VMC_NAME_MAX + 16];
	size_t len = strnlen(channel, VMC_NAME_MAX + 1);
	const char *end = size > 1 && line[size - 2] == '\r' ? "\r\n" : "\n";
	int n;

	FUZZ_CHECK(len <= VMC_NAME_MAX && vmc_name_valid(channel, len));
	n = snprintf(want, sizeof(want), "CONNECT %s%s", channel, end);
	FUZZ_CHECK((size_t)n == size && memcmp(want, line, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = (char *)fuzz_copy(data, size);
	char channel[VMC_NAME_MAX + 1];

	memset(channel, UNTOUCHED, sizeof(channel));
	if (connect_line_parse(line, size, channel) == CONNECT_LINE_OK)
		check_good(line, size, channel);
	else
		for (size_t i = 0; i < sizeof(channel); i++)
			FUZZ_CHECK(channel[i] == UNTOUCHED);
	free(line);
	return 0;
}
