/* SPDX-License-Identifier: MIT */
/*
 * loaded.h - which saved states were taken over on this host
 *
 * A state that is loaded a second time belongs to a clone: its streams live
 * on with the first one. DIR/.loaded/ holds an empty file for each; a restart
 * of the host empties it, and so does a day. A worker that dies before it has
 * taken the state is no clone: the next one asks for the same.
 */
#ifndef HOST_LOADED_H
#define HOST_LOADED_H

#include <stdbool.h>

#define LOADED_ID_LEN 32 /* hexadecimal digits of a save_id */
#define LOADED_DAYS_S (24 * 3600)
/* Looked at per call while those that are too old are removed. */
#define LOADED_LOOK_MAX 4096

/**
 * loaded_claim() - this state is loaded now
 * @vm_dir: DIR/VM
 * @id:     the save_id as text; from the worker, so not believed
 *
 * Return: 0; -EEXIST: it was loaded before; -EINVAL: not an id; or another
 * negative errno: nobody can tell.
 */
int loaded_claim(const char *vm_dir, const char *id);

/* What was granted to this VM last. */
struct loaded {
	char id[LOADED_ID_LEN + 1];
};

/**
 * loaded_claim_again() - as loaded_claim(), for a VM that may ask twice
 * @waiting: the VM has not run here yet, so what was granted to it before is
 *           the same arrival
 */
int loaded_claim_again(struct loaded *l, const char *vm_dir, const char *id,
		       bool waiting);

#endif /* HOST_LOADED_H */
