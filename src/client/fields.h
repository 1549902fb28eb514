/* SPDX-License-Identifier: MIT */
/* fields.h - members of a reply's parameters, checked */
#ifndef CLIENT_FIELDS_H
#define CLIENT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmchannel/vmchannel.h>

/* The readers return false if the member is there with the wrong type, is out
 * of range, or is missing although it must be there. An absent or null member
 * gives "", 0 or false. */

/* fields_string() - printable ASCII only; @size bytes, NUL included */
bool fields_string(const json_t *o, const char *key, bool must, char *ret,
		   size_t size);
bool fields_u64(const json_t *o, const char *key, bool must, uint64_t *ret);
bool fields_bool(const json_t *o, const char *key, bool must, bool *ret);
/* fields_caller() - the "caller" in @o, but for its id */
bool fields_caller(const json_t *o, struct vmc_caller *ret);

/* fields_text() - a string to quote to people, or "" (borrowed from @o) */
const char *fields_text(const json_t *o, const char *key);

/* What fields_reason() gives for a word that it does not know: the name for it
 * is "unknown". */
#define FIELDS_REASON_UNKNOWN 0x3fffu

/* fields_reason() - value of a reason's word */
unsigned int fields_reason(const char *word);

#endif /* CLIENT_FIELDS_H */
