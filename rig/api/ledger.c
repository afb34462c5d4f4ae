#include "api/ledger.h"

#include "api/ledger_build.h"
#include "base/buf.h"

#include <math.h>
#include <string.h>

#define STARVED_LATE_S 2.0 /* the pulse tells so much after the fact */
#define STARVED_SHARE  0.2 /* of a time: what was lost in it may be what made it too long */

static const char *const hop_names[] = {
	[HOP_EDGE] = "edge",
	[HOP_INNER] = "inner",
	[HOP_OUTBOUND] = "outbound",
};

static const char *const result_names[] = {
	[RESULT_NOT_SENT] = "not-sent",
	[RESULT_2YZ] = "2yz",
	[RESULT_4YZ] = "4yz",
	[RESULT_5YZ] = "5yz",
	[RESULT_NONE] = "none",
	[RESULT_UNKNOWN] = "unknown",
};

const char *hop_name(enum hop hop)
{
	return (size_t)hop < ARRAY_SIZE(hop_names) ? hop_names[hop] : "?";
}

const char *attempt_result_name(enum attempt_result result)
{
	return (size_t)result < ARRAY_SIZE(result_names) ? result_names[result] : "?";
}

int hop_from_name(const char *name)
{
	for (int i = 0; i < HOP_COUNT; i++)
		if (!strcmp(hop_name((enum hop)i), name))
			return i;
	return -EINVAL;
}

int attempt_result_from_name(const char *name)
{
	for (int i = 0; i < RESULT_COUNT; i++)
		if (!strcmp(attempt_result_name((enum attempt_result)i), name))
			return i;
	return -EINVAL;
}

struct ledger *ledger_new(void)
{
	struct ledger *ledger = mem_zero(1, sizeof(*ledger));

	ledger->settle_t = NAN;
	ledger->read_t = NAN;
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	intern_free(&ledger->texts);
	text_map_free(&ledger->by_token);
	key_map_free(&ledger->by_pair);
	key_map_free(&ledger->by_op);
	text_map_free(&ledger->by_who);
	key_map_free(&ledger->by_uid);
	text_map_free(&ledger->by_queue_id);
	free(ledger->attempts);
	free(ledger->copies);
	free(ledger->rcpts);
	free(ledger->mails);
	free(ledger->ops);
	free(ledger->forces);
	free(ledger->shown);
	free(ledger->whos);
	free(ledger->notices);
	free(ledger->starved);
	free(ledger);
}

static int compare_times(const void *a, const void *b)
{
	const struct ledger_starved *x = a, *y = b;

	return x->t < y->t ? -1 : x->t > y->t;
}

/* ---- a power cut takes back what was said after the instant that the disks are of ---- */

const struct ledger_force *ledger_power_cut(const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->force_count; i++)
		if (!isnan(ledger->forces[i].at))
			return &ledger->forces[i];
	return NULL;
}

double ledger_ahead(const struct ledger *ledger, double from, double to)
{
	double most = 0;

	for (size_t i = 0; i < ledger->force_count; i++) {
		const struct ledger_force *force = &ledger->forces[i];

		if (force->from <= to && !(force->to < from) && force->ahead > most)
			most = force->ahead;
	}
	return most;
}

/* Disks that are put back are those of long before: everybody goes on in between. */
static bool taken_back(const struct ledger_force *cut, double t)
{
	return t > cut->at && t <= (isnan(cut->to) ? cut->from : cut->to);
}

static void take_back_replies(struct ledger *ledger, const struct ledger_force *cut)
{
	for (size_t i = 0; i < ledger->attempt_count; i++) {
		struct ledger_attempt *attempt = &ledger->attempts[i];

		if (attempt->result == RESULT_NOT_SENT || attempt->result == RESULT_UNKNOWN ||
			!taken_back(cut, attempt->reply_t))
			continue;
		build_unanswer(ledger, attempt);
		attempt->taken_back = true;
	}
}

static void take_back_outcomes(struct ledger *ledger, const struct ledger_force *cut)
{
	for (size_t i = 0; i < ledger->op_count; i++) {
		struct ledger_op *op = &ledger->ops[i];
		uint32_t at =
			op->mail == LEDGER_NONE ? LEDGER_NONE : ledger->mails[op->mail].first_rcpt;
		bool append = strstr(ledger_text(ledger, op->op), "append");

		if (!op->end_line || op->outcome == OUTCOME_MAYBE || !taken_back(cut, op->end))
			continue;
		for (; at != LEDGER_NONE; at = ledger->rcpts[at].next) {
			struct ledger_rcpt *rcpt = &ledger->rcpts[at];

			rcpt->appended += append && op->outcome == OUTCOME_NO;
			if (!rcpt->client[op->outcome])
				continue;
			rcpt->client[op->outcome]--;
			rcpt->client[OUTCOME_MAYBE]++;
		}
		op->outcome = OUTCOME_MAYBE;
	}
}

