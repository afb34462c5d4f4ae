#include "mail/message.h"
#include "tests/check/check.h"

#include <stdint.h>
#include <string.h>

static struct message make(uint64_t seed, size_t body_bytes)
{
	struct rng rng = rng_stream(seed, "test");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = body_bytes};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

static void the_same_seed_gives_the_same_bytes(void)
{
	struct message a = make(1, 3000), b = make(1, 3000), c = make(2, 3000);

	CHECK_STR(a.text.data, b.text.data);
	CHECK_INT(strcmp(a.token, c.token) != 0, 1);
	message_free(&a);
	message_free(&b);
	message_free(&c);
}

static void bodies_have_exactly_the_size_asked_for(void)
{
	static const size_t sizes[] = {2, 3, 4, 5, 73, 74, 75, 76, 77, 78, 1000, 65536};

	for (uint64_t seed = 0; seed < 20; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct message message = make(seed, sizes[i]);
			const char *end = message.text.data + message.text.len;

			CHECK_INT(message.text.len - message.body_at, sizes[i]);
			CHECK_STR(end - 2, "\r\n");
			message_free(&message);
		}
}

static void lines_are_short_and_some_begin_with_a_dot(void)
{
	struct message message = make(1, 20000);
	size_t dots = 0, longest = 0;

	for (const char *at = message.text.data + message.body_at; *at;) {
		size_t len = strcspn(at, "\r");

		dots += *at == '.';
		longest = len > longest ? len : longest;
		at += len + 2;
	}
	CHECK(dots > 10);
	CHECK(longest <= 76);
	message_free(&message);
}

static void a_message_is_recognised_as_sent(void)
{
	struct message message = make(1, 5000);
	struct message_seen seen;

	message_look(message.text.data, message.text.len, &seen);
	CHECK_STR(seen.token, message.token);
	CHECK_STR(seen.body_sha256, message.body_sha256);
	CHECK_INT(seen.body_bytes, 5000);
	CHECK_INT(seen.size_bytes, message.text.len);
	CHECK(message_is_copy(&seen, message.token, message.body_sha256));
	message_free(&message);
}

