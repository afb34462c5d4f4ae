#include "run/drain.h"

#include "api/fault.h"
#include "base/buf.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

struct accepted { /* by the store, first */
	const char *token;
	double t;
};

struct stored { /* a copy that was read back */
	const char *user, *mailbox, *token;
	int64_t uid;
};

struct drain {
	double healed_t;
	struct accepted *accepted;
	struct stored *stored;
	double *tries;
	size_t accepted_count, stored_count, try_count;
};

static bool heals_an_mta(const struct event *event)
{
	const struct fault *fault = fault_find(json_get_text(event->data, "fault", ""));

	return event_is(event, "fault") && fault && fault->family == FAMILY_DISABLED_MTA &&
	       !strcmp(json_get_text(event->data, "state", ""), "healed");
}

static double last_heal(const struct history *history)
{
	double t = NAN;

	for (size_t i = 0; i < history->count; i++)
		if (history->events[i].data && heals_an_mta(&history->events[i]))
			t = history->events[i].t;
	return t;
}

/* An LMTP dot is an attempt for each recipient: those of one connection and time are one try. */
static bool same_try(const struct event *a, const struct event *b)
{
	return b && a->t == b->t &&
	       json_get_int(a->data, "conn", -1) == json_get_int(b->data, "conn", -2);
}

static void take_attempt(struct drain *d, const struct event *event, const struct event *before)
{
	const char *hop = json_get_text(event->data, "hop", "");
	double at = json_get_real(event->data, "dot_t", event->t);

	if (!strcmp(hop, "edge")) {
		if (!strcmp(json_get_text(event->data, "result", ""), "2yz"))
			d->accepted[d->accepted_count++] = (struct accepted){
				json_get_text(event->data, "token", ""), event->t};
	} else if (at >= d->healed_t && !same_try(event, before)) {
		d->tries[d->try_count++] = at;
	}
}

static void take_events(struct drain *d, const struct history *history)
{
	const struct event *before = NULL;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (!event->data)
			continue;
		if (event_is(event, "attempt")) {
			take_attempt(d, event, before);
			before = event;
		} else if (event_is(event, "copy") && *json_get_text(event->data, "token", "")) {
			d->stored[d->stored_count++] = (struct stored){
				json_get_text(event->data, "user", ""),
				json_get_text(event->data, "mailbox", ""),
				json_get_text(event->data, "token", ""),
				json_get_int(event->data, "uid", 0),
			};
		}
	}
}

/* ---- the figures ---- */

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int64_t burst(struct drain *d)
{
	size_t most = 0;

	if (d->try_count)
		qsort(d->tries, d->try_count, sizeof(*d->tries), by_number);
	for (size_t first = 0, i = 0; i < d->try_count; i++) {
		while (d->tries[i] - d->tries[first] >= 1.0)
			first++;
		most = i - first + 1 > most ? i - first + 1 : most;
	}
	return (int64_t)most;
}

static int by_user_and_token(const void *a, const void *b)
{
	const struct stored *x = a, *y = b;
	int order = strcmp(x->user, y->user);

	return order ? order : strcmp(x->token, y->token);
}

static int64_t duplicates(struct drain *d)
{
	int64_t count = 0;

	if (d->stored_count)
		qsort(d->stored, d->stored_count, sizeof(*d->stored), by_user_and_token);
	for (size_t i = 1; i < d->stored_count; i++)
		count += !by_user_and_token(&d->stored[i - 1], &d->stored[i]);
	return count;
}

static int by_token(const void *a, const void *b)
{
	const struct accepted *x = a, *y = b;
	int order = strcmp(x->token, y->token);

	return order ? order : (x->t > y->t) - (x->t < y->t);
}

/* NAN: never, as far as the wire tells. */
static double accepted_t(const struct drain *d, const char *token)
{
	struct accepted key = {.token = token, .t = -INFINITY};
	size_t low = 0, high = d->accepted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_token(&d->accepted[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < d->accepted_count && !strcmp(d->accepted[low].token, token)
		       ? d->accepted[low].t
		       : NAN;
}

static int by_place(const void *a, const void *b)
{
	const struct stored *x = a, *y = b;
	int order = strcmp(x->user, y->user);

	order = order ? order : strcmp(x->mailbox, y->mailbox);
	return order ? order : (x->uid > y->uid) - (x->uid < y->uid);
}

static bool same_mailbox(const struct stored *a, const struct stored *b)
{
	return !strcmp(a->user, b->user) && !strcmp(a->mailbox, b->mailbox);
}

static int64_t reordered(struct drain *d)
{
	double latest = -INFINITY;
	int64_t count = 0;

	if (d->accepted_count)
		qsort(d->accepted, d->accepted_count, sizeof(*d->accepted), by_token);
	if (d->stored_count)
		qsort(d->stored, d->stored_count, sizeof(*d->stored), by_place);
	for (size_t i = 0; i < d->stored_count; i++) {
		double t = accepted_t(d, d->stored[i].token);

		if (!i || !same_mailbox(&d->stored[i - 1], &d->stored[i]))
			latest = -INFINITY;
		count += t < latest;
		latest = t > latest ? t : latest;
	}
	return count;
}

static int64_t empty_ms(const struct history *history, double healed_t)
{
	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "drained") && json_get_bool(event->data, "empty", false))
			return (int64_t)((event->t - healed_t) * 1000 + 0.5);
	}
	return -1;
}

json_t *drain_measure(const struct history *history)
{
	struct drain d = {.healed_t = last_heal(history)};
	int64_t copies, order;
	json_t *ret;

	if (isnan(d.healed_t))
		return NULL;
	d.accepted = mem_zero(history->count, sizeof(*d.accepted));
	d.stored = mem_zero(history->count, sizeof(*d.stored));
	d.tries = mem_zero(history->count, sizeof(*d.tries));
	take_events(&d, history);
	copies = duplicates(&d);
	order = reordered(&d);
	ret = json_pack("{sI sI sI sI sI}", "empty_ms", (json_int_t)empty_ms(history, d.healed_t),
		"burst_1s", (json_int_t)burst(&d), "tries", (json_int_t)d.try_count, "duplicates",
		(json_int_t)copies, "reordered", (json_int_t)order);
	free(d.accepted);
	free(d.stored);
	free(d.tries);
	return ret;
}
