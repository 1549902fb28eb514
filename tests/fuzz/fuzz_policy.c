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

static struct policy *parse(const char *text, size_t len)
{
	char err[256] = "";
	struct policy *p;

	FUZZ_CHECK(policy_new(&p, VMC_PRINCIPAL_HOST) == 0);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_copy(data, size), *again;
	struct policy *a = parse(text, size), *b;
	size_t len;

	free(text);
	if (!a)
		return 0;
	again = policy_text(a, &len);
	FUZZ_CHECK(again);
	b = parse(again, len);
	FUZZ_CHECK(b);
	free(again);
	FUZZ_CHECK(policy_seal(a) == 0 && policy_seal(b) == 0);
	compare_all(a, b);
	policy_free(a);
	policy_free(b);
	return 0;
}
