/* SPDX-License-Identifier: MIT */
/*
 * loaded.h - which saved states were taken over on this host
 *
 * A state that is loaded a second time belongs to a clone: its streams live
 * on with the first one. DIR/.loaded/ holds an empty file for each; a restart
 * of the host empties it, and so does a day.
 */
#ifndef HOST_LOADED_H
#define HOST_LOADED_H

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

#endif /* HOST_LOADED_H */
