/* SPDX-License-Identifier: MIT */
/*
 * fuzz_users.c - the texts of /etc/passwd and /etc/group
 *
 * The input is what is looked for, NUL, the passwd file, NUL, the group file.
 * Both files lie in memory.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/users.h"
#include "fuzz.h"

#define NO_ID        ((uid_t)-1)
#define PATH_MAX_LEN 32

/* Takes all up to a NUL, or to the end, off the front. */
static char *take_text(const uint8_t **data, size_t *size, size_t *ret_len)
{
	const uint8_t *nul = *size ? memchr(*data, '\0', *size) : NULL;
	size_t len = nul ? (size_t)(nul - *data) : *size;
	char *text = (char *)fuzz_copy(*data, len + (nul != NULL));

	*data += len + (nul != NULL);
	*size -= len + (nul != NULL);
	*ret_len = len;
	return text;
}

static int make_file(const void *text, size_t len, char path[PATH_MAX_LEN])
{
	int fd = memfd_create("fuzz-users", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, text, len) == (ssize_t)len);
	snprintf(path, PATH_MAX_LEN, "/proc/self/fd/%d", fd);
	return fd;
}

static void check_user(const struct user_ids *ids)
{
	FUZZ_CHECK(ids->uid != NO_ID);
	FUZZ_CHECK(ids->n_groups >= 1 && ids->n_groups <= USER_GROUPS_MAX);
	for (size_t i = 0; i < ids->n_groups; i++)
		FUZZ_CHECK(ids->groups[i] != (gid_t)NO_ID);
	FUZZ_CHECK(ids->groups[0] == ids->gid);
	FUZZ_CHECK(strnlen(ids->name, sizeof(ids->name)) <= USER_NAME_MAX);
	FUZZ_CHECK(ids->home[0] == '/');
	FUZZ_CHECK(strnlen(ids->home, sizeof(ids->home)) < USER_HOME_MAX);
}

static void try_files(const char *name, const char *passwd, const char *group)
{
	struct user_ids ids;
	gid_t gid;

	if (user_resolve_in(&ids, name, passwd, group) == 0)
		check_user(&ids);
	if (group_resolve_in(name, &gid, group))
		FUZZ_CHECK(gid != (gid_t)NO_ID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char passwd[PATH_MAX_LEN], group[PATH_MAX_LEN];
	char name[64];
	size_t len;
	char *text = take_text(&data, &size, &len);
	int passwd_fd, group_fd;

	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	free(text);
	text = take_text(&data, &size, &len);
	passwd_fd = make_file(text, len, passwd);
	free(text);
	group_fd = make_file(data, size, group);
	try_files(name, passwd, group);
	close(passwd_fd);
	close(group_fd);
	return 0;
}
