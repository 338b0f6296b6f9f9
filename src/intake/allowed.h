/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * allowed - the rules that say which senders and recipients are taken. Pure.
 *
 * Both the rule for all and that of the listener have to have the address.
 */
#ifndef INTAKE_ALLOWED_H
#define INTAKE_ALLOWED_H

#include "conf/conf.h"

#define ALLOWED_TEXT_MAX 200

/*
 * by: the listener the client came through, or NULL. False: text says which rule does not have this
 * address ("<>" for the null sender).
 */
bool allowed_address(const struct conf *, const struct conf_listener *by, bool is_sender,
    struct view address, char text[ALLOWED_TEXT_MAX]);

#endif
