/* SPDX-License-Identifier: MIT */
/*
 * control_service.c - org.varlink.service: what every varlink server answers
 */
#include <string.h>

#include "broker/control.h"
#include "broker/idl.h"

static const char service_idl[] =
	"# What every varlink service offers.\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"method GetInterfaceDescription(interface: string) -> "
	"(description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

/* Those that stand for the peer's operations: only its root may announce
 * them, if it is honest. Of any other channel nobody knows here what it
 * speaks. */
static void add_peers(const struct control_call *call, json_t *interfaces)
{
	struct policy_verdict v;
	const char *name;
	uint32_t pos = 0, flags;

	while (vmc_name_next(call->b->session, &pos, &name, &flags)) {
		if (strncmp(name, "org.vmchannel.", 14) != 0 ||
		    (flags & VMC_NAME_MESSAGES))
			continue;
		creds_check(call->b, &call->c->creds, POLICY_CONNECT, name, &v);
		if (v.allowed)
			json_array_append_new(interfaces, json_string(name));
	}
}

void service_get_info(struct control_call *call)
{
	bool host = call->b->side == VMC_PRINCIPAL_HOST;
	json_t *interfaces = json_pack("[s]", SERVICE_INTERFACE);

	if (!call_args(call, NULL, 0)) {
		json_decref(interfaces);
		return;
	}
	if (!call->c->creds.peer) {
		json_array_append_new(interfaces,
				      json_string(BROKER_INTERFACE));
		add_peers(call, interfaces);
	}
	call_reply(call,
		   json_pack("{s:s,s:s,s:s,s:s,s:o}", "vendor", "vmchannel",
			     "product", host ? "vmchanneld" : "vmchannel-agent",
			     "version", VMC_VERSION, "url", "", "interfaces",
			     interfaces));
}

void service_get_description(struct control_call *call)
{
	const char *name = NULL;
	const struct arg args[] = {{"interface", ARG_STRING, false, &name}};
	json_t *text = NULL;

	if (!call_args(call, args, 1))
		return;
	if (strcmp(name, SERVICE_INTERFACE) == 0)
		text = json_string(service_idl);
	else if (strcmp(name, BROKER_INTERFACE) == 0 && !call->c->creds.peer)
		text = json_stringn(broker_idl, broker_idl_len);
	if (!text && !call->c->creds.peer) {
		/* Whoever implements it describes it. */
		control_forward(call, name, false, false);
		return;
	}
	if (!text) {
		call_error(call, SERVICE_INTERFACE ".InterfaceNotFound",
			   json_pack("{s:s}", "interface", name));
		return;
	}
	call_reply(call, json_pack("{s:o}", "description", text));
}
