/* SPDX-License-Identifier: MIT */
/*
 * state_rec.h - the layout of sections 16-21 (docs/continuity.md, section 3.1)
 */
#ifndef BROKER_STATE_REC_H
#define BROKER_STATE_REC_H

#include "broker/internal.h"
#include "broker/state.h"

/* BROKER: a head, then a record and a padded name for each stream. */
#define STATE_ID_TEXT   16u /* of the ids of streams, and of the instance */
#define STATE_HEAD_LEN  (2u * STATE_ID_TEXT + 24u)
#define STATE_REC_LEN   80u
#define STATE_FD_LEN    16u
#define STATE_ENDED_LEN 64u /* of RECORDS: a record, then its padded name */
#define STATE_CHAN_LEN  8u
/* LOADED with its header: room that RECORDS leaves. */
#define STATE_LOADED_LEN (STATE_SECTION_LEN + STATE_ID_LEN)
#define STATE_EARLY_MAX  16384u
#define STATE_STREAMS    256u /* of the host's default configuration */

#define STATE_BROKER_MAX \
	(STATE_HEAD_LEN + STATE_STREAMS * (STATE_REC_LEN + VMC_NAME_MAX))
#define STATE_CHANNELS_MAX (CHANNELS_MAX * (STATE_CHAN_LEN + VMC_NAME_MAX))
/* What the engine leaves to us of STATE_MAX. */
#define STATE_SHARE (144u * 1024u)

_Static_assert(STATE_HEADER_LEN + STATE_SECTIONS_MAX * STATE_SECTION_LEN +
			       STATE_BROKER_MAX + STATE_EARLY_MAX +
			       STATE_CHANNELS_MAX +
			       STATE_FDS_MAX * STATE_FD_LEN <=
		       STATE_SHARE,
	       "with the engine's part it fits what QEMU carries");

enum state_rec_flags {
	STATE_REC_OUTGOING = 1,
	STATE_REC_MESSAGES = 2,
	STATE_REC_FOLLOW = 4,
	STATE_REC_RX_DONE = 8,
	STATE_REC_TX_DONE = 16,
	STATE_REC_LOST = 32, /* its early bytes found no room */
	STATE_REC_TX_STOPPED = 64,
	STATE_REC_FLAGS = 127,
};

enum state_ended_flags {
	STATE_ENDED_OUTGOING = 1,
	STATE_ENDED_FOLLOW = 2,
	STATE_ENDED_FLAGS = 3,
};

#endif /* BROKER_STATE_REC_H */
