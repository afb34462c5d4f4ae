/* The list of a guest's files: what is right comes through, what is not ends the walk in a sentence. */
#include "tests/check/check.h"

#include "base/buf.h"
#include "run/bed/file_list.h"

#include <string.h>

static void note(void *arg, const char *path, const char *bytes, size_t len)
{
	buf_addf(arg, "%s=%.*s;", path, (int)len, bytes);
}

struct walk {
	const char *name, *list;
	size_t list_len;
	const char *data;
	int rc;
	const char *told, *says;
};

#define LISTED(text) text, sizeof(text) - 1

static void a_list_is_walked_as_far_as_it_is_right(void)
{
	static const struct walk walks[] = {
		{"two files", LISTED("3 /a\0002 /b c\000"), "xyzuv", 0, "/a=xyz;/b c=uv;", NULL},
		{"an empty file", LISTED("0 /a\0"), "", 0, "/a=;", NULL},
		{"no file", "", 0, "", 0, "", NULL},
		{"more bytes than there are", LISTED("3 /a\0003 /b\000"), "xyzuv", -EPROTO,
			"/a=xyz;", "more bytes"},
		{"no NUL", LISTED("3 /a"), "xyz", -EPROTO, "", "within an entry"},
		{"no size", LISTED("x /a\0"), "xyz", -EPROTO, "", "that is none"},
		{"no whole path", LISTED("3 a\0"), "xyz", -EPROTO, "", "that is none"},
		{"a negative size", LISTED("-3 /a\0"), "xyz", -EPROTO, "", "that is none"},
		{"a size beyond all bounds", LISTED("99999999999999999999999 /a\0"), "xyz", -EPROTO,
			"", "that is none"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		const struct walk *w = &walks[i];
		auto_buf struct buf told = {0};
		struct err err = {{0}};
		int rc = file_list_walk(
			w->list, w->list_len, w->data, strlen(w->data), note, &told, &err);

		if (!CHECK_INT(rc, w->rc) || !CHECK_STR(buf_text(&told), w->told) ||
			(w->says && !CHECK_HAS(err.text, w->says)))
			fprintf(stderr, "in '%s'\n", w->name);
	}
}

static void base64_is_decoded_or_refused(void)
{
	static const struct {
		const char *text;
		int rc;
		const char *out;
	} rows[] = {
		{"", 0, ""},
		{"YQ==", 0, "a"},
		{"YWI=", 0, "ab"},
		{"YWJj", 0, "abc"},
		{"YW\nJj", 0, "abc"},
		{"YWJjZA==", 0, "abcd"},
		{"YWJ", -EPROTO, ""},
		{"Y!Jj", -EPROTO, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf out = {0};
		struct err err = {{0}};

		CHECK_INT(file_list_decode(rows[i].text, strlen(rows[i].text), &out, &err),
			rows[i].rc);
		CHECK_STR(buf_text(&out), rows[i].out);
	}
}

CHECK_MAIN(CHECK_CASE(a_list_is_walked_as_far_as_it_is_right),
	CHECK_CASE(base64_is_decoded_or_refused))
