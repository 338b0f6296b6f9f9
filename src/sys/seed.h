/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seed - the kernel's random numbers, for seeds. (Not random.h, which is the system's.)
 */
#ifndef SYS_SEED_H
#define SYS_SEED_H

#include <stdint.h>

uint64_t random_seed(void);

#endif