static void whatever_a_file_holds_becomes_a_message_with_a_token(void)
{
	static const struct {
		const char *bytes, *text; /* the latter behind the token's line */
		const char *body;
	} table[] = {
		{"Subject: a\n\nbody\n", "Subject: a\r\n\r\nbody\r\n", "body\r\n"},
		{"Subject: a\r\n\r\nbody", "Subject: a\r\n\r\nbody\r\n", "body\r\n"},
		{"From me Mon Jan  1\nSubject: a\n\nb\n", "Subject: a\r\n\r\nb\r\n", "b\r\n"},
		{"From: me\n\nFrom you\n", "From: me\r\n\r\nFrom you\r\n", "From you\r\n"},
		{"Subject: no body", "Subject: no body\r\n\r\n", ""},
		{"\nbody alone\n", "\r\nbody alone\r\n", "body alone\r\n"},
		{"", "\r\n", ""},
		{"a\n\n\xe9\x80.\n.\n", "a\r\n\r\n\xe9\x80.\r\n.\r\n", "\xe9\x80.\r\n.\r\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct rng rng = rng_stream(1, "wrap");
		struct message message;
		struct message_seen seen;
		char hash[HASH_HEX_SIZE];
		auto_free char *want = NULL;

		message_wrap(&message, &rng, table[i].bytes, strlen(table[i].bytes));
		want = text_fmt("X-Mailrig-Token: %s\r\n%s", message.token, table[i].text);
		CHECK_STR(buf_text(&message.text), want);
		CHECK_STR(buf_text(&message.text) + message.body_at, table[i].body);
		hash_bytes(table[i].body, strlen(table[i].body), hash);
		CHECK_STR(message.body_sha256, hash);
		message_look(message.text.data, message.text.len, &seen);
		CHECK(message_is_copy(&seen, message.token, hash));
		message_free(&message);
	}
}

static void trace_headers_on_top_and_line_ends_do_not_matter(void)
{
	struct message message = make(1, 5000);
	struct buf stored auto_buf = {0};
	struct message_seen seen;

	buf_add_str(&stored, "Return-Path: <a@x>\nReceived: from x\n\tby y\n");
	for (size_t i = 0; i < message.text.len; i++)
		if (message.text.data[i] != '\r')
			buf_addc(&stored, message.text.data[i]);
	message_look(stored.data, stored.len, &seen);
	CHECK(message_is_copy(&seen, message.token, message.body_sha256));
	CHECK(!seen.report);
	message_free(&message);
}

static void the_result_does_not_depend_on_how_the_bytes_are_cut(void)
{
	struct message message = make(3, 700);

	for (size_t step = 1; step < 40; step++) {
		struct message_scan *scan = message_scan_new();
		struct message_seen seen;

		for (size_t at = 0; at < message.text.len; at += step) {
			size_t left = message.text.len - at;

			message_scan_add(scan, message.text.data + at, left < step ? left : step);
		}
		message_scan_end(scan, &seen);
		message_scan_free(scan);
		CHECK(message_is_copy(&seen, message.token, message.body_sha256));
	}
	message_free(&message);
}

static void a_changed_body_is_no_copy(void)
{
	struct message message = make(1, 500);
	struct message_seen seen;

	message.text.data[message.text.len - 3] ^= 1;
	message_look(message.text.data, message.text.len, &seen);
	CHECK_STR(seen.token, message.token);
	CHECK(!message_is_copy(&seen, message.token, message.body_sha256));
	message_look(message.text.data, message.text.len - 4, &seen);
	CHECK(!message_is_copy(&seen, message.token, message.body_sha256));
	message_free(&message);
}

static void a_bounce_that_quotes_the_token_is_no_copy(void)
{
	struct message message = make(1, 500);
	struct buf bounce auto_buf = {0};
	struct message_seen seen;

	buf_add_str(&bounce,
		"Return-Path: <>\r\nContent-Type: multipart/report;\r\n boundary=b\r\n\r\n--b\r\n"
		"Final-Recipient: rfc822; u1@store\r\nAction: failed\r\n\r\n"
		"Final-Recipient: rfc822;u2@store\r\nAction: failed\r\n\r\n--b\r\n\r\n");
	buf_add(&bounce, message.text.data, message.text.len);
	message_look(bounce.data, bounce.len, &seen);
	CHECK_STR(seen.token, "");
	CHECK(!message_is_copy(&seen, message.token, message.body_sha256));
	CHECK(seen.report);
	CHECK_STR(seen.quoted, message.token);
	CHECK_STR(seen.action, "failed");
	CHECK_STR(seen.failed, "u1@store u2@store");
	message_free(&message);
}

static void odd_tokens_are_not_taken(void)
{
	static const struct {
		const char *text;
		const char *token;
	} cases[] = {
		{"X-Mailrig-Token: 0123456789abcdef0123456789abcdef\r\n\r\n",
			"0123456789abcdef0123456789abcdef"},
		{"x-mailrig-token:0123456789abcdef0123456789abcdef \n\n",
			"0123456789abcdef0123456789abcdef"},
		{"X-Mailrig-Token:\r\n 0123456789abcdef0123456789abcdef\r\n\r\n",
			"0123456789abcdef0123456789abcdef"},
		{"X-Mailrig-Token: 0123456789abcdef0123456789abcde\r\n\r\n", ""},
		{"X-Mailrig-Token: 0123456789abcdef0123456789abcdef0\r\n\r\n", ""},
		{"X-Mailrig-Token: ../../../../../../../../../../../\r\n\r\n", ""},
		{"X-Mailrig-TokenX: 0123456789abcdef0123456789abcdef\r\n\r\n", ""},
		{"\r\nX-Mailrig-Token: 0123456789abcdef0123456789abcdef\r\n\r\n", ""},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct message_seen seen;

		message_look(cases[i].text, strlen(cases[i].text), &seen);
		CHECK_STR(seen.token, cases[i].token);
	}
}

static void a_header_that_never_ends_is_not_whole(void)
{
	struct buf text auto_buf = {0};
	struct message_seen seen;

	for (int i = 0; i < 100000; i++)
		buf_add_str(&text, "aaaaaaaaaaaaaaaaaaaa");
	message_look(text.data, text.len, &seen);
	CHECK(!seen.whole);
	message_look("A: b\r\n", 6, &seen);
	CHECK(!seen.whole);
	message_look("A: b\r\n\r\n", 8, &seen);
	CHECK(seen.whole);
}

static void dots_are_stuffed_at_line_starts_only(void)
{
	static const char in[] = ".\r\n..a\r\nb.c\r\n.";
	for (size_t cut = 0; cut <= strlen(in); cut++) {
		struct buf out auto_buf = {0};
		bool at_start = true;

		message_stuff(&out, in, cut, &at_start);
		message_stuff(&out, in + cut, strlen(in) - cut, &at_start);
		CHECK_STR(out.data, "..\r\n...a\r\nb.c\r\n..");
	}
}

CHECK_MAIN(CHECK_CASE(the_same_seed_gives_the_same_bytes),
	CHECK_CASE(bodies_have_exactly_the_size_asked_for),
	CHECK_CASE(lines_are_short_and_some_begin_with_a_dot),
	CHECK_CASE(a_message_is_recognised_as_sent),
	CHECK_CASE(whatever_a_file_holds_becomes_a_message_with_a_token),
	CHECK_CASE(trace_headers_on_top_and_line_ends_do_not_matter),
	CHECK_CASE(the_result_does_not_depend_on_how_the_bytes_are_cut),
	CHECK_CASE(a_changed_body_is_no_copy),
	CHECK_CASE(a_bounce_that_quotes_the_token_is_no_copy), CHECK_CASE(odd_tokens_are_not_taken),
	CHECK_CASE(a_header_that_never_ends_is_not_whole),
	CHECK_CASE(dots_are_stuffed_at_line_starts_only))
