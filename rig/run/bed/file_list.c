#include "run/bed/file_list.h"

#include "base/buf.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define QUARTET 4 /* characters that mean three bytes */

/* "SIZE PATH" up to its NUL: the size, and where the path begins, or NULL. */
static const char *take_entry(const char *entry, size_t *ret_size)
{
	unsigned long long size;
	char *end;

	if (*entry < '0' || *entry > '9')
		return NULL;
	size = strtoull(entry, &end, 10);
	if (*end != ' ' || end[1] != '/' || strlen(end + 1) > FILE_PATH_MAX ||
		size > FILE_BYTES_MAX)
		return NULL;
	*ret_size = (size_t)size;
	return end + 1;
}

int file_list_walk(const char *list, size_t list_len, const char *data, size_t data_len,
	file_fn *each, void *arg, struct err *err)
{
	size_t at = 0, used = 0;

	for (unsigned int count = 0; at < list_len; count++) {
		const char *nul = memchr(list + at, '\0', list_len - at), *path;
		size_t size = 0;

		if (!nul || count == FILE_LIST_MAX)
			return err_set(err, -EPROTO, "the list of files %s",
				nul ? "is too long" : "ends within an entry");
		path = take_entry(list + at, &size);
		if (!path)
			return err_set(err, -EPROTO, "the list of files has an entry that is none");
		if (size > data_len - used)
			return err_set(err, -EPROTO,
				"the list of files says more bytes than there are contents");
		each(arg, path, data + used, size);
		used += size;
		at = (size_t)(nul - list) + 1;
	}
	return 0;
}

int file_list_decode(const char *text, size_t len, struct buf *out, struct err *err)
{
	char quartet[QUARTET + 1] = "";
	size_t have = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char bytes[QUARTET];
		size_t n = 3;

		if (isspace((unsigned char)text[i]))
			continue;
		quartet[have++] = text[i];
		if (have < QUARTET)
			continue;
		have = 0;
		if (EVP_DecodeBlock(bytes, (const unsigned char *)quartet, QUARTET) != 3)
			return err_set(err, -EPROTO, "the contents of files are no base64");
		for (size_t k = QUARTET; k > 2 && quartet[k - 1] == '='; k--)
			n--;
		buf_add(out, bytes, n);
	}
	return have ? err_set(err, -EPROTO, "the contents of files are cut short") : 0;
}
