/* SPDX-License-Identifier: MIT */
/*
 * fuzz_service.c - the text of services.d files
 */
#include <string.h>

#include "broker/service_file.h"
#include "fuzz.h"

static void check_service(const struct service *s)
{
	size_t args = 0;

	while (args <= SERVICE_ARGS_MAX && s->argv[args])
		args++;
	FUZZ_CHECK(args <= SERVICE_ARGS_MAX);
	FUZZ_CHECK((args != 0) != (s->socket != NULL));
	FUZZ_CHECK(s->max_streams >= 1 &&
		   s->max_streams <= SERVICE_STREAMS_MAX);
	FUZZ_CHECK(!strcmp(s->name, "org.example.fuzz"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_copy(data, size);
	struct service s;
	char err[256] = "";

	memset(&s, 0, sizeof(s));
	if (service_parse(&s, "org.example.fuzz", "fuzz.conf", text, size, err,
			  sizeof(err)) == 0) {
		check_service(&s);
		service_clear(&s);
	} else {
		FUZZ_CHECK(err[0] && !strchr(err, '\n'));
	}
	free(text);
	return 0;
}
