/* SPDX-License-Identifier: MIT */
/* reason.c - words for reasons (types.h) */
#include <vmchannel/types.h>

#include <stddef.h>

struct reason_row {
	unsigned int value;
	const char *name, *text;
};

static const struct reason_row rows[] = {
#define X(id, value, name, text) {(value), (name), (text)},
	VMC_REASONS(X)
#undef X
};

static const struct reason_row row_vendor = {VMC_REASON_VENDOR, "vendor",
					     "a vendor's own reason"};
static const struct reason_row row_app = {VMC_REASON_APP, "application",
					  "the application's own reason"};
static const struct reason_row row_unknown = {
	0, "unknown", "a reason that this version does not know"};

static const struct reason_row *reason_find(unsigned int reason)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].value == reason)
			return &rows[i];
	}
	if (reason >= VMC_REASON_APP && reason <= 0xffff)
		return &row_app;
	if (reason >= VMC_REASON_VENDOR && reason < VMC_REASON_APP)
		return &row_vendor;
	return &row_unknown;
}

const char *vmc_reason_name(unsigned int reason)
{
	return reason_find(reason)->name;
}

const char *vmc_reason_text(unsigned int reason)
{
	return reason_find(reason)->text;
}
