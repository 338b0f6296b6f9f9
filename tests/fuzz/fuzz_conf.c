/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: each text is refused with a reason or gives checked values. */
#include "conf/conf.h"
#include "fuzz.h"

const char *__lsan_default_suppressions(void);

/* libconfig forgets the text of a string that the file ends in. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view copy = view_of(data, size);
	struct conf *c = NULL;
	struct buf report;

	/* libconfig would read other files. */
	if (view_search(copy, VIEW("@include")) < copy.n)
		return 0;
	buf_init(&report, 1u << 20);
	if (conf_load(&c, copy, "x.conf", &report) == 0) {
		require(c != NULL && c->hostname != NULL && c->nlisten <= CONF_LISTEN_MAX);
		require(c->relay[0].nendpoint > 0 && c->relay[0].nendpoint <= CONF_ENDPOINTS_MAX);
		conf_free(c);
	} else {
		require(c == NULL && buf_len(&report) > 0);
	}
	buf_done(&report);
	return 0;
}
