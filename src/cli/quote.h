/* SPDX-License-Identifier: MIT */
/* quote.h - words for a shell and text for XML */
#ifndef CLI_QUOTE_H
#define CLI_QUOTE_H

#include <stdio.h>

/* quote_shell() - write one word as a POSIX shell reads it back */
void quote_shell(FILE *to, const char *word);
/* quote_xml() - write text as it may stand in an attribute */
void quote_xml(FILE *to, const char *text);

#endif /* CLI_QUOTE_H */
