/* SPDX-License-Identifier: MIT */
/* load.h - parts of load.c: what else a saved state has a file for */
#ifndef SESSION_LOAD_H
#define SESSION_LOAD_H

#include "base/bytes.h"
#include "session/internal.h"

/* Numbers and offsets stay below: nothing that is added to one overflows, and
 * nobody gets here in a lifetime. */
#define LOAD_NUMBER_MAX (UINT64_C(1) << 62)

/* load_streams() - sections STREAMS and RECEIVED. Return: 0, VMC_ERR_BLOB,
 * VMC_ERR_LIMIT */
int load_streams(struct vmc_session *s, struct rd streams, struct rd received);

/* load_retained() - section RETAINED, when streams are there. Return: as
 * load_streams() */
int load_retained(struct vmc_session *s, struct rd r, uint64_t now);

#endif /* SESSION_LOAD_H */
