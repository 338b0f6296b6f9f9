/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alloc.h"

#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/banned.h"

static void *
checked(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "<2>out-of-memory\n");
		abort();
	}
	return p;
}

void *
xzalloc(size_t n)
{
	return checked(calloc(1, n != 0 ? n : 1));
}

void *
xcalloc(size_t n, size_t size)
{
	return checked(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *
xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n != 0 ? n : 1));
}

void *
pages_new(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return checked(p != MAP_FAILED ? p : NULL);
}

void
pages_free(void *p, size_t n)
{
	if (p != NULL)
		(void)munmap(p, n);	/* what we mapped can be unmapped */
}

void
memory_give_back(void)
{
#ifdef HAVE_MALLOC_TRIM
	(void)malloc_trim(0);	/* says whether there was any */
#endif
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const void *p, size_t n)
{
	char *copy = checked(malloc(n + 1));

	memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

void
secret_wipe(void *p, size_t n)
{
	if (n == 0)
		return;
#ifdef HAVE_EXPLICIT_BZERO
	explicit_bzero(p, n);
#else
	volatile uint8_t *v = p;

	while (n-- > 0)
		*v++ = 0;
#endif
}

void
secret_free(void *p, size_t n)
{
	if (p == NULL)
		return;
	secret_wipe(p, n);
	free(p);
}
