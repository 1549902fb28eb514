/* SPDX-License-Identifier: MIT */
/*
 * connect_line.h - the first line on the "connect" socket
 */
#ifndef BROKER_CONNECT_LINE_H
#define BROKER_CONNECT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <vmchannel/types.h>

enum connect_line {
	CONNECT_LINE_OK,
	CONNECT_LINE_BAD,      /* not "CONNECT name" */
	CONNECT_LINE_BAD_NAME, /* the name can never be a channel's */
};

/**
 * connect_line_parse() - take the line apart
 * @line: untrusted; @len bytes, the final newline included
 * @ret_channel: VMC_NAME_MAX + 1 bytes, written on OK
 */
enum connect_line connect_line_parse(const char *line, size_t len,
				     char *ret_channel);

#endif /* BROKER_CONNECT_LINE_H */
