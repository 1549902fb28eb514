/* SPDX-License-Identifier: MIT */
/*
 * idl.h - interfaces/org.vmchannel.Broker.varlink, embedded at build time
 */
#ifndef BROKER_IDL_H
#define BROKER_IDL_H

#include <stddef.h>

extern const char broker_idl[];
extern const size_t broker_idl_len;

#endif /* BROKER_IDL_H */
