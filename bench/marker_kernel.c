/* SPDX-License-Identifier: MIT */
/* marker_kernel.c - what the kernel tells: a host name, an address; or nothing,
 * for the port's own round trip */
#include "marker.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS "10.99.99.1"

static bool set_name(unsigned int n)
{
	char name[32];
	int len = snprintf(name, sizeof(name), "name%u", n);

	return sethostname(name, (size_t)len) == 0;
}

/* An address of "lo" comes and goes. */
static bool set_address(unsigned int n)
{
	static int fd = -1;
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg addr;
		struct rtattr attr;
		struct in_addr ip;
	} m = {
		.head = {.nlmsg_len = sizeof(m),
			 .nlmsg_type = n % 2 ? RTM_NEWADDR : RTM_DELADDR,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE},
		.addr = {.ifa_family = AF_INET,
			 .ifa_prefixlen = 32,
			 .ifa_index = if_nametoindex("lo")},
		.attr = {.rta_len = RTA_LENGTH(sizeof(struct in_addr)),
			 .rta_type = IFA_LOCAL},
		.ip = {.s_addr = inet_addr(ADDRESS)},
	};

	if (fd < 0)
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return send(fd, &m, sizeof(m), 0) == (ssize_t)sizeof(m);
}

static bool do_nothing(unsigned int n)
{
	(void)n;
	return true;
}

static const struct {
	const char *name;
	bool (*happen)(unsigned int n);
} kinds[] = {
	{"hostname", set_name},
	{"address", set_address},
	{"nothing", do_nothing},
};

static bool (*happen)(unsigned int n);

bool marker_init(int n, char **args)
{
	for (size_t i = 0; n == 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, args[0]) == 0)
			happen = kinds[i].happen;
	return happen != NULL;
}

/* Before it, or whoever waits for it may come first. */
bool marker_happen(unsigned int n)
{
	marker_say(MARKER_SIGNAL);
	return happen(n);
}
