/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err - why something failed, in one line, built where the facts are known.
 *
 * Operations return 0 or -1 and fill *e on failure. e may be NULL. The text
 * names what failed and, where the user can mend it, how.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/compiler.h"

enum err_kind {
	ERR_NONE,
	ERR_SYSTEM,		/* a system call; errnum says which way */
	ERR_INPUT,		/* malformed bytes from a peer, a file or a user */
	ERR_CONFIG,		/* the configuration is at fault */
	ERR_FULL,		/* a limit, a quota or the disk */
	ERR_DAMAGED,		/* stored data fails its check */
	ERR_BUSY,		/* someone else holds it; later may work */
	ERR_DENIED,		/* permission, policy */
	ERR_GONE,		/* what was asked for is not there */
	ERR_NET,		/* the network or the peer */
	ERR_TLS			/* handshake or verification */
};

struct err {
	enum err_kind	kind;
	int		errnum;		/* errno, or 0 */
	char		text[256];	/* one line, no newline */
};

/* Both return -1, so that "return err_set(...)" reads well. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) printf_like(3, 4);
/* Appends ": " and the text of errnum; kind is ERR_FULL for ENOSPC and EDQUOT, else ERR_SYSTEM. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) printf_like(3, 4);
/* Put "fmt: " in front of the text there is. Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Append what the administrator can do about errnum, where that is known. */
void err_advise(struct err *e);
void err_clear(struct err *e);

/* The words for errnum; returns text. strerror_r() is another function in each C library. */
#define ERRNO_TEXT_MAX 128
const char *errno_text(char text[ERRNO_TEXT_MAX], int errnum);

#endif
