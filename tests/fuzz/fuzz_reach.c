/* A program of an image, which may be any bytes: what it is, and what it takes from elsewhere (rig/vm/reach.h). */
#include "vm/reach.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct reach_calls calls;

	assert(*reach_text(reach_of_bytes((const char *)bytes, len)));
	reach_calls_of_bytes((const char *)bytes, len, NULL, &calls);
	assert(!calls.libraries.len); /* nobody looks for them */
	if (calls.own.len) {
		assert(!calls.own.data[calls.own.len - 1]);
		assert(reach_calls_has(&calls.own, calls.own.data));
	}
	reach_calls_free(&calls);
	return 0;
}
