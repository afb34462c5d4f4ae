#include "faults/guest/board_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *next_word(const char *at)
{
	at += strspn(at, " ");
	return *at ? at : NULL;
}

static const char *find(const char *line, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = next_word(line); at; at = next_word(at + strcspn(at, " ")))
		if (!strncmp(at, key, len) && at[len] == '=')
			return at + len + 1;
	return NULL;
}

int board_line_value(const char *line, const char *key, char *to, size_t size)
{
	const char *at = find(line, key);
	size_t len = 0;

	to[0] = '\0';
	if (!at)
		return 0;
	for (; *at && *at != ' '; at++) {
		char c = *at;

		if (c == '%') {
			int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);

			if (low < 0 || !(high * 16 + low))
				return -EINVAL;
			c = (char)(high * 16 + low);
			at += 2;
		}
		if (len + 1 >= size)
			return -EINVAL;
		to[len++] = c;
	}
	to[len] = '\0';
	return len ? 1 : -EINVAL;
}

int board_line_number(const char *line, const char *key, int64_t min, int64_t max,
	int64_t otherwise, int64_t *ret)
{
	char text[24], *end;
	int there = board_line_value(line, key, text, sizeof(text));

	*ret = otherwise;
	if (there <= 0)
		return there;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno || *end || *ret < min || *ret > max ? -EINVAL : 0;
}

const char *board_line_unknown(const char *line, const char *const *keys, char *to, size_t size)
{
	for (const char *at = next_word(line); at; at = next_word(at + strcspn(at, " "))) {
		size_t word = strcspn(at, " "), len = strcspn(at, "= ");
		const char *const *key = keys;

		while (*key && (strlen(*key) != len || strncmp(*key, at, len) != 0))
			key++;
		if (*key && at[len] == '=')
			continue;
		if (word >= size)
			word = size - 1;
		memcpy(to, at, word);
		to[word] = '\0';
		return to;
	}
	return NULL;
}
