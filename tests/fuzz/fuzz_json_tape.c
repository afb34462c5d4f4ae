/* JSON read onto a tape, from hostile bytes: what jansson reads from them, or refused as it refuses them. */
#include "tests/check/json_same.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct tape tape;	    /* one for all: what the last text left must not show */
	char *text = malloc(len ? len : 1); /* a read behind the end is seen */

	memcpy(text, bytes, len);
	assert(json_read_alike(&tape, text, len));
	free(text);
	return 0;
}
