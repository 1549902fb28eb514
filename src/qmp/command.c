/* SPDX-License-Identifier: MIT */
/* command.c - a QMP command as text */
#include "qmp/command.h"

#include <stdlib.h>
#include <string.h>

/* jansson does not leave room for the line's end. */
static char *add_newline(char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *line = text ? realloc(text, len + 2) : NULL;

	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + len, "\n", 2);
	return line;
}

char *qmp_command_text(const char *name, json_int_t id, json_t *arguments)
{
	json_t *o = json_pack("{s:s,s:I}", "execute", name, "id", id);
	char *text = NULL;

	if (o &&
	    (!arguments || json_object_set(o, "arguments", arguments) == 0))
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return add_newline(text);
}
