/* The files of a hostile guest: base64, then a list and its contents. The first byte says where one ends. */
#include "base/buf.h"
#include "run/bed/file_list.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void see(void *arg, const char *path, const char *bytes, size_t len)
{
	size_t *left = arg;

	assert(path[0] == '/' && strlen(path) <= FILE_PATH_MAX);
	assert(len <= *left);
	*left -= len;
	for (size_t i = 0; i < len; i++) /* all of it can be read */
		__asm__ volatile("" : : "r"(bytes[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	auto_buf struct buf out = {0};
	size_t cut, left;

	if (!len)
		return 0;
	file_list_decode((const char *)bytes, len, &out, NULL);
	assert(out.len <= len);
	cut = bytes[0] < len ? bytes[0] : len;
	left = len - cut;
	file_list_walk((const char *)bytes, cut, (const char *)bytes + cut, left, see, &left, NULL);
	return 0;
}
