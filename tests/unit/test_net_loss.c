/*
 * What the capture lost must never turn into a wrong statement: with frames missing, whatever is told for
 * certain about a mail is what the whole capture tells; the rest is told as unknown.
 */
#include "tests/check/check.h"
#include "tests/fake/mail_gen.h"
#include "tests/unit/net_tell.h"

#include <pcap/dlt.h>

#define TALKS 300

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL},
	{143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL},
};

/*
 * Lines that are certain: each attempt that has a token, each IMAP command and its reply, the whole mails.
 * `silent`: commands without a reply although the connection was seen to end. In truth there are none.
 */
struct facts {
	struct buf attempts, hashes;
	size_t unknown, gaps, unanswered, silent;
};

static void on_event(void *arg, const struct dialogue_event *event)
{
	struct facts *facts = arg;
	const struct attempt *attempt = event->attempt;

	facts->gaps += event->kind == DIALOGUE_GAP;
	facts->unanswered += event->kind == DIALOGUE_UNANSWERED && !event->unknown;
	if (event->kind == DIALOGUE_CLOSED && (event->end == FLOW_FIN || event->end == FLOW_RESET))
		facts->silent = facts->unanswered;
	if (event->kind == DIALOGUE_REPLY && event->tag && !event->unknown)
		buf_addf(&facts->attempts, "%s %s %s\n", event->tag, event->verb, event->status);
	if (event->kind == DIALOGUE_MESSAGE && event->message->sha256[0])
		buf_addf(&facts->hashes, "%s\n", event->message->sha256);
	if (!attempt)
		return;
	if (attempt->result == ATTEMPT_UNKNOWN)
		facts->unknown++;
	else if (attempt->token[0])
		buf_addf(&facts->attempts, "%s %s %s %d\n", attempt->token, attempt->to,
			dialogue_attempt_name(attempt->result), attempt->code);
}

static void make(struct gen *gen, enum mail_protocol protocol, uint64_t seed)
{
	struct rng rng = rng_stream(seed, "loss");
	struct talk talk = talk_make(&rng, protocol);
	struct gen_conn conn = gen_conn((unsigned int)seed, mail_port(protocol), false);
	struct nasty ways = {.segment_max = seed % 3 ? 1400 : 60};

	gen_init(gen, DLT_EN10MB);
	gen->step_ns = seed % 2 ? INT64_C(50000000) : 1000; /* gaps told at once, or at the end */
	talk_send(&talk, gen, &conn, &ways, &rng);
	talk_free(&talk);
}

static void facts_free(struct facts *facts)
{
	buf_free(&facts->attempts);
	buf_free(&facts->hashes);
}

/* Each line of `got` is a line of `want`. */
static void check_lines(const struct buf *got, const struct buf *want, uint64_t seed)
{
	auto_free char *text = text_dup(buf_text(got));

	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		auto_free char *whole = text_fmt("%s\n", line);

		if (*line && !CHECK_HAS(buf_text(want), whole))
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	}
}

static void lose_and_compare(enum mail_protocol protocol, unsigned int of_100)
{
	size_t unknown = 0, gaps = 0;

	for (uint64_t seed = 0; seed < TALKS; seed++) {
		struct rng rng = rng_stream(seed, "drop");
		struct facts want = {0}, got = {0};
		struct gen gen;

		make(&gen, protocol, seed);
		tell_capture(&gen, ports, ARRAY_SIZE(ports), on_event, &want);
		CHECK_INT(want.gaps, 0);
		CHECK_INT(want.unknown, 0);
		CHECK_INT(want.silent, 0);
		for (size_t i = gen.count - 1; i; i--)
			if (rng_below(&rng, 100) < of_100)
				gen_drop(&gen, i - 1);
		tell_capture(&gen, ports, ARRAY_SIZE(ports), on_event, &got);
		check_lines(&got.attempts, &want.attempts, seed);
		check_lines(&got.hashes, &want.hashes, seed);
		if (!CHECK_INT(got.silent, 0))
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		unknown += got.unknown;
		gaps += got.gaps;
		facts_free(&want);
		facts_free(&got);
		gen_free(&gen);
	}
	CHECK(unknown > 0 || protocol == MAIL_IMAP || protocol == MAIL_POP3);
	CHECK(gaps > 0);
}

static void says_nothing_wrong_of_smtp_when_few_frames_are_lost(void)
{
	lose_and_compare(MAIL_SMTP, 2);
}

static void says_nothing_wrong_of_smtp_when_many_frames_are_lost(void)
{
	lose_and_compare(MAIL_SMTP, 20);
}

static void says_nothing_wrong_of_imap_and_pop3(void)
{
	lose_and_compare(MAIL_IMAP, 2);
	lose_and_compare(MAIL_IMAP, 20);
	lose_and_compare(MAIL_POP3, 2);
	lose_and_compare(MAIL_POP3, 20);
}

static void says_nothing_wrong_of_lmtp_when_few_frames_are_lost(void)
{
	lose_and_compare(MAIL_LMTP, 2);
}

static void says_nothing_wrong_of_lmtp_when_many_frames_are_lost(void)
{
	lose_and_compare(MAIL_LMTP, 20);
}

CHECK_MAIN(CHECK_CASE(says_nothing_wrong_of_imap_and_pop3),
	CHECK_CASE(says_nothing_wrong_of_smtp_when_few_frames_are_lost),
	CHECK_CASE(says_nothing_wrong_of_smtp_when_many_frames_are_lost),
	CHECK_CASE(says_nothing_wrong_of_lmtp_when_few_frames_are_lost),
	CHECK_CASE(says_nothing_wrong_of_lmtp_when_many_frames_are_lost))
