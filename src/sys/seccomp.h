/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seccomp - which system calls a role can still make.
 *
 * intake and relay have a list of what they may. What no code of ours calls
 * kills the process (execve, ptrace, mount, ...); everything else that is not
 * listed gets EPERM, because libraries may try it. The supervisor has a list of
 * what it may not, since commands that it runs inherit the filter.
 */
#ifndef SYS_SECCOMP_H
#define SYS_SECCOMP_H

#include "sys/sandbox.h"

/* *partial: a sanitizer build, in which only the role's denied calls fail, with EPERM. */
int seccomp_apply(enum sandbox_role, bool *partial, struct err *) must_use;

#endif
