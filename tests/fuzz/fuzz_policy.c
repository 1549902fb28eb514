/* SPDX-License-Identifier: MIT */
/*
 * fuzz_policy.c - the text of policy.d files
 *
 * Rules that are accepted must mean the same after policy_text(), which is
 * how the supervisor hands them to its worker.
 */
#include <string.h>

#include "broker/policy.h"
#include "fuzz.h"

static bool group_of(const char *name, gid_t *ret)
{
	*ret = (gid_t)strlen(name);
	return name[0] != 'x';
}

static struct policy *parse(enum vmc_principal_kind side, const char *text,
			    size_t len)
{
	char err[256] = "";
	struct policy *p;

	FUZZ_CHECK(policy_new(&p, side) == 0);
	if (policy_add_text(p, "fuzz", text, len, group_of, err, sizeof(err))) {
		FUZZ_CHECK(err[0] && strlen(err) < sizeof(err));
		FUZZ_CHECK(!strchr(err, '\n'));
		policy_free(p);
		return NULL;
	}
	return p;
}

static void compare(const struct policy *a, const struct policy *b,
		    const struct policy_caller *who)
{
	static const char *const names[] = {"a", "org.vmchannel.Power",
					    "org.example.x", "a.b"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (int op = POLICY_CONNECT; op <= POLICY_LISTEN; op++) {
			struct policy_verdict x, y;

			policy_check(a, (enum policy_op)op, names[i], who, &x);
			policy_check(b, (enum policy_op)op, names[i], who, &y);
			FUZZ_CHECK(x.allowed == y.allowed);
			FUZZ_CHECK(!x.allowed || x.weight == y.weight);
			FUZZ_CHECK(!x.allowed ||
				   (x.weight >= 1 && x.weight <= 16));
			FUZZ_CHECK(strnlen(x.rule, sizeof(x.rule)) <
				   sizeof(x.rule));
		}
	}
}

static void compare_all(const struct policy *a, const struct policy *b)
{
	gid_t groups[] = {1, 2, 3, 4, 100};
	struct policy_caller who = {.groups = groups, .n_groups = 5};

	for (unsigned int i = 0; i < 8; i++) {
		who.side = i & 1 ? VMC_PRINCIPAL_GUEST : VMC_PRINCIPAL_HOST;
		who.owner = i & 2;
		who.uid = i & 4 ? 0 : 1000;
		compare(a, b, &who);
	}
}

static const char *offer_of(const struct policy *p, const char *interface,
			    const struct policy_caller *who)
{
	const char *path = policy_offer(p, interface, who);

	FUZZ_CHECK(!path ||
		   (path[0] == '/' && strlen(path) <= POLICY_PATH_MAX));
	return path ? path : "";
}

static void compare_offers(const struct policy *a, const struct policy *b)
{
	const struct policy_caller host = {.owner = true};
	const char *name, *again;
	size_t i = 0, j = 0;

	do {
		name = policy_offer_next(a, &i);
		again = policy_offer_next(b, &j);
		FUZZ_CHECK(!name == !again);
		if (!name)
			return;
		FUZZ_CHECK(strcmp(name, again) == 0);
		FUZZ_CHECK(strncmp(name, "org.vmchannel.", 14) != 0);
		FUZZ_CHECK(strcmp(offer_of(a, name, &host),
				  offer_of(b, name, &host)) == 0);
	} while (true);
}

static void try_side(enum vmc_principal_kind side, const char *text,
		     size_t size)
{
	struct policy *a = parse(side, text, size), *b;
	char *again;
	size_t len;

	if (!a)
		return;
	again = policy_text(a, &len);
	FUZZ_CHECK(again);
	b = parse(side, again, len);
	FUZZ_CHECK(b);
	free(again);
	FUZZ_CHECK(policy_seal(a) == 0 && policy_seal(b) == 0);
	compare_all(a, b);
	compare_offers(a, b);
	policy_free(a);
	policy_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_copy(data, size);

	try_side(VMC_PRINCIPAL_HOST, text, size);
	try_side(VMC_PRINCIPAL_GUEST, text, size);
	free(text);
	return 0;
}
