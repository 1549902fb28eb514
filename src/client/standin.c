/* SPDX-License-Identifier: MIT */
/* standin.c - words for reasons, only for a tree without src/base */
#include "client/fields.h"

const char *vmc_reason_name(unsigned int reason)
{
	return reason == 0 ? "ok" : "unknown";
}

const char *vmc_reason_text(unsigned int reason)
{
	return fields_reason_text(reason);
}
