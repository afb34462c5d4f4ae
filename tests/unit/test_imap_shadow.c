/* What an IMAP session of the workload knows of its mailbox follows what it is told. */
#include "tests/check/check.h"

#include "base/buf.h"
#include "run/cell/imap_shadow.h"

static struct imap_event exists(uint32_t number)
{
	return (struct imap_event){.kind = IMAP_EXISTS, .number = number};
}

static struct imap_event expunge(uint32_t number)
{
	return (struct imap_event){.kind = IMAP_EXPUNGE, .number = number};
}

static struct imap_event fetch(uint32_t number, uint32_t uid)
{
	return (struct imap_event){.kind = IMAP_FETCH, .number = number, .uid = uid};
}

static struct imap_event vanish(char *set)
{
	return (struct imap_event){.kind = IMAP_VANISHED, .set = set};
}

static void follow(struct imap_shadow *shadow, struct imap_event event)
{
	struct imap_reply reply = {.events = &event, .count = 1};

	imap_shadow_follow(shadow, &reply);
}

/* Messages 1, 2, 3, ?, 9, ? */
static void half_shown(struct imap_shadow *shadow)
{
	*shadow = (struct imap_shadow){0};
	follow(shadow, exists(6));
	for (uint32_t uid = 1; uid <= 3; uid++)
		follow(shadow, fetch(uid, uid));
	follow(shadow, fetch(5, 9));
}

static void what_goes_moves_the_others_up(void)
{
	static const struct {
		struct imap_event event;
		const char *want;
	} rows[] = {
		{{.kind = IMAP_EXPUNGE, .number = 2}, "1 3 0 9 0 "},
		{{.kind = IMAP_EXPUNGE, .number = 7}, "1 2 3 0 9 0 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"2"}, "1 3 0 9 0 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"4"}, "1 2 3 9 0 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"12"}, "1 2 3 0 9 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"3,7,9,20"}, "1 2 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"4:8"}, "1 2 3 9 0 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"1:4294967295"}, ""},
		{{.kind = IMAP_VANISHED, .set = (char *)"7", .earlier = true}, "1 2 3 0 9 0 "},
		{{.kind = IMAP_VANISHED, .set = (char *)"x"}, "1 2 3 0 9 0 "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf got = {0};
		struct imap_shadow shadow;

		half_shown(&shadow);
		follow(&shadow, rows[i].event);
		for (size_t n = 0; n < shadow.count; n++)
			buf_addf(&got, "%u ", shadow.uids[n]);
		if (!CHECK_STR(buf_text(&got), rows[i].want))
			fprintf(stderr, "row %zu\n", i);
		imap_shadow_free(&shadow);
	}
}

static void what_is_not_told_is_asked_for(void)
{
	struct imap_shadow shadow;
	size_t from = 0, to = 0;

	half_shown(&shadow);
	CHECK(imap_shadow_gap(&shadow, &from, &to));
	CHECK_INT(from, 4);
	CHECK_INT(to, 6);
	follow(&shadow, vanish((char *)"5"));
	follow(&shadow, expunge(5));
	CHECK(!imap_shadow_gap(&shadow, &from, &to));
	imap_shadow_free(&shadow);
}

static void more_than_it_follows_is_left_alone(void)
{
	struct imap_shadow shadow = {0};

	follow(&shadow, exists(SHADOW_MAX + 1));
	CHECK_INT(shadow.count, 0);
	imap_shadow_free(&shadow);
}

CHECK_MAIN(CHECK_CASE(what_goes_moves_the_others_up), CHECK_CASE(what_is_not_told_is_asked_for),
	CHECK_CASE(more_than_it_follows_is_left_alone))
