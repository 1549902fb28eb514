/* SPDX-License-Identifier: MIT */
/*
 * connect_line.c - the first line on the "connect" socket
 */
#include "broker/connect_line.h"

#include <string.h>
#include <vmchannel/session.h>

enum connect_line connect_line_parse(const char *line, size_t len,
				     char *ret_channel)
{
	static const char verb[] = "CONNECT ";
	const size_t verb_len = sizeof(verb) - 1;

	if (len < verb_len + 1 || line[len - 1] != '\n' ||
	    memcmp(line, verb, verb_len) != 0)
		return CONNECT_LINE_BAD;
	line += verb_len;
	len -= verb_len + 1;
	/* Typed by hand, or sent by a network tool. */
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (!vmc_name_valid(line, len))
		return CONNECT_LINE_BAD_NAME;
	memcpy(ret_channel, line, len);
	ret_channel[len] = '\0';
	return CONNECT_LINE_OK;
}
