/* SPDX-License-Identifier: MIT */
/*
 * saved.h - sizes of the saved state of a session (docs/continuity.md, 3.1)
 *
 * A sequence of sections: u16 type, u16 flags, u32 length, bytes, zeros up to
 * a multiple of 8. Types ascend; a section without bytes is left out.
 */
#ifndef SESSION_SAVED_H
#define SESSION_SAVED_H

#include <vmchannel/types.h>

enum saved_type {
	SAVED_SESSION = 1,
	SAVED_STREAMS,
	SAVED_RECEIVED,
	SAVED_RETAINED,
	SAVED_NAMES,
	SAVED_REJECTS,
	SAVED_END,
};

/* Sections from here on are not the engine's. */
#define SAVED_FOREIGN 16u

#define SAVED_MUST  1u /* flag: refuse the state if the type is unknown */
#define SAVED_ALIGN 8u

/* Bytes of each. */
#define SAVED_HEADER_LEN  8u
#define SAVED_SESSION_LEN 136u
#define SAVED_STREAM_LEN  120u /* and a name, if its OPEN is not built */
#define SAVED_FRAME_LEN   16u  /* and the payload */
#define SAVED_NAME_LEN    (8u + VMC_NAME_MAX)
#define SAVED_REJECT_LEN  8u

/* Most that all of it takes; @ring holds more of each frame than we save. */
#define SAVED_MAX(streams, pool, ring, names)                               \
	((SAVED_END - 1u) * (SAVED_HEADER_LEN + SAVED_ALIGN - 1u) +         \
	 SAVED_SESSION_LEN +                                                \
	 (streams) * (SAVED_STREAM_LEN + VMC_NAME_MAX + SAVED_REJECT_LEN) + \
	 (pool) + (ring) + 2u * (names)*SAVED_NAME_LEN)

/* In NAMES. */
enum saved_side {
	SAVED_NAME_OURS, /* which the peer knows */
	SAVED_NAME_PEERS,
	SAVED_NAME_SIDES
};

#endif /* SESSION_SAVED_H */
