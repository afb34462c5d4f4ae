#include "base/hex.h"

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t hex_read(const char *text, size_t len, void *out, size_t size)
{
	unsigned char *bytes = out;
	size_t count = 0;

	for (; count < size && len - 2 * count >= 2; count++) {
		int high = digit(text[2 * count]), low = digit(text[2 * count + 1]);

		if (high < 0 || low < 0)
			break;
		bytes[count] = (unsigned char)(high << 4 | low);
	}
	return count;
}
