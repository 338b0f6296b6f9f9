/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * banned - calls that have a safe counterpart here do not compile.
 *
 * Include it last in every .c file. strcpy and friends: buf or snprintf;
 * atoi and strtol: num_parse_*; strerror_r: errno_text; gmtime and localtime: date_*; ctype: view_*.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/* For clang the fortified headers of glibc make macros of these. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat strtok strtok_r
#pragma GCC poison sprintf vsprintf gets atoi atol atoll strerror_r
#pragma GCC poison gmtime localtime asctime ctime

#endif
