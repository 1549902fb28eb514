/* SPDX-License-Identifier: MIT */
/*
 * services.c - the table of services from folders of files
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/conf_dir.h"
#include "broker/service_file.h"

struct load {
	struct services *to;
	char *err;
	size_t err_size;
};

static int no_room(const struct load *l, const char *path)
{
	snprintf(l->err, l->err_size,
		 "%s:1: more than %d services; remove some", path,
		 SERVICES_MAX);
	return -E2BIG;
}

static int add_file(const struct conf_file *f, void *data)
{
	const struct load *l = data;
	struct services *s = l->to;
	char name[CONF_NAME_MAX + 1];
	int r;

	snprintf(name, sizeof(name), "%.*s", (int)f->stem_len, f->name);
	if (services_find(s, name))
		return 0; /* an earlier folder wins */
	if (s->n == SERVICES_MAX)
		return no_room(l, f->path);
	r = service_parse(&s->list[s->n], name, f->path, f->text, f->len,
			  l->err, l->err_size);
	if (r == 0)
		s->n++;
	return r;
}

int services_load(struct services *ret, const char *const *dirs, char *ret_err,
		  size_t err_size)
{
	struct services fresh = {0};
	struct load l = {.to = &fresh, .err = ret_err, .err_size = err_size};
	int r = 0;

	snprintf(ret_err, err_size, "out of memory");
	fresh.list = calloc(SERVICES_MAX, sizeof(*fresh.list));
	if (!fresh.list)
		return -ENOMEM;
	for (; *dirs && r == 0; dirs++)
		r = conf_dir_read(*dirs, SERVICE_FILE_MAX, add_file, &l,
				  ret_err, err_size);
	if (r < 0) {
		services_done(&fresh);
		return r;
	}
	*ret = fresh;
	return 0;
}

void services_done(struct services *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		service_clear(&s->list[i]);
	free(s->list);
	s->list = NULL;
	s->n = 0;
}

const struct service *services_find(const struct services *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->list[i].name, name))
			return &s->list[i];
	}
	return NULL;
}