void ledger_finish(struct ledger *ledger)
{
	const struct ledger_force *cut = ledger_power_cut(ledger);

	if (cut) {
		take_back_replies(ledger, cut);
		take_back_outcomes(ledger, cut);
	}
	if (isnan(ledger->settle_t))
		ledger->settle_t = ledger->last_t;
	for (size_t i = 0; i < ledger->copy_count; i++) {
		const struct ledger_copy *copy = &ledger->copies[i];
		uint32_t sent = ledger->mails[ledger->rcpts[copy->rcpt].mail].sha;

		if (!copy->whole || !sent || !copy->sha)
			continue;
		if (copy->sha == sent)
			ledger->intact_copies++;
		else
			ledger->altered_copies++;
	}
	if (ledger->starved_count)
		qsort(ledger->starved, ledger->starved_count, sizeof(*ledger->starved),
			compare_times);
}

/* ---- asking ---- */

const struct ledger_mail *ledger_mail(const struct ledger *ledger, const char *token)
{
	uint32_t id = intern_find(&ledger->texts, token, strlen(token));
	uint32_t index = id ? text_map_get(&ledger->by_token, id) : LEDGER_NONE;

	return index == LEDGER_NONE ? NULL : &ledger->mails[index];
}

const struct ledger_rcpt *ledger_rcpt_of(
	const struct ledger *ledger, const struct ledger_mail *mail, uint32_t address)
{
	uint32_t index = mail ? mail->first_rcpt : LEDGER_NONE;

	if (index != LEDGER_NONE && ledger->rcpts[index].address != address)
		index = key_map_get(
			&ledger->by_pair, ledger_pair((uint32_t)(mail - ledger->mails), address));
	return index == LEDGER_NONE ? NULL : &ledger->rcpts[index];
}

const struct ledger_who *ledger_who(const struct ledger *ledger, uint32_t address)
{
	uint32_t index = text_map_get(&ledger->by_who, address);

	return index == LEDGER_NONE ? NULL : &ledger->whos[index];
}

const char *ledger_token(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	return ledger_text(ledger, ledger->mails[rcpt->mail].token);
}

uint32_t ledger_unknown(const struct ledger *ledger, const struct ledger_rcpt *rcpt, enum hop hop)
{
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);

	return rcpt->attempts[hop][RESULT_UNKNOWN] + (who ? who->unknown[hop] : 0) +
	       (ledger->hidden[hop] ? LEDGER_ANY_NUMBER : 0);
}

/* Was any copy of this mail in the baseline like `sha`? 1 yes, 0 no, -1 the mail was not there. */
static int baseline_knows(const struct ledger *baseline, const char *token, const char *sha)
{
	const struct ledger_mail *mail = ledger_mail(baseline, token);
	uint32_t id = intern_find(&baseline->texts, sha, strlen(sha));
	int known = -1;

	for (uint32_t r = mail ? mail->first_rcpt : LEDGER_NONE; r != LEDGER_NONE;
		r = baseline->rcpts[r].next) {
		uint32_t c = baseline->rcpts[r].first_copy;

		for (; c != LEDGER_NONE; c = baseline->copies[c].next) {
			if (id && baseline->copies[c].sha == id)
				return 1;
			if (baseline->copies[c].whole)
				known = 0;
		}
	}
	return known;
}

enum copy_state ledger_content_state(const struct ledger *ledger, const struct ledger *baseline,
	const struct ledger_mail *mail, const char *sha)
{
	int known;

	if (!*sha)
		return COPY_UNSURE;
	if (mail->sha && !strcmp(ledger_text(ledger, mail->sha), sha))
		return COPY_INTACT;
	if (!baseline)
		return mail->real ? COPY_INTACT : COPY_UNSURE;
	known = baseline_knows(baseline, ledger_text(ledger, mail->token), sha);
	if (known >= 0)
		return known ? COPY_INTACT : COPY_DAMAGED;
	if (mail->sha && baseline->intact_copies && !baseline->altered_copies)
		return COPY_DAMAGED;
	return COPY_UNSURE;
}

enum copy_state ledger_copy_state(
	const struct ledger *ledger, const struct ledger *baseline, const struct ledger_copy *copy)
{
	const struct ledger_mail *mail = &ledger->mails[ledger->rcpts[copy->rcpt].mail];

	if (!copy->whole)
		return COPY_DAMAGED;
	return ledger_content_state(ledger, baseline, mail, ledger_text(ledger, copy->sha));
}

double ledger_free_seconds(const struct ledger *ledger, double from, double to)
{
	double free_s = 0, at = from;

	/* Step from one moment at which nothing is in force to the next that something is. */
	while (at < to) {
		double busy_until = at, next = to;

		for (size_t i = 0; i < ledger->force_count; i++) {
			const struct ledger_force *force = &ledger->forces[i];
			double end = isnan(force->to) ? INFINITY : force->to;

			if (force->from <= at && end > busy_until)
				busy_until = end;
			else if (force->from > at && force->from < next && end > force->from)
				next = force->from;
		}
		if (busy_until <= at) {
			free_s += next - at;
			busy_until = next;
		}
		at = busy_until;
	}
	return free_s;
}

bool ledger_starved(const struct ledger *ledger, double from, double to)
{
	size_t low = 0, high = ledger->starved_count;
	double lost_s = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ledger->starved[middle].t < from)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < ledger->starved_count && ledger->starved[low].t <= to + STARVED_LATE_S; low++)
		lost_s += ledger->starved[low].lost_s;
	return lost_s > 0 && lost_s >= STARVED_SHARE * (to - from);
}
