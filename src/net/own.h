/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * own - the addresses of this host's interfaces, as they are now. Loopback is left out.
 */
#ifndef NET_OWN_H
#define NET_OWN_H

#include "net/address.h"

#define OWN_MAX 64		/* others are not looked at */

struct own_addresses {
	struct address	address[OWN_MAX];
	size_t		n;
};

/* None where the kernel can't be asked. */
void own_addresses(struct own_addresses *out);

#endif
