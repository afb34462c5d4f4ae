#include "net/dialogue_priv.h"

#include <string.h>
#include <strings.h>

#define LINE_HEAD_MAX (DIALOGUE_LINE_MAX - LINE_TAIL_MAX)

/* Keep the first LINE_HEAD_MAX bytes of a line and its last LINE_TAIL_MAX. */
static void append(struct buf *text, const uint8_t *bytes, size_t len)
{
	size_t room = text->len < LINE_HEAD_MAX ? LINE_HEAD_MAX - text->len : 0;
	size_t take = len < room ? len : room;

	buf_add(text, bytes, take);
	bytes += take;
	len -= take;
	if (len > LINE_TAIL_MAX) {
		text->len = LINE_HEAD_MAX;
		bytes += len - LINE_TAIL_MAX;
		len = LINE_TAIL_MAX;
	}
	buf_add(text, bytes, len);
	if (text->len > DIALOGUE_LINE_MAX) {
		memmove(text->data + LINE_HEAD_MAX, text->data + text->len - LINE_TAIL_MAX,
			LINE_TAIL_MAX);
		text->len = DIALOGUE_LINE_MAX;
	}
}

bool line_take(struct line_reader *reader, const uint8_t *bytes, size_t len, size_t *ret_taken,
	struct line *ret)
{
	const uint8_t *lf = memchr(bytes, '\n', len);
	size_t part = lf ? (size_t)(lf - bytes) : len;

	*ret_taken = lf ? part + 1 : len;
	if (reader->skip) {
		reader->skip = !lf;
		return false;
	}
	if (!lf || reader->text.len || part > DIALOGUE_LINE_MAX) {
		append(&reader->text, bytes, part);
		*ret = (struct line){reader->text.data, reader->text.len};
	} else {
		*ret = (struct line){(const char *)bytes, part};
	}
	if (lf && ret->len && ret->text[ret->len - 1] == '\r')
		ret->len--;
	return lf;
}

void line_done(struct line_reader *reader)
{
	if (reader->text.len)
		buf_free(&reader->text);
}

void line_gap(struct line_reader *reader)
{
	buf_free(&reader->text);
	reader->skip = true;
}

void line_restart(struct line_reader *reader)
{
	buf_free(&reader->text);
	reader->skip = false;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

struct line line_word(struct line *rest)
{
	struct line word = {rest->text, 0};

	while (word.len < rest->len && !blank(word.text[word.len]))
		word.len++;
	rest->text += word.len;
	rest->len -= word.len;
	while (rest->len && blank(*rest->text)) {
		rest->text++;
		rest->len--;
	}
	return word;
}

bool line_is(struct line line, const char *word)
{
	return line.len == strlen(word) && !strncasecmp(line.text, word, line.len);
}

bool line_begins(struct line line, const char *prefix)
{
	size_t len = strlen(prefix);

	return line.len >= len && !strncasecmp(line.text, prefix, len);
}

size_t line_copy(struct line line, char *out, size_t size)
{
	size_t len = line.len < size - 1 ? line.len : size - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = line.text[i] ? line.text[i] : ' ';
	out[len] = '\0';
	return len;
}

void line_upper(struct line line, char *out, size_t size)
{
	size_t len = line_copy(line, out, size);

	for (size_t i = 0; i < len; i++)
		if (out[i] >= 'a' && out[i] <= 'z')
			out[i] = (char)(out[i] - 'a' + 'A');
}
